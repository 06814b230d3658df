"""The test `concurrency` on the fake engine."""

import json

import numpy as np
import pytest

from dyno.bench.again import measured_again
from dyno.bench.answer import Transcript
from dyno.bench.capacity import Probe
from dyno.bench.concurrency import WaitsWatch, affordable, most_clients, probe_load, probe_of, waiting
from dyno.bench.counters import Counters, read_gauges
from dyno.bench.load import Measurement
from dyno.bench.raw import load_raw
from dyno.bench.record import Load, Search, Target
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


def test_throughput_at_the_limit_is_looked_for_near_a_start_and_had_again_from_the_raw_files(engine, tmp_path):
    """A prefill takes 40 ms; a client beyond the fourth waits for another's end, so that all wait now and then."""
    target = Target(engine("--max-num-seqs", "4", FAKE_TTFT_MS="40"), "m", token_ids=(100, 4000), shared_host=True)
    run = Run(target, SMALL, 5, 2048, tmp_path / "000-throughput", limits=TTFT, at_limits=Search(8))
    result = run_test("throughput", run)
    figures = result.figures
    assert (result.scenario, result.void) == ("throughput", ())
    assert 3.5 <= figures["capacity_concurrency"] <= 7
    assert figures["capacity_output_throughput"] == figures["output_throughput"] > 0
    assert figures["ttft_ms.p50"] <= 60
    assert figures["bound_concurrency"] is None
    kept = json.loads((run.raw_folder / "concurrency.json").read_text())
    assert kept["curve"][0]["concurrency"] == 8
    assert measured_again(tmp_path).tests["000-throughput"] == result


def test_throughput_at_the_limit_is_nothing_where_one_client_is_too_many(engine):
    target = Target(engine(FAKE_TTFT_MS="60"), "m", token_ids=(100, 4000), shared_host=True)
    limits = (Limit("ttft_p50", 20.0, "at most"),)
    figures = run_test("throughput", Run(target, SMALL, 5, 2048, limits=limits, at_limits=Search(2))).figures
    assert (figures["output_throughput"], figures["capacity_concurrency"]) == (0.0, 0.0)
    assert figures["ttft_ms.p50"] > 20


def test_no_more_clients_are_asked_for_than_the_search_is_bound_to(engine):
    target = Target(engine(FAKE_TTFT_MS="1"), "m", token_ids=(100, 4000), shared_host=True)
    figures = run_test("throughput", Run(target, SMALL, 5, 2048, limits=TTFT, at_limits=Search(16, 4))).figures
    assert (figures["bound_concurrency"], figures["capacity_concurrency"], figures["probes"]) == (4, 4.0, 1)


def test_a_search_does_not_climb_to_loads_that_would_take_too_long():
    """Four requests a second: twenty seconds are 26 clients with three turns each."""
    slow = [Probe(8, {"request_throughput": 4.0})]
    assert (affordable(slow), affordable([])) == (26, 1024)
    assert affordable([Probe(64, {"request_throughput": 4.0})]) == 64


def waited(watch, waits_s, index):
    """A request of a watched load, sent a second after the one before, that waited so long for its first byte."""
    sent_ns = index * 1_000_000_000
    watch.see(Transcript(index, sent_ns, sent_ns=sent_ns, stamps=[sent_ns + int(waits_s * 1e9)]))


def test_a_load_whose_waits_grow_ends_while_it_runs_and_one_whose_waits_scatter_does_not():
    chance = np.random.default_rng(3)
    growing, early = WaitsWatch(4), 0
    for index in range(40):
        waited(growing, 0.5 + 0.1 * index * chance.normal(1, 0.1), index)
        early += growing.enough()
    assert early > 10
    wrong = 0
    for _ in range(200):
        steady = WaitsWatch(4)
        for index in range(40):
            waited(steady, abs(chance.normal(0.5, 0.2)), index)
            if index % 4 == 0 and steady.enough():
                wrong += 1
                break
    assert wrong <= 4


def test_what_ended_a_load_early_is_in_its_records(engine):
    """Every answer takes longer than the one before: the load of 400 is over long before."""
    target = Target(engine("--max-num-seqs", "1", FAKE_TTFT_MS="30"), "m", token_ids=(100, 4000), shared_host=True)

    class Ends:
        def __init__(self):
            self.seen = 0

        def see(self, _):
            self.seen += 1

        def enough(self):
            return True

    watch = Ends()
    part = Run(target, SMALL, 5, 2048).measure("x", Load(2, 400, 64, 2, 0), watch)
    assert 2 <= watch.seen == len(part.measured.records.outcomes) < 400
    assert part.measured.void == ()
    assert probe_of(part).over_saturated
