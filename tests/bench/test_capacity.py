"""The search for the largest concurrency, on made-up engines."""

import math
import random
from statistics import fmean, stdev

import pytest

from dyno.bench.capacity import Probe, capacity, crossing, ended_at, knee, next_near, next_probe, rate_at
from dyno.workload import Limit

TTFT = Limit("ttft_p95", 500.0, "at most")
NEVER_KNOWN = {"ttft_ms.p95": None, "output_throughput": None}


def search(measure, limits=(TTFT,), most=1024, start=None):
    """All probes until the search ends, in order; near a start, where there is one."""
    probes = []
    while (clients := next_probe(probes, limits, most) if start is None
           else next_near(probes, limits, start, most)) is not None:  # fmt: skip
        assert len(probes) < 40
        probes.append(measure(clients))
    return probes


def engine(ttft_ms, rate=lambda clients: 100.0 * clients):
    """An engine whose latency and throughput are functions of the clients."""
    return lambda clients: Probe(clients, {"ttft_ms.p95": ttft_ms(clients), "output_throughput": rate(clients)})


@pytest.mark.parametrize("largest", [1, 2, 3, 5, 8, 13, 16])
def test_the_largest_that_meets_the_limit_is_found_exactly(largest):
    probes = search(engine(lambda clients: 400 if clients <= largest else 900))
    assert capacity(probes, (TTFT,)) == largest
    assert len(probes) <= 10


@pytest.mark.parametrize("largest", [100, 257, 700])
def test_a_large_one_is_found_to_a_sixteenth(largest):
    probes = search(engine(lambda clients: 400 if clients <= largest else 900))
    assert largest * 15 / 16 <= capacity(probes, (TTFT,)) <= largest
    assert len(probes) <= 16


def test_it_climbs_by_doubling_and_then_bisects():
    probes = search(engine(lambda clients: 60 * clients))
    assert [probe.concurrency for probe in probes] == [1, 2, 4, 8, 16, 12, 10, 9, 9]


def test_when_not_even_one_client_meets_the_limit_there_is_no_capacity():
    probes = search(engine(lambda _: 900))
    assert [probe.concurrency for probe in probes] == [1]
    assert capacity(probes, (TTFT,)) == 0


def test_a_limit_whose_figure_is_unknown_is_not_met():
    assert capacity(search(lambda clients: Probe(clients, NEVER_KNOWN)), (TTFT,)) == 0


def test_where_every_limit_is_met_the_search_ends_at_the_bound():
    probes = search(engine(lambda _: 1), most=100)
    assert [probe.concurrency for probe in probes] == [1, 2, 4, 8, 16, 32, 64, 100]
    assert capacity(probes, (TTFT,)) == 100


def test_all_limits_must_hold_and_only_latencies_steer():
    limits = (TTFT, Limit("tpot_p50", 20.0, "at most"), Limit("output_throughput", 1e9, "at least"),
              Limit("vram", 1.0, "at most"))  # fmt: skip
    probes = search(lambda clients: Probe(clients, {"ttft_ms.p95": 1, "tpot_ms.p50": 3 * clients}), limits)
    assert capacity(probes, limits) == 6


def test_failed_requests_do_not_hold_whatever_the_latencies():
    probes = search(lambda clients: Probe(clients, {"ttft_ms.p95": 1.0}, failed=int(clients > 5)))
    assert capacity(probes, (TTFT,)) == 5


def test_waits_that_still_grow_end_the_climb_though_the_limit_is_met():
    probes = search(lambda clients: Probe(clients, {"ttft_ms.p95": 1.0}, over_saturated=clients > 6))
    assert capacity(probes, (TTFT,)) == 6
    assert max(probe.concurrency for probe in probes) == 8


def test_a_close_miss_is_looked_at_once_more_and_the_means_decide():
    waits = {1: [100], 2: [540, 440], 4: [900], 3: [530, 520]}
    probes = search(lambda clients: Probe(clients, {"ttft_ms.p95": waits[clients].pop(0)}))
    assert [probe.concurrency for probe in probes] == [1, 2, 2, 4, 3, 3]
    assert capacity(probes, (TTFT,)) == 2


@pytest.mark.parametrize("seed", range(20))
def test_with_noise_the_answer_stays_near_and_the_search_ends(seed):
    chance = random.Random(seed)
    probes = search(engine(lambda clients: 10 * clients * chance.gauss(1, 0.05)))
    assert 40 <= capacity(probes, (TTFT,)) <= 60
    assert len(probes) <= 20


def test_a_curve_that_goes_up_and_down_gives_the_largest_below_the_first_miss():
    probes = [Probe(clients, {"ttft_ms.p95": ttft}) for clients, ttft in ((1, 10), (2, 20), (4, 800), (8, 30))]
    assert next_probe(probes, (TTFT,)) == 3
    assert capacity(probes, (TTFT,)) == 2


def test_without_limits_it_climbs_as_long_as_there_is_something_to_gain():
    probes = search(engine(lambda clients: 10.0 * clients, lambda clients: min(clients, 8) * 100.0), limits=())
    assert [probe.concurrency for probe in probes] == [1, 2, 4, 8, 16, 32]
    assert knee(probes) == 8
    assert [probe.concurrency for probe in search(engine(lambda _: 1), (), most=16)] == [1, 2, 4, 8, 16]


