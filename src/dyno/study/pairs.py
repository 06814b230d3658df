"""Pairs of interleaved launches: which are whole, what they measured, and what a proof concludes from them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from dyno.study.journal import Journal
from dyno.study.schedule import is_whole
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


def whole_pairs(journal: Journal, pairs: int) -> dict[int, int]:
    """The pairs whose launches were both finished in one block, in order, and that block."""
    whole = {pair: block.block for block in journal.blocks for pair in range(pairs)
             if is_whole(journal.steps, pair, block.block)}  # fmt: skip
    return dict(sorted(whole.items()))


def figures_of(
    steps: Sequence[Step], whole: dict[int, int], names: tuple[str, str], objective: Objective
) -> list[Figures]:
    """Figures (candidate, baseline) of every whole pair in which both count; `names` in the same order."""
    found = []
    for pair, block in whole.items():
        figures = {step.candidate: objective_of(step, objective) for step in steps
                   if step.pair == pair and step.block == block and step.scenario == "throughput"}  # fmt: skip
        ours, theirs = (figures.get(name) for name in names)
        if ours is not None and theirs is not None:
            found.append((ours, theirs))
    return found


def failed_launches(journal: Journal) -> int:
    """How many launches of pairs failed."""
    return len({step.launch for step in journal.steps if step.phase == "confirm" and step.failure})


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
    if failed := failed_launches(journal):
        note = f"{failed} of its launches failed"
        return tuple(replace(each, answer="inconclusive", note=note, more_pairs=None) for each in found)
    return tuple(replace(each, note=f"{void} pairs void and left out") for each in found) if void else found


def looks_due(journal: Journal, asked: ProveSpec) -> int:
    """How many planned looks the pairs made so far have reached; void ones do not count."""
    baseline, candidate = (each.name for each in journal.study.candidates)
    whole = whole_pairs(journal, asked.max_pairs)
    usable = min(len(figures_of(journal.steps, whole, (candidate, baseline), metric)) for metric in asked.metrics)
    return sum(look <= usable for look in planned_looks(asked.max_pairs))
