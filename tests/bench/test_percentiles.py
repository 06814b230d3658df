"""Percentiles of values that are not held are those of the same values held."""

import numpy as np
import pytest

from dyno.bench.percentiles import percentiles

WANTED = (0, 50, 90, 95, 99, 100)
CHANCE = np.random.default_rng(1)


@pytest.mark.parametrize("values", [
    CHANCE.exponential(5.0, 50_000), np.repeat([0.0, 5.0], 25_000), np.zeros(50_000), np.arange(50_000.0),
    np.where(np.arange(50_000) % 7 == 0, 300.0, CHANCE.normal(5.0, 1e-6, 50_000)), np.sort(CHANCE.normal(size=50_000)),
], ids=["skewed", "two values", "one value", "rising", "outliers", "sorted"])  # fmt: skip
@pytest.mark.parametrize("held", [500, 5_000])
def test_they_are_exact_whatever_the_values(values, held) -> None:
    blocks = np.array_split(values, 13)
    seen = percentiles(lambda: iter(blocks), len(values), WANTED, held)
    assert seen == pytest.approx(np.percentile(values, WANTED).tolist(), rel=1e-15, abs=0)


def test_few_are_as_numpy_says() -> None:
    assert percentiles(lambda: iter([np.array([1.0, 4.0]), np.array([2.0])]), 3, (50, 75)) == [2.0, 3.0]
