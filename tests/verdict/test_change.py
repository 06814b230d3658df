import math

import numpy as np
import pytest

from dyno.verdict.change import change
from dyno.verdict.sequential import Question

QUESTION = Question("fast", "march", "output_throughput", True, 0)


def test_the_interval_is_welchs():
    # Means 0.1 and 0.2, variances 0.0001 of 3 and 0.0004 of 3: error 0.01291, freedom 2.94 and t(2.94, 97.5 %) = 3.219.
    made = change(QUESTION, [0.09, 0.10, 0.11], [0.18, 0.20, 0.22], 0.05)
    half = 3.219 * math.sqrt(0.0001 / 3 + 0.0004 / 3)
    assert made.answer == "better"
    assert math.log(made.ratio) == pytest.approx(0.1)
    assert math.log(made.high) == pytest.approx(0.1 + half, abs=2e-4)
    assert made.pairs == 6


def test_one_pair_on_a_side_says_nothing():
    made = change(QUESTION, [0.1], [0.2, 0.3], 0.05)
    assert (made.answer, made.ratio) == ("inconclusive", None)
    assert "fewer than two pairs" in made.note


def test_two_studies_of_the_same_are_rarely_called_different():
    rng = np.random.default_rng(9)
    different = sum(change(QUESTION, rng.normal(0.3, 0.05, 6), rng.normal(0.3, 0.02, 4), 0.05).answer
                    in ("better", "worse") for _ in range(400))  # fmt: skip
    assert different <= 0.07 * 400
