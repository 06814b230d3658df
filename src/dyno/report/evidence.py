"""What charts are made of beside the journal: read from a study's folder, as far as it is still there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from dyno.bench import stats
from dyno.bench.endurance import begun_ns
from dyno.bench.raw import load_gauges, load_raw, load_samples
from dyno.bench.stats import Records
from dyno.errors import InputError
from dyno.report.matrix import compared
from dyno.study.outcome import Outcome
from dyno.study.trial import Step

Kept = TypeVar("Kept")
Series = NDArray[np.float64]
Line = tuple[Series, Series]  # times or places, values

_NO_RAW = ("The folder raw, with the records of every request, is not there: this page is made from the journal alone, "
           "without time series, distributions and curves.")  # fmt: skip
_FEWEST_BINS = 20
_FEWEST_READINGS = 3  # in a load of two seconds there are too few for a line
_PERIODS_NS = (1_000_000_000, 500_000_000, 200_000_000, 100_000_000)
_LATENCIES = {"ttft": stats.ttft_ms, "tpot": stats.tpot_ms, "e2el": stats.e2el_ms}
# What is drawn of the samples: the column, and what its values are divided by.
_GAUGES: Mapping[str, tuple[str, float]] = {
    "temperature": ("card.temperature_c", 1),
    "power": ("card.power_w", 1),
    "sm_clock": ("card.sm_clock_mhz", 1),
    "memory_clock": ("card.memory_clock_mhz", 1),
    "card_memory": ("card.memory_used_bytes", 2**30),
    "engine_memory": ("engine.rss_bytes", 2**30),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One load of the test `concurrency`."""

    concurrency: int
    failed: int
    over_saturated: bool
    figures: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Curve:
    """What a search for the concurrency at the limits kept; `limits` are bounds of latencies in ms.

    `chosen` names the load whose latencies count where the search was for throughput.
    """

    limits: dict[str, float]
    capacity_concurrency: int | float | None
    knee_concurrency: int | None
    curve: tuple[Point, ...]
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """One load over time: of every quantity that was measured the seconds since its beginning, and the values."""

    launch: int
    lines: Mapping[str, Line]
    joules_per_token: float | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """What is kept of one configuration. Latencies are those of all requests of `launches` launches, in ms."""

    name: str
    load: Timeline | None = None
    launches: int = 0
    latencies: Mapping[str, Series] = field(default_factory=dict)
    curve: Curve | None = None
    sustained: Timeline | None = None
    soak: Mapping[str, Line] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The baseline's side first, then those of what it is compared with; and what could not be read."""

    sides: tuple[Side, ...] = ()
    missing: tuple[str, ...] = ()


def read_evidence(folder: Path, outcome: Outcome) -> Evidence:
    """What the study's folder holds beside its journal. What is absent or damaged is named, never an error."""
    if not any(step.raw for step in outcome.steps):
        return Evidence()
    if not (folder / "raw").is_dir():
        return Evidence(missing=(_NO_RAW,))
    reader = _Reader(folder)
    sides = (_side(reader, outcome, name) for name in compared(outcome))
    kept = tuple(side for side in sides if side != Side(side.name))
    return Evidence(kept, (*reader.absent_told(), *reader.missing))


def _side(reader: "_Reader", outcome: Outcome, name: str) -> Side:
    mine = [step for step in outcome.steps if step.candidate == name and step.state == "complete" and step.raw]
    loads = [step for step in mine if step.scenario == "throughput"]
    loads = reader.here(name, loads)
    loads = [step for step in loads if step.phase == "confirm"] or loads
    newest = {step.scenario: step for step in mine}
    return Side(name, reader.timeline(loads[-1]) if loads else None, len(loads), reader.latencies(loads),
                reader.curve(newest.get("concurrency") or next((step for step in loads if searched(step)), None)),
                reader.timeline(newest.get("sustained")),
                reader.soak(newest.get("soak")))  # fmt: skip


def searched(step: Step) -> bool:
    """Whether this test of throughput looked for the concurrency at the limits."""
    return step.scenario == "throughput" and "capacity_concurrency" in step.figures


