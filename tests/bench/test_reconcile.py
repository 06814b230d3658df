"""The client's latencies and the server's histograms of the same requests."""

import dataclasses

import pytest
from tests.bench.test_stats import records

from dyno.bench.counters import Counters, read_counters
from dyno.bench.reconcile import reconcile
from dyno.engine.metrics import Histogram

# 20 requests: ttft 21 ms (one 210), then 3 tokens 10 ms apart, the last byte 2 ms after the last of them.
TTFT = [21] * 19 + [210]
SEEN = records(*((0, [ttft, ttft + 10, ttft + 20, ttft + 30], ttft + 32, 4, "") for ttft in TTFT))
BOUNDS = (0.01, 0.02, 0.04, 0.08, 0.25)
# The server saw each 2 ms earlier: most of its ttft lie in the bucket below the client's.
SERVED = Counters(
    generation_tokens=80,
    ttft=Histogram(BOUNDS, (0, 19, 19, 19, 20, 20), 19 * 0.019 + 0.208),
    itl=Histogram(BOUNDS, (60, 60, 60, 60, 60, 60), 0.6),
    e2el=Histogram(BOUNDS, (0, 0, 0, 19, 20, 20), 19 * 0.049 + 0.238),
)


def test_means_are_a_ratio_and_an_excess() -> None:
    figures = reconcile(SEEN, SERVED)
    assert figures["reconcile.ttft_mean_excess_ms"] == pytest.approx(2)
    assert figures["reconcile.ttft_mean_ratio"] == pytest.approx(30.45 / 28.45)
    assert figures["reconcile.itl_mean_ratio"] == pytest.approx(1)
    assert figures["reconcile.e2el_mean_excess_ms"] == pytest.approx(4)


def test_percentiles_tell_how_many_buckets_lie_between() -> None:
    figures = reconcile(SEEN, SERVED)
    assert {name: figures[f"reconcile.{name}_buckets"] for name in ("ttft_p50", "ttft_p99", "itl_p95", "e2el_p90")} == {
        "ttft_p50": 1, "ttft_p99": 0, "itl_p95": 0, "e2el_p90": 0}  # fmt: skip


def test_a_latency_observed_more_or_less_often_is_left_out() -> None:
    others = dataclasses.replace(SERVED, ttft=Histogram(BOUNDS, (0, 0, 0, 0, 0, 21), 9.0))
    two_a_step = dataclasses.replace(others, itl=Histogram(BOUNDS, (40, 40, 40, 40, 40, 40), 0.6))
    assert {name.split("_")[0] for name in reconcile(SEEN, two_a_step)} == {"reconcile.e2el"}


def test_without_histograms_there_is_nothing() -> None:
    assert reconcile(SEEN, Counters(generation_tokens=80)) == {}
    assert read_counters("http://127.0.0.1:9") == Counters()


def test_counters_and_histograms_are_what_was_added_since() -> None:
    half = Counters(generation_tokens=30, ttft=Histogram(BOUNDS, (0, 4, 4, 4, 4, 4), 0.076))
    added = SERVED.since(half)
    assert (added.generation_tokens, added.prompt_tokens, added.e2el) == (50, None, None)
    assert added.ttft == Histogram(BOUNDS, (0, 15, 15, 15, 16, 16), SERVED.ttft.sum - 0.076)
