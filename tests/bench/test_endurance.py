"""The tests `sustained` and `soak`."""

import json
import threading

import numpy as np
import pytest
from tests.bench.test_steady import noise

from dyno.bench.endurance import Sampler, burst_and_sustained, cut_short, leaks, load_of, throughput_series
from dyno.bench.record import Target
from dyno.bench.run import Run
from dyno.bench.scenarios import run_test
from dyno.bench.stats import Records
from dyno.errors import DynoError
from dyno.workload import MOST_TOKENS, Workload

WORKLOAD = Workload("small", input_len=64, output_len=8, concurrency=4, num_requests=12)


def records(*requests, tokens=None, outcomes=None):
    """Requests as (sent, token times ...) in seconds; `tokens` where an event holds several."""
    sent = np.array([request[0] for request in requests]) * 1e9
    content = [np.array(request[1:]) * 1e9 for request in requests]
    counts = np.array([len(each) for each in content])
    last = np.array([each[-1] for each in content]).astype(np.int64)
    sent, content = sent.astype(np.int64), np.concatenate(content).astype(np.int64)
    tokens = counts if tokens is None else tokens
    return Records(sent, sent, last, last, counts, tokens, counts, content, outcomes or ("",) * len(requests))


def test_tokens_are_counted_second_by_second_without_the_ramp_and_the_tail():
    one = (0.0, 1.0, 1.2, 2.2, 3.2)
    two = (0.0, 2.0, 2.5, 3.5, 4.5)  # the ramp ends with its first token
    three = (4.6, 5.5, 6.5, 7.5, 8.5)  # the tail begins when it is sent: 2.6 s, of which two whole ones count
    assert throughput_series(records(one, two, three)).tolist() == [3.0, 2.0]


def test_an_event_that_holds_several_tokens_counts_as_many():
    series = throughput_series(records((0.0, 1.0, 2.0, 3.0), (0.0, 1.0, 1.5), (3.1, 4.0), tokens=np.array([9, 2, 1])))
    assert series.tolist() == [3 + 2, 3.0]


def test_where_requests_failed_or_tokens_are_unknown_there_is_no_series():
    requests = ((0.0, 1.0, 2.0), (5.0, 6.0))
    assert not len(throughput_series(records(*requests, outcomes=("", "HTTP 500"))))
    assert not len(throughput_series(records(*requests, tokens=np.array([-1, 1]))))
    assert not len(throughput_series(records((0.0, 1.0))))


def test_what_falls_is_a_burst_and_then_the_sustained():
    series = 1000 + noise(60, 10)
    series[20:] -= 200
    figures = burst_and_sustained(series)
    assert figures["burst_throughput"] == pytest.approx(1000, abs=10)
    assert figures["sustained_throughput"] == pytest.approx(800, abs=10)
    assert figures["sustained_share"] == pytest.approx(0.8, abs=0.02)
    assert figures["change_s"] == pytest.approx(20, abs=1)


def test_what_only_rises_or_stays_has_no_burst():
    rising = np.concatenate([500 + noise(20, 10), 1000 + noise(40, 10, seed=1)])
    assert burst_and_sustained(rising)["burst_throughput"] is None
    assert burst_and_sustained(rising)["sustained_throughput"] == pytest.approx(1000, abs=10)
    steady = burst_and_sustained(1000 + noise(60, 10))
    assert (steady["burst_throughput"], steady["change_s"]) == (None, None)
    assert steady["sustained_throughput"] == pytest.approx(1000, abs=10)
    assert set(burst_and_sustained(np.empty(0)).values()) == {None}


def test_a_load_is_sized_by_its_rate_and_bounded():
    assert load_of(WORKLOAD, None, 60).num_requests == 8
    assert load_of(WORKLOAD, 50.0, 60).num_requests == 3000
    huge = load_of(WORKLOAD, 1e9, 3600)
    assert huge.num_requests * (huge.input_len + huge.output_len) <= MOST_TOKENS


