import math

import pytest

from dyno.verdict.compare import MOST_PAIRS, Comparison, compare


def judge(pairs, higher_is_better=True):
    return compare("fast", "baseline", "output_throughput", pairs, higher_is_better)


def test_interval_is_student_t_on_log_ratios():
    # Worked by hand: logs of 1.50, 1.55, 1.52 have mean 0.4208, standard deviation 0.016420; t(2, 97.5 %) = 4.30265.
    verdict = judge([(150, 100), (310, 200), (152, 100)])
    logs = [math.log(ratio) for ratio in (1.50, 1.55, 1.52)]
    mean = sum(logs) / 3
    half = 4.302653 * math.sqrt(sum((log - mean) ** 2 for log in logs) / 2 / 3)
    assert verdict.answer == "better"
    assert verdict.ratio == pytest.approx(math.exp(mean))
    assert (verdict.low, verdict.high) == pytest.approx((math.exp(mean - half), math.exp(mean + half)))
    assert (verdict.pairs, verdict.launches, verdict.more_pairs) == (3, 6, None)


def test_swapping_the_sides_inverts_ratio_and_answer():
    pairs = [(150, 100), (160, 100), (155, 100)]
    there, back = judge(pairs), judge([(b, a) for a, b in pairs])
    assert (there.answer, back.answer) == ("better", "worse")
    assert there.ratio * back.ratio == pytest.approx(1)
    assert there.low * back.high == pytest.approx(1)


@pytest.mark.parametrize(("pairs", "answer"), [
    ([(50, 100), (52, 100), (51, 100)], "better"),
    ([(150, 100), (152, 100), (151, 100)], "worse"),
])  # fmt: skip
def test_less_is_better_for_a_latency(pairs, answer):
    assert judge(pairs, higher_is_better=False).answer == answer


def test_a_sure_difference_too_small_to_matter_is_equivalent():
    verdict = judge([(100.99, 100), (101.0, 100), (101.01, 100)])
    assert verdict.answer == "equivalent"
    assert verdict.low > 1


def test_an_interval_across_one_and_beyond_the_margin_is_inconclusive_and_says_how_much_more():
    verdict = judge([(110, 100), (98, 100), (104, 100), (99, 100)])
    assert verdict.answer == "inconclusive"
    assert verdict.low < 1 < verdict.high
    assert verdict.more_pairs == 15  # t(18) s / sqrt(19) is the first below the mean: 0.0255 < 0.0261


def test_hopeless_noise_promises_nothing():
    verdict = judge([(200, 100), (50, 100), (210, 100), (49, 100)])
    assert (verdict.answer, verdict.more_pairs) == ("inconclusive", None)
    assert verdict.pairs < MOST_PAIRS


def test_no_spread_at_all_is_judged_by_the_ratio():
    assert judge([(100, 100)] * 3).answer == "equivalent"
    assert judge([(110, 100)] * 3).answer == "better"


def test_one_pair_proves_nothing():
    assert judge([(150, 100)]) == Comparison("fast", "baseline", "output_throughput", "inconclusive", 1.5, None, None,
                                             1, None)  # fmt: skip
    assert judge([]).ratio is None


@pytest.mark.parametrize("figure", [0.0, -1.0, math.nan, math.inf])
def test_a_figure_that_is_not_a_positive_number_is_refused(figure):
    with pytest.raises(ValueError, match="output_throughput of fast against baseline"):
        judge([(100, 100), (figure, 100)])
