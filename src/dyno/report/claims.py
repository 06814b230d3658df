"""Claims of others beside what studies measured: each names the study, the configuration and the figure that tell."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path

from dyno.errors import InputError, nearest
from dyno.report.markdown import markdown_table
from dyno.report.matrix import figure, state_text
from dyno.study.outcome import Outcome, Row
from dyno.study.space import BASELINE

_START = "start"  # what stands in for a test where the figure is a fact of the start
_BOUNDS = ("at_least", "at_most", "differs_by")


@dataclass(frozen=True, slots=True)
class Claim:
    """`figure` is `speedup`, `TEST.FIGURE` or `start.FACT`; `over` divides it by that of another configuration.

    A speedup is the largest ratio among the workloads, as confirmed where there is an interval, else as screened.

    It holds where the figure is `at_least` or `at_most` the bound, or differs from 1 by more than `differs_by`. `shown`
    is how the figure is told, with its place in braces. `study` may be a pattern: the last that has the figure counts.
    """

    claim: str
    study: str
    figure: str
    shown: str
    candidate: str = BASELINE
    over: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    differs_by: float | None = None

    def holds(self, value: float) -> bool:
        """Whether what was measured bears it out."""
        if self.differs_by is not None:
            return abs(value - 1) > self.differs_by
        return value >= self.at_least if self.at_least is not None else value <= (self.at_most or 0.0)


def read_claims(path: Path) -> tuple[Claim, ...]:
    """The claims of a file, `[[claim]]` each; none without the file. InputError for what is no claim."""
    if not path.is_file():
        return ()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not TOML: {error}") from error
    return tuple(_claim(f"{path}: claim {number}", entry) for number, entry in enumerate(content.get("claim", ()), 1))


def _claim(where: str, entry: dict[str, str | float]) -> Claim:
    known = [field.name for field in fields(Claim)]
    problems = [f"{where}: {name}: unknown key{nearest(name, known)}" for name in entry if name not in known]
    problems += [f"{where}: has no {name}" for name in ("claim", "study", "figure", "shown") if name not in entry]
    if len(entry.keys() & set(_BOUNDS)) != 1:
        problems.append(f"{where}: has to have one of {', '.join(_BOUNDS)}")
    if problems:
        raise InputError(*problems)
    return Claim(**entry)  # type: ignore[arg-type]


def claims_table(claims: Sequence[Claim], outcomes: Sequence[Outcome]) -> str:
    """What is claimed against what was measured; of several studies that tell, the last counts."""
    headers = ("Claim", "Measured", "Here")
    return markdown_table(headers, [(claim.claim, *_looked_at(claim, outcomes)) for claim in claims], headers)


def _looked_at(claim: Claim, outcomes: Sequence[Outcome]) -> tuple[str, str]:
    told = "not measured"
    for outcome in reversed([each for each in outcomes if fnmatchcase(each.study, claim.study)]):
        if (row := _row(outcome, claim.candidate)) is None:
            continue
        if (value := _value(claim, outcome, row)) is not None:
            return claim.shown.format(value), "holds" if claim.holds(value) else "does not hold"
        told = state_text(row, outcome) if told == "not measured" else told
    return told, "not known"


def _value(claim: Claim, outcome: Outcome, row: Row) -> float | None:
    ours = _figure(claim.figure, outcome, row)
    if claim.over is None:
        return ours
    other = _row(outcome, claim.over)
    theirs = _figure(claim.figure, outcome, other) if other else None
    return ours / theirs if ours is not None and theirs else None


def _figure(name: str, outcome: Outcome, row: Row) -> float | None:
    test, _, what = name.partition(".")
    if name == "speedup":
        proven = [each.ratio for each in outcome.confirmed
                  if each.candidate == row.candidate.name and each.ratio and each.low is not None]  # fmt: skip
        return max(proven or row.ratios.values(), default=row.ratio)
    if test != _START:
        return figure(row, test, what)
    known = (getattr(step.facts, what, None) for step in outcome.steps
             if step.facts and step.phase != "warm" and step.candidate == row.candidate.name)  # fmt: skip
    return next((value for value in known if isinstance(value, int | float)), None)


def _row(outcome: Outcome, candidate: str) -> Row | None:
    return next((row for row in outcome.rows if row.candidate.name == candidate), None)
