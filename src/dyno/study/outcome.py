"""From the steps of a study to its rows, its verdict and its recommendation."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum, log
from statistics import median
from typing import Literal

from dyno.hardware.spec import Hardware
from dyno.study.journal import Journal
from dyno.study.schedule import is_whole
from dyno.study.space import BASELINE
from dyno.study.spec import StudySpec
from dyno.study.trial import Candidate, Step
from dyno.verdict.compare import Comparison, compare
from dyno.verdict.limits import LimitCheck, check_limits
from dyno.workload import Objective, Workload


@dataclass(frozen=True, slots=True)
class Row:
    """One configuration of the matrix. `metrics[scenario][figure]`: medians over the launches that measured it."""

    candidate: Candidate
    state: Literal["complete", "void", "failed", "pending"]
    cause: str | None
    launches: int
    metrics: dict[str, dict[str, float | None]]
    checks: tuple[LimitCheck, ...]
    ratio: float | None  # objective against its block's baseline, from screening: a rank, never a verdict


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to run, and why in one sentence."""

    candidate: Candidate
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything a report shows, derived from the journal alone."""

    study: str  # the folder's name
    model: str
    workload: Workload
    objective: Objective
    engine: str  # vLLM's version and platform
    machine: Hardware
    dyno_version: str
    blocks: int
    rows: tuple[Row, ...]
    steps: tuple[Step, ...]
    verdict: Comparison | None
    recommended: Recommendation | None
    also_fast: Recommendation | None  # faster but alters the output and the spec does not allow it
    notes: tuple[str, ...]


def judge(journal: Journal, spec: StudySpec, name: str) -> Outcome:
    """The outcome of a study as far as its journal goes."""
    rows = tuple(_row(candidate, journal.steps, spec) for candidate in journal.study.candidates)
    verdict = _verdict(journal, spec)
    recommended = _recommend(rows, verdict, spec)
    return Outcome(
        study=name,
        model=journal.study.model.source,
        workload=spec.workload,
        objective=spec.objective,
        engine=f"vLLM {journal.study.engine.version} on {journal.study.engine.platform}",
        machine=journal.blocks[-1].hardware if journal.blocks else journal.study.hardware,
        dyno_version=journal.study.dyno_version,
        blocks=len(journal.blocks),
        rows=rows,
        steps=journal.steps,
        verdict=verdict,
        recommended=recommended,
        also_fast=_also_fast(rows, recommended, spec),
        notes=journal.notes,
    )


def screened_best(outcome: Outcome, spec: StudySpec) -> Row | None:
    """The candidate that screening ranks first among those that may be recommended; it is what gets confirmed."""
    rows = [row for row in outcome.rows[1:] if _may_win(row, spec) and _rank(row, spec) > float("-inf")]
    return max(rows, key=lambda row: _rank(row, spec), default=None)


def objective_of(step: Step, objective: Objective) -> float | None:
    """The objective's figure of a finished test, None when it has none or does not count."""
    value = step.figures.get(objective.figure) if step.state == "complete" else None
    return value if value is not None and value > 0 else None


def _row(candidate: Candidate, steps: Sequence[Step], spec: StudySpec) -> Row:
    mine = [step for step in steps if step.candidate == candidate.name]
    metrics: dict[str, dict[str, float | None]] = {}
    for test in spec.tests:
        complete = [step.figures for step in mine if step.scenario == test and step.state == "complete"]
        if complete:
            metrics[test] = {figure: _median([figures.get(figure) for figures in complete]) for figure in complete[0]}
    flat = {
        figure: value for test in ("startup", "memory", "throughput") for figure, value in metrics.get(test, {}).items()
    }
    failed = [step for step in mine if step.state == "failed"]
    void = [step for step in mine if step.state == "void" and step.scenario == "throughput"]
    state: Literal["complete", "void", "failed", "pending"] = (
        "complete" if "throughput" in metrics else "failed" if failed else "void" if void else "pending"
    )
    cause = {"failed": lambda: str(failed[0].failure.cause) if failed[0].failure else "failed",
             "void": lambda: "; ".join(void[0].void)}.get(state, lambda: None)()  # fmt: skip
    return Row(candidate, state, cause, len({step.launch for step in mine}), metrics,
               check_limits(spec.limits, flat), _screen_ratio(candidate.name, steps, spec.objective))  # fmt: skip


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _screen_ratio(name: str, steps: Sequence[Step], objective: Objective) -> float | None:
    """Candidate / baseline of the same block, the baseline's first and last launch in geometric mean."""
    screened = [step for step in steps if step.phase == "screen" and step.scenario == "throughput"]
    ours = [(step.block, value) for step in screened
            if step.candidate == name and (value := objective_of(step, objective))]  # fmt: skip
    if not ours:
        return None
    block = ours[-1][0]
    base = [value for step in screened if step.candidate == BASELINE and step.block == block
            and (value := objective_of(step, objective))]  # fmt: skip
    return _geomean([value for where, value in ours if where == block]) / _geomean(base) if base else None


