"""One text against every release: on which it works, and what ends it where."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dyno.lint.check import Finding, Judge, Text
from dyno.lint.known import Known
from dyno.lint.source import Configuration


@dataclass(frozen=True, slots=True)
class Over:
    """A text on one release: its errors, or none."""

    version: str
    errors: tuple[Finding, ...]


def over_all(texts: Sequence[Text], judge: Judge, versions: Sequence[str], load: Callable[[str], Known]) -> list[Over]:
    """The errors on each release, oldest first."""
    result = []
    for version in versions:
        known = load(version)
        plain = replace(judge, known_for=_always(known))
        found = [each for text in texts for each in plain.findings(text) if each.severity == "error"]
        result.append(Over(version, tuple(found)))
    return result


def _always(known: Known) -> Callable[[Configuration], Known]:
    return lambda _: known


def ranges(all_of_them: Sequence[Over]) -> list[tuple[str, str]]:
    """The unbroken ranges of releases without an error."""
    found: list[tuple[str, str]] = []
    before = True
    for each in all_of_them:
        if not each.errors:
            found = (
                [*found[:-1], (found[-1][0], each.version)]
                if found and not before
                else [*found, (each.version, each.version)]
            )
        before = bool(each.errors)
    return found
