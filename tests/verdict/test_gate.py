"""A configuration proven against itself in several metrics, and by throughputs at the limits: 200 simulated proofs."""

import math
from functools import partial
from statistics import fmean, stdev

import numpy as np
import pytest
from tests.verdict.launches import DRIFTS, SERIES, interleaved

from dyno.bench.capacity import Probe, crossing, next_near, rate_at
from dyno.verdict.holm import holm
from dyno.verdict.sequential import ALPHA, Question, judge_looks, pairs_needed
from dyno.workload import Limit

PROOFS, PAIRS = 200, 20
TTFT = (Limit("ttft_p50", 500.0, "at most"),)


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("series", SERIES)
def test_several_metrics_of_the_same_launches_are_rarely_called_different(series, drift):
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(PROOFS):
        rates = interleaved(rng, series, series, PAIRS, drift)
        waits = [tuple(rng.normal(1, 0.01) / rate for rate in pair) for pair in rates]
        tails = [tuple(rng.normal(1, 0.05) / rate for rate in pair) for pair in rates]
        asked = {"output_throughput": (rates, True), "ttft_p50": (waits, False), "ttft_p95": (tails, False)}
        judges = {metric: partial(judge_looks, Question("B", "A", metric, higher, PAIRS), pairs)
                  for metric, (pairs, higher) in asked.items()}  # fmt: skip
        wrong += any(made.answer in ("better", "worse") for made in holm(judges, ALPHA).values())
    assert wrong <= 16, wrong


def at_the_limit(rng, speed):
    """The throughput within TTFT of a launch that is so many times as fast as the mean."""
    probes = []
    while (clients := next_near(probes, TTFT, 20)) is not None:
        step_ms = (10 + 0.3 * min(clients, 32)) / speed
        rate = 1000 * min(clients, 32) / step_ms
        ttft_ms = (15 * step_ms + 20_000 * max(0, clients - 32) / rate) * rng.normal(1, 0.02)
        probes.append(Probe(clients, {"ttft_ms.p50": ttft_ms, "output_throughput": rate * rng.normal(1, 0.004)}))
    return rate_at(probes, "output_throughput", crossing(probes, TTFT))


def searched(series, effect=1.0):
    """Throughputs at the limit of launches whose speeds are those recorded, in their order, some hundreds of them."""
    rng = np.random.default_rng(2)
    speeds = np.tile(series, -(-300 // len(series))) / fmean(series) * effect
    return [at_the_limit(rng, speed) for speed in speeds]


def found(even, fast, drift, pairs=PAIRS):
    """What the proofs say of the second, whose launches are those of the first but for the configuration."""
    rng, question = np.random.default_rng(3), Question("B", "A", "output_throughput", True, pairs)
    return [judge_looks(question, interleaved(rng, even, fast, pairs, drift)).answer for _ in range(PROOFS)]


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("series", SERIES)
def test_throughputs_at_the_limits_are_rarely_called_different_from_themselves(series, drift):
    launches = searched(series)
    answers = found(launches, launches, drift)
    assert answers.count("better") + answers.count("worse") <= 16, answers


@pytest.mark.parametrize("series", SERIES)
def test_a_planted_five_percent_is_found_at_the_limits_within_the_launches_that_are_said_to_be_needed(series):
    even, fast = searched(series), searched(series, 1.05)
    gain = fmean(map(math.log, fast)) - fmean(map(math.log, even))
    many = interleaved(np.random.default_rng(8), even, even, 1000)
    pairs = pairs_needed(gain, stdev(math.log(ours / theirs) for ours, theirs in many))
    assert found(even, fast, 0.0, pairs).count("better") >= 0.8 * PROOFS
