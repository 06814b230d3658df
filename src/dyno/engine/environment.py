"""An engine environment: what can start an engine."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Environment:
    """A venv that Dyno made, or an interpreter it was shown."""

    name: str
    kind: Literal["venv", "adopted"]
    python: str  # absolute path of the interpreter
    pythonpath: tuple[str, ...]  # folders put in front of PYTHONPATH
    platform: str  # vLLM's device type: "cpu", "cuda", ...
    version: str  # vLLM's own version, local part included: "0.32.0+cpu"
    python_version: str
    torch_version: str
