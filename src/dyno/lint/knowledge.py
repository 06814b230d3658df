"""Releases as rules look at them: from the catalog, or from an installed engine of a release that it does not have."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from dyno.engine import catalog_releases as data
from dyno.engine.catalog import Catalog
from dyno.errors import EnvironmentBroken, InputError, nearest
from dyno.home import envs_folder
from dyno.lint.known import Known, Span, number
from dyno.lint.source import Configuration


def judged_for(asked: str | None) -> Callable[[Configuration], Known]:
    """The release that a configuration is judged for: the one asked for, its image's, the engine's, the newest."""
    usual = known_release(asked) if asked else _usual()

    def choose(configuration: Configuration) -> Known:
        named = configuration.release
        return known_release(named) if named in data.releases() and not asked else usual

    return choose


def engine_release() -> str | None:
    """The release of the engine in use, None without one. Reads one small file."""
    try:
        name = (envs_folder() / ".in-use").read_text(encoding="utf-8").strip()
        content = json.loads((envs_folder() / name / "environment.json").read_bytes())
        return str(content["environment"]["version"]).partition("+")[0]
    except (OSError, ValueError, KeyError, TypeError):
        return None


@cache
def known_release(version: str) -> Known:
    """One release by its number, `0.33` for 0.33.0. InputError when neither catalog nor an installed engine has it."""
    told = data.releases()
    found = next((each for each in (version, f"{version}.0") if each in told), None)
    if found:
        return from_catalog(data.release(found))
    if catalog := _installed(version):
        return from_catalog(catalog)
    raise InputError(f"--vllm: {version!r} is neither among the releases {told[0]} to {told[-1]} nor installed as an "
                     f"engine{nearest(version, told)}")  # fmt: skip


def from_catalog(catalog: Catalog) -> Known:
    """A release with the history of all others. Of an installed engine the variables it reads are not known."""
    version = catalog.version.partition("+")[0]
    flags, own = data.flag_history(), {flag.name for flag in catalog.flags}
    spans: dict[str, Sequence[data.Span[Any]]] = {**data.keyword_history(), **flags}
    return Known(
        version,
        catalog.flags,
        frozenset(catalog.keywords or own),
        frozenset(each.name for each in catalog.variables) if catalog.variables else None,
        _history(spans, version),
        _history(data.variable_history(), version),
        {name: spans[-1].record for name, spans in flags.items() if name not in own},
        {key.name: key for key in catalog.keys},
        {taker: tuple(word.lower() for word in words) for taker, words in catalog.lists.items()},
        {each.name: each.choices for each in catalog.variables if each.choices},
    )


@cache
def known_names() -> frozenset[str]:
    """Of the flags and keywords of all releases, by which configurations are recognised in YAML and Python."""
    return frozenset(data.flag_history()) | frozenset(data.keyword_history())


def versions() -> tuple[str, ...]:
    """Of all releases that are known, oldest first."""
    return data.releases()


def _usual() -> Known:
    engine = engine_release()
    try:
        return known_release(engine or data.releases()[-1])
    except InputError:
        return known_release(data.releases()[-1])


def _history(table: Mapping[str, Sequence[data.Span[Any]]], version: str) -> dict[str, Span]:
    """First and last release of every name, and the one without it that a release of this number looks back to."""
    now = number(version)
    return {name: _seen_from(now, spans) for name, spans in table.items()}


def _seen_from(now: tuple[int, ...], spans: Sequence[data.Span[Any]]) -> Span:
    rows = [spans[0]]
    for before, after in pairwise(spans):
        if before.gone != after.first and number(after.first) > now:
            break  # what comes back later is gone for this release
        rows.append(after)
    return Span(rows[0].first, rows[-1].last, rows[-1].gone)


def _installed(version: str) -> Catalog | None:
    from dyno.engine.environment import list_environments, load_catalog

    try:
        match = [each for each in list_environments() if each.version.partition("+")[0] == version]
        return load_catalog(match[0]) if match else None
    except EnvironmentBroken:
        return None
