"""Where Dyno keeps things: `$DYNO_HOME`, else `~/.local/share/dyno` (XDG_DATA_HOME honoured)."""

import os
import shutil
from pathlib import Path


def dyno_home() -> Path:
    """The folder of everything Dyno keeps. Not created here."""
    if home := os.environ.get("DYNO_HOME"):
        return Path(home).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser().absolute() / "dyno"


def envs_folder() -> Path:
    """One folder per engine environment."""
    return dyno_home() / "envs"


def locks_folder() -> Path:
    """One lock file per card."""
    return dyno_home() / "locks"


def engine_cache_folder() -> Path:
    """Where every engine that Dyno starts keeps what it compiles, so that launches share it: VLLM_CACHE_ROOT."""
    return dyno_home() / "cache" / "vllm"


def free_disk_bytes(folder: Path) -> int:
    """What is free on the disk that holds `folder`, or will hold it."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(existing).free
