"""Every cause, planted, voids; clean evidence voids nothing."""

import dataclasses

import numpy as np
import pytest
from tests.bench.test_stats import MS, records
from tests.hardware import replay
from tests.hardware.replay import samples

from dyno.bench.audit import (
    ClientCost,
    Evidence,
    PhysicalBounds,
    bound_reasons,
    card_reasons,
    host_reasons,
    void_reasons,
)
from dyno.bench.counters import Counters
from dyno.bench.record import Load
from dyno.hardware.nvml import open_card
from dyno.hardware.procfs import CpuUse

LOAD = Load(concurrency=2, num_requests=40, input_len=10, output_len=4, seed=1)
SERVED = records(*((400 * index, [400 * index + 200, 400 * index + 350], 400 * index + 400, 4, "")
                   for index in range(40)))  # fmt: skip
COUNTED = Counters(generation_tokens=160, prompt_tokens=400, prefix_cache_queries=400, prefix_cache_hits=10)
BUSY = ClientCost(cpu_s=3, wall_s=16, loop_lag_ms=(0.9, 0.2, 1.4, 0.1), backlog_s=0.001)
CLEAN = Evidence(SERVED, COUNTED, LOAD, client=BUSY,
                 reconciled={"reconcile.ttft_mean_ratio": 1.04, "reconcile.ttft_mean_excess_ms": 8,
                             "reconcile.e2el_mean_ratio": 1.02, "reconcile.e2el_mean_excess_ms": 8})  # fmt: skip


def reasons(**changed: object) -> tuple[str, ...]:
    return void_reasons(dataclasses.replace(CLEAN, **changed))


def late(lag_ms: float):
    """The same answers, each request sent so much after it was meant to be."""
    return dataclasses.replace(SERVED, intended_ns=SERVED.sent_ns - int(lag_ms * MS))


class TestLoad:
    def test_a_clean_one_is_valid(self) -> None:
        assert reasons() == ()

    @pytest.mark.parametrize(("planted", "said"), [
        ({"client": ClientCost(cpu_s=15, wall_s=16)}, "the client used 94% of a processor"),
        ({"client": ClientCost(loop_lag_ms=(2, 0, 9, 1))}, "the client's loop was 3.0 ms behind on average, 1.5% of"),
        ({"client": ClientCost(backlog_s=0.004)}, "answers lay unread for 4.0 ms on average, 2.0% of"),
        ({"client": ClientCost(first_late_ms=(2.1,) * 11 + (0.1,) * 9)}, "half of them for 2.10 ms or longer"),
        ({"client": ClientCost(first_late_ms=(50,) + (0.1,) * 19)}, "lay unread for 2.60 ms on average and half of"),
        ({"records": late(5)}, "the client sent 5.0 ms late on average, 1.2% of"),
        ({"counted": dataclasses.replace(COUNTED, generation_tokens=161)}, "160 output tokens, its counter 161"),
        ({"counted": dataclasses.replace(COUNTED, prefix_cache_hits=32)}, "the prefix cache answered 32 of 400"),
        ({"load": dataclasses.replace(LOAD, prefix_len=5),
          "counted": dataclasses.replace(COUNTED, prefix_cache_hits=300)}, "300 of 400 prompt tokens though"),
        ({"reconciled": {"reconcile.ttft_mean_ratio": 0.8, "reconcile.ttft_mean_excess_ms": -40}}, "is 0.80 times the"),
        ({"reconciled": {"reconcile.e2el_mean_ratio": 2.5, "reconcile.e2el_mean_excess_ms": 240}}, "is 2.50 times the"),
    ], ids=["cpu", "loop lag", "backlog", "first tokens", "some first tokens", "send lag", "tokens", "cache hits",
            "hits beyond prefixes", "too early", "far too late"])  # fmt: skip
    def test_a_planted_cause_voids_and_is_named(self, planted, said) -> None:
        (reason,) = reasons(**planted)
        assert said in reason

    @pytest.mark.parametrize("harmless", [
        {"client": ClientCost(cpu_s=0.4, wall_s=0.41)},
        {"client": ClientCost(loop_lag_ms=(1, 3))},
        {"client": ClientCost(first_late_ms=(1.9,) * 50)},
        {"client": ClientCost(first_late_ms=(9,) * 19)},
        {"records": late(3.9)},
        {"reconciled": {"reconcile.ttft_mean_ratio": 3.0, "reconcile.ttft_mean_excess_ms": 200}},
        {"reconciled": {"reconcile.e2el_mean_ratio": 2.5, "reconcile.e2el_mean_excess_ms": 60}},
        {"load": dataclasses.replace(LOAD, prefix_len=5), "counted": Counters(160, 400, 400, 200)},
    ], ids=["a short start", "1 %", "under 1 % of first tokens", "few first tokens", "under 1 %", "a network",
            "a near network", "meant hits"])  # fmt: skip
    def test_what_moves_no_figure_by_1_percent_voids_nothing(self, harmless) -> None:
        assert reasons(**harmless) == ()


class TestBounds:
    BOUNDS = PhysicalBounds({"tpot_ms.p50": 3.0}, {"output_throughput": 9000})

    @pytest.mark.parametrize(("figures", "said"), [
        ({"tpot_ms.p50": 2.9}, "tpot_ms.p50 is 2.9, and less than 3 is not possible"),
        ({"output_throughput": 9500}, "output_throughput is 9,500, and more than 9,000 is not possible"),
    ])  # fmt: skip
    def test_a_figure_that_beats_physics_voids(self, figures, said) -> None:
        (reason,) = bound_reasons(figures, self.BOUNDS)
        assert said in reason

    def test_figures_within_bounds_or_unknown_do_not(self) -> None:
        assert bound_reasons({"tpot_ms.p50": 2.98, "output_throughput": None}, self.BOUNDS) == ()


