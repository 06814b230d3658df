import pytest

from dyno.verdict.decision import decide

FIGURES = {
    "baseline": {"output_throughput": 100.0, "ttft_ms.p95": 50.0, "ready_s": 10.0},
    "fast": {"output_throughput": 200.0, "ttft_ms.p95": 100.0, "ready_s": 12.5},
}
WEIGHTS = (("output_throughput", 0.5), ("ttft_p95", 0.3), ("ready", 0.2))


def test_scores_are_ratios_to_the_best_and_totals_their_weighted_mean():
    # fast: 100, 50, 80 weighted 0.5, 0.3, 0.2 is 81; baseline: 50, 100, 100 is 75.
    made = decide(WEIGHTS, FIGURES)
    assert [(option.name, option.total) for option in made.options] == [
        ("fast", pytest.approx(81)), ("baseline", pytest.approx(75))]  # fmt: skip
    assert made.options[0].scores == pytest.approx((100, 50, 80))
    assert made.lead == pytest.approx(6)


def test_a_criterion_nobody_measured_has_no_score_and_no_weight():
    made = decide((*WEIGHTS, ("maintenance", 1.0)), FIGURES)
    assert [criterion.measured for criterion in made.criteria] == [True, True, True, False]
    assert made.criteria[3].weight == pytest.approx(0.5)
    assert made.options[0].scores[3] is None
    assert made.options[0].total == pytest.approx(81)


def test_an_option_that_lacks_a_measured_criterion_has_no_total_and_comes_last():
    made = decide(WEIGHTS, {"odd": {"output_throughput": 1e6}} | FIGURES)
    assert made.options[-1].name == "odd"
    assert made.options[-1].total is None
    assert made.lead is not None


def test_nothing_measured_at_all_is_no_decision():
    made = decide((("maintenance", 1.0),), FIGURES)
    assert {option.total for option in made.options} == {None}
    assert made.lead is None
