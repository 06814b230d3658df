"""Card and host over time, with a replayed card, a recorded host and a clock of the test's own."""

import os
from time import thread_time

import numpy as np
import pytest
from tests.hardware.replay import Replay, heat_soak, laptop, power_capped, throttled_at_minute_5

from dyno.hardware.nvml import open_card
from dyno.hardware.sampler import PERIOD_S, Host, Sampler, watch


def sampled(trace, seconds: int, step: int = 1, **more):
    """The samples of a replayed card."""
    nvml = Replay(trace=trace).look()
    sampler = Sampler(Host({"client": os.getpid()}), open_card("GPU", nvml), clock=nvml.clock_ns, **more)
    for _ in range(0, seconds, step):
        sampler.sample()
        nvml.advance(step)
    return sampler.samples


def test_a_heat_soak_is_seen_in_temperature_and_clocks():
    seen = sampled(heat_soak, 600, step=10)
    assert seen.duration_s == 590
    assert seen.columns["card.temperature_c"][[0, -1]].tolist() == [40, 79]
    assert seen.columns["card.sm_clock_mhz"][[0, -1]].tolist() == [1980, 1920]
    assert seen.peaks()["temperature_peak_c"] == 79
    assert seen.gained("card.energy_j") == pytest.approx(610 * 590)


def test_a_power_cap_is_counted():
    seen = sampled(power_capped, 60)
    assert (seen.gained("card.power_capped_s"), seen.mean("card.power_w")) == (59, 699)


def test_a_throttling_at_minute_5_is_seen_when_it_comes():
    seen = sampled(throttled_at_minute_5, 600, step=10)
    hot = seen.columns["card.clock_reasons"] == 0x20
    assert seen.at_ns[hot][0] == 310e9
    assert seen.gained("card.too_hot_s") == 290


def test_what_a_card_does_not_support_is_nan_and_is_asked_once():
    asked = []
    nvml = Replay(trace=laptop).look()
    answer, nvml.answers = nvml.answers, lambda card, name: (asked.append(name), answer(card, name))[1]
    card = open_card("GPU", nvml)
    once = len(asked)
    assert set(card.read(())) == {"temperature_c", "sm_clock_mhz", "memory_used_bytes"}
    assert len(asked) == once
    seen = sampled(laptop, 5)
    assert np.isnan(seen.columns["card.power_w"]).all()
    assert (seen.peak("card.power_w"), seen.gained("card.energy_j"), seen.mean("card.nothing")) == (None, None, None)


def test_memory_of_others_is_told_where_process_ids_are_ours():
    nvml = Replay(trace=laptop).look()
    card = open_card("GPU", nvml)
    nvml.cards[0].compute, nvml.cards[0].graphics = [(10, 500), (11, 300)], [(12, 7), (11, 300)]
    assert card.read({10})["others_bytes"] == 307
    assert "others_bytes" not in card.read({99})


def test_a_full_buffer_keeps_every_other_sample():
    seen = sampled(heat_soak, 11, capacity=8)
    assert (seen.at_ns / 1e9).tolist() == [0, 2, 4, 6, 8, 9, 10]


def write_process(root, pid, parent, ticks, name="p"):
    folder = root / str(pid)
    folder.mkdir(exist_ok=True)
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} " + "0 " * 9 + f"{ticks} 0 0 0 " + "0 " * 6 + "3 0 0")


@pytest.fixture
def proc(tmp_path):
    """A /proc with a client (10), its engine (11, 12) and somebody else (20)."""

    def write(busy, engine, other):
        cpus = "".join(f"cpu{number} {busy} 0 0 0 0 0 0 0 0 0\n" for number in os.sched_getaffinity(0))
        (tmp_path / "stat").write_text(cpus)
        (tmp_path / "meminfo").write_text("MemAvailable: 1 kB\n")
        for pid, parent, ticks in ((1, 0, 0), (10, 1, 0), (11, 10, engine), (12, 11, engine), (20, 1, other)):
            write_process(tmp_path, pid, parent, ticks)
        return tmp_path

    return write


def test_others_work_is_told_apart_from_the_engines_and_named(proc):
    host = Host({"client": 10, "engine": 11}, proc(0, 0, 0))
    sampler = Sampler(host, None)
    sampler.look()
    cores = len(os.sched_getaffinity(0))
    proc(1000, 200 * cores, 600 * cores)
    sampler.look()
    seen = sampler.samples
    assert (seen.gained("host.busy_s"), seen.gained("engine.cpu_s")) == (10 * cores, 4 * cores)
    assert seen.gained("client.cpu_s") == 0
    assert seen.foreign_cpu_s == pytest.approx(6 * cores)
    assert [(use.pid, use.cpu_s) for use in seen.foreign] == [(20, 6 * cores)]
    assert seen.peaks()["rss_peak_bytes"] == 2 * 3 * os.sysconf("SC_PAGE_SIZE")


def test_an_engine_that_is_gone_tells_nothing(proc):
    root = proc(0, 0, 0)
    sampler = Sampler(Host({"client": 10, "engine": 99}, root), None)
    sampler.look()
    sampler.look()
    assert sampler.samples.peaks() == dict.fromkeys(sampler.samples.peaks())
    assert sampler.samples.foreign_cpu_s is None


def test_this_machine_is_watched_from_entry_to_exit():
    with watch(None, None) as sampler:
        pass
    seen = sampler.samples
    assert len(seen.at_ns) == 2
    assert seen.peak("host.available_bytes") > 0
    assert seen.peak("client.rss_bytes") > 0
    assert "engine.cpu_s" not in seen.columns


def test_waiting_is_what_was_added_since_the_first_look(proc):
    root = proc(0, 0, 0)
    sampler = Sampler(Host({"client": 10, "engine": 11}, root), None)
    for waited_s in (1, 4):
        for pid in (11, 12):
            (root / str(pid) / "task" / str(pid)).mkdir(parents=True, exist_ok=True)
            (root / str(pid) / "task" / str(pid) / "schedstat").write_text(f"9 {waited_s}000000000 0")
        sampler.look()
    assert sampler.samples.queued_s == {"engine": 6}


def test_a_sample_a_second_takes_less_than_a_hundredth_of_a_processor():
    sampler, began = Sampler(Host({"client": os.getpid()}), None), thread_time()
    for _ in range(50):
        sampler.sample()
    assert (thread_time() - began) / 50 < 0.01 * PERIOD_S
