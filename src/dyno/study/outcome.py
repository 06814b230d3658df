"""From the steps of a study to its rows, its verdict and its recommendation."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal

from dyno.hardware.spec import Hardware
from dyno.study.confirmed import confirmed
from dyno.study.journal import Journal
from dyno.study.pairs import mean_figure, proven, screened
from dyno.study.schedule import is_decisive
from dyno.study.space import BASELINE
from dyno.study.spec import StudySpec
from dyno.study.trial import Candidate, Foreseen, Step
from dyno.verdict.compare import Comparison
from dyno.verdict.decision import Decision, decide
from dyno.verdict.limits import LimitCheck, check_limits
from dyno.workload import THROUGHPUTS, Objective, Workload

RowState = Literal["complete", "void", "failed", "pending", "rejected"]

# Figures of which the highest counts, not the middle one.
PEAKS = ("rss_peak_bytes", "device_peak_bytes", "temperature_peak_c", "ready_s")


@dataclass(frozen=True, slots=True)
class Row:
    """One configuration of the matrix. `metrics[scenario][figure]`: medians over its launches, peaks their highest."""

    candidate: Candidate
    state: RowState
    cause: str | None
    launches: int
    metrics: dict[str, dict[str, float | None]]
    checks: tuple[LimitCheck, ...]
    ratio: float | None  # objective against its block's baseline, from screening: a rank, never a verdict
    ratios: dict[str, float] = field(default_factory=dict)  # the same for each workload's test, where there are several
    foreseen: dict[str, float] = field(default_factory=dict)  # what a plan said of it before it was launched


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
    verdicts: tuple[Comparison, ...] = ()  # of a proof, one a metric, `verdict` the first of them
    confirmed: tuple[Comparison, ...] = ()  # all of a confirmation, `verdict` the first of them
    decision: Decision | None = None  # of a spec with weights
    at_limits: bool = False  # throughputs are those at the largest concurrency within the limits
    loads: dict[str, Workload] = field(default_factory=dict)  # the workloads by the test that takes them


def judge(journal: Journal, spec: StudySpec, name: str) -> Outcome:
    """The outcome of a study as far as its journal goes."""
    rows = tuple(_row(_told(each, spec), journal.steps, spec, journal.foreseen.get(each.name))
                 for each in journal.study.candidates)  # fmt: skip
    verdicts = proven(journal, spec.prove) if spec.prove else ()
    of_rounds = () if spec.prove else confirmed(journal, spec)
    verdict = next(iter(verdicts or of_rounds), None)
    recommended = _prefer(rows, verdicts, spec) if verdicts else _recommend(rows, of_rounds, spec)
    return Outcome(
        study=name,
        model=journal.study.model.source,
        workload=spec.workload,
        objective=spec.objective,
        engine=" and ".join(
            f"vLLM {engine.version} on {engine.platform}" for engine in (journal.study.engine, *journal.study.engines)
        ),
        machine=journal.blocks[-1].hardware if journal.blocks else journal.study.hardware,
        dyno_version=journal.study.dyno_version,
        blocks=len(journal.blocks),
        rows=rows,
        steps=journal.steps,
        verdict=verdict,
        recommended=recommended,
        also_fast=_also_fast(rows, recommended, of_rounds, spec),
        notes=journal.notes,
        verdicts=verdicts,
        decision=_decision(rows, spec),
        at_limits=spec.at_limits,
        confirmed=of_rounds,
        loads=spec.loads,
    )


def _told(candidate: Candidate, spec: StudySpec) -> Candidate:
    """With the model as the spec names it: where it is on a machine is of no use elsewhere."""
    return replace(candidate, args=replace(candidate.args, model=spec.model))


def screened_best(outcome: Outcome, spec: StudySpec) -> Row | None:
    """The candidate that screening ranks first among those that may be recommended; it is what gets confirmed.

    Where there is none, the first of those that may change the output: that it is faster is worth knowing.
    """
    ranked = [row for row in outcome.rows[1:] if row.ratio is not None and _keeps_limits(row)]
    return _best([row for row in ranked if _may_win(row, spec)] or ranked, spec)


def screened_other(outcome: Outcome, spec: StudySpec, best: Row) -> Row | None:
    """The first on the other side of "may the output change?" than `best`, which is confirmed in the same rounds."""
    return _best([row for row in outcome.rows[1:] if row.ratio is not None and _keeps_limits(row)
                  and row.candidate.alters_output is not best.candidate.alters_output], spec)  # fmt: skip


def _row(candidate: Candidate, steps: Sequence[Step], spec: StudySpec, plan: Foreseen | None) -> Row:
    mine = [step for step in steps if step.candidate == candidate.name and step.state != "interrupted"
            and (step.phase != "warm" or is_decisive(step))]  # fmt: skip
    metrics = {test: figures for test in spec.tests if (figures := _over_launches(mine, test))}
    state, cause = _state(mine, spec.loads)
    if plan and plan.rejected and not mine:
        state, cause = "rejected", "; ".join(plan.rejected)
    ranked = screened(steps, spec.loads)
    ratio = _screen_ratio(candidate, ranked, spec.objective, tuple(spec.loads))
    speedup = 1 / ratio if ratio and not spec.objective.higher_is_better else ratio
    each = {test: _screen_ratio(candidate, ranked, spec.objective, (test,)) for test in spec.loads}
    return Row(candidate, state, cause, len({step.launch for step in mine}), metrics,
               check_limits(spec.limits, _for_limits(metrics, spec.loads) | {"speedup": speedup}), ratio,
               {test: value for test, value in each.items() if value and len(each) > 1},
               plan.figures if plan else {})  # fmt: skip


def _over_launches(mine: Sequence[Step], test: str) -> dict[str, float | None]:
    """Medians over the launches that measured a test; of peaks the highest, as one launch too many is too many."""
    complete = [step.figures for step in mine if step.scenario == test and step.state == "complete"]
    figures = {}
    for name in complete[0] if complete else ():
        known = [value for each in complete if (value := each.get(name)) is not None]
        figures[name] = (max(known) if name in PEAKS else median(known)) if known else None
    return figures


def _state(mine: Sequence[Step], loads: Collection[str]) -> tuple[RowState, str | None]:
    """One failed test makes a failed row: what crashed once is not recommended."""
    for step in mine:
        if step.failure:
            return "failed", str(step.failure.cause)
    taken = [[step for step in mine if step.scenario == test] for test in loads]
    if not all(taken):
        return "pending", None
    void = [steps[-1] for steps in taken if all(step.state != "complete" for step in steps)]
    return ("void", "; ".join(void[0].void)) if void else ("complete", None)


def _for_limits(
    metrics: Mapping[str, Mapping[str, float | None]], loads: Collection[str] = ("throughput",)
) -> dict[str, float | None]:
    """The figures limits are read from: the worst of the workloads' own loads, prompts of given lengths, and the peaks
    of all tests."""
    flat = {name: value for name, value in metrics.get("context", {}).items() if name[:1].isdecimal()}
    for name in metrics.get("throughput", {}):
        told = [metrics.get(test, {}).get(name) for test in loads]
        worst = min if name in THROUGHPUTS else max
        flat[name] = None if None in told else worst(value for value in told if value is not None)
    for name in PEAKS:
        known = [value for figures in metrics.values() if (value := figures.get(name)) is not None]
        flat[name] = max(known, default=None)
    return flat


def _screen_ratio(
    candidate: Candidate, ranked: Sequence[Step], objective: Objective, tests: tuple[str, ...]
) -> float | None:
    """Candidate / what it is compared with, of the newest block that has both, launches and tests in geometric mean."""
    for block in sorted({step.block for step in ranked}, reverse=True):
        ours, theirs = (
            mean_figure([step for step in ranked if step.block == block and step.candidate == name], objective, tests)
            for name in (candidate.name, candidate.against or BASELINE))  # fmt: skip
        if ours and theirs:
            return ours / theirs
    return None


def _decision(rows: Sequence[Row], spec: StudySpec) -> Decision | None:
    """The weighted matrix over what was measured completely."""
    complete = {row.candidate.name: _for_limits(row.metrics, spec.loads) for row in rows if row.state == "complete"}
    return decide(spec.weights, complete) if spec.weights else None


def _keeps_limits(row: Row) -> bool:
    return row.state == "complete" and all(check.met for check in row.checks)


def _may_win(row: Row, spec: StudySpec) -> bool:
    return _keeps_limits(row) and (spec.allow_output_change or not row.candidate.alters_output)


def _best(rows: Sequence[Row], spec: StudySpec) -> Row | None:
    """The first by screened ratio; by the bare figure only where no row has a baseline to be compared with.

    What is compared with another candidate instead of the baseline is not in the running.
    """
    rows = [row for row in rows if row.candidate.against is None]
    compared = [row for row in rows if row.ratio is not None]
    figures = [(row.ratio if compared else row.metrics["throughput"].get(spec.objective.figure), row)
               for row in compared or rows]  # fmt: skip
    known = [(value, row) for value, row in figures if value is not None]
    choose = max if spec.objective.higher_is_better else min
    return choose(known, key=lambda pair: pair[0])[1] if known else None


def _recommend(rows: Sequence[Row], verdicts: Sequence[Comparison], spec: StudySpec) -> Recommendation | None:
    baseline, by_name = rows[0], {row.candidate.name: row for row in rows}
    for made in verdicts:
        tried = by_name[made.candidate]
        if made.metric == spec.objective.name and made.answer == "better" and _may_win(tried, spec):
            why = f"It is better than the baseline by {made.launches} interleaved launches."
            return Recommendation(tried.candidate, why)
    verdict = next(iter(verdicts), None)
    if _keeps_limits(baseline):
        return Recommendation(baseline.candidate, _why_baseline(rows, verdict))
    best = _best([row for row in rows[1:] if _may_win(row, spec)], spec)
    if best is None:
        return None
    fault = {"failed": "failed", "complete": "does not keep the limits"}.get(baseline.state, "has no valid run")
    return Recommendation(best.candidate, f"The baseline {fault}; this is the best of the others, by screening alone.")


def _prefer(rows: Sequence[Row], verdicts: Sequence[Comparison], spec: StudySpec) -> Recommendation | None:
    """Of the two of a proof: B where it is better in something and worse in nothing that was asked, else A."""
    first, second = rows
    answers = {verdict.answer for verdict in verdicts}
    launches = max(verdict.launches for verdict in verdicts)
    if "better" in answers and answers <= {"better", "equivalent"} and _may_win(second, spec):
        why = f"It is better than {first.candidate.name} by {launches} interleaved launches."
        return Recommendation(second.candidate, why)
    if _keeps_limits(first):
        return Recommendation(first.candidate, f"{second.candidate.name} was not shown to be better.")
    return None


def _why_baseline(rows: Sequence[Row], verdict: Comparison | None) -> str:
    if len(rows) == 1:
        return "It is the only configuration that was measured."
    if verdict is None:
        return "Nothing else was proven better: no candidate was confirmed against it."
    tried = next(row for row in rows if row.candidate.name == verdict.candidate)
    why_not = "is better, but may change the output" if _keeps_limits(tried) else "does not keep the limits"
    tested = {"worse": "is worse", "equivalent": "is equivalent", "better": why_not,
              "inconclusive": "was not shown to be better"}[verdict.answer]  # fmt: skip
    return f"The best candidate of the screening, {verdict.candidate}, {tested}."


def _also_fast(
    rows: Sequence[Row], recommended: Recommendation | None, verdicts: Sequence[Comparison], spec: StudySpec
) -> Recommendation | None:
    """A faster one that may change the output, or, beside one that is recommended, the best that does not."""
    if recommended is None:
        return None
    chosen = next(row for row in rows if row.candidate == recommended.candidate)
    altering = not chosen.candidate.alters_output
    best = _best([row for row in rows[1:] if _keeps_limits(row) and row.candidate.alters_output is altering], spec)
    if best is None or best.ratio is None:
        return None
    if not altering:
        return Recommendation(best.candidate, "The best of those that leave the output unchanged, by screening.")
    if (best.ratio > (chosen.ratio or 1.0)) is not spec.objective.higher_is_better:
        return None
    known = any(each.answer == "better" and each.candidate == best.candidate.name
                and each.metric == spec.objective.name for each in verdicts)  # fmt: skip
    faster = "It is faster" if known else "Screens faster"
    return Recommendation(best.candidate, f"{faster}, but can change the output: accuracy not tested.")
