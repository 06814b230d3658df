"""Latency and throughput of one engine under a load, before it is started, and how sure they are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import exp, hypot, log, sqrt
from operator import mul
from random import Random

from dyno.predict import kv_cache
from dyno.predict.demand import Asked, Demand, largest_request
from dyno.predict.rates import LAUNCHES, NAMES, Calibration, Rates
from dyno.predict.roofline import costs, low_bits
from dyno.predict.scheduler import Engine, Served, simulate
from dyno.predict.setup import Setup
from dyno.workload import Workload

_SURE = 1.2816  # standard deviations to either side that hold 80 of 100
_SAMPLED = 128
_FRONT_VARIES = 0.6  # else waves of requests fall in with steps in a way that no two launches repeat
_WAVES = 0.1  # to either side of the middle: as many requests as another launch may have in another wave
_STEP = 0.05  # of a logarithm, for a derivative
Sorted = tuple[float, ...]
FIGURES = ("ttft", "tpot", "e2el", "output_throughput")


@dataclass(frozen=True, slots=True)
class Spread:
    """Of all requests, in ms; `low` and `high` hold the median of a launch 80 times in 100."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    low: float
    high: float

    def of(self, statistic: str) -> float:
        """`mean`, `p50`, `p90`, `p95` or `p99`."""
        return float(getattr(self, statistic))


@dataclass(frozen=True, slots=True)
class Latency:
    """What a load would see. Rates are a second; `tpot_ms` is None for answers of one token.

    `fitted_on` are the points of such a card that its rates were fitted on, `constants_on` those behind generic rates.
    """

    ttft_ms: Spread
    tpot_ms: Spread | None
    e2el_ms: Spread
    output_throughput: float
    output_throughput_low: float
    output_throughput_high: float
    request_throughput: float
    duration_s: float
    preemptions: int
    fitted_on: tuple[str, ...]
    constants_on: tuple[str, ...]
    off: Mapping[str, float]  # one standard deviation of each figure's logarithm

    def of(self, name: str) -> Spread | None:
        """`ttft`, `tpot` or `e2el`."""
        return {"ttft": self.ttft_ms, "tpot": self.tpot_ms, "e2el": self.e2el_ms}[name]


@dataclass(frozen=True, slots=True)
class Run:
    """An engine and a load: all that a simulation depends on but rates. `blocks` are those of the KV cache."""

    setup: Setup
    blocks: int
    demand: Demand


@dataclass(frozen=True, slots=True)
class Figures:
    """One simulation, in ms and tokens a second: sorted, one entry a request."""

    ttft_ms: Sorted
    tpot_ms: Sorted
    e2el_ms: Sorted
    output_throughput: float
    request_throughput: float
    duration_s: float
    preemptions: int

    def medians(self) -> dict[str, float]:
        """What points tell of a load: by name, those that there are."""
        latencies = {"ttft": self.ttft_ms, "tpot": self.tpot_ms, "e2el": self.e2el_ms}
        told = {name: percentile(values, 0.5) for name, values in latencies.items()}
        told["output_throughput"] = self.output_throughput
        return {name: value for name, value in told.items() if value > 0}


def closed_loop(workload: Workload) -> Demand:
    """All clients start together; each sends the next request once it has its answer."""
    return Demand(_requests(workload, [0.0] * workload.num_requests), workload.concurrency)


def open_loop(workload: Workload, rate: float, seed: int = 0) -> Demand:
    """As many requests a second as a Poisson process brings, whatever becomes of them."""
    drawn, at_s, times = Random(seed), 0.0, []
    for _ in range(workload.num_requests):
        times.append(at_s)
        at_s += drawn.expovariate(rate)
    return Demand(_requests(workload, times), None)


def _requests(workload: Workload, times: Sequence[float]) -> tuple[Asked, ...]:
    drawn = Random(0)
    shared = workload.prefix_len > 0
    return tuple(Asked(workload.input_len, workload.output_len, at_s,
                       drawn.randrange(workload.prefixes) if shared else None, workload.prefix_len)
                 for at_s in times)  # fmt: skip


def reasons_unserved(setup: Setup, blocks: int, demand: Demand) -> tuple[str, ...]:
    """Why the engine could not answer every request, memory apart; empty when it can."""
    longest = largest_request(demand)
    if longest > setup.max_model_len:
        return (f"a request of {longest:,} tokens, answer included, is longer than max_model_len "
                f"{setup.max_model_len:,}",)  # fmt: skip
    needed = kv_cache.pool(setup).blocks_per_request(setup, longest)
    if needed > blocks:
        return (f"a request of {longest:,} tokens needs {needed:,} blocks of KV cache, there are {blocks:,}",)
    return ()


def predict_latency(run: Run, calibration: Calibration, off: Mapping[str, float] | None = None) -> Latency | None:
    """What the load would see; None for a card of which too little is known. `reasons_unserved` must be empty.

    `off` is what a like prediction was off by; without it that is worked out, which takes a dozen times as long.
    """
    figures = simulated(run, calibration.rates)
    if figures is None:
        return None
    if off is None:
        sure = spreads(run, calibration)
    else:
        sure = {name: off.get(name, _left(calibration, name)) for name in FIGURES}
    return _latency(figures, sure, calibration)


