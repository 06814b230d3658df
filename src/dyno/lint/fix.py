"""Repairs a text: all findings that have a sure remedy, round by round, and nothing else, or not at all."""

import os
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dyno.errors import DynoError, InputError
from dyno.lint.argv import items_of
from dyno.lint.case import Change
from dyno.lint.check import Finding, Judge, Text
from dyno.lint.edit import apply, edits
from dyno.lint.known import Known
from dyno.lint.read import read
from dyno.lint.source import UNKNOWN, Configuration, Item

_MOST_ROUNDS = 12  # a rename may lead to a value to translate, and that to a default
_FENCE = "\n```"  # of markdown, around each of its scripts
_COMMENT = re.compile(r"[ \t]#.*")
_CHAINED = re.compile(r"[;&|()]")
_BRANCHES = re.compile(r"(?m)^[ \t]*(?:(?:if|for|while|until|case|select|function)\b|[{(][ \t]*$)|\(\)[ \t\n]*\{")
WRITTEN = ("command", "env", "yaml")  # kinds that are written back; of the others the corrected part is shown

For = Callable[[Configuration], Known]


@dataclass(frozen=True, slots=True)
class Fixed:
    """What became of a text: its new form, what was repaired, in order, and what a person has to see to."""

    before: Text
    after: Text
    repaired: tuple[Finding, ...]
    left: tuple[Finding, ...]


def fix(text: Text, judge: Judge) -> Fixed:
    """Repair a text until nothing more has a sure remedy. InputError when it cannot be done without touching more."""
    now, repaired = text, list[Finding]()
    for _ in range(_MOST_ROUNDS):
        findings = judge.findings(now)
        chosen = _chosen(now, findings)
        if not chosen:
            return Fixed(text, now, tuple(repaired), tuple(findings))
        now = _changed(now, chosen, judge.known_for)
        repaired += [finding for finding, _ in chosen]
    raise InputError(f"{text.name}: its repairs undo each other; it was left as it is, correct it by hand")


def write(path: Path, text: str) -> None:
    """Replaces the file whole, or leaves it as it is; its mode stays."""
    import tempfile  # it brings more than most of what lint needs to start

    draft = None
    try:
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            draft = Path(file.name)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(path.stat().st_mode)
        draft.replace(path.resolve())
    except OSError as error:
        if draft is not None:
            draft.unlink(missing_ok=True)
        raise DynoError(f"{path}: cannot be written ({error.strerror}); it was left as it is") from error


def corrected(fixed: Fixed) -> list[str]:
    """The parts of the new text that differ, in whole lines, for what is not written back."""
    before = {_lines(fixed.before.text, each) for each in fixed.before.read.configurations}
    after = [_lines(fixed.after.text, each) for each in fixed.after.read.configurations]
    return [part for part in dict.fromkeys(after) if part not in before]


def _lines(text: str, configuration: Configuration) -> str:
    begin = min([configuration.start, *(item.start for item in configuration.items)])
    start, end = text.rfind("\n", 0, begin) + 1, text.find("\n", configuration.end)
    return text[start : end if end >= 0 else len(text)]


def _chosen(text: Text, findings: Sequence[Finding]) -> list[tuple[Finding, Configuration]]:
    """One change for each item, the first; a variable becomes a flag only where there is a command for it."""
    taken: set[tuple[int, int]] = set()
    homes = _Homes(text.read.configurations)
    chosen = []
    for finding in findings:
        change = finding.change
        if change is None or (change.old.start, change.old.end) in taken:
            continue
        home = homes.of(change.old)
        if home is None or (_moves(change) and not home.words) or _is_statement_at_risk(text, change, home):
            continue
        taken.add((change.old.start, change.old.end))
        chosen.append((finding, home))
    return chosen


def _is_statement_at_risk(text: Text, change: Change, home: Configuration) -> bool:
    """Whether an exported variable cannot be taken out and leave a script that does the same.

    Its statement may be all that a branch, a loop or a function holds, one of several in its line, or meant for more
    than one server.
    """
    old, whole = change.old, text.text
    exported = old.kind == "variable" and old.form == "shell" and not (home.words and old.start >= home.start)
    if not exported or (change.new and not _moves(change)):
        return False
    line = _COMMENT.sub("", whole[whole.rfind("\n", 0, old.start) + 1 :].partition("\n")[0])
    script = whole[: old.start].rpartition(_FENCE)[2] + whole[old.start :].partition(_FENCE)[0]
    servers = [each for each in text.read.configurations if each.words and each.start > old.start]
    return bool(_CHAINED.search(line) or _BRANCHES.search(script) or (_moves(change) and len(servers) > 1))


class _Homes:
    """Which configuration an item belongs to."""

    def __init__(self, configurations: Sequence[Configuration]) -> None:
        self.owners = {id(item): each for each in reversed(configurations) for item in each.items}
        self.sorted = sorted(configurations, key=lambda each: each.start)
        self.starts = [each.start for each in self.sorted]

    def of(self, item: Item) -> Configuration | None:
        at = bisect_right(self.starts, item.start) - 1
        around = self.sorted[at] if at >= 0 and item.start < self.sorted[at].end else None
        return self.owners.get(id(item), around)


def _moves(change: Change) -> bool:
    return change.old.kind == "variable" and any(new.kind != "variable" for new in change.new)


def _words(home: Configuration, known_for: For) -> list[Item]:
    if not home.words:
        return []
    return [item for item in items_of(home, known_for(home)) if item.kind in ("flag", "positional")]


def _changed(text: Text, chosen: Sequence[tuple[Finding, Configuration]], known_for: For) -> Text:
    words = {id(home): _words(home, known_for) for home in {id(home): home for _, home in chosen}.values()}
    changes = [(finding.change, words[id(home)]) for finding, home in chosen if finding.change]
    try:
        new = apply(text.text, edits(text.text, changes))
        after = replace(text, text=new, read=read(text.name, new, _names(text, known_for), text.read.kind))
    except (ValueError, InputError) as error:
        raise _unsafe(text) from error
    expected = _effective(text, known_for)
    for change, _ in changes:
        expected[_fact(change.old)] -= 1
        expected.update((new.kind == "variable", new.name, _plain(new.value)) for new in change.new)
    if +expected != _effective(after, known_for):
        raise _unsafe(text)
    return after


def _unsafe(text: Text) -> InputError:
    return InputError(f"{text.name}: cannot be repaired without touching more than the findings; correct it by hand")


def _names(text: Text, known_for: For) -> frozenset[str]:
    return known_for(text.read.configurations[0]).names


def _effective(text: Text, known_for: For) -> Counter[tuple[bool, str, str]]:
    """What the text says, whatever its layout."""
    return Counter(_fact(item) for each in text.read.configurations for item in items_of(each, known_for(each)))


def _fact(item: Item) -> tuple[bool, str, str]:
    negated = item.kind == "flag" and item.written.startswith("--no-")
    return (
        item.kind == "variable",
        item.name,
        _plain(not negated if item.kind == "flag" and not item.given else item.value),
    )


def _plain(value: object) -> str:
    if isinstance(value, Mapping):  # `--flag.key true` is text until vLLM reads it as JSON
        return str({key: str(inner).lower() for key, inner in value.items()})
    return "unknown" if value is UNKNOWN else str(list(value) if isinstance(value, tuple) else value)
