"""An engine environment: what can start an engine, and where Dyno remembers it.

$DYNO_HOME/envs/NAME/environment.json   with the flags of its vLLM; while it is missing, the environment is not made
$DYNO_HOME/envs/NAME/venv/              only where Dyno installed it
$DYNO_HOME/envs/.in-use                 a name
"""

import os
import re
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from dyno.engine.catalog import Catalog
from dyno.engine.lock import hold
from dyno.errors import Busy, EnvironmentBroken, InputError, nearest
from dyno.home import dyno_home, engine_cache_folder, envs_folder, locks_folder
from dyno.units import format_bytes

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


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


@dataclass(frozen=True, slots=True)
class _File:
    schema_version: Literal[1]
    environment: Environment
    catalog: Catalog


def list_environments() -> tuple[Environment, ...]:
    """All that are made, by name. EnvironmentBroken for one whose file cannot be read."""
    return tuple(_read(path.parent.name).environment for path in sorted(envs_folder().glob("*/environment.json")))


def load_environment(name: str) -> Environment:
    """The environment of this name, its interpreter there. EnvironmentBroken when it is not."""
    if not (environment_folder(name) / "environment.json").exists():
        made = [path.parent.name for path in envs_folder().glob("*/environment.json")]
        raise EnvironmentBroken(f"there is no engine environment {name!r}{nearest(name, made)}; "
                                "`dyno env list` shows them, `dyno env install` makes one")  # fmt: skip
    environment = _read(name).environment
    if not os.access(environment.python, os.X_OK):
        raise EnvironmentBroken(f"engine environment {name!r}: its interpreter {environment.python} is gone; "
                                f"`dyno env remove {name}`, then install or adopt it again")  # fmt: skip
    return environment


def environment_in_use() -> str | None:
    """The name that `use_environment` wrote last, None when that environment is not there."""
    try:
        name = _pointer().read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return name if (envs_folder() / name / "environment.json").exists() else None


def current_environment(name: str | None = None) -> Environment:
    """The one named, else the one in use, else the only one. EnvironmentBroken when that leaves none or several."""
    if name := name or environment_in_use():
        return load_environment(name)
    environments = list_environments()
    if not environments:
        raise EnvironmentBroken("there is no engine environment yet; `dyno env install` makes one")
    if len(environments) > 1:
        names = ", ".join(environment.name for environment in environments)
        raise EnvironmentBroken(f"none of the engine environments is in use ({names}); choose: `dyno env use NAME`")
    return load_environment(environments[0].name)


def use_environment(name: str) -> Environment:
    """Makes it the one that commands without `--engine` start."""
    environment = load_environment(name)
    _write(_pointer(), name + "\n")
    return environment


def remove_environment(name: str) -> int:
    """Removes it, also a broken one, and returns the bytes freed. An adopted interpreter itself stays."""
    folder = environment_folder(name)
    if not folder.exists():
        load_environment(name)  # says that there is none
    with environment_lock(name):
        freed = remove_folder(folder)
        if environment_in_use() is None:
            _pointer().unlink(missing_ok=True)
        return freed


def load_catalog(environment: Environment) -> Catalog:
    """The flags of its vLLM."""
    return _read(environment.name).catalog


def save_environment(environment: Environment, catalog: Catalog) -> None:
    """Writes both in one file, which makes the environment; the first one is in use."""
    text = TypeAdapter(_File).dump_json(_File(1, environment, catalog), indent=1).decode()
    _write(environment_folder(environment.name) / "environment.json", text + "\n")
    if environment_in_use() is None:
        use_environment(environment.name)


def prune_environments() -> list[str]:
    """Removes what no environment needs: half-made folders, install logs, the engines' cache. One line for each."""
    made = {path.parent.name for path in envs_folder().glob("*/environment.json")}
    lines = []
    for folder in sorted(envs_folder().glob("*/")):
        if folder.name not in made:
            try:
                with environment_lock(folder.name):
                    lines.append(_removed("half-made environment", folder))
            except Busy as busy:
                lines.append(f"kept {folder}: {busy}")
    kept = {install_log(name) for name in made}
    lines += [
        _removed("install log", log) for log in sorted(install_log("*").parent.glob("install-*.log")) if log not in kept
    ]
    if not made and engine_cache_folder().exists():
        lines.append(_removed("engines' cache", engine_cache_folder()))
    return lines


def environment_folder(name: str) -> Path:
    """Where it is or will be. InputError for a name that cannot be a folder's."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot be the name of an environment; use letters, digits and . _ + -")
    return envs_folder() / name


def install_log(name: str) -> Path:
    """What the installers of an environment printed, the last time."""
    return dyno_home() / "logs" / f"install-{name}.log"


def environment_lock(name: str) -> AbstractContextManager[None]:
    """One installer, adopter or remover at a time. Busy says who the other is."""
    return hold(locks_folder() / f"env-{name}.lock", f"engine environment {name}")


def remove_folder(path: Path) -> int:
    """Removes a file or a whole tree and returns its bytes; `environment.json` goes first, so a part is half-made."""
    files = [file for file in [path, *path.rglob("*")] if not file.is_dir() or file.is_symlink()]
    freed = sum(file.lstat().st_size for file in files)
    try:
        if path.is_dir():
            (path / "environment.json").unlink(missing_ok=True)
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise EnvironmentBroken(f"{error.filename} cannot be removed: {error.strerror}") from error
    return freed


def _removed(what: str, path: Path) -> str:
    return f"removed {what} {path}: {format_bytes(remove_folder(path))}"


def _pointer() -> Path:
    return envs_folder() / ".in-use"


def _read(name: str) -> _File:
    path = envs_folder() / name / "environment.json"
    try:
        return TypeAdapter(_File).validate_json(path.read_bytes(), strict=True, extra="forbid")
    except OSError as error:
        problem = error.strerror or "cannot be read"
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
    raise EnvironmentBroken(f"{path}: {problem}; `dyno env remove {name}`, then install or adopt it again")


def _write(path: Path, text: str) -> None:
    """Whole or not at all, also through a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