def _latency(figures: Figures, off: Mapping[str, float], calibration: Calibration) -> Latency:
    low, high = _bounds(figures.output_throughput, off["output_throughput"])
    return Latency(
        ttft_ms=_spread(figures.ttft_ms, hypot(off["ttft"], unsettled(figures.ttft_ms))),
        tpot_ms=_spread(figures.tpot_ms, hypot(off["tpot"], unsettled(figures.tpot_ms))) if figures.tpot_ms else None,
        e2el_ms=_spread(figures.e2el_ms, off["e2el"]),
        output_throughput=figures.output_throughput,
        output_throughput_low=low,
        output_throughput_high=high,
        request_throughput=figures.request_throughput,
        duration_s=figures.duration_s,
        preemptions=figures.preemptions,
        fitted_on=calibration.fitted_on,
        constants_on=calibration.constants_on,
        off=off,
    )


def simulated(run: Run, rates: Rates) -> Figures | None:
    """One simulation with exactly these rates."""
    step_costs = costs(run.setup, rates)
    if step_costs is None:
        return None
    setup = run.setup
    tokens = kv_cache.pool(setup).groups[0].tokens
    engine = Engine(setup.max_num_batched_tokens, setup.max_num_seqs, run.blocks, tokens, _blocks_of(setup),
                    rates.front_s, rates.admit_s, rates.prompt_s, rates.turn_s / setup.api_servers,
                    setup.prefix_caching, _FRONT_VARIES, setup.api_servers)  # fmt: skip
    return _figures(run.demand, simulate(run.demand, engine, step_costs))


def _blocks_of(setup: Setup) -> Callable[[int], int]:
    shared = kv_cache.pool(setup)
    (first, *others), tokens = shared.groups, shared.groups[0].tokens
    if not others and first.cache.kind in ("full", "mla"):
        return lambda length: -(-length // tokens)
    return cache(lambda length: shared.blocks_per_request(setup, length))


def _figures(demand: Demand, served: Served) -> Figures:
    sent, first, last = served.sent_s, served.first_s, served.last_s
    tokens = [asked.output_len for asked in demand.requests]
    duration_s = max(last) - min(sent)
    return Figures(
        ttft_ms=_sorted_ms(end - start for start, end in zip(sent, first, strict=True)),
        tpot_ms=_sorted_ms(
            (end - start) / (number - 1) for start, end, number in zip(first, last, tokens, strict=True) if number > 1
        ),
        e2el_ms=_sorted_ms(end - start for start, end in zip(sent, last, strict=True)),
        output_throughput=sum(tokens) / duration_s,
        request_throughput=len(tokens) / duration_s,
        duration_s=duration_s,
        preemptions=served.preemptions,
    )


def relevant(setup: Setup) -> tuple[str, ...]:
    """The rates that a setup's figures depend on at all."""
    left_out = set()
    if setup.tensor_parallel == 1:
        left_out.add("link")
    if not low_bits(setup):
        left_out.add("gemm_low")
    return tuple(name for name in NAMES if name not in left_out)


def derivatives(run: Run, calibration: Calibration, figures: Figures) -> dict[str, dict[str, float]]:
    """Of the logarithm of each median, by each rate's logarithm: {rate: {figure: derivative}}."""
    told = figures.medians()
    found: dict[str, dict[str, float]] = {}
    for name in relevant(run.setup):
        moved = simulated(run, calibration.moved(name, _STEP))
        if moved is not None:
            there = moved.medians()
            found[name] = {figure: log(there[figure] / value) / _STEP
                           for figure, value in told.items() if figure in there}  # fmt: skip
    return found


def spreads(run: Run, calibration: Calibration) -> dict[str, float]:
    """One standard deviation of each figure's logarithm: what the rates may be off, and what they leave unexplained."""
    sample = replace(run, demand=_sample(run.demand))
    figures = simulated(sample, calibration.rates)
    moves = derivatives(sample, calibration, figures) if figures else {}
    found = {}
    for figure in FIGURES:
        slope = [moves.get(name, {}).get(figure, 0.0) for name in NAMES]
        known = sum(one * sum(map(mul, row, slope)) for one, row in zip(slope, calibration.covariance, strict=True))
        found[figure] = sqrt(max(0.0, known) + _left(calibration, figure) ** 2)
    return found


def _sample(demand: Demand) -> Demand:
    """The beginning of a load: enough to tell how its figures move with the rates."""
    clients = None if demand.clients is None else min(demand.clients, _SAMPLED)
    return Demand(demand.requests[: max(2 * clients if clients else _SAMPLED, 8)], clients)


def _left(calibration: Calibration, figure: str) -> float:
    """What is left unexplained, at least what launches differ by. The time of a whole answer is mostly tokens."""
    name = "tpot" if figure == "e2el" else figure
    return max(calibration.residual[name], LAUNCHES[name])


def unsettled(values: Sorted) -> float:
    """How far their median may lie off for the waves alone in which requests come: of the logarithm.

    Where many wait for one another figures come in clusters, and the median falls into one or the next.
    """
    below, above = (percentile(values, 0.5 + by) for by in (-_WAVES, _WAVES))
    return log(above / below) / 2 if below > 0 else 0.0


def _spread(values: Sorted, off: float) -> Spread:
    p50, p90, p95, p99 = (percentile(values, share) for share in (0.5, 0.9, 0.95, 0.99))
    return Spread(sum(values) / len(values), p50, p90, p95, p99, *_bounds(p50, off))


def _bounds(value: float, off: float) -> tuple[float, float]:
    return value * exp(-_SURE * off), value * exp(_SURE * off)


def percentile(values: Sorted, share: float) -> float:
    """Of sorted values, linear between neighbours; 0 of none."""
    if not values:
        return 0.0
    place = share * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def _sorted_ms(seconds: Iterable[float]) -> Sorted:
    return tuple(sorted(each * 1e3 for each in seconds))
