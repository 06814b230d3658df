"""Asks an interpreter what its vLLM is, and remembers it as an environment."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from dyno.engine.catalog import Catalog, Flag
from dyno.engine.environment import Environment, environment_folder, environment_lock, save_environment
from dyno.errors import EnvironmentBroken, InputError

_INSPECTION_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class _Inspection:
    """What `inspect_engine` prints."""

    version: str
    platform: str
    python_version: str
    torch_version: str
    flags: tuple[Flag, ...]


def adopt_environment(name: str, python: str, pythonpath: tuple[str, ...] = ()) -> Environment:
    """Remembers an interpreter that has vLLM. InputError for paths that are not there or a name that is taken."""
    folder = environment_folder(name)
    interpreter = Path(shutil.which(Path(python).expanduser()) or python).absolute()
    problems = [] if os.access(interpreter, os.X_OK) else [f"--python {python}: no such interpreter"]
    problems += [f"--pythonpath {path}: no such folder" for path in pythonpath if not Path(path).is_dir()]
    with environment_lock(name):
        if (folder / "venv").exists():
            problems.append(
                f"--name {name}: taken by an installed environment; `dyno env remove {name}` or another name"
            )
        if problems:
            raise InputError(*problems)
        paths = tuple(str(Path(path).absolute()) for path in pythonpath)
        return record_environment(name, "adopted", str(interpreter), paths)


def record_environment(name: str, kind: Literal["venv", "adopted"], python: str,
                       pythonpath: tuple[str, ...] = ()) -> Environment:  # fmt: skip
    """Asks the interpreter about its vLLM and saves what it says, which makes the environment."""
    found = _inspect(python, pythonpath)
    if not found.platform:
        raise EnvironmentBroken(
            f"vLLM {found.version} of {python} finds no device that it can run on; "
            "`dyno doctor` says what this machine has, `dyno env install --vllm cpu` needs no GPU"
        )
    environment = Environment(name, kind, python, pythonpath, found.platform, found.version,
                              found.python_version, found.torch_version)  # fmt: skip
    save_environment(environment, Catalog(found.version, found.flags))
    return environment


def _inspect(python: str, pythonpath: tuple[str, ...]) -> _Inspection:
    """Runs `inspect_engine` in the interpreter. Takes some 10 s. EnvironmentBroken with what it wrote last."""
    source = Path(__file__).with_name("inspect_engine.py").read_text(encoding="utf-8")
    paths = [*pythonpath, *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1",
           **({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "inspection.json"
        try:
            done = subprocess.run(
                [python, "-c", source, str(output)], cwd=folder, env=env, timeout=_INSPECTION_TIMEOUT_S, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentBroken(f"{python} cannot be asked about its vLLM: {error}") from error
        if done.returncode or not output.exists():
            last = "\n".join(done.stdout.decode(errors="replace").strip().splitlines()[-5:])
            raise EnvironmentBroken(f"{python} cannot import vLLM (exit code {done.returncode}):\n{last}")
        return TypeAdapter(_Inspection).validate_json(output.read_bytes(), strict=True)
