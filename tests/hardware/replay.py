"""NVML and samples as they change over time: recorded shapes and made-up ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from tests.hardware.recorded import Card, Library

from dyno.hardware.procfs import CpuUse
from dyno.hardware.sampler import Samples

Trace = Callable[[float], Mapping[object, object]]


@dataclass
class Replay(Library):
    """A card whose answers are a function of the seconds since the beginning."""

    trace: Trace = dict
    at_s: float = 0.0
    driver: str = "580"
    cuda: int = 13000
    cards: list[Card] = field(default_factory=lambda: [Card({})])

    NVML_PERF_POLICY_POWER, NVML_PERF_POLICY_THERMAL = 0, 1

    def clock_ns(self) -> int:
        return int(self.at_s * 1e9)

    def nvmlDeviceGetHandleByUUID(self, _uuid):
        return self.cards[0]

    def nvmlDeviceGetViolationStatus(self, card, policy):
        return SimpleNamespace(violationTime=self.answers(card, ("ViolationStatus", policy)))

    def nvmlDeviceGetUtilizationRates(self, card):
        return SimpleNamespace(gpu=self.answers(card, "UtilizationRates"))

    def advance(self, seconds: float = 1.0) -> None:
        self.at_s += seconds
        self.look()

    def look(self) -> "Replay":
        self.cards[0].answers = dict(self.trace(self.at_s))
        return self

    def answers(self, card, name):
        if name not in card.answers:
            raise self.NVMLError("Not Supported")
        return card.answers[name]


def h200(at_s: float, **changed: object) -> dict[object, object]:
    """A card under load, as an H200 tells it."""
    steady = {
        "MemoryInfo": (143771 << 20, 130000 << 20, 603 << 20),
        "EnforcedPowerLimit": 700_000,
        "PowerUsage": 610_000,
        "Temperature": 62,
        ("ClockInfo", 1): 1980,
        ("ClockInfo", 2): 3201,
        "CurrentClocksEventReasons": 0,
        "TotalEnergyConsumption": int(610_000 * at_s),
        "UtilizationRates": 98,
        ("ViolationStatus", 0): 0,
        ("ViolationStatus", 1): 0,
    }
    return steady | changed


def heat_soak(at_s: float) -> dict[object, object]:
    """Ten minutes from cold to hot, the clock a step lower every two, nothing throttled."""
    return h200(at_s, Temperature=int(40 + 40 * (1 - np.exp(-at_s / 150)))) | {
        ("ClockInfo", 1): 1980 - 15 * int(at_s // 120)}  # fmt: skip


def power_capped(at_s: float) -> dict[object, object]:
    """At its power limit all the time, as many cards are under load."""
    return h200(at_s, PowerUsage=699_000, CurrentClocksEventReasons=0x4) | {
        ("ViolationStatus", 0): int(at_s * 1e9), ("ClockInfo", 1): 1755}  # fmt: skip


def throttled_at_minute_5(at_s: float) -> dict[object, object]:
    hot_s = max(0.0, at_s - 300)
    return h200(at_s, Temperature=89 if hot_s else 75, CurrentClocksEventReasons=0x20 if hot_s else 0) | {
        ("ViolationStatus", 1): int(hot_s * 1e9), ("ClockInfo", 1): 1200 if hot_s else 1980}  # fmt: skip


def laptop(_: float) -> dict[object, object]:
    """A card that supports little."""
    return {"MemoryInfo": (16376 << 20, 12000 << 20, 456 << 20), "Temperature": 71, ("ClockInfo", 1): 2100}


def samples(seconds: int = 60, cores: int = 2, foreign: tuple[CpuUse, ...] = (), queued_s: float = 0.0,
            **columns: object) -> Samples:  # fmt: skip
    """One sample a second of an engine that spins on one of two processors, with columns changed or added.

    `queued_s` is how long the engine's threads waited for a processor, in all.

    A column is a number (a counter's rate if it counts, else its value) or an array. `host__busy_s` is `host.busy_s`.
    """
    at_s = np.arange(seconds + 1, dtype=float)
    quiet = {"host__busy_s": 1.12, "host__idle_s": 0.87, "host__steal_s": 0.001, "engine__cpu_s": 1.05,
             "client__cpu_s": 0.06}  # fmt: skip
    made = {
        name.replace("__", "."): np.broadcast_to(np.asarray(value, dtype=float), at_s.shape)
        * (at_s if name.endswith(("_s", "_j")) and np.ndim(value) == 0 else 1)
        for name, value in (quiet | columns).items()
    }
    return Samples((at_s * 1e9).astype(np.int64), made, foreign, cores, queued_s={"engine": queued_s, "client": 0.0})
