"""A study as the one JSON object of `--json`."""

from dataclasses import asdict
from typing import Any

from dyno.report.wording import capacity_text, within_text
from dyno.study.outcome import Outcome, Recommendation, Row
from dyno.verdict.compare import Comparison


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Stable names; times in seconds or milliseconds and sizes in bytes as the names say."""
    return {
        "study": outcome.study,
        "rows": [{"name": row.candidate.name, "state": row.state, "cause": row.cause, "launches": row.launches,
                  "metrics": row.metrics} | _capacity(outcome, row) | _ratios(row) | _predicted(row)
                 for row in outcome.rows],
        "verdict": verdict_json(outcome.verdict) if outcome.verdict else None,
        "recommended": _recommended(outcome.recommended),
        "machine": asdict(outcome.machine),
        "engine": outcome.engine,
        "model": outcome.model,
        "workload": asdict(outcome.workload),
        "objective": outcome.objective.name,
        "limits": [asdict(check.limit) for check in outcome.rows[0].checks] if outcome.rows else [],
        "notes": list(outcome.notes),
    } | _several(outcome) | ({"decision": asdict(outcome.decision)} if outcome.decision else {})  # fmt: skip


def _several(outcome: Outcome) -> dict[str, Any]:
    """Where a launch measures several workloads, or rounds hold several candidates: which, and all their verdicts."""
    loads = {"workloads": {test: asdict(load) for test, load in outcome.loads.items()}}
    verdicts = {"confirmed": [verdict_json(verdict) | {"note": verdict.note} for verdict in outcome.confirmed]}
    return (loads if len(outcome.loads) > 1 else {}) | (verdicts if len(outcome.confirmed) > 1 else {})


def _predicted(row: Row) -> dict[str, Any]:
    """What a plan said of it, where one was made."""
    return {"predicted": row.foreseen} if row.foreseen else {}


def _ratios(row: Row) -> dict[str, Any]:
    """The ratio to another candidate, where one is named, and the ratio of each workload of several."""
    against = {"against": row.candidate.against, "ratio": row.ratio} if row.candidate.against else {}
    return against | ({"ratios": row.ratios} if row.ratios else {})


def _capacity(outcome: Outcome, row: Row) -> dict[str, Any]:
    """Where throughputs are taken at the limits: how many clients keep them, tokens/s with these, and in words."""
    if not (told := capacity_text(outcome, row)):
        return {}
    figures = row.metrics["throughput"]
    return {"capacity": {"concurrency": figures["capacity_concurrency"], "told": told,
                         "output_throughput": figures["capacity_output_throughput"]}}  # fmt: skip


def verdict_json(verdict: Comparison) -> dict[str, Any]:
    """One verdict."""
    names = ("candidate", "answer", "metric", "ratio", "low", "high", "launches")
    return {name: getattr(verdict, name) for name in names}


def proof_json(outcome: Outcome) -> list[dict[str, Any]]:
    """The verdicts of a proof, one a metric; `more_launches` would likely settle one that is inconclusive."""
    within = {"within": text} if (text := within_text(outcome)) else {}
    return [verdict_json(verdict) | {"more_launches": None if verdict.more_pairs is None else 2 * verdict.more_pairs,
                                     "margin": verdict.margin, "note": verdict.note} | within
            for verdict in outcome.verdicts]  # fmt: skip


def _recommended(recommended: Recommendation | None) -> dict[str, Any] | None:
    if recommended is None:
        return None
    args = recommended.candidate.args
    return {"name": recommended.candidate.name, "argv": ["vllm", "serve", *args.argv()], "env": dict(args.env)}
