"""Candidates under a load: what they would do, which limits they would miss, and in which order they stand; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dyno.plan.record import Candidate
from dyno.predict.demand import Demand
from dyno.predict.latency import Run, closed_loop, predict_latency, reasons_unserved
from dyno.predict.rates import Calibration
from dyno.units import format_figure
from dyno.workload import LATENCIES, LONG_OUTPUT, THROUGHPUTS, Limit, Workload, length_of

MEMORY = ("vram", "ram")  # limits on what a plan counts in bytes
_AT_LENGTH = 3  # requests of the test `context`, one after the other


@dataclass(frozen=True, slots=True)
class Expected:
    """The load that is expected, and what is known of the card."""

    demand: Demand
    calibration: Calibration


def with_latency(candidate: Candidate, expected: Expected, off: Mapping[str, float] | None = None) -> Candidate:
    """The candidate with what it would do, or with why it could not answer such requests.

    `off` says how sure the figures are; without it that is worked out, which takes a dozen times as long.
    """
    setup, blocks = candidate.setup, candidate.memory.blocks
    if candidate.rejected:
        return candidate
    if reasons := reasons_unserved(setup, blocks, expected.demand):
        return replace(candidate, rejected=reasons)
    latency = predict_latency(Run(setup, blocks, expected.demand), expected.calibration, off)
    return replace(candidate, latency=latency)


def within(candidate: Candidate, limits: Iterable[Limit], calibration: Calibration) -> Candidate:
    """The candidate with every limit on speed that it would miss among its rejections."""
    if candidate.rejected:
        return candidate
    reasons = [reason for limit in limits if (reason := _missed(candidate, limit, calibration))]
    return replace(candidate, rejected=tuple(reasons))


def _missed(candidate: Candidate, limit: Limit, calibration: Calibration) -> str | None:
    value = _predicted(candidate, limit, calibration)
    if value is None or (value <= limit.bound if limit.side == "at most" else value >= limit.bound):
        return None
    unit = "/s" if limit.name in THROUGHPUTS else " ms"
    return f"limit {limit.name} {limit.side} {limit.bound:g}{unit}: {format_figure(value)}{unit} predicted"


def _predicted(candidate: Candidate, limit: Limit, calibration: Calibration) -> float | None:
    """What a limit is about, None where nothing is predicted of it."""
    if (length := length_of(limit)) is not None:
        return _at_length(candidate, limit.name.partition("@")[0], length, calibration)
    latency = candidate.latency
    if latency is None:
        return None
    if limit.name in THROUGHPUTS:
        return latency.output_throughput if limit.name == "output_throughput" else latency.request_throughput
    name, _, statistic = limit.name.partition("_")
    if name not in LATENCIES or (spread := latency.of("tpot" if name == "itl" else name)) is None:
        return None
    return spread.of(statistic) if name != "itl" or statistic == "mean" else None


def _at_length(candidate: Candidate, name: str, length: int, calibration: Calibration) -> float | None:
    """The median of prompts of a length, one request at a time."""
    demand = closed_loop(Workload("context", length, LONG_OUTPUT, 1, _AT_LENGTH))
    if reasons_unserved(candidate.setup, candidate.memory.blocks, demand):
        return None
    latency = predict_latency(Run(candidate.setup, candidate.memory.blocks, demand), calibration, {})
    spread = latency.of(name) if latency else None
    return spread.p50 if spread else None


def rank(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those that fit first, the fastest first; by requests that fit at once where no speed is predicted."""

    def place(candidate: Candidate) -> tuple[bool, float, float]:
        speed = candidate.latency.output_throughput if candidate.latency else 0.0
        return bool(candidate.rejected), -speed, -candidate.memory.max_concurrency

    return sorted(candidates, key=place)


def unchecked(candidate: Candidate, limits: Iterable[Limit], calibration: Calibration) -> tuple[str, ...]:
    """What is to be said of limits that nothing is predicted of: a load is lacking, or only a launch can tell."""
    names = [limit.name for limit in limits
             if limit.name not in MEMORY and _predicted(candidate, limit, calibration) is None]  # fmt: skip
    loads = [name for name in names if candidate.latency is None
             and (name in THROUGHPUTS or name.partition("_")[0] in LATENCIES)]  # fmt: skip
    others = [name for name in names if name not in loads]
    notes = []
    if loads:
        notes.append(f"not checked: {', '.join(loads)}; name a load (--input-len, --output-len, --concurrency or "
                     "--workload)")  # fmt: skip
    if others:
        notes.append(f"not checked: {', '.join(others)}; nothing is predicted of it here, a study tells (dyno tune)")
    return tuple(notes)
