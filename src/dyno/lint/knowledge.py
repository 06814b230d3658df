"""Releases as rules look at them: from the catalog, or from an installed engine of a release that it does not have."""

import json
from collections.abc import Callable
from functools import cache

from dyno.engine.catalog import Catalog
from dyno.errors import EnvironmentBroken, InputError
from dyno.home import envs_folder
from dyno.lint.check import Judge
from dyno.lint.known import Known
from dyno.lint.source import Configuration


def judged_for(asked: str | None) -> Callable[[Configuration], Known]:
    """The release that a configuration is judged for: the one asked for, its image's, the engine's, the newest."""
    usual = known_release(asked or engine_release() or "0.33.0")

    def choose(configuration: Configuration) -> Known:
        if asked or configuration.release is None:
            return usual
        try:
            return known_release(configuration.release)
        except InputError:
            return usual

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
    """One release by its number. InputError when neither the catalog nor an installed engine has it."""
    if catalog := _installed(version):
        return from_engine(catalog)
    raise InputError(f"--vllm: {version!r} is neither in the catalog nor installed as an engine")


def from_engine(catalog: Catalog) -> Known:
    """What an installed engine told of itself: its flags, but neither the variables it reads nor what others had."""
    names = frozenset(catalog.keywords or (flag.name for flag in catalog.flags))
    variables = frozenset(each.name for each in catalog.variables) if catalog.variables else None
    return Known(catalog.version.partition("+")[0], catalog.flags, names, variables,
                 keys={key.name: key for key in catalog.keys}, lists=catalog.lists)  # fmt: skip


def _installed(version: str) -> Catalog | None:
    from dyno.engine.environment import list_environments, load_catalog

    try:
        match = [each for each in list_environments() if each.version.partition("+")[0] == version]
        return load_catalog(match[0]) if match else None
    except EnvironmentBroken:
        return None


def known_names() -> frozenset[str]:
    """Of the flags and keywords of all releases, by which configurations are recognised in YAML and Python."""
    return known_release(engine_release() or "0.33.0").names


def versions() -> tuple[str, ...]:
    """Of all releases that are known, oldest first."""
    return tuple(filter(None, [engine_release()]))


def newest(judge: Judge) -> Known:
    """The release that a text without one is judged for."""
    return judge.known_for(Configuration("serve", "shell", 0, 0))
