"""Two studies side by side: dates, releases, machines. Says what may be compared, what may not, and why."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dyno.errors import InputError
from dyno.study.journal import Journal
from dyno.study.pairs import Figures, figures_of, hindrance, whole_pairs
from dyno.study.spec import StudySpec
from dyno.study.trial import Candidate
from dyno.verdict.change import change
from dyno.verdict.compare import Comparison
from dyno.verdict.holm import holm
from dyno.verdict.sequential import ALPHA, Question
from dyno.workload import Objective, latency_limits


@dataclass(frozen=True, slots=True)
class Told:
    """A study as far as a comparison needs it."""

    name: str
    journal: Journal
    spec: StudySpec

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return self.journal.study.candidates

    @property
    def paired(self) -> str | None:
        """The candidate that has pairs of interleaved launches with the baseline."""
        if self.spec.prove:
            return self.candidates[1].name
        return self.journal.confirm.candidate if self.journal.confirm else None

    @property
    def metrics(self) -> tuple[Objective, ...]:
        return self.spec.prove.metrics if self.spec.prove else (self.spec.objective,)

    @property
    def names(self) -> tuple[str, str]:
        """Whose launches are paired."""
        return self.paired or "", self.candidates[0].name

    @property
    def whole(self) -> dict[int, int]:
        """The pairs that were finished, valid or not."""
        most = self.spec.prove.max_pairs if self.spec.prove else self.spec.pairs
        size = 1 + len(self.journal.confirm.candidates) if self.journal.confirm else 2
        return whole_pairs(self.journal, most, size, self.spec.confirm_tests)

    def ratios(self, metric: Objective) -> list[float]:
        """Log ratios to this study's own baseline, one a pair."""
        loads = tuple(self.spec.loads)
        pairs: list[Figures] = figures_of(self.journal.steps, self.whole, self.names, metric, loads)
        return [math.log(ours / theirs) for ours, theirs in pairs]

    @property
    def hindrance(self) -> str:
        """Why no comparison of this study settles anything; empty when nothing hinders it."""
        note = hindrance(self.journal, self.names)
        return f"{self.name}: {note}" if note else ""

    def left_out(self, metric: Objective) -> str:
        """How many of its pairs do not count, as launches were void; empty when all do."""
        whole = len(self.whole)
        void = whole - len(self.ratios(metric))
        return f"{self.name}: {void} of {whole} pairs of {metric.name} void and left out" if void else ""


@dataclass(frozen=True, slots=True)
class Differences:
    """`compared`: the second study's ratio over the first's, one a metric. The rest are sentences.

    `disturbed` says which study's launches failed or were void, and how many.
    """

    compared: tuple[Comparison, ...]
    not_compared: tuple[str, ...]
    settings: tuple[str, ...]  # what else is not the same in both
    note: str = ""
    disturbed: tuple[str, ...] = ()


def compare_studies(first: Told, second: Told, margin: float) -> Differences:
    """What changed from the first to the second. InputError when they did not ask the same, so that nothing can be."""
    _refuse_strangers(first, second)
    refused = _why_not(first, second)
    name = first.paired
    metrics = [metric for metric in first.metrics if metric in second.metrics]
    if name is None or name != second.paired or name in refused or not metrics:
        return Differences((), tuple(refused.values()), _settings(first, second))
    proof = "A proof stops as soon as it is sure, so that its ratio may look a little larger than it is."
    judges = {}
    for metric in metrics:
        question = Question(name, first.name, metric.name, metric.higher_is_better, 0, margin)
        judges[metric.name] = partial(change, question, first.ratios(metric), second.ratios(metric))
    compared, disturbed = tuple(holm(judges, ALPHA).values()), tuple(_disturbed(first, second, metrics))
    if hindered := [told.hindrance for told in (first, second) if told.hindrance]:
        compared = tuple(replace(each, answer="inconclusive", note="; ".join(hindered)) for each in compared)
    return Differences(compared, tuple(refused.values()), _settings(first, second),
                       proof if first.spec.prove or second.spec.prove else "", disturbed)  # fmt: skip


def _disturbed(first: Told, second: Told, metrics: Sequence[Objective]) -> Iterator[str]:
    for told in (first, second):
        yield from filter(None, (told.hindrance, *map(told.left_out, metrics)))


def _refuse_strangers(first: Told, second: Told) -> None:
    models = [replace(told.journal.study.model, source="", path="") for told in (first, second)]
    asked: dict[str, list[object]] = {
        "model": [*models],
        "workload": [first.spec.workload, second.spec.workload],
        "baseline's flags": [_flags(told.candidates[0]) for told in (first, second)],
        "concurrency of throughputs": [_clients(told.spec) for told in (first, second)],
    }
    problems = [f"{first.name} and {second.name}: nothing may be compared, as the {what} differs: "
                f"{before} and {after}; measure both alike"
                for what, (before, after) in asked.items() if before != after]  # fmt: skip
    if problems:
        raise InputError(*problems)


def _why_not(first: Told, second: Told) -> dict[str, str]:
    """By name what may not be compared, and why."""
    reasons = {"": "Figures themselves (tokens/s, ms) are not compared: each belongs to its own machine and time; "
                   "only ratios to the study's own baseline are."}  # fmt: skip
    ours, theirs = ({each.name: each for each in told.candidates[1:]} for told in (first, second))
    for name in dict.fromkeys((*ours, *theirs)):
        if name not in ours or name not in theirs:
            reasons[name] = f"{name}: only in {first.name if name in ours else second.name}."
        elif _flags(ours[name]) != _flags(theirs[name]):
            reasons[name] = f"{name}: not the same flags in both studies."
        elif not name == first.paired == second.paired:
            reasons[name] = f"{name}: no pairs of interleaved launches in both studies; screening gives ranks only."
    for metric in {*first.metrics} ^ {*second.metrics}:
        reasons[f"metric {metric.name}"] = f"{metric.name}: asked of only one of the studies."
    return reasons


def _settings(first: Told, second: Told) -> tuple[str, ...]:
    def facts(told: Told) -> dict[str, str]:
        study = told.journal.study
        engines = " and ".join(f"vLLM {each.version} on {each.platform}" for each in (study.engine, *study.engines))
        return {"machine": study.hardware.kind, "engine": engines, "date": study.created_at[:10],
                "Dyno": study.dyno_version}  # fmt: skip

    before, after = facts(first), facts(second)
    return tuple(f"{name}: {before[name]}, then {after[name]}" for name in before if before[name] != after[name])


def _clients(spec: StudySpec) -> str:
    """At how many clients throughputs were taken: the workload's, or as many as keep the latency limits."""
    if not spec.at_limits:
        return "the workload's"
    return "as many as keep " + ", ".join(
        f"{limit.name} <= {limit.bound:g} ms" for limit in latency_limits(spec.limits)
    )


def _flags(candidate: Candidate) -> str:
    return candidate.args.changes() or "vLLM's defaults"
