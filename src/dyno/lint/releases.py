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


def ranges(found: Sequence[Over]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Unbroken rows of releases with the same errors: first, last, messages (none where it works)."""
    rows: list[tuple[str, str, tuple[str, ...]]] = []
    for each in found:
        messages = tuple(dict.fromkeys(error.message for error in each.errors))
        if rows and rows[-1][2] == messages:
            rows[-1] = (rows[-1][0], each.version, messages)
        else:
            rows.append((each.version, each.version, messages))
    return rows


def _always(known: Known) -> Callable[[Configuration], Known]:
    return lambda _: known
