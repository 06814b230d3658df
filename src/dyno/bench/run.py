"""A server under test and the loads it is put to."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

from dyno.bench import stats
from dyno.bench.audit import PhysicalBounds
from dyno.bench.load import Measurement, Watch, measure
from dyno.bench.loadgen import Progress
from dyno.bench.record import Load, ScenarioResult, Search, Target
from dyno.workload import Limit, Workload

Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Part:
    """One load of a test, measured; `raw` is where it is kept."""

    name: str
    load: Load
    measured: Measurement
    raw: Path | None


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a test may need. `limits` steer `concurrency`; `duration_s` is that of `sustained` and `soak`;
    a figure that beats the `bounds` voids.

    `gauges` are readings in bytes, such as the engine's memory, by name; `soak` samples them. With `at_limits` the test
    `throughput` looks for the concurrency at which the first limit is reached, else it has the workload's.
    """

    target: Target
    workload: Workload
    seed: int
    max_model_len: int | None = None
    raw_folder: Path | None = None
    on_progress: Progress | None = None
    limits: tuple[Limit, ...] = ()
    duration_s: float | None = None
    gauges: Mapping[str, Callable[[], int | None]] = field(default_factory=dict)
    bounds: PhysicalBounds = field(default_factory=PhysicalBounds)
    at_limits: Search | None = None

    def measure(self, name: str, load: Load, watch: Watch | None = None) -> Part:
        """One load, with prompts that no other name or seed has. DynoError when the server takes no request."""
        load = replace(load, seed=seed_of(name, self.seed))
        raw = None if self.raw_folder is None else self.raw_folder / f"{name}.npz"
        return Part(name, load, measure(self.target, load, raw, self.on_progress, watch=watch), raw)

    def keep(self, name: str, content: object) -> None:
        """Writes what several loads make together beside their raw files, as JSON."""
        if self.raw_folder is not None:
            self.raw_folder.mkdir(parents=True, exist_ok=True)
            (self.raw_folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def figures_of(measured: Measurement) -> Figures:
    """The figures of one load, and how they stand to what the server's own histograms say (`reconcile`)."""
    return stats.figures(measured.records) | measured.reconciled


def seed_of(name: str, seed: int) -> int:
    """The seed of a load's prompts."""
    return crc32(f"{name} {seed}".encode())


def result_of(scenario: str, parts: Sequence[Part], figures: Figures) -> ScenarioResult:
    """The result of a test: void as soon as one of its loads is, and then it says which."""
    void = [reason if len(parts) == 1 else f"{part.name}: {reason}" for part in parts for reason in part.measured.void]
    errors: Counter[str] = Counter()
    for part in parts:
        errors.update(part.measured.records.errors)
    raw = tuple(part.raw for part in parts if part.raw is not None)
    return ScenarioResult(scenario, figures, tuple(void), raw, dict(errors))