class _Reader:
    """Reads what steps kept; `missing` are sentences on what could not be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.missing: list[str] = []
        self._absent: list[str] = []

    def here(self, name: str, steps: Sequence[Step]) -> list[Step]:
        """Those of the steps whose raw records came along; a study that was packed may have left some behind."""
        found = [step for step in steps if (self._folder / step.raw[0]).parent.is_dir()]
        if len(found) < len(steps):
            self._absent.append(f"{len(steps) - len(found)} of {name}'s {len(steps)} launches")
        return found

    def absent_told(self) -> tuple[str, ...]:
        """Whose records stayed behind, in one sentence where there are any."""
        whose = ", ".join(self._absent)
        told = f"Raw records of {whose} are not in this folder; distributions and lines over time are of the others."
        return (told,) if whose else ()

    def timeline(self, step: Step | None) -> Timeline | None:
        """The load of the test's own name over time."""
        kept = None if step is None else self._kept(step)
        return (
            None if kept is None or step is None else Timeline(step.launch, dict(kept.lines()), kept.joules_per_token())
        )

    def latencies(self, steps: Sequence[Step]) -> dict[str, Series]:
        """Latencies of the requests of all these launches together."""
        kept = [each.latencies() for step in steps if (each := self._kept(step))]
        pooled = {name: np.concatenate([each[name] for each in kept]) for name in _LATENCIES} if kept else {}
        return {name: values for name, values in pooled.items() if len(values)}

    def curve(self, step: Step | None) -> Curve | None:
        return None if step is None else self._json(step, "concurrency", TypeAdapter(Curve))

    def soak(self, step: Step | None) -> dict[str, Line]:
        """Memory over time, minutes and MiB."""
        kept = None if step is None else self._json(step, "soak-memory", TypeAdapter(dict[str, list[list[float]]]))
        lines = {name: np.array(read, dtype=np.float64).reshape(-1, 2).T for name, read in (kept or {}).items()}
        return {name: (line[0] / 60, line[1] / 2**20) for name, line in lines.items() if line.shape[1]}

    def _kept(self, step: Step) -> "_Load | None":
        curve = self.curve(step) if searched(step) else None
        name = curve.chosen if curve else step.scenario
        path = self._folder / Path(step.raw[0]).parent / f"{name}.npz"
        try:
            return _Load(step, path)
        except InputError as error:
            self._miss(step, error)
            return None

    def _json(self, step: Step, name: str, adapter: TypeAdapter[Kept]) -> Kept | None:
        path = self._folder / Path(step.raw[0]).parent / f"{name}.json"
        try:
            return adapter.validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            self._miss(step, error)
            return None

    def _miss(self, step: Step, error: Exception) -> None:
        why = "; ".join(str(error).splitlines()).replace(f"{self._folder}/", "")
        told = f"What {step.candidate}'s {step.scenario} (launch {step.launch}) kept cannot be read: {why}"
        self.missing += [told] if told not in self.missing else []


class _Load:
    """One load as it was kept. InputError when it cannot be read."""

    def __init__(self, step: Step, path: Path) -> None:
        self._records, _ = load_raw(path)
        self._gauges = load_gauges(path)
        self._samples = load_samples(path.parent, step.scenario)
        self._sustained = step.scenario == "sustained"

    def latencies(self) -> dict[str, Series]:
        every = {name: measure(self._records) for name, measure in _LATENCIES.items()}
        return {name: values[~np.isnan(values)] for name, values in every.items()}

    def lines(self) -> Iterator[tuple[str, Line]]:
        """Every quantity that was told, from the beginning to the last byte."""
        if not self._records.completed.any():
            return
        yield "output_throughput", throughput_line(self._records, self._begin_ns)
        seen = {"running": self._gauges.running, "waiting": self._gauges.waiting,
                "kv_usage": 100 * self._gauges.kv_usage}  # fmt: skip
        for name, values in seen.items():
            yield from self._told(name, self._gauges.at_ns, values)
        if self._samples is None:
            return
        at_ns, columns = self._samples.at_ns, self._samples.columns
        for name, (column, unit) in _GAUGES.items():
            if column in columns:
                yield from self._told(name, at_ns, columns[column] / unit)
        if "engine.cpu_s" in columns and len(at_ns) > 1:
            yield from self._told("engine_cpu", at_ns[1:], np.diff(columns["engine.cpu_s"]) / (np.diff(at_ns) / 1e9))

    def joules_per_token(self) -> float | None:
        """What the card took on average, times the load's duration, over its output tokens; None where unknown."""
        tokens, samples = stats.total(self._records.output_tokens), self._samples
        if samples is None or not tokens or "card.energy_j" not in samples.columns:
            return None
        begin, end = self._span_ns
        joules, at_ns = samples.columns["card.energy_j"], samples.at_ns
        known = (at_ns >= begin) & (at_ns <= end) & ~np.isnan(joules)
        if known.sum() < 2:
            return None
        joules, at_ns = joules[known], at_ns[known]
        return float((joules[-1] - joules[0]) / (at_ns[-1] - at_ns[0])) * (end - begin) / tokens

    @property
    def _span_ns(self) -> tuple[int, int]:
        return int(self._records.sent_ns.min()), int(self._records.last_byte_ns.max())

    @cached_property
    def _begin_ns(self) -> int:
        return begun_ns(self._records) if self._sustained else self._span_ns[0]

    def _told(self, name: str, at_ns: NDArray[np.int64], values: Series) -> Iterator[tuple[str, Line]]:
        """The line between the load's first and last moment, where enough of it is known."""
        inside = (at_ns >= self._begin_ns) & (at_ns <= self._span_ns[1]) & ~np.isnan(values)
        if inside.sum() >= _FEWEST_READINGS:
            yield name, ((at_ns[inside] - self._begin_ns) / 1e9, values[inside])


def throughput_line(records: Records, begin_ns: int) -> Line:
    """Output tokens a second, each at the middle of its period: a second, or less of a load of few seconds."""
    duration_ns = int(records.last_byte_ns.max()) - begin_ns
    period_ns = next((each for each in _PERIODS_NS if duration_ns >= _FEWEST_BINS * each), _PERIODS_NS[-1])
    bins = max(1, duration_ns // period_ns)
    tokens = stats.tokens_over_time(records, begin_ns, bins, period_ns)
    return (np.arange(bins, dtype=np.float64) + 0.5) * period_ns / 1e9, tokens * 1e9 / period_ns


def means(line: Line, most: int) -> Line:
    """A line of at most so many points: means of neighbours, as many in each but the last."""
    times, values = line
    size = -(-len(times) // most)
    if size <= 1:
        return line
    ends = [*range(0, len(times), size), len(times)]
    return (np.array([float(times[a:b].mean()) for a, b in pairwise(ends)], dtype=np.float64),
            np.array([float(values[a:b].mean()) for a, b in pairwise(ends)], dtype=np.float64))  # fmt: skip
