"""What every vLLM release knows, from the data that `tools/catalog.py` makes of their sources.

The data tells spans: a record stands once, with the first and the last release that have it.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from dyno.engine.catalog import Catalog, Flag, Variable
from dyno.errors import InputError, nearest

DATA = Path(__file__).with_name("releases.json.gz")
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Span(Generic[Record]):
    """Releases in a row that have the same record. `gone` is the next release, None when `last` is the newest."""

    first: str
    last: str
    gone: str | None
    record: Record


def releases() -> tuple[str, ...]:
    """All releases of which the data tells, oldest first."""
    return tuple(_data()["releases"])


@cache
def release(version: str) -> Catalog:
    """What one release knows. InputError for a release of which the data does not tell."""
    known = releases()
    if version not in known:
        raise InputError(f"vLLM {version!r} is not among the releases {known[0]} to {known[-1]} that Dyno knows"
                         f"{nearest(version, known)}")  # fmt: skip
    return _catalog(_data(), known.index(version))


def catalogs(content: bytes) -> dict[str, Catalog]:
    """Every release of a data file with this content, oldest first."""
    data = _unpacked(content)
    return {version: _catalog(data, at) for at, version in enumerate(data["releases"])}


@cache
def flag_history() -> Mapping[str, tuple[Span[Flag], ...]]:
    """Every flag that any release has, by name, oldest span first."""
    return {name: tuple(_spans(Flag, name, spans)) for name, spans in _data()["flags"].items()}


@cache
def variable_history() -> Mapping[str, tuple[Span[Variable], ...]]:
    """Every environment variable that any release reads, by name, oldest span first."""
    return {name: tuple(_spans(Variable, name, spans)) for name, spans in _data()["variables"].items()}


def keyword_history() -> Mapping[str, tuple[Span[str], ...]]:
    """Every argument of EngineArgs that any release has, by name, oldest span first."""
    return {name: tuple(Span(*_ends(first, last), name) for first, last in spans)
            for name, spans in _data()["keywords"].items()}  # fmt: skip


@cache
def _data() -> Mapping[str, Any]:
    return _unpacked(DATA.read_bytes())


def _unpacked(content: bytes) -> Mapping[str, Any]:
    data: Mapping[str, Any] = json.loads(gzip.decompress(content))
    return data


def _catalog(data: Mapping[str, Any], at: int) -> Catalog:
    lists = {taker: told for taker, words in data["lists"].items() if (told := tuple(_names(words, at)))}
    return Catalog(data["releases"][at], tuple(_records(Flag, data["flags"], at)),
                   tuple(_records(Flag, data["keys"], at)), tuple(_records(Variable, data["variables"], at)),
                   tuple(_names(data["keywords"], at)), lists)  # fmt: skip


def _records(kind: type[Record], table: Mapping[str, Any], at: int) -> Iterator[Record]:
    for name, spans in table.items():
        for first, last, told in spans:
            if first <= at <= last:
                yield _record(kind, name, told)


def _names(table: Mapping[str, list[list[int]]], at: int) -> Iterator[str]:
    return (name for name, spans in table.items() if any(first <= at <= last for first, last in spans))


def _spans(kind: type[Record], name: str, spans: list[Any]) -> Iterator[Span[Record]]:
    return (Span(*_ends(first, last), _record(kind, name, told)) for first, last, told in spans)


def _ends(first: int, last: int) -> tuple[str, str, str | None]:
    known = releases()
    return known[first], known[last], known[last + 1] if last + 1 < len(known) else None


def _record(kind: type[Record], name: str, told: Mapping[str, Any]) -> Record:
    return kind(name=name, **{key: _frozen(value) for key, value in told.items()})  # type: ignore[call-arg]


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
