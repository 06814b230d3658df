"""Samples the card and the host beside a measurement, once a second, into buffers of fixed size."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter_ns, thread_time_ns
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dyno.hardware.procfs import (
    PROC,
    CpuUse,
    Process,
    available_bytes,
    processor_time,
    read_process,
    read_processes,
    thread_waits,
    used_between,
    within,
)

PERIOD_S = 1.0
UNSEEN = -1  # in place of the process id of an engine that runs here and cannot be seen: nobody is accused then
CAPACITY = 1 << 17  # samples: a day and a half at one a second; memory is touched only as it fills
CARD_COLUMNS = ("temperature_c", "power_w", "power_limit_w", "sm_clock_mhz", "memory_clock_mhz", "clock_reasons",
                "memory_used_bytes", "energy_j", "busy_percent", "power_capped_s", "too_hot_s",
                "others_bytes")  # fmt: skip


class Card(Protocol):
    """What tells about a card: NVML, or a replay of it."""

    def read(self, own: set[int]) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class Samples:
    """What was sampled. `at_ns` is of time.perf_counter_ns, as the stamps of a load are.

    `columns` are arrays as long: `host.busy_s` ..., `card.temperature_c` ..., and `NAME.cpu_s` and `NAME.rss_bytes` of
    each tree of processes; NaN where nothing was told. Names that end in `_s` or `_j` count up.
    `foreign` are the processes outside those trees that used the processors meanwhile, most first.
    `queued_s` is how long the threads of each tree, added up, were ready to run and had no processor; empty where the
    kernel does not tell.
    """

    at_ns: NDArray[np.int64]
    columns: Mapping[str, NDArray[np.float64]]
    foreign: tuple[CpuUse, ...] = ()
    cores: int = 1
    cost_s: float = 0.0  # CPU time that the sampling itself took
    queued_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        return float(self.at_ns[-1] - self.at_ns[0]) / 1e9 if len(self.at_ns) else 0.0

    def known(self, name: str) -> NDArray[np.float64]:
        """The values that were told, in their order; none for an unknown name."""
        values = self.columns.get(name, np.empty(0))
        return values[~np.isnan(values)]

    def peak(self, name: str) -> float | None:
        """The highest value; None when nothing was told."""
        return float(values.max()) if len(values := self.known(name)) else None

    def mean(self, name: str) -> float | None:
        """The mean over the samples; None when nothing was told."""
        return float(values.mean()) if len(values := self.known(name)) else None

    def gained(self, name: str) -> float | None:
        """By how much a counter went up; None when it was not told twice."""
        values = self.known(name)
        return float(values[-1] - values[0]) if len(values) > 1 else None

    @property
    def foreign_cpu_s(self) -> float | None:
        """CPU time of everything but the sampled trees; None when it cannot be told."""
        busy_s = self.gained("host.busy_s")
        own_s = [self.gained(name) for name in self.columns if name.endswith(".cpu_s")]
        known = [each for each in own_s if each is not None]
        return None if busy_s is None or len(known) < len(own_s) else max(0.0, busy_s - sum(known))

    def peaks(self) -> dict[str, float | None]:
        """The highest memory of the engine and of the card, and its highest temperature, as figures."""
        return {figure: self.peak(name) for figure, name in PEAKS.items()}


PEAKS: Mapping[str, str] = {
    "rss_peak_bytes": "engine.rss_bytes",
    "device_peak_bytes": "card.memory_used_bytes",
    "temperature_peak_c": "card.temperature_c",
}


class Host:
    """Reads the processors, the memory and some trees of processes. `roots` are their first processes, by name.

    A tree inside another is counted for itself. Only the first and the last look go through all processes.
    """

    def __init__(self, roots: Mapping[str, int], proc: Path = PROC) -> None:
        self._roots, self._proc = roots, proc
        self._allowed = os.sched_getaffinity(0)
        self._trees: dict[str, set[int]] = {}
        self._first: dict[int, Process] = {}
        self._waits: dict[str, dict[tuple[int, int], float] | None] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what one sample holds."""
        of_trees = (f"{name}.{what}" for name in self._roots for what in ("cpu_s", "rss_bytes"))
        return (*(f"host.{name}" for name in ("busy_s", "idle_s", "steal_s", "available_bytes")), *of_trees)

    @property
    def cores(self) -> int:
        return len(self._allowed)

    @property
    def own(self) -> set[int]:
        """The processes of all trees."""
        return set().union(*self._trees.values())

    def look_around(self) -> tuple[CpuUse, ...]:
        """Finds the trees' processes; tells who else used the processors since this was first called."""
        now = read_processes(self._proc)
        self._first = self._first or now
        trees = {name: within(now, [root]) for name, root in self._roots.items()}
        for name, tree in trees.items():
            inner = (other for other, root in self._roots.items() if other != name and root in tree)
            self._trees[name] = tree.difference(*(trees[other] for other in inner))
        own = within(self._first, self._roots.values()) | self.own
        return tuple(use for use in used_between(self._first, now) if use.pid not in own)

    def queued_s(self) -> dict[str, float]:
        """How long each tree's threads have waited for a processor since this was first called, where that is told."""
        now = {name: thread_waits(tree, self._proc) for name, tree in self._trees.items()}
        self._waits = self._waits or now
        return {name: sum(waited - (self._waits.get(name) or {}).get(thread, 0.0) for thread, waited in waits.items())
                for name, waits in now.items() if waits is not None}  # fmt: skip

    def read(self) -> dict[str, float]:
        """The columns of one sample."""
        time = processor_time((self._proc / "stat").read_bytes(), self._allowed)
        row = {"host.busy_s": time.busy_s, "host.idle_s": time.idle_s, "host.steal_s": time.steal_s,
               "host.available_bytes": available_bytes((self._proc / "meminfo").read_bytes())}  # fmt: skip
        for name, pids in self._trees.items():
            alive = [each for pid in pids if (each := read_process(pid, self._proc))]
            if alive:
                row[f"{name}.cpu_s"] = sum(each.cpu_s for each in alive)
                row[f"{name}.rss_bytes"] = sum(each.rss_bytes for each in alive)
        return row


