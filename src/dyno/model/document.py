"""JSON that others wrote, read within bounds."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dyno.errors import InputError, shown

MOST_BYTES = 16 * 2**20  # of a document: the longest index of a model has one or two


def read_json(file: Path, remedy: str) -> object:
    """What the file holds; a pipe will do. InputError, which ends with the remedy, for what is not JSON or too long."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); {remedy}") from error
    except ValueError as error:  # a name with a zero byte
        raise InputError(f"{str(file)!r}: is no file name ({error}); {remedy}") from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{file}: is longer than {MOST_BYTES >> 20} MiB; {remedy}")
    try:
        return parsed(content)
    except ValueError as error:
        raise InputError(f"{file}: is not JSON ({error}); {remedy}") from error


def parsed(content: bytes) -> object:
    """JSON without doubled keys. ValueError for anything else."""
    try:
        return json.loads(content, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _once(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{shown(twice)} stands twice")
    return made
