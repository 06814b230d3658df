"""The tests `sustained` and `soak`: does an engine stay as fast as it began, and as small?"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType

import numpy as np

from dyno.bench import stats
from dyno.bench.record import Load, ScenarioResult
from dyno.bench.run import Figures, Part, Run, figures_of, result_of
from dyno.bench.stats import UNKNOWN, Records
from dyno.bench.steady import Series, change_point, growth, mser5
from dyno.workload import MOST_TOKENS, Workload

SUSTAINED_S = 60.0
SOAK_S = 600.0

_ROUND_S = 60.0
_PERIOD_S = 1.0
_PILOT_TURNOVERS = 2


def sustained(run: Run) -> ScenarioResult:
    """One closed loop of about `duration_s`, sized by the rate of a short one before it."""
    pilot = run.measure("sustained-pilot", load_of(run.workload, None, 0.0))
    rate = stats.figures(pilot.measured.records)["request_throughput"]
    asked_s = run.duration_s or SUSTAINED_S
    load = load_of(run.workload, rate, asked_s)
    part = run.measure("sustained", load)
    series = throughput_series(part.measured.records)
    run.keep("sustained-series", {"period_s": 1.0, "output_throughput": series.round(3).tolist()})
    made = sustained_result(pilot, part)
    return replace(made, void=(*made.void, *cut_short(load, rate or 0.0, asked_s)))


def cut_short(load: Load, rate: float, asked_s: float) -> tuple[str, ...]:
    """That a load ended before its time, as one load has no more tokens; nothing when it did not."""
    if load.num_requests >= round(rate * asked_s):
        return ()
    return (f"it ended after about {load.num_requests / rate:.0f} of {asked_s:.0f} s, as one load has at most "
            f"{MOST_TOKENS:,} tokens; `soak` goes on for as long as it is told",)  # fmt: skip


def sustained_result(pilot: Part, part: Part) -> ScenarioResult:
    """The figures of the long load, void as soon as one of the two is."""
    figures = figures_of(part.measured) | burst_and_sustained(throughput_series(part.measured.records))
    return result_of("sustained", [pilot, part], figures | {"kv_usage_peak": part.measured.kv_usage_peak})


def throughput_series(records: Records) -> Series:
    """Output tokens in each second, from when every client's first answer has begun until the last request is sent.

    An event that holds several tokens counts as many. Empty where a request failed or did not tell its tokens.
    """
    known = records.completed & (records.output_tokens != UNKNOWN) & (records.content_counts > 0)
    if not known.all() or not len(known):
        return np.empty(0)
    begun = begun_ns(records)
    seconds = max(0, (int(records.sent_ns.max()) - begun) // 1_000_000_000)
    return stats.tokens_over_time(records, begun, seconds)


def begun_ns(records: Records) -> int:
    """When every client's first answer has begun: of the requests that no answer made room for, the last one's."""
    early = records.sent_ns < records.last_byte_ns[records.completed].min()
    return int(stats.first_content_ns(records)[early].max())


def burst_and_sustained(series: Series) -> Figures:
    """The throughput before and after the one change of its mean. What only rises has no burst.

    Without a change all but the start that MSER-5 cuts is sustained. All None of nothing.
    """
    change = change_point(series)
    if change is None:
        steady = float(series[mser5(series) :].mean()) if len(series) else None
        return {"burst_throughput": None, "sustained_throughput": steady, "sustained_share": None, "change_s": None}
    falls = change.after < change.before
    return {
        "burst_throughput": change.before if falls else None,
        "sustained_throughput": change.after,
        "sustained_share": change.after / change.before if falls else None,
        "change_s": float(change.index),
    }


def soak(run: Run) -> ScenarioResult:
    """Closed loops of about a minute, one after the other, for `duration_s`; each leaves only its figures in memory.

    Throughput is over all of them, without the pauses between. Latencies are the last one's, when the engine is oldest.
    """
    deadline = time.monotonic() + (run.duration_s or SOAK_S)
    rounds: list[ScenarioResult] = []
    rate = None
    sampler = Sampler(run.gauges)
    try:
        with sampler:
            while not rounds or (left_s := deadline - time.monotonic()) > 0:
                seconds = min(_ROUND_S, left_s) if rounds else 0.0
                part = run.measure(f"soak-{len(rounds):04d}", load_of(run.workload, rate, seconds))
                rounds.append(round_of(part))
                rate = rounds[-1].figures["request_throughput"]
    finally:  # an engine that dies of its memory is the one whose memory is asked for
        run.keep("soak-memory", sampler.samples)
    return soaked(rounds, sampler.samples)


def soaked(rounds: Sequence[ScenarioResult], samples: Mapping[str, Sequence[Sequence[float]]]) -> ScenarioResult:
    """All rounds together, with what the gauges did meanwhile."""
    figures = rounds[-1].figures | _over_all(rounds) | leaks(samples)
    void = tuple(reason for each in rounds for reason in each.void)
    errors = sum((Counter(each.errors) for each in rounds), Counter())
    return ScenarioResult("soak", figures, void, tuple(path for each in rounds for path in each.raw), dict(errors))


def load_of(workload: Workload, rate: float | None, seconds: float) -> Load:
    """A closed loop that lasts about so long at this rate of requests, two turnovers at least."""
    most = max(workload.concurrency, MOST_TOKENS // (workload.input_len + workload.output_len))
    wanted = max(_PILOT_TURNOVERS * workload.concurrency, round((rate or 0.0) * seconds))
    return Load(workload.concurrency, min(wanted, most), workload.input_len, workload.output_len, seed=0)


class Sampler:
    """Reads gauges once a second from entry to exit; `samples` holds for each the seconds and what was read then."""

    def __init__(self, gauges: Mapping[str, Callable[[], int | None]], period_s: float = _PERIOD_S) -> None:
        self._gauges, self._period_s = gauges, period_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gauges", daemon=True)
        self.samples: dict[str, list[tuple[float, int]]] = {name: [] for name in gauges}

    def __enter__(self) -> "Sampler":
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            for name, read in self._gauges.items():
                if (value := read()) is not None:
                    self.samples[name].append((round(time.monotonic() - self._began, 3), value))


def leaks(samples: Mapping[str, Sequence[Sequence[float]]]) -> Figures:
    """How fast each gauge grows, in bytes an hour with its 99 % interval: it leaks if the low end is above 0."""
    figures: Figures = {}
    for name, read in samples.items():
        times, values = np.array(read, dtype=np.float64).reshape(-1, 2).T
        line = growth(times / 3600, values)
        told = (None, None, None) if line is None else (line.per_unit, line.low, line.high)
        figures |= {f"{name}_per_h.{part}": value for part, value in zip(("slope", "low", "high"), told, strict=True)}
    return figures


def round_of(part: Part) -> ScenarioResult:
    """One round of a soak."""
    figures = figures_of(part.measured) | {"kv_usage_peak": part.measured.kv_usage_peak}
    made = result_of("soak", [part], figures)
    return replace(made, void=tuple(f"{part.name}: {reason}" for reason in made.void))


def _over_all(rounds: Sequence[ScenarioResult]) -> Figures:
    """Counts and throughputs of all rounds together, None where one of them has none."""

    def total(name: str) -> float | None:
        values = [value for each in rounds if (value := each.figures[name]) is not None]
        return sum(values) if len(values) == len(rounds) else None

    duration_s, tokens, done = total("duration_s"), total("output_tokens"), total("completed")
    return {
        "rounds": len(rounds), "duration_s": duration_s, "completed": done, "failed": total("failed"),
        "prompt_tokens": total("prompt_tokens"), "output_tokens": tokens,
        "output_throughput": tokens / duration_s if tokens is not None and duration_s else None,
        "request_throughput": done / duration_s if done is not None and duration_s else None,
    }  # fmt: skip
