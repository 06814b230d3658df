"""What a running study tells whoever watches it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ProgressKind = Literal["launch", "start", "test", "done", "note"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a study is. `expected_s` is what is left of the phase, from the launches so far; None before the first."""

    kind: ProgressKind
    phase: str
    launch: int  # from 1, within the phase
    of: int
    candidate: str
    text: str
    elapsed_s: float
    expected_s: float | None


Watch = Callable[[Progress], None]
