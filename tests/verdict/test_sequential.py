"""What looking while pairs are made costs, worked out and simulated from the recorded spread of launches."""

import math
from collections import Counter
from statistics import stdev

import numpy as np
import pytest
from tests.verdict.launches import DRIFTS, SERIES, faster, interleaved

from dyno.verdict.sequential import Question, judge_looks, nominal_levels, pairs_needed, planned_looks

SIMULATIONS, DEFAULT = 500, 20


def question(max_pairs=DEFAULT, higher=True, margin=0.02):
    return Question("B", "A", "output_throughput", higher, max_pairs, margin)


def prove(rng, series, effect, drift, max_pairs):
    """A B, B A, ...: launches in runs of the series, the machine drifting from launch to launch."""
    return judge_looks(question(max_pairs), interleaved(rng, series, faster(series, effect), max_pairs, drift))


def answers(series, effect, drift, max_pairs=DEFAULT):
    rng = np.random.default_rng(4)
    return Counter(prove(rng, series, effect, drift, max_pairs).answer for _ in range(SIMULATIONS))


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("series", SERIES)
def test_a_configuration_against_itself_is_rarely_better_or_worse_however_often_one_looks(series, drift):
    counts = answers(series, 1.0, drift)
    assert counts["better"] + counts["worse"] <= 0.07 * SIMULATIONS, counts  # two standard errors above 5 %


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("series", SERIES)
def test_a_planted_five_percent_is_found_within_the_launches_that_are_said_to_be_needed(series, drift):
    many = interleaved(np.random.default_rng(8), series, series, 1000)
    spread = math.hypot(stdev(math.log(ours / theirs) for ours, theirs in many), drift)
    counts = answers(series, 1.05, drift, pairs_needed(math.log(1.05), spread))
    assert counts["better"] >= 0.8 * SIMULATIONS, counts


@pytest.mark.parametrize("series", SERIES)
def test_a_proof_that_was_too_short_says_how_many_pairs_more_find_a_planted_five_percent(series):
    rng = np.random.default_rng(10)
    found = 0
    for _ in range(SIMULATIONS):
        made = prove(rng, series, 1.05, -0.003, 8)
        if made.answer == "inconclusive" and made.more_pairs:
            made = prove(rng, series, 1.05, -0.003, made.pairs + made.more_pairs)
        found += made.answer == "better"
    assert found >= 0.8 * SIMULATIONS, found


@pytest.mark.parametrize("looks", [(4,), planned_looks(20), planned_looks(60)])
def test_all_looks_together_err_at_most_five_times_in_a_hundred(looks):
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(2000):
        logs = rng.normal(0, 0.2, looks[-1])
        pairs = [(math.exp(log), 1.0) for log in logs]
        wrong += judge_looks(question(looks[-1], margin=1e-9), pairs).answer != "inconclusive"
    assert wrong <= 0.06 * 2000  # two standard errors above 5 %


def test_a_maximum_that_is_raised_after_a_look_at_the_answer_errs_more_often_and_so_it_is_fixed():
    rng, wrong = np.random.default_rng(11), 0
    for _ in range(1000):
        pairs = [(math.exp(log), 1.0) for log in rng.normal(0, 0.2, 32)]
        raised = (judge_looks(question(most, margin=1e-9), pairs[:most]).answer for most in (8, 16, 32))
        wrong += any(answer != "inconclusive" for answer in raised)
    assert wrong > 0.07 * 1000


def test_what_is_exactly_at_the_margin_is_rarely_called_equivalent():
    rng = np.random.default_rng(6)
    at_margin = [[(1.02 * math.exp(log), 1.0) for log in rng.normal(0, 0.01, 20)] for _ in range(400)]
    called = sum(judge_looks(question(), pairs).answer == "equivalent" for pairs in at_margin)
    assert called <= 0.06 * 400


def test_the_error_is_spent_evenly_over_the_pairs():
    # The first crossing of a random walk, counted: an independent way to the same numbers.
    from scipy.special import ndtri

    looks, walks = (4, 6, 8, 10, 20), 200_000
    steps = np.sqrt(np.diff((0, *looks)))
    walk = np.cumsum(np.random.default_rng(7).normal(size=(walks, len(looks))) * steps, axis=1) / np.sqrt(looks)
    out = np.abs(walk) >= [-ndtri(level / 2) for level in nominal_levels(looks)]
    first = [np.mean(out[:, k] & ~out[:, :k].any(axis=1)) for k in range(len(looks))]
    assert first == pytest.approx([0.01, 0.005, 0.005, 0.005, 0.025], rel=0.1)


def test_looks_are_at_even_numbers_and_end_with_the_last_pair():
    assert planned_looks(20) == (4, 6, 8, 10, 12, 14, 16, 20)
    assert (planned_looks(3), planned_looks(2), planned_looks(1)) == ((3,), (2,), ())


def test_a_clear_difference_stops_at_the_first_look_and_keeps_its_figures():
    made = judge_looks(question(), [(150, 100), (151, 100), (149, 100), (150, 100), (10, 100)])
    assert (made.answer, made.pairs) == ("better", 4)
    assert made.low < 1.5 < made.high


def test_less_is_better_for_a_latency():
    pairs = [(80, 100), (81, 100), (79, 100), (80, 100)]
    assert judge_looks(question(higher=False), pairs).answer == "better"
    assert judge_looks(question(), pairs).answer == "worse"


def test_the_indifference_zone_is_settable():
    pairs = [(103.0, 100), (103.1, 100), (102.9, 100), (103.0, 100)]
    assert judge_looks(question(), pairs).answer == "better"
    assert judge_looks(question(margin=0.05), pairs).answer == "equivalent"


def test_before_the_first_look_there_is_a_ratio_and_no_interval():
    made = judge_looks(question(), [(150, 100)] * 3)
    assert (made.answer, made.low, made.more_pairs) == ("inconclusive", None, None)
    assert made.ratio == pytest.approx(1.5)
    assert judge_looks(question(), []).ratio is None


def test_an_inconclusive_end_says_how_many_pairs_more():
    made = judge_looks(question(4), [(108, 100), (98, 100), (104, 100), (102, 100)])
    assert made.answer == "inconclusive"
    assert 4 + made.more_pairs == pairs_needed(abs(math.log(made.ratio)), 0.0402)


@pytest.mark.parametrize("figure", [0.0, math.nan])
def test_a_figure_that_is_not_a_positive_number_is_refused(figure):
    with pytest.raises(ValueError, match="output_throughput"):
        judge_looks(question(), [(figure, 100)])


def test_of_several_metrics_each_needs_more_pairs_than_one_alone():
    """Holm asks each at its share of the error, and so many pairs are said to be missing."""
    pairs = [(100 * ratio, 100.0) for ratio in (1.09, 0.96, 1.08, 0.97)]
    alone, of_five = (judge_looks(question(max_pairs=4), pairs, alpha).more_pairs for alpha in (0.05, 0.01))
    assert of_five > alone
