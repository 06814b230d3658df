"""Rounds of interleaved launches: which are whole, what they measured, and what a proof concludes from them."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from statistics import geometric_mean, median

from dyno.bench.record import Search
from dyno.study.journal import Journal
from dyno.study.schedule import CONFIRM_TESTS, is_whole
from dyno.study.spec import ProveSpec
from dyno.study.trial import Step
from dyno.verdict.compare import Comparison
from dyno.verdict.holm import holm
from dyno.verdict.sequential import ALPHA, Question, judge_looks, planned_looks
from dyno.workload import Objective

Figures = tuple[float, float]


def objective_of(step: Step, objective: Objective) -> float | None:
    """The objective's figure of a finished test, None when it has none or does not count."""
    value = step.figures.get(objective.figure) if step.state == "complete" else None
    return value if value is not None and value > 0 else None


def search_from(steps: Sequence[Step], candidate: str, concurrency: int) -> Search:
    """Where a launch looks for the concurrency at the limits: where the candidate's own earlier ones found it.

    A candidate's first launch begins where another's ended, the study's first at the workload's concurrency. Where the
    study's first search found that more clients only queue, nobody is asked for more: all are then compared at the
    same concurrency.
    """
    found = [step for step in steps if step.state == "complete" and step.figures.get("capacity_concurrency")]
    mine = [step for step in found if step.candidate == candidate] or found[-1:]
    start = max(1, round(median(step.figures["capacity_concurrency"] or 0 for step in mine))) if mine else concurrency
    bounds = [bound for step in found[:1] if (bound := step.figures.get("bound_concurrency"))]
    return Search(start, int(bounds[0]) if bounds else None)


def whole_pairs(journal: Journal, pairs: int, size: int = 2, tests: tuple[str, ...] = CONFIRM_TESTS) -> dict[int, int]:
    """The pairs, or rounds of `size` launches, that were finished in one block, in order, and that block."""
    whole = {pair: block.block for block in journal.blocks for pair in range(pairs)
             if is_whole(journal.steps, pair, block.block, size, tests)}  # fmt: skip
    return dict(sorted(whole.items()))


def figures_of(
    steps: Sequence[Step], whole: dict[int, int], names: tuple[str, str], objective: Objective,
    tests: Sequence[str] = ("throughput",),
) -> list[Figures]:  # fmt: skip
    """Figures (candidate, baseline) of every whole pair in which both count; `names` in the same order.

    Of several tests the geometric mean, so that the ratio of two figures is that of the ratios of the tests.
    """
    found = []
    for pair, block in whole.items():
        mine = [step for step in steps if step.pair == pair and step.block == block]
        ours, theirs = (mean_figure([step for step in mine if step.candidate == name], objective, tests)
                        for name in names)  # fmt: skip
        if ours is not None and theirs is not None:
            found.append((ours, theirs))
    return found


def screened(steps: Sequence[Step], loads: Collection[str]) -> list[Step]:
    """The steps of screening's launches that came to all of the loads; one that was cut before enters no ratio."""
    taken: dict[tuple[int, int], set[str]] = {}
    for step in steps:
        if step.phase == "screen" and step.state != "interrupted":
            taken.setdefault((step.block, step.launch), set()).add(step.scenario)
    return [step for step in steps if taken.get((step.block, step.launch), set()) >= set(loads)]


def mean_figure(mine: Sequence[Step], objective: Objective, tests: Sequence[str]) -> float | None:
    """The geometric mean over the tests of one launch, or of several; None where a test has no figure that counts."""
    found = [[value for step in mine if step.scenario == test and (value := objective_of(step, objective))]
             for test in tests]  # fmt: skip
    return geometric_mean([geometric_mean(values) for values in found]) if all(found) else None


def hindrance(journal: Journal, names: Sequence[str] | None = None) -> str:
    """Why no more pairs can settle a comparison: "" unless launches failed, or kept the limits with not one client.

    Of these candidates alone, where `names` are given.
    """
    paired = [step for step in journal.steps
              if step.phase == "confirm" and (names is None or step.candidate in names)]  # fmt: skip
    for name in dict.fromkeys(step.candidate for step in paired):
        mine = [step for step in paired if step.candidate == name]
        launches = len({step.launch for step in mine})
        if causes := {step.launch: str(step.failure.cause) for step in mine if step.failure}:
            return f"{len(causes)} of {launches} launches of {name} failed: {', '.join(dict.fromkeys(causes.values()))}"
        if none := {step.launch for step in mine if step.figures.get("capacity_concurrency") == 0}:
            return f"{name} kept the limits with not even one client in {len(none)} of {launches} launches"
    return ""


def proven(journal: Journal, asked: ProveSpec) -> tuple[Comparison, ...]:
    """One verdict a metric, as of the last planned look. What crashed is never called better."""
    baseline, candidate = (each.name for each in journal.study.candidates)
    whole = whole_pairs(journal, asked.max_pairs)
    judges, void = {}, 0
    for metric in asked.metrics:
        pairs = figures_of(journal.steps, whole, (candidate, baseline), metric)
        question = Question(candidate, baseline, metric.name, metric.higher_is_better, asked.max_pairs, asked.margin)
        judges[metric.name] = partial(judge_looks, question, pairs)
        void = max(void, len(whole) - len(pairs))
    found = tuple(holm(judges, ALPHA).values())
    if note := hindrance(journal):
        return tuple(replace(each, answer="inconclusive", note=note, more_pairs=None) for each in found)
    return tuple(replace(each, note=f"{void} pairs void and left out") for each in found) if void else found


def looks_due(journal: Journal, asked: ProveSpec) -> int:
    """How many planned looks the pairs made so far have reached; void ones do not count."""
    baseline, candidate = (each.name for each in journal.study.candidates)
    whole = whole_pairs(journal, asked.max_pairs)
    usable = min(len(figures_of(journal.steps, whole, (candidate, baseline), metric)) for metric in asked.metrics)
    return sum(look <= usable for look in planned_looks(asked.max_pairs))
