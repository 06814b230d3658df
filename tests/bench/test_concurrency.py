"""The test `concurrency` on the fake engine."""

import json

import numpy as np
import pytest

from dyno.bench.concurrency import most_clients, probe_load, probe_of, waiting
from dyno.bench.counters import Counters, read_gauges
from dyno.bench.load import Measurement
from dyno.bench.raw import load_raw
from dyno.bench.record import Load, Target
from dyno.bench.run import Part, Run
from dyno.bench.scenarios import run_test
from dyno.bench.stats import Records
from dyno.engine.metrics import Histogram
from dyno.workload import Limit, Workload

SMALL = Workload("small", input_len=512, output_len=4, concurrency=2, num_requests=8)
TTFT = (Limit("ttft_p50", 60.0, "at most"),)


def test_the_capacity_of_an_engine_that_serves_four_at_a_time_is_about_four(engine, tmp_path):
    """A prefill takes 40 ms; a client beyond the fourth waits for another's end, so that all wait now and then."""
    target = Target(engine("--max-num-seqs", "4", FAKE_TTFT_MS="40"), "m", token_ids=(100, 4000), shared_host=True)
    result = run_test("concurrency", Run(target, SMALL, 5, 2048, tmp_path, limits=TTFT))
    assert (result.void, result.errors) == ((), {})
    figures = result.figures
    assert 4 <= figures["capacity_concurrency"] <= 6
    assert figures["capacity_output_throughput"] == figures["output_throughput"] > 0
    assert figures["ttft_ms.p50"] <= 60
    assert figures["failed"] == 0
    kept = json.loads((tmp_path / "concurrency.json").read_text())
    assert kept["limits"] == {"ttft_p50": 60.0}
    assert [point["concurrency"] for point in kept["curve"]][:4] == [1, 2, 4, 8]
    assert len(kept["curve"]) == len(result.raw) == figures["probes"]
    first, full = kept["curve"][0]["figures"], kept["curve"][3]["figures"]
    assert first["queue_efficiency"] > 0.9 > full["queue_efficiency"]
    assert full["queue_ms"] > full["prefill_ms"] * 0.5
    assert len(load_raw(tmp_path / kept["curve"][3]["raw"])[0].outcomes) == 32


def test_without_limits_there_is_a_curve_and_its_knee_but_no_capacity(engine):
    target = Target(engine("--max-num-seqs", "2", FAKE_TTFT_MS="30"), "m", token_ids=(100, 4000), shared_host=True)
    figures = run_test("concurrency", Run(target, SMALL, 5, 2048)).figures
    assert (figures["capacity_concurrency"], figures["capacity_output_throughput"]) == (None, None)
    assert figures["knee_concurrency"] in (2, 4)
    assert figures["output_throughput"] == figures["knee_output_throughput"]


def test_where_one_client_is_too_many_the_capacity_is_nothing(engine):
    target = Target(engine(FAKE_TTFT_MS="60"), "m", token_ids=(100, 4000), shared_host=True)
    result = run_test("concurrency", Run(target, SMALL, 5, 2048, limits=(Limit("ttft_p50", 20.0, "at most"),)))
    assert result.void == ()
    assert (result.figures["capacity_concurrency"], result.figures["capacity_output_throughput"]) == (0, None)
    assert result.figures["probes"] == 1


def test_a_server_that_fails_every_request_voids_the_test(engine):
    target = Target(
        engine(FAKE_FAIL="dies_mid_stream", FAKE_FAIL_AFTER="1"), "m", token_ids=(100, 4000), shared_host=True
    )
    result = run_test("concurrency", Run(target, SMALL, 5, 2048, limits=TTFT))
    assert "12 of 12 requests failed" in result.void[0]
    assert sum(result.errors.values()) == 12


@pytest.mark.parametrize(("clients", "limit", "requests"), [
    (1, "ttft_p50", 12), (8, "ttft_p50", 32), (1, "ttft_p95", 40), (2, "tpot_p99", 100), (64, "e2el_p99", 256),
])  # fmt: skip
def test_a_probe_has_some_turnovers_and_enough_requests_for_its_percentile(clients, limit, requests):
    load = probe_load(SMALL, clients, (Limit(limit, 1.0, "at most"),))
    assert (load.concurrency, load.num_requests) == (clients, requests)


def probed(waits_s):
    """A load of 4 clients, a request a second, with these waits for a first token."""
    sent = np.arange(len(waits_s)) * 1_000_000_000
    first = sent + (np.array(waits_s) * 1e9).astype(np.int64)
    ones = np.ones(len(waits_s), dtype=np.int64)
    records = Records(sent, sent, first, first, ones, ones, ones, first, ("",) * len(waits_s))
    return probe_of(
        Part("x", Load(4, len(waits_s), 512, 4, 0), Measurement(records, Counters(), read_gauges(()), ()), None)
    )


def test_waits_that_grow_after_the_first_turn_are_over_saturation():
    assert probed([0.1 + 0.05 * turn for turn in range(40)]).over_saturated
    assert not probed([0.1, 0.2, 0.4, 0.8] + [1.0, 1.1] * 18).over_saturated  # the first turn alone fills the queue
    assert not probed([0.5] * 40).over_saturated


def test_no_probe_is_larger_than_a_load_may_be():
    assert most_clients(SMALL) == 1024
    assert most_clients(Workload("long", 100_000, 100, 1, 1)) == 124


def test_queue_efficiency_is_the_share_of_the_time_that_was_not_waiting():
    counted = Counters(queue=Histogram((1.0,), (10.0, 10.0), 3.0), prefill=Histogram((1.0,), (10.0, 10.0), 1.0))
    assert waiting(counted) == {"queue_ms": 300.0, "prefill_ms": 100.0, "queue_efficiency": 0.25}
    assert waiting(Counters()) == {"queue_ms": None, "prefill_ms": None, "queue_efficiency": None}