def test_a_load_that_ends_before_its_time_says_so():
    huge = load_of(WORKLOAD, 10_000.0, 600)
    (reason,) = cut_short(huge, 10_000.0, 600)
    assert reason.startswith("it ended after about 69 of 600 s, as one load has at most 50,000,000 tokens")
    assert cut_short(load_of(WORKLOAD, 50.0, 60), 50.0, 60) == ()
    assert cut_short(load_of(WORKLOAD, None, 60), 0.0, 60) == ()


def test_a_leaking_gauge_has_its_slope_by_the_hour_and_one_that_stays_has_none():
    steps = np.arange(1200)
    leaking = list(zip(steps.tolist(), (8e9 + 1000 * steps + noise(1200, 1e4)).tolist(), strict=True))
    staying = [(second, 5_000_000) for second in steps.tolist()]
    figures = leaks({"rss_bytes": leaking, "device_bytes": staying, "unread": []})
    assert 0 < figures["rss_bytes_per_h.low"] <= 3.6e6 <= figures["rss_bytes_per_h.high"]
    assert (figures["device_bytes_per_h.slope"], figures["device_bytes_per_h.low"]) == (0.0, 0.0)
    assert figures["unread_per_h.slope"] is None


def test_gauges_are_read_until_the_end_and_what_cannot_be_read_is_left_out():
    enough = threading.Event()
    reads = []

    def rss():
        reads.append(len(reads))
        if len(reads) == 3:
            enough.set()
        return 100 + len(reads)

    with Sampler({"rss_bytes": rss, "device_bytes": lambda: None}, period_s=0.001) as sampler:
        assert enough.wait(10)
    assert [value for _, value in sampler.samples["rss_bytes"]][:3] == [101, 102, 103]
    assert len(sampler.samples["rss_bytes"]) == len(reads)
    assert sampler.samples["device_bytes"] == []


def test_sustained_runs_about_as_long_as_it_was_told(engine, tmp_path):
    target = Target(engine(FAKE_TTFT_MS="20", FAKE_TPOT_MS="5"), "m", token_ids=(100, 4000), shared_host=True)
    result = run_test("sustained", Run(target, WORKLOAD, 5, 2048, tmp_path, duration_s=2.0))
    assert (result.void, result.errors) == ((), {})
    assert result.figures["completed"] > 50
    assert 1 <= result.figures["duration_s"] <= 6
    series = json.loads((tmp_path / "sustained-series.json").read_text())["output_throughput"]
    assert result.figures["sustained_throughput"] == pytest.approx(np.mean(series), rel=1e-3)
    assert [path.name for path in result.raw] == ["sustained-pilot.npz", "sustained.npz"]


def test_soak_goes_round_by_round_until_its_time_is_up(engine, tmp_path):
    target = Target(engine(), "m", token_ids=(100, 4000), shared_host=True)
    run = Run(target, WORKLOAD, 5, 2048, tmp_path, duration_s=1.5, gauges={"rss_bytes": lambda: 1000})
    result = run_test("soak", run)
    figures = result.figures
    assert (result.void, result.errors) == ((), {})
    assert figures["rounds"] == len(result.raw) >= 2
    assert figures["output_tokens"] == 8 * figures["completed"] > 8 * 8
    assert figures["output_throughput"] == pytest.approx(figures["output_tokens"] / figures["duration_s"])
    assert {"rss_bytes_per_h.slope", "rss_bytes_per_h.low", "rss_bytes_per_h.high"} <= set(figures)
    assert "rss_bytes" in json.loads((tmp_path / "soak-memory.json").read_text())


def test_a_soak_that_crashes_keeps_what_it_sampled(tmp_path):
    run = Run(Target("http://127.0.0.1:9", "m"), WORKLOAD, 5, 2048, tmp_path, gauges={"rss_bytes": lambda: 1000})
    with pytest.raises(DynoError):
        run_test("soak", run)
    assert json.loads((tmp_path / "soak-memory.json").read_text()) == {"rss_bytes": []}
