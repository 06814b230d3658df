"""Series with known answers."""

import numpy as np
import pytest

from dyno.bench.steady import change_point, growth, mser5, over_saturated, slope


def noise(number, deviation=1.0, alike=0.0, seed=0):
    """Normal noise in which each value keeps the share `alike` of the last one."""
    fresh = np.random.default_rng(seed).normal(0, deviation, number)
    for index in range(1, number):
        fresh[index] += alike * fresh[index - 1]
    return fresh


def test_a_step_down_is_found_where_it_is():
    values = 1000 + noise(60, 20)
    values[24:] -= 120
    change = change_point(values)
    assert abs(change.index - 24) <= 1
    assert (change.before, change.after) == pytest.approx((1000, 880), abs=15)
    assert change.p_value < 1e-3


def test_a_step_without_any_noise_is_found_exactly():
    change = change_point(np.array([5.0] * 15 + [4.0] * 25))
    assert (change.index, change.before, change.after) == (15, 5.0, 4.0)


@pytest.mark.parametrize("values", [np.full(50, 7.0), np.zeros(50), np.arange(19.0)])
def test_what_is_constant_or_too_short_has_no_change(values):
    assert change_point(values) is None


@pytest.mark.parametrize(("alike", "most"), [(0.0, 3), (0.5, 12)])
def test_a_change_is_seldom_seen_where_there_is_none(alike, most):
    assert sum(change_point(100 + noise(60, 5, alike, seed)) is not None for seed in range(200)) <= most


@pytest.mark.parametrize("seed", range(5))
def test_a_start_that_differs_is_cut_wholly_and_little_more(seed):
    values = 100 + noise(200, seed=seed)
    values[:30] -= np.linspace(50, 5, 30)
    assert 30 <= mser5(values) <= 50


def test_at_most_half_is_cut_and_of_a_short_series_nothing():
    assert mser5(np.arange(100.0)) <= 50
    assert mser5(np.arange(19.0)) == 0
    assert mser5(np.full(100, 3.0)) == 0


def test_the_slope_and_its_interval_are_the_textbooks():
    times = np.arange(10.0)
    values = np.array([1.2, 2.9, 5.1, 7.2, 8.8, 11.1, 13.0, 14.9, 17.2, 18.8])
    line = slope(times, values)
    assert line.per_unit == pytest.approx(1.983030, abs=1e-6)
    assert (line.low, line.high) == pytest.approx((1.941678, 2.024383), abs=1e-5)


def test_an_interval_holds_the_true_slope_as_often_as_it_says():
    times = np.arange(40.0)
    lines = [slope(times, 3 * times + noise(40, 5, seed=seed)) for seed in range(300)]
    assert 0.91 <= np.mean([line.low <= 3 <= line.high for line in lines]) <= 0.98


def test_what_is_large_and_constant_does_not_creep():
    line = slope(np.arange(50.0) / 3600, np.full(50, 8e9 / 3))
    assert (line.per_unit, line.low, line.high) == (0.0, 0.0, 0.0)


def test_too_little_has_no_slope():
    assert slope(np.arange(9.0), np.arange(9.0)) is None
    assert slope(np.ones(20), np.arange(20.0)) is None


def test_a_leak_shows_and_its_size_is_in_the_interval():
    times = np.arange(3600.0)
    leaking = growth(times, 8e9 + 2000 * times + noise(3600, 5e5, 0.5))
    assert 0 < leaking.low <= 2000 <= leaking.high


def test_memory_that_fills_up_and_then_stays_is_no_leak():
    times = np.arange(3600.0)
    filled = growth(times, 8e9 + 1e9 * np.minimum(times / 600, 1) + noise(3600, 5e5))
    assert filled.low <= 0 <= filled.high


def test_two_points_far_apart_by_chance_are_no_leak():
    values = 8e9 + noise(600, 1e6)
    values[0], values[-1] = 7.9e9, 8.1e9
    assert growth(np.arange(600.0), values).low <= 0


def test_too_few_samples_tell_nothing_of_a_leak():
    assert growth(np.arange(8.0), np.arange(8.0)) is None
    assert growth(np.empty(0), np.empty(0)) is None


def test_waits_that_grow_are_over_saturation_and_waits_that_are_long_are_not():
    times = np.linspace(0, 30, 60)
    assert over_saturated(times, 200 + 20 * times + noise(60, 30))
    assert not over_saturated(times, 800 + noise(60, 100))
    assert over_saturated(times, 800 + times) is False  # a plain bool, as it is kept as JSON
    assert not over_saturated(times, 800 - 20 * times)
    assert not over_saturated(times[:5], times[:5])