class TestHost:
    def test_a_quiet_machine_whose_engine_spins_voids_nothing(self) -> None:
        assert host_reasons(samples()) == ()
        assert host_reasons(samples(host__busy_s=1.98, host__idle_s=0.01, engine__cpu_s=1.9)) == ()

    def test_others_work_voids_and_is_named(self) -> None:
        others = (CpuUse(812, "cc1plus", 30.0), CpuUse(7, "kworker/0:1", 3.0))
        (reason,) = host_reasons(samples(host__busy_s=1.66, host__idle_s=0.33, foreign=others))
        assert reason.startswith("other processes took 0.55 of a processor while none of the 2 was to spare: "
                                 "cc1plus (process 812) 0.50, kworker/0:1 (process 7) 0.05;")  # fmt: skip

    def test_others_that_cannot_be_seen_are_said_to_be_there(self) -> None:
        (reason,) = host_reasons(samples(host__busy_s=1.66, host__idle_s=0.33))
        assert "processes that cannot be seen from here 0.55" in reason

    def test_others_work_beside_an_idle_processor_voids_nothing(self) -> None:
        neighbour = {"cores": 16, "host__busy_s": 4.0, "host__idle_s": 11.9}
        assert host_reasons(samples(**neighbour)) == ()
        assert host_reasons(samples(**neighbour, queued_s=0.7)) == (), "0.8 % of the time for others"

    def test_others_work_that_was_waited_for_voids_beside_an_idle_processor_too(self) -> None:
        (reason,) = host_reasons(samples(cores=16, host__busy_s=4.0, host__idle_s=11.9, queued_s=6.0))
        assert reason.startswith("other processes took 2.89 of a processor while engine 6.0 s and client 0.0 s of 60 s "
                                 "waited for one: ")  # fmt: skip

    def test_an_engine_that_waits_for_itself_accuses_nobody(self) -> None:
        spinning = {"host__busy_s": 1.98, "host__idle_s": 0.0, "engine__cpu_s": 1.9}
        assert host_reasons(samples(**spinning, queued_s=60.0)) == ()

    def test_without_the_engines_processes_nobody_is_accused(self) -> None:
        unknown = {"engine__cpu_s": np.full(61, np.nan)}
        assert host_reasons(samples(host__busy_s=1.9, host__idle_s=0.0, **unknown)) == ()

    def test_a_burst_too_short_to_be_told_voids_nothing(self) -> None:
        assert host_reasons(samples(seconds=1, host__busy_s=1.5, host__idle_s=0.4)) == ()

    def test_time_taken_by_the_hypervisor_voids(self) -> None:
        (reason,) = host_reasons(samples(host__steal_s=0.05))
        assert reason == "the hypervisor took 3.0 s of the 70.2 s that the processors were wanted for"


def card(trace, seconds: int = 600) -> dict[str, np.ndarray]:
    """The columns of a replayed card."""
    nvml = replay.Replay(trace=trace).look()
    reader, rows = open_card("GPU", nvml), []
    for _ in range(seconds + 1):
        rows.append(reader.read(()))
        nvml.advance()
    return {f"card__{name}": np.array([row[name] for row in rows]) for name in rows[0]}


class TestCard:
    @pytest.mark.parametrize("trace", [replay.h200, replay.heat_soak, replay.power_capped, replay.laptop])
    def test_a_steady_hot_capped_or_silent_card_voids_nothing(self, trace) -> None:
        assert card_reasons(samples(600, **card(trace))) == ()

    def test_a_throttling_at_minute_5_voids(self) -> None:
        (reason,) = card_reasons(samples(600, **card(replay.throttled_at_minute_5)))
        assert reason.startswith("the card slowed itself down in 300.0 s of 600 s "
                                 "(software thermal slowdown, up to 89 degrees C)")  # fmt: skip

    def test_without_a_counter_the_reasons_seen_are_enough(self) -> None:
        braking = np.where(np.arange(61) > 50, 0x88, 0)
        (reason,) = card_reasons(samples(card__clock_reasons=braking))
        assert reason.startswith("the card slowed itself down in 16% of the samples (hardware slowdown, power brake)")
        assert card_reasons(samples(card__clock_reasons=np.where(np.arange(61) > 58, 0x88, 0))) == ()

    @pytest.mark.parametrize(("moved", "said"), [
        ({"card__power_limit_w": (450, 350)}, "the card's power limit moved between 350 and 450 W"),
        ({"card__memory_clock_mhz": (10501, 9501), "card__busy_percent": (97, 97)}, "memory clock moved between 9501"),
        ({"card__clock_reasons": (0x0, 0x2)}, "somebody set or released the card's clocks"),
        ({"card__others_bytes": (300 << 20, 900 << 20)}, "memory of other processes on the card moved between 300"),
    ], ids=["power limit", "memory clock", "clocks", "memory"])  # fmt: skip
    def test_what_somebody_else_moves_voids(self, moved, said) -> None:
        (reason,) = card_reasons(samples(**{name: np.repeat(pair, [30, 31]) for name, pair in moved.items()}))
        assert said in reason

    @pytest.mark.parametrize("own", [
        {"card__memory_clock_mhz": (405, 10501), "card__busy_percent": (3, 97)},
        {"card__clock_reasons": (0x1, 0x2)},
        {"card__others_bytes": (300 << 20, 340 << 20)},
    ], ids=["idle before the load", "clocks set beforehand", "windows"])  # fmt: skip
    def test_what_a_card_does_by_itself_does_not(self, own) -> None:
        assert card_reasons(samples(**{name: np.repeat(pair, [30, 31]) for name, pair in own.items()})) == ()
