"""One Dyno at a time on a card and in a study folder."""

import fcntl
import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path

from dyno.errors import Busy, DynoError


@contextmanager
def hold(path: Path, what: str) -> Iterator[None]:
    """Holds the lock file `path` for `what` ("card GPU-12", "study chat"); freed by the kernel if Dyno is killed.

    Busy says who holds it. The file stays when the lock is released. Programs that Dyno starts do not inherit it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise DynoError(f"{what}: cannot open the lock {path}: {error.strerror}") from error
    with file:
        _take(file, path, what)
        file.truncate(0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        json.dump({"pid": os.getpid(), "command": _command(sys.argv), "since": now}, file)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _take(file: TextIOWrapper, path: Path, what: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = _holder(file.read())
        raise Busy(f"{what} is in use by {holder}; wait until it ends, or stop it") from None
    except OSError as error:
        raise DynoError(f"{what}: cannot lock {path}: {error.strerror}") from error


def _holder(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} ({holder['command']}) since {holder['since']}"
    except (ValueError, KeyError, TypeError):  # it has not written itself down yet
        return "another Dyno"


def _command(argv: list[str]) -> str:
    """Verb and first argument alone: later words may hold a secret."""
    return shlex.join([Path(argv[0]).name, *argv[1:3]])
