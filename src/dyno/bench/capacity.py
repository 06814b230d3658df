"""How many clients at a time an engine serves within the limits, and where more of them bring little more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from dyno.workload import LATENCIES, Limit, figure_of

MOST_CLIENTS = 1024

_CLOSE = 1.1  # of a limit: missed by less, it is looked at twice
_GAIN = 1.05  # of throughput: with less than that from twice the clients, twice in a row, more are not asked for
_EXACT = 16  # clients; above, a sixteenth is near enough


@dataclass(frozen=True, slots=True)
class Probe:
    """One closed loop of `concurrency` clients: its figures, its failed requests, and whether waits still grew."""

    concurrency: int
    figures: Mapping[str, float | None]
    failed: int = 0
    over_saturated: bool = False


def latency_limits(limits: Sequence[Limit]) -> tuple[Limit, ...]:
    """Those that fewer clients make easier to keep: latencies. Throughput, memory and heat do not steer the search."""
    return tuple(limit for limit in limits if limit.name.partition("_")[0] in LATENCIES)


def next_probe(probes: Sequence[Probe], limits: Sequence[Limit], most: int = MOST_CLIENTS) -> int | None:
    """The concurrency to look at next, None when the answer is known.

    1, 2, 4 ... up to the first that does not hold; then bisection. What misses a limit by a tenth or less is looked at
    once more, and the means decide. Where no limit bounds the wait for a first token, so that any number of clients
    could queue, it climbs as long as there is throughput to gain.
    """
    limits = latency_limits(limits)
    if not probes:
        return 1
    low, high = _bracket(probes, limits)
    if high is None:
        return None if low >= most or (not _bound_waits(limits) and _flat(probes)) else min(2 * low, most)
    if not limits:
        return None
    if _close_miss(_at(probes, high), limits):
        return high
    return None if high - low <= max(1, low // _EXACT) else (low + high) // 2


def capacity(probes: Sequence[Probe], limits: Sequence[Limit]) -> int:
    """The largest concurrency that keeps the latency limits below all that do not; 0 when not even one client does."""
    return _bracket(probes, latency_limits(limits))[0]


def curve(probes: Sequence[Probe], figure: str) -> dict[int, float]:
    """A figure over concurrency, the mean where one was looked at twice, without those that had none."""
    means = {
        clients: _mean(_at(probes, clients), figure) for clients in sorted({probe.concurrency for probe in probes})
    }
    return {clients: value for clients, value in means.items() if value is not None}


def knee(probes: Sequence[Probe]) -> int | None:
    """Where the curve of throughput bends most: the point farthest above the straight line between its ends.

    Kneedle (Satopaa et al., ICDCS Workshops 2011), without smoothing. Failed probes are no part of the curve.
    """
    points = curve([probe for probe in probes if not probe.failed], "output_throughput")
    if not points:
        return None
    clients, rate = np.array(list(points)), np.array(list(points.values()))
    if len(points) < 3 or np.ptp(rate) == 0:
        return int(clients[np.argmax(rate)])
    above = (rate - rate.min()) / np.ptp(rate) - (clients - clients.min()) / np.ptp(clients)
    return int(clients[np.argmax(above)])


def _bracket(probes: Sequence[Probe], limits: Sequence[Limit]) -> tuple[int, int | None]:
    """The largest that holds below the smallest that does not (0 for none), and that smallest."""
    seen = sorted({probe.concurrency for probe in probes})
    high = next((clients for clients in seen if not _holds(_at(probes, clients), limits)), None)
    return max((clients for clients in seen if high is None or clients < high), default=0), high


def _at(probes: Sequence[Probe], clients: int) -> list[Probe]:
    return [probe for probe in probes if probe.concurrency == clients]


def _mean(same: Sequence[Probe], figure: str) -> float | None:
    known = [value for probe in same if (value := probe.figures.get(figure)) is not None]
    return fmean(known) if known else None


def _holds(same: Sequence[Probe], limits: Sequence[Limit], slack: float = 1.0) -> bool:
    """No request failed, waits had stopped to grow, and every latency is known and within its limit."""
    if any(probe.failed or probe.over_saturated for probe in same):
        return False
    means = [(_mean(same, figure_of(limit.name)), limit.bound) for limit in limits]
    return all(mean is not None and mean <= bound * slack for mean, bound in means)


def _close_miss(same: Sequence[Probe], limits: Sequence[Limit]) -> bool:
    return len(same) == 1 and not _holds(same, limits) and _holds(same, limits, _CLOSE)


def _bound_waits(limits: Sequence[Limit]) -> bool:
    return any(limit.name.startswith(("ttft", "e2el")) for limit in limits)


def _flat(probes: Sequence[Probe]) -> bool:
    rates = list(curve(probes, "output_throughput").values())[-3:]
    return len(rates) == 3 and rates[1] < _GAIN * rates[0] and rates[2] < _GAIN * rates[1]
