"""Closed loops of more and more clients on one live engine: the test `concurrency`, and throughput at the limits."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dyno.bench import stats
from dyno.bench.answer import Transcript
from dyno.bench.capacity import (
    MOST_CLIENTS,
    Probe,
    capacity,
    crossing,
    curve,
    ended_at,
    knee,
    next_near,
    next_probe,
    rate_at,
)
from dyno.bench.counters import Counters
from dyno.bench.record import Load, ScenarioResult
from dyno.bench.run import Figures, Part, Run, figures_of, result_of
from dyno.bench.steady import over_saturated
from dyno.engine.metrics import Histogram
from dyno.workload import MOST_TOKENS, THROUGHPUTS, Limit, Workload, latency_limits

_TURNOVERS = 4  # requests of each client; the first of them meets an engine that is not yet full
_TURNOVERS_NEAR = 3  # of a search in every launch
_PROBE_S = 20.0  # a search in every launch does not climb to loads that would take longer
_FEWEST = 12
_FEWEST_FOR = {"p90": 20, "p95": 40, "p99": 100}  # so that a percentile is not simply the slowest request


def find_capacity(run: Run) -> ScenarioResult:
    """The largest concurrency within the latency limits; the plain figures are those at it, else those at the knee.

    `capacity_*` are None without latency limits, and `capacity_concurrency` is 0 when not even one client keeps them.
    A probe with failed requests is no reason to call the test void: it is what the engine does not hold.
    """
    most = most_clients(run.workload)
    parts, probes = _probed(run, "concurrency", lambda probes: next_probe(probes, run.limits, most))
    figures = capacity_figures(probes, run.limits)
    _keep(run, parts, probes, figures)
    return capacity_result("concurrency", parts, figures)


def throughput_within(run: Run, start: int, most: int | None) -> ScenarioResult:
    """The test `throughput` where latencies are limited and the number of clients is not said.

    Throughputs are those at the concurrency at which the first of the latencies reaches its limit (see `crossing`), 0
    when one client is too many; all other figures are of `chosen_concurrency`, the largest looked at that keeps the
    limits. The search begins at `start`. `bound_concurrency` is where it ended without a limit in its way: where more
    clients only queue, at `most`, or where a larger load would take too long.
    """
    at_most = min(most or MOST_CLIENTS, most_clients(run.workload))

    def following(probes: Sequence[Probe]) -> int | None:
        return next_near(probes, run.limits, start, min(at_most, affordable(probes)))

    parts, probes = _probed(run, "throughput", following)
    figures = within_figures(probes, run.limits)
    _keep(run, parts, probes, figures)
    return capacity_result("throughput", parts, figures)


def affordable(probes: Sequence[Probe]) -> int:
    """The clients of a load that takes `_PROBE_S` at the rate of the newest one; what was looked at is affordable."""
    rate = probes[-1].figures.get("request_throughput") if probes else None
    largest = max((probe.concurrency for probe in probes), default=MOST_CLIENTS)
    return MOST_CLIENTS if rate is None else max(largest, int(_PROBE_S * rate / _TURNOVERS_NEAR))


def _probed(run: Run, test: str, following: Callable[[Sequence[Probe]], int | None]) -> tuple[list[Part], list[Probe]]:
    """One load after the other. The n-th has the same prompts in every launch that is compared with this one."""
    probes: list[Probe] = []
    parts: list[Part] = []
    while (clients := following(probes)) is not None:
        watch = WaitsWatch(clients)
        load = probe_load(run.workload, clients, run.limits, _TURNOVERS_NEAR if test == "throughput" else _TURNOVERS)
        parts.append(run.measure(f"{test}-{len(parts):02d}", load, watch))
        probes.append(probe_of(parts[-1]))
    return parts, probes


def _keep(run: Run, parts: Sequence[Part], probes: Sequence[Probe], figures: Figures) -> None:
    run.keep("concurrency", {
        "limits": {limit.name: limit.bound for limit in latency_limits(run.limits)},
        "most_clients": most_clients(run.workload),
        "capacity_concurrency": figures["capacity_concurrency"],
        "knee_concurrency": figures.get("knee_concurrency"),
        "chosen": next((part.name for part in parts if part.load.concurrency == figures.get("chosen_concurrency")), ""),
        "curve": [_point(*each) for each in zip(parts, probes, strict=True)],
    })  # fmt: skip


def capacity_result(test: str, parts: Sequence[Part], figures: Figures) -> ScenarioResult:
    """Loads in which no request failed may void the test; all may when there are none of these."""
    held = [part for part in parts if part.measured.records.completed.all()]
    return result_of(test, held or parts, figures)


def within_figures(probes: Sequence[Probe], limits: tuple[Limit, ...]) -> Figures:
    """What the probes say about throughput at the limits."""
    clients, held = crossing(probes, limits), capacity(probes, limits)
    if bound := ended_at(probes, limits):
        clients, held = float(bound), bound
    chosen = held or min(probe.concurrency for probe in probes)
    figures: Figures = {name: curve(probes, name).get(chosen) for name in probes[0].figures}
    rates = {name: rate_at(probes, name, clients) if clients else 0.0 for name in THROUGHPUTS}
    return figures | rates | {
        "capacity_concurrency": clients,
        "capacity_output_throughput": rates["output_throughput"],
        "chosen_concurrency": chosen,
        "bound_concurrency": bound,
        "probes": len(probes),
    }  # fmt: skip


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


def probe_load(workload: Workload, clients: int, limits: tuple[Limit, ...], turnovers: int = _TURNOVERS) -> Load:
    """Several turnovers of every client, and as many requests as the limits' percentiles ask for."""
    fewest = max([_FEWEST, *(_FEWEST_FOR.get(limit.name.partition("_")[2], 0) for limit in latency_limits(limits))])
    return Load(clients, max(turnovers * clients, fewest), workload.input_len, workload.output_len, seed=0)


def probe_of(part: Part) -> Probe:
    """What the search asks of a load. Waits are looked at once every client has had its first turn."""
    records = part.measured.records
    ttft = stats.ttft_ms(records)
    known = ~np.isnan(ttft)
    known[: part.load.concurrency] = False
    cut_short = len(records.outcomes) < part.load.num_requests
    growing = cut_short or over_saturated(records.sent_ns[known] / 1e9, ttft[known])
    failed = int((~records.completed).sum())
    figures = figures_of(part.measured) | waiting(part.measured.counted)
    return Probe(part.load.concurrency, figures | {"kv_usage_peak": part.measured.kv_usage_peak}, failed, growing)


class WaitsWatch:
    """Looks at a running load once a second and ends it once waits grow for sure, as they will until it ends.

    What it takes is the moment of a request's first byte, after the request has ended: nothing on the path of a token.
    It asks for more certainty than the look at the end, as it looks many times.
    """

    def __init__(self, clients: int) -> None:
        self._clients = clients
        self._sent_s: list[float] = []
        self._wait_s: list[float] = []

    def see(self, transcript: Transcript) -> None:
        """Takes a request that has ended; every client's first turn is left out."""
        if transcript.index >= self._clients and transcript.stamps and not transcript.failure:
            self._sent_s.append(transcript.sent_ns / 1e9)
            self._wait_s.append((transcript.stamps[0] - transcript.sent_ns) / 1e9)

    def enough(self) -> bool:
        """Whether nothing more need be sent."""
        if len(self._sent_s) < 2 * self._clients:
            return False
        order = np.argsort(self._sent_s)
        return over_saturated(np.array(self._sent_s)[order], np.array(self._wait_s)[order], confidence=0.9999)


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
