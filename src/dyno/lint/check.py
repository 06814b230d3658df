"""A text against the rules of one release: its findings, in the order they stand in it."""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dyno.hardware.gpus import Card
from dyno.lint.argv import items_of
from dyno.lint.case import SETTINGS, Case, Change, Hit, ModelFacts, Rule, Severity
from dyno.lint.known import Known
from dyno.lint.read import Read
from dyno.lint.source import Configuration

_IGNORE = re.compile(r"(?:#|//|<!--)\s*dyno:\s*ignore=([A-Z0-9, ]+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, with its place. `release` is the one it was judged against."""

    code: str
    severity: Severity
    item: str
    release: str
    file: str
    line: int
    column: int
    message: str
    remedy: str
    change: Change | None = None

    def shown(self) -> dict[str, str | int]:
        """As `--json` has it."""
        return {"code": self.code, "severity": self.severity, "item": self.item, "release": self.release,
                "file": self.file, "line": self.line, "column": self.column, "message": self.message,
                "remedy": self.remedy}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """A text that was read, and where it came from."""

    name: str
    text: str
    read: Read


@dataclass(frozen=True, slots=True)
class Judge:
    """Which release each configuration is judged for, by which rules, and what is known beside the text."""

    known_for: Callable[[Configuration], Known]
    rules: Mapping[str, Rule]
    card: Card | None = None
    model: ModelFacts | None = None
    platform: str | None = None
    ignore: frozenset[str] = frozenset()
    facts_for: Callable[[str], ModelFacts | None] | None = None  # of a model that a configuration names

    def findings(self, text: Text) -> list[Finding]:
        """All findings of one text, without those that `ignore` or a comment in it silences."""
        places = _Places(text)
        silenced = _Silenced(text, places)
        found: dict[tuple[str, int, str], Finding] = {}
        for configuration in text.read.configurations:
            case = self._case(configuration)
            for rule in self.rules.values():
                for hit in rule.check(case) if rule.code not in self.ignore else ():
                    line, column = places.of(hit.item.start)
                    severity = _severity(rule, hit, configuration)
                    change = hit.change if configuration.entry != "mention" else None  # sentences are not rewritten
                    if not silenced.at(rule.code, line, configuration):
                        found.setdefault((rule.code, hit.item.start, hit.item.written), Finding(
                            rule.code, severity, hit.item.written, case.known.version, text.name, line, column,
                            hit.message, hit.remedy, change))  # fmt: skip
        return sorted(found.values(), key=lambda finding: (finding.line, finding.column, finding.code))

    def _case(self, configuration: Configuration) -> Case:
        known = self.known_for(configuration)
        case = Case(configuration, items_of(configuration, known), known, self.card, self.model, self.platform)
        if self.model is None and self.facts_for and case.model_name and configuration.entry != "mention":
            return replace(case, model=self.facts_for(case.model_name))
        return case


def _severity(rule: Rule, hit: Hit, configuration: Configuration) -> Severity:
    """What a sentence names is not what anybody starts: a warning at most."""
    named = configuration.entry == "mention" and hit.item.kind in SETTINGS
    return "warning" if named and rule.severity == "error" else rule.severity


class _Places:
    """Lines and columns, both from 1."""

    def __init__(self, text: Text) -> None:
        self.starts = [0, *(match.end() for match in re.finditer(r"\n", text.text))]

    def of(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1


class _Silenced:
    """`# dyno: ignore=CODE` at the end of a line holds for that line; alone on one, for what begins on the next."""

    def __init__(self, text: Text, places: _Places) -> None:
        self.places = places
        self.lines: dict[int, set[str]] = {}
        self.below: dict[int, set[str]] = {}
        for number, line in enumerate(text.text.split("\n"), 1):
            if match := _IGNORE.search(line):
                codes = {code.strip() for code in match[1].split(",")}
                if line[: match.start()].strip():
                    self.lines[number] = codes
                else:
                    self.below[number + 1] = codes

    def at(self, code: str, line: int, configuration: Configuration) -> bool:
        if code in self.lines.get(line, ()) or code in self.below.get(line, ()):
            return True
        return code in self.below.get(self.places.of(configuration.start)[0], ())