def _geomean(values: Sequence[float]) -> float:
    return exp(fsum(log(value) for value in values) / len(values))


def _verdict(journal: Journal, spec: StudySpec) -> Comparison | None:
    confirm = journal.confirm
    if confirm is None or confirm.pairs == 0:
        return None
    pairs = []
    for pair in range(confirm.pairs):
        whole = [block.block for block in journal.blocks if is_whole(journal.steps, pair, block.block)]
        figures = _pair(journal.steps, pair, whole[-1], confirm.candidate, spec.objective) if whole else None
        if figures:
            pairs.append(figures)
    return compare(confirm.candidate, BASELINE, spec.objective.name, pairs, spec.objective.higher_is_better)


def _pair(
    steps: Sequence[Step], pair: int, block: int, candidate: str, objective: Objective
) -> tuple[float, float] | None:
    figures = {step.candidate: objective_of(step, objective) for step in steps
               if step.pair == pair and step.block == block and step.scenario == "throughput"}  # fmt: skip
    ours, theirs = figures.get(candidate), figures.get(BASELINE)
    return (ours, theirs) if ours is not None and theirs is not None else None


def _keeps_limits(row: Row) -> bool:
    return row.state == "complete" and all(check.met for check in row.checks)


def _may_win(row: Row, spec: StudySpec) -> bool:
    return _keeps_limits(row) and (spec.allow_output_change or not row.candidate.alters_output)


def _rank(row: Row, spec: StudySpec) -> float:
    """Higher is better: the screened ratio, or the bare figure when no baseline ran."""
    value = row.ratio or row.metrics["throughput"].get(spec.objective.figure)
    if value is None:
        return float("-inf")
    return value if spec.objective.higher_is_better else -value


def _recommend(rows: Sequence[Row], verdict: Comparison | None, spec: StudySpec) -> Recommendation | None:
    by_name = {row.candidate.name: row for row in rows}
    baseline = by_name[BASELINE]
    tried = by_name.get(verdict.candidate) if verdict else None
    if verdict and tried and verdict.answer == "better" and _may_win(tried, spec):
        return Recommendation(
            tried.candidate, f"It is better than the baseline by {verdict.launches} interleaved launches."
        )
    if _keeps_limits(baseline):
        return Recommendation(baseline.candidate, _why_baseline(rows, verdict))
    eligible = [row for row in rows[1:] if _may_win(row, spec)]
    if not eligible:
        return None
    best = max(eligible, key=lambda row: _rank(row, spec))
    fault = (
        "does not start"
        if baseline.state == "failed"
        else "does not keep the limits"
        if baseline.checks
        else "has no valid run"
    )
    return Recommendation(
        best.candidate, f"The baseline {fault}; this is the best of those that do, by screening alone."
    )


def _why_baseline(rows: Sequence[Row], verdict: Comparison | None) -> str:
    if len(rows) == 1:
        return "It is the only configuration that was measured."
    if verdict is None:
        return "Nothing else was proven better: no candidate was confirmed against it."
    tested = {"worse": "is worse", "equivalent": "is equivalent", "better": "does not keep the limits",
              "inconclusive": "was not shown to be better"}[verdict.answer]  # fmt: skip
    return f"The best candidate of the screening, {verdict.candidate}, {tested}."


def _also_fast(rows: Sequence[Row], recommended: Recommendation | None, spec: StudySpec) -> Recommendation | None:
    """A faster one that may change the output, or, beside one that is recommended, the best that does not."""
    if recommended is None:
        return None
    chosen = next(row for row in rows if row.candidate == recommended.candidate)
    altering = not chosen.candidate.alters_output
    others = [row for row in rows[1:] if _keeps_limits(row) and row.candidate.alters_output is altering]
    if not others:
        return None
    best = max(others, key=lambda row: _rank(row, spec))
    if not altering:
        return Recommendation(best.candidate, "The best of those that leave the output unchanged, by screening.")
    if _rank(best, spec) <= (_rank(chosen, spec) if chosen.ratio else 1.0):
        return None
    return Recommendation(best.candidate, "Screens faster, but can change the output: accuracy not tested.")