class Sampler:
    """Samples from entry to exit, in a thread of its own; `samples` may be had any time after the entry."""

    def __init__(self, host: Host, card: Card | None, period_s: float = PERIOD_S, capacity: int = CAPACITY,
                 clock: Callable[[], int] = perf_counter_ns) -> None:  # fmt: skip
        self._host, self._card, self._period_s, self._clock = host, card, period_s, clock
        names = [*host.columns, *(f"card.{name}" for name in CARD_COLUMNS)]
        self._columns = {name: place for place, name in enumerate(names)}
        self._at_ns = np.empty(capacity, dtype=np.int64)
        self._rows = np.empty((capacity, len(self._columns)))
        self._taken = 0
        self._cost_ns = 0
        self._foreign: tuple[CpuUse, ...] = ()
        self._queued_s: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self.look()

    @property
    def samples(self) -> Samples:
        """What there is now."""
        taken = self._taken
        columns = {name: self._rows[:taken, place].copy() for name, place in self._columns.items()}
        return Samples(self._at_ns[:taken].copy(), columns, self._foreign, self._host.cores, self._cost_ns / 1e9,
                       self._queued_s)  # fmt: skip

    def look(self) -> None:
        """The first and the last sample: all processes are looked through, and the threads of the trees."""
        self._foreign = self._host.look_around()
        self._queued_s = self._host.queued_s()
        self.sample()

    def sample(self) -> None:
        """Takes one sample. A full buffer keeps every other one, and the period doubles."""
        if self._taken == len(self._at_ns):
            kept = (self._taken + 1) // 2
            self._at_ns[:kept], self._rows[:kept] = self._at_ns[::2].copy(), self._rows[::2].copy()
            self._taken, self._period_s = kept, self._period_s * 2
        row = self._rows[self._taken]
        row[:] = np.nan
        told = self._host.read()
        if self._card is not None:
            told |= {f"card.{name}": value for name, value in self._card.read(self._host.own).items()}
        for name, value in told.items():
            row[self._columns[name]] = value
        self._at_ns[self._taken] = self._clock()
        self._taken += 1

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            began = thread_time_ns()
            self.sample()
            self._cost_ns += thread_time_ns() - began


def watch(engine_pid: int | None, device_uuid: str | None, proc: Path = PROC) -> Sampler:
    """A sampler of this process, an engine it started and a card, any of which may be absent."""
    from dyno.hardware.nvml import open_card

    roots = {"client": os.getpid()} | ({} if engine_pid is None else {"engine": engine_pid})
    return Sampler(Host(roots, proc), open_card(device_uuid) if device_uuid else None)
