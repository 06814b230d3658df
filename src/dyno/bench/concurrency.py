"""The test `concurrency`: closed loops of more and more clients on one live engine."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dyno.bench import stats
from dyno.bench.capacity import MOST_CLIENTS, Probe, capacity, curve, knee, latency_limits, next_probe
from dyno.bench.counters import Counters
from dyno.bench.record import Load, ScenarioResult
from dyno.bench.run import Figures, Part, Run, figures_of, result_of
from dyno.bench.steady import over_saturated
from dyno.engine.metrics import Histogram
from dyno.workload import MOST_TOKENS, Limit, Workload

_TURNOVERS = 4  # requests of each client; the first of them meets an engine that is not yet full
_FEWEST = 12
_FEWEST_FOR = {"p90": 20, "p95": 40, "p99": 100}  # so that a percentile is not simply the slowest request


def find_capacity(run: Run) -> ScenarioResult:
    """The largest concurrency within the latency limits; the plain figures are those at it, else those at the knee.

    `capacity_*` are None without latency limits, and `capacity_concurrency` is 0 when not even one client keeps them.
    A probe with failed requests is no reason to call the test void: it is what the engine does not hold.
    """
    probes: list[Probe] = []
    parts: list[Part] = []
    while (clients := next_probe(probes, run.limits, most_clients(run.workload))) is not None:
        load = probe_load(run.workload, clients, run.limits)
        parts.append(run.measure(f"concurrency-{len(parts):02d}-of-{clients}", load))
        probes.append(probe_of(parts[-1]))
    figures = capacity_figures(probes, run.limits)
    run.keep("concurrency", {
        "limits": {limit.name: limit.bound for limit in latency_limits(run.limits)},
        "most_clients": most_clients(run.workload),
        "capacity_concurrency": figures["capacity_concurrency"],
        "knee_concurrency": figures["knee_concurrency"],
        "curve": [_point(*each) for each in zip(parts, probes, strict=True)],
    })  # fmt: skip
    return capacity_result(parts, figures)


def capacity_result(parts: Sequence[Part], figures: Figures) -> ScenarioResult:
    """Loads in which no request failed may void the test; all may when there are none of these."""
    held = [part for part in parts if part.measured.records.completed.all()]
    return result_of("concurrency", held or parts, figures)


def capacity_figures(probes: Sequence[Probe], limits: tuple[Limit, ...]) -> Figures:
    """What the probes say about capacity and knee, and the plain figures at the one or the other."""
    limited = bool(latency_limits(limits))
    most, bend = capacity(probes, limits) if limited else None, knee(probes)
    chosen = most or bend or probes[0].concurrency
    rates = curve(probes, "output_throughput")
    figures: Figures = {name: curve(probes, name).get(chosen) for name in probes[0].figures}
    return figures | {
        "capacity_concurrency": most,
        "capacity_output_throughput": rates.get(most) if most else None,
        "knee_concurrency": bend,
        "knee_output_throughput": rates.get(bend) if bend else None,
        "probes": len(probes),
    }


def most_clients(workload: Workload) -> int:
    """The bound of the search: what one load may hold in tokens."""
    return max(1, min(MOST_CLIENTS, MOST_TOKENS // (_TURNOVERS * (workload.input_len + workload.output_len))))


def probe_load(workload: Workload, clients: int, limits: tuple[Limit, ...]) -> Load:
    """Several turnovers of every client, and as many requests as the limits' percentiles ask for."""
    fewest = max([_FEWEST, *(_FEWEST_FOR.get(limit.name.partition("_")[2], 0) for limit in latency_limits(limits))])
    return Load(clients, max(_TURNOVERS * clients, fewest), workload.input_len, workload.output_len, seed=0)


def probe_of(part: Part) -> Probe:
    """What the search asks of a load. Waits are looked at once every client has had its first turn."""
    records = part.measured.records
    ttft = stats.ttft_ms(records)
    known = ~np.isnan(ttft)
    known[: part.load.concurrency] = False
    growing = over_saturated(records.sent_ns[known] / 1e9, ttft[known])
    failed = int((~records.completed).sum())
    figures = figures_of(part.measured) | waiting(part.measured.counted)
    return Probe(part.load.concurrency, figures | {"kv_usage_peak": part.measured.kv_usage_peak}, failed, growing)


def waiting(counted: Counters) -> Figures:
    """How long a request waited to be scheduled and was then in prefill, by the server's own clock, in the mean.

    `queue_efficiency` is the share of the time up to the first token that was not spent waiting: prefill / (queue +
    prefill). At 1 every request is scheduled the moment it comes, at 0.5 it waits as long as its prefill takes.
    """
    queue = _mean_ms(counted.queue)
    prefill = _mean_ms(counted.prefill)
    efficiency = prefill / (queue + prefill) if queue is not None and prefill else None
    return {"queue_ms": queue, "prefill_ms": prefill, "queue_efficiency": efficiency}


def _mean_ms(times: Histogram | None) -> float | None:
    return 1000 * times.sum / times.count if times is not None and times.count else None


def _point(part: Part, probe: Probe) -> dict[str, Any]:
    """One point of the curve, as it is kept."""
    return {
        "concurrency": probe.concurrency,
        "raw": f"{part.name}.npz",
        "failed": probe.failed,
        "over_saturated": probe.over_saturated,
        "void": part.measured.void,
        "figures": dict(probe.figures),
    }
