"""How many clients at a time an engine serves within the limits, and where more of them bring little more."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np

from dyno.workload import Limit, figure_of, latency_limits

MOST_CLIENTS = 1024

_CLOSE = 1.1  # of a limit: missed by less, it is looked at twice
_GAIN = 1.05  # of throughput: with less than that from twice the clients, twice in a row, more are not asked for
_EXACT = 16  # clients; above, a sixteenth is near enough

_NEAR = 1.25  # between the largest that holds and the smallest that does not: near enough to interpolate
_MOST_NEAR = 8  # probes that close in on a limit
_FURTHEST = 2.0  # times the clients of the probe before


@dataclass(frozen=True, slots=True)
class Probe:
    """One closed loop of `concurrency` clients: its figures, its failed requests, and whether waits still grew."""

    concurrency: int
    figures: Mapping[str, float | None]
    failed: int = 0
    over_saturated: bool = False


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


def next_near(probes: Sequence[Probe], limits: Sequence[Limit], start: int, most: int = MOST_CLIENTS) -> int | None:
    """The concurrency to look at next where `crossing` is all that is asked for, None when it can be told.

    It begins at `start`, which is best the answer of an earlier launch: then two probes are mostly enough, one on
    either side of the limit. How far the next one is follows from how far the limit is. It climbs only as long as
    more clients bring more throughput: what just queues has the same throughput at any concurrency.
    """
    if not probes:
        return min(start, most)
    low, high = _bracket(probes, limits := latency_limits(limits))
    if high is None:
        if low >= most or _flat(probes, 2):
            return None
        factor = min(_FURTHEST, max(_NEAR, 1.1 / _strain(_at(probes, low), limits)))
        return min(most, max(low + 1, round(low * factor)))
    if not low:
        factor = max(1 / _FURTHEST**2, min(1 / _NEAR, 0.9 / _strain(_at(probes, high), limits)))
        return min(high - 1, max(1, round(high * factor))) if high > 1 else None
    if high - low <= 1 or high <= _NEAR * low or len(probes) >= _MOST_NEAR:
        return None
    between = round(crossing([probe for probe in probes if probe.concurrency in (low, high)], limits))
    return min(high - 1, max(low + 1, between))


def crossing(probes: Sequence[Probe], limits: Sequence[Limit]) -> float:
    """How many clients take the first of the latencies to its limit, between whole numbers; 0 when one is too many.

    A whole number would jump by one for a hair's breadth of latency, and throughput with it. So the latencies, each as
    a share of its limit and the largest of them at each concurrency, become a curve that never falls (pooled where
    noise lets it) and the limit is read off between its points: centred isotonic regression (Oron & Flournoy,
    Statistics in Biopharmaceutical Research 9, 2017), in logarithms of both. Where all probes hold it is the largest.
    """
    limits = latency_limits(limits)
    if not capacity(probes, limits):
        return 0.0
    known = _usable(probes, limits)
    clients, strain = _rising([(math.log(at), math.log(value), len(_at(probes, at))) for at, value in known])
    return float(known[-1][0]) if strain[-1] <= 0 else math.exp(float(np.interp(0.0, strain, clients)))


def rate_at(probes: Sequence[Probe], figure: str, clients: float) -> float | None:
    """A figure that grows with the clients, read off between the probes."""
    known = curve([probe for probe in probes if not probe.failed], figure)
    if not known:
        return None
    return float(np.interp(math.log(clients), np.log(list(known)), list(known.values())))


def ended_at(probes: Sequence[Probe], limits: Sequence[Limit]) -> int | None:
    """Where a search ended for another reason than a limit: below the clients that only queue, else at the largest."""
    low, high = _bracket(probes, latency_limits(limits))
    seen = sorted({probe.concurrency for probe in probes})
    return None if high is not None else seen[-2] if _flat(probes, 2) else low


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


def _strain(same: Sequence[Probe], limits: Sequence[Limit]) -> float:
    """The largest latency as a share of its limit; infinite where a request failed or a latency is not known."""
    shares = [mean / limit.bound if limit.bound and (mean := _mean(same, figure_of(limit.name))) else math.inf
              for limit in limits]  # fmt: skip
    least = 1.0 if any(probe.over_saturated for probe in same) else 0.0
    return math.inf if any(probe.failed for probe in same) else max(least, *shares)


def _usable(probes: Sequence[Probe], limits: Sequence[Limit]) -> list[tuple[int, float]]:
    """Clients and their strain, up to the first at which it has no number."""
    known: list[tuple[int, float]] = []
    for clients in sorted({probe.concurrency for probe in probes}):
        if (strain := _strain(_at(probes, clients), limits)) == math.inf:
            break
        known.append((clients, strain))
    return known


def _rising(points: Sequence[tuple[float, float, int]]) -> tuple[list[float], list[float]]:
    """Places and values, by place and with weights, as a curve that never falls: those that do are pooled."""
    pooled: list[tuple[float, float, int]] = []
    for point in points:
        pooled.append(point)
        while len(pooled) > 1 and pooled[-2][1] >= pooled[-1][1]:
            (at, value, weight), (before, lower, other) = pooled.pop(), pooled.pop()
            both = weight + other
            pooled.append(((at * weight + before * other) / both, (value * weight + lower * other) / both, both))
    return [at for at, _, _ in pooled], [value for _, value, _ in pooled]


def _close_miss(same: Sequence[Probe], limits: Sequence[Limit]) -> bool:
    return len(same) == 1 and not _holds(same, limits) and _holds(same, limits, _CLOSE)


def _bound_waits(limits: Sequence[Limit]) -> bool:
    return any(limit.name.startswith(("ttft", "e2el")) for limit in limits)


def _flat(probes: Sequence[Probe], points: int = 3) -> bool:
    """Whether twice the clients, as often as there are points, have brought next to nothing."""
    known = list(curve(probes, "output_throughput").items())[-points:]
    gains = [(more >= _FURTHEST * fewer, high < _GAIN * low) for (fewer, low), (more, high) in pairwise(known)]
    return len(known) == points and all(doubled and flat for doubled, flat in gains)
