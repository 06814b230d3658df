"""From the steps of a study to its rows, its verdict and its recommendation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean, median
from typing import Literal

from dyno.hardware.spec import Hardware
from dyno.study.journal import Journal
from dyno.study.pairs import figures_of, hindrance, objective_of, proven, whole_pairs
from dyno.study.space import BASELINE
from dyno.study.spec import StudySpec
from dyno.study.trial import Candidate, Step
from dyno.verdict.compare import Comparison, compare
from dyno.verdict.decision import Decision, decide
from dyno.verdict.limits import LimitCheck, check_limits
from dyno.workload import Objective, Workload

RowState = Literal["complete", "void", "failed", "pending"]

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
    decision: Decision | None = None  # of a spec with weights
    at_limits: bool = False  # throughputs are those at the largest concurrency within the limits


def judge(journal: Journal, spec: StudySpec, name: str) -> Outcome:
    """The outcome of a study as far as its journal goes."""
    rows = tuple(_row(candidate, journal.steps, spec) for candidate in journal.study.candidates)
    verdicts = proven(journal, spec.prove) if spec.prove else ()
    verdict = verdicts[0] if verdicts else _verdict(journal, spec)
    recommended = _prefer(rows, verdicts, spec) if verdicts else _recommend(rows, verdict, spec)
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
        also_fast=_also_fast(rows, recommended, spec),
        notes=journal.notes,
        verdicts=verdicts,
        decision=_decision(rows, spec),
        at_limits=spec.at_limits,
    )


def screened_best(outcome: Outcome, spec: StudySpec) -> Row | None:
    """The candidate that screening ranks first among those that may be recommended; it is what gets confirmed."""
    return _best([row for row in outcome.rows[1:] if row.ratio is not None and _may_win(row, spec)], spec)


def _row(candidate: Candidate, steps: Sequence[Step], spec: StudySpec) -> Row:
    mine = [step for step in steps if step.candidate == candidate.name]
    metrics = {test: figures for test in spec.tests if (figures := _over_launches(mine, test))}
    state, cause = _state(mine)
    ratio = _screen_ratio(candidate.name, steps, spec.objective)
    speedup = 1 / ratio if ratio and not spec.objective.higher_is_better else ratio
    return Row(candidate, state, cause, len({step.launch for step in mine}), metrics,
               check_limits(spec.limits, _for_limits(metrics) | {"speedup": speedup}), ratio)  # fmt: skip


def _over_launches(mine: Sequence[Step], test: str) -> dict[str, float | None]:
    """Medians over the launches that measured a test; of peaks the highest, as one launch too many is too many."""
    complete = [step.figures for step in mine if step.scenario == test and step.state == "complete"]
    figures = {}
    for name in complete[0] if complete else ():
        known = [value for each in complete if (value := each.get(name)) is not None]
        figures[name] = (max(known) if name in PEAKS else median(known)) if known else None
    return figures


def _state(mine: Sequence[Step]) -> tuple[RowState, str | None]:
    """One failed test makes a failed row: what crashed once is not recommended."""
    for step in mine:
        if step.failure:
            return "failed", str(step.failure.cause)
    throughput = [step for step in mine if step.scenario == "throughput"]
    if any(step.state == "complete" for step in throughput):
        return "complete", None
    return ("void", "; ".join(throughput[-1].void)) if throughput else ("pending", None)


def _for_limits(metrics: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    """The figures limits are read from: the workload's own load, prompts of given lengths, and peaks of all tests."""
    lengths = {name: value for name, value in metrics.get("context", {}).items() if name[:1].isdecimal()}
    flat = dict(metrics.get("throughput", {})) | lengths
    for name in PEAKS:
        known = [value for figures in metrics.values() if (value := figures.get(name)) is not None]
        flat[name] = max(known, default=None)
    return flat


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
    return geometric_mean([value for where, value in ours if where == block]) / geometric_mean(base) if base else None


def _verdict(journal: Journal, spec: StudySpec) -> Comparison | None:
    """The comparison of the confirmed candidate, which says "better" only when all was done that was decided."""
    confirm = journal.confirm
    if confirm is None or confirm.pairs == 0:
        return None
    whole = whole_pairs(journal, confirm.pairs)
    pairs = figures_of(journal.steps, whole, (confirm.candidate, BASELINE), spec.objective)
    made = compare(confirm.candidate, BASELINE, spec.objective.name, pairs, spec.objective.higher_is_better)
    if note := hindrance(journal):
        return replace(made, answer="inconclusive", note=note, more_pairs=None)
    if len(whole) < confirm.pairs:
        note = f"{len(whole)} of {confirm.pairs} pairs are made so far"
        return replace(made, answer="inconclusive", note=note, more_pairs=None)
    void = len(whole) - len(pairs)
    return replace(made, note=f"{void} of {confirm.pairs} pairs void and left out" if void else "")


def _decision(rows: Sequence[Row], spec: StudySpec) -> Decision | None:
    """The weighted matrix over what was measured completely."""
    complete = {row.candidate.name: _for_limits(row.metrics) for row in rows if row.state == "complete"}
    return decide(spec.weights, complete) if spec.weights else None


def _keeps_limits(row: Row) -> bool:
    return row.state == "complete" and all(check.met for check in row.checks)


def _may_win(row: Row, spec: StudySpec) -> bool:
    return _keeps_limits(row) and (spec.allow_output_change or not row.candidate.alters_output)


def _best(rows: Sequence[Row], spec: StudySpec) -> Row | None:
    """The first by screened ratio; by the bare figure only where no row has a baseline to be compared with."""
    compared = [row for row in rows if row.ratio is not None]
    figures = [(row.ratio if compared else row.metrics["throughput"].get(spec.objective.figure), row)
               for row in compared or rows]  # fmt: skip
    known = [(value, row) for value, row in figures if value is not None]
    choose = max if spec.objective.higher_is_better else min
    return choose(known, key=lambda pair: pair[0])[1] if known else None


def _recommend(rows: Sequence[Row], verdict: Comparison | None, spec: StudySpec) -> Recommendation | None:
    baseline = rows[0]
    tried = next((row for row in rows if verdict and row.candidate.name == verdict.candidate), None)
    if verdict and tried and verdict.answer == "better" and _may_win(tried, spec):
        why = f"It is better than the baseline by {verdict.launches} interleaved launches."
        return Recommendation(tried.candidate, why)
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
    tested = {"worse": "is worse", "equivalent": "is equivalent", "better": "does not keep the limits",
              "inconclusive": "was not shown to be better"}[verdict.answer]  # fmt: skip
    return f"The best candidate of the screening, {verdict.candidate}, {tested}."


def _also_fast(rows: Sequence[Row], recommended: Recommendation | None, spec: StudySpec) -> Recommendation | None:
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
    return Recommendation(best.candidate, "Screens faster, but can change the output: accuracy not tested.")
