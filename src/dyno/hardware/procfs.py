"""What the kernel counts of processors and processes: few small files, read as bytes. CPU time is in seconds.

The text formats are those of proc(5).
"""

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_WAKING_S = 20e-6  # measured: 2 to 10 us a turn where nobody else runs
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """Since boot, of the processors this process may use: work, nothing to do, and taken by the hypervisor."""

    busy_s: float
    idle_s: float
    steal_s: float


@dataclass(frozen=True, slots=True)
class Process:
    """One process at a moment. `cpu_s` is its own and that of children it has collected."""

    pid: int
    name: str
    parent: int
    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class CpuUse:
    """CPU time of one process between two moments."""

    pid: int
    name: str
    cpu_s: float


def processor_time(stat: bytes, allowed: Collection[int]) -> ProcessorTime:
    """From /proc/stat. Time in interrupts is left out: a card's or a network's work is nobody's."""
    names = {b"cpu%d" % number for number in allowed}
    busy = idle = steal = 0
    for line in stat.split(b"\n"):
        if line[:3] != b"cpu":
            break
        name, *fields = line.split()
        if name in names:
            user, nice, system, idling, waiting, _, _, stolen = map(int, fields[:8])
            busy, idle, steal = busy + user + nice + system, idle + idling + waiting, steal + stolen
    return ProcessorTime(busy * _TICK_S, idle * _TICK_S, steal * _TICK_S)


def parse_process(stat: bytes) -> Process:
    """From /proc/PID/stat. A name may hold spaces and brackets."""
    head, _, rest = stat.rpartition(b") ")
    pid, _, name = head.partition(b" (")
    fields = rest.split()
    cpu_s = sum(map(int, fields[11:15])) * _TICK_S
    return Process(int(pid), name.decode(errors="replace"), int(fields[1]), cpu_s, int(fields[21]) * _PAGE_BYTES)


def available_bytes(meminfo: bytes) -> float:
    """MemAvailable from /proc/meminfo."""
    return int(meminfo.partition(b"MemAvailable:")[2].split(maxsplit=1)[0]) * 1024


def read_process(pid: int, proc: Path = PROC) -> Process | None:
    """One process, None when it is gone."""
    try:
        return parse_process((proc / str(pid) / "stat").read_bytes())
    except OSError:
        return None


def read_processes(proc: Path = PROC) -> dict[int, Process]:
    """Every process of the machine that can be seen: milliseconds of work, so never while something is timed."""
    found = (read_process(int(name), proc) for name in os.listdir(proc) if name.isdigit())  # noqa: PTH208
    return {process.pid: process for process in found if process}


def thread_waits(pids: Iterable[int], proc: Path = PROC) -> dict[tuple[int, int], float] | None:
    """Seconds that each thread of these processes, by process and thread, was ready to run and had no processor.

    What it takes to wake up on an idle one is left out. None where the kernel does not count, or does not tell.
    """
    waits, ran_ns = dict[tuple[int, int], float](), 0
    for pid in pids:
        with suppress(OSError):
            for thread in os.listdir(proc / str(pid) / "task"):  # noqa: PTH208
                ran, waited, turns = map(int, (proc / str(pid) / "task" / thread / "schedstat").read_bytes().split())
                waits[pid, int(thread)] = max(0.0, waited / 1e9 - _WAKING_S * turns)
                ran_ns += ran
    return waits if ran_ns else None


def within(processes: Mapping[int, Process], roots: Iterable[int]) -> set[int]:
    """The roots and everybody below them."""
    tree = set(roots)
    while more := {each.pid for each in processes.values() if each.parent in tree} - tree:
        tree |= more
    return tree


def used_between(before: Mapping[int, Process], after: Mapping[int, Process]) -> tuple[CpuUse, ...]:
    """Who used the processors, most first. What a process did before it was collected is counted to its collector."""
    used = {pid: process.cpu_s - (before[pid].cpu_s if pid in before else 0) for pid, process in after.items()}
    for pid, process in before.items():
        if pid not in after:
            collector = process.parent
            while collector in before and collector not in after:
                collector = before[collector].parent
            if collector in used:
                used[collector] -= process.cpu_s
    uses = (CpuUse(pid, after[pid].name, cpu_s) for pid, cpu_s in used.items() if cpu_s > 0)
    return tuple(sorted(uses, key=lambda use: -use.cpu_s))