def test_where_clients_may_queue_for_ever_more_are_not_asked_for_without_a_gain():
    tpot = (Limit("tpot_p50", 20.0, "at most"),)
    probes = search(lambda clients: Probe(clients, {"tpot_ms.p50": 9, "output_throughput": min(clients, 8)}), tpot)
    assert (probes[-1].concurrency, capacity(probes, tpot)) == (32, 32)
    waits = search(engine(lambda clients: 5 * clients, lambda clients: min(clients, 8)))
    assert 94 <= capacity(waits, (TTFT,)) <= 100


def test_without_limits_growing_waits_end_the_climb():
    probes = search(lambda clients: Probe(clients, {"output_throughput": clients}, over_saturated=clients > 3), ())
    assert [probe.concurrency for probe in probes] == [1, 2, 4]


def test_a_curve_too_short_for_a_knee_gives_its_best_and_none_gives_none():
    assert knee([Probe(1, {"output_throughput": 10.0}), Probe(2, {"output_throughput": 15.0})]) == 2
    assert knee([Probe(1, {"output_throughput": 10.0}, failed=1)]) is None
    assert knee([Probe(1, NEVER_KNOWN)]) is None


@pytest.mark.parametrize("start", [1, 16, 40, 90, 300])
def test_near_a_start_the_limit_is_read_off_between_whole_numbers(start):
    probes = search(engine(lambda clients: 12.1 * clients), start=start)  # 500 ms at 41.3 clients
    assert crossing(probes, (TTFT,)) == pytest.approx(41.3, rel=0.01)
    assert rate_at(probes, "output_throughput", 41.3) == pytest.approx(4130, rel=0.02)
    assert probes[0].concurrency == start
    assert len(probes) <= 8


def test_where_an_earlier_launch_has_shown_the_way_two_probes_are_enough():
    assert [probe.concurrency for probe in search(engine(lambda clients: 12.1 * clients), start=41)] == [41, 51]
    assert [probe.concurrency for probe in search(engine(lambda clients: 12.1 * clients), start=42)] == [42, 34]


def test_near_a_start_more_clients_are_not_asked_for_when_they_only_queue():
    probes = search(engine(lambda clients: clients, lambda clients: min(clients, 20) * 100.0), start=16)
    assert [probe.concurrency for probe in probes] == [16, 32, 64]
    assert ended_at(probes, (TTFT,)) == 32  # 64 have no more throughput
    bound = search(engine(lambda clients: clients), start=90, most=64)
    assert ([probe.concurrency for probe in bound], ended_at(bound, (TTFT,))) == ([64], 64)


def test_near_a_start_one_client_too_many_is_no_capacity():
    probes = search(engine(lambda clients: 501 + clients), start=16)
    assert probes[-1].concurrency == 1
    assert (crossing(probes, (TTFT,)), ended_at(probes, (TTFT,))) == (0.0, None)


def test_a_probe_with_failures_bounds_what_is_read_off_and_gives_no_point_of_the_curve():
    probes = search(lambda clients: Probe(clients, {"ttft_ms.p95": 20.0 * clients, "output_throughput": 10.0 * clients},
                                          failed=int(clients > 22)), start=20)  # fmt: skip
    assert (crossing(probes, (TTFT,)), rate_at(probes, "output_throughput", 22)) == (22, 220)


def test_latencies_that_noise_has_out_of_order_are_pooled():
    probes = [Probe(clients, {"ttft_ms.p95": 500 * strain}) for clients, strain in ((8, 0.8), (16, 1.05), (20, 0.97))]
    assert 8 < crossing([*probes, Probe(32, {"ttft_ms.p95": 900})], (TTFT,)) < math.sqrt(16 * 20)


def queueing(clients):
    """64 at a time and the rest waits: the limit is met while throughput has long been level."""
    rate = min(clients, 64) / (10 + 0.2 * min(clients, 64))
    return 300 + 30 * max(0, clients - 64) / rate, 1000 * rate


def batching(clients):
    """Every client more makes all others slower: the limit is met while throughput still rises."""
    return 40 * (10 + 0.2 * clients) - 60, 1000 * clients / (10 + 0.2 * clients)


def launches(model, speed, start, noise, seed):
    """Throughputs within the limit of 200 launches that differ by 0.7 %, each on an engine of this speed."""
    chance = random.Random(seed)
    for _ in range(200):
        pace = speed * math.exp(chance.gauss(0, 0.007))

        def measure(clients, pace=pace):
            ttft_ms, rate = model(clients)
            return Probe(clients, {"ttft_ms.p95": ttft_ms / pace * math.exp(chance.gauss(0, noise)),
                                   "output_throughput": rate * pace * math.exp(chance.gauss(0, 0.004))})  # fmt: skip

        probes = search(measure, start=start)
        yield math.log(rate_at(probes, "output_throughput", crossing(probes, (TTFT,))))


@pytest.mark.parametrize("start", [16, 70])
def test_where_clients_queue_throughput_within_a_limit_scatters_as_launches_do(start):
    assert stdev(launches(queueing, 1.0, start, 0.05, seed=1)) < 1.2 * 0.008


@pytest.mark.parametrize("start", [16, 23])
def test_where_throughput_rises_a_limit_magnifies_differences_and_scatter_alike(start):
    """A planted 5 % stands out as well as at one concurrency, where it is 6 times what launches differ by."""
    even, fast = (list(launches(batching, speed, start, 0.01, seed=2)) for speed in (1.0, 1.05))
    gain = fmean(fast) - fmean(even)
    assert gain > 0.08
    assert gain > 4.5 * stdev(even)
