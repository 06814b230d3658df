"""How often a confirmation is wrong, simulated from the recorded spread of launches and a drift of the machine."""

from collections import Counter

import numpy as np
import pytest
from tests.verdict.launches import DRIFTS, SERIES, faster, interleaved

from dyno.verdict.compare import compare

CONFIRMATIONS, PAIRS = 200, 6


def confirm(rng, series, effect, drift):
    """One confirmation A B, B A, ...: launches in runs of the series, the machine drifting from launch to launch."""
    pairs = interleaved(rng, series, faster(series, effect), PAIRS, drift)
    return compare("candidate", "baseline", "output_throughput", pairs, higher_is_better=True)


def answers(series, effect, drift):
    rng = np.random.default_rng(20)
    return Counter(confirm(rng, series, effect, drift).answer for _ in range(CONFIRMATIONS))


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("series", SERIES)
def test_a_candidate_identical_to_the_baseline_is_rarely_called_better_or_worse(series, drift):
    counts = answers(series, 1.0, drift)
    assert counts["better"] + counts["worse"] <= 16, counts


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("series", SERIES)
def test_a_planted_ten_percent_is_called_better(series, drift):
    counts = answers(series, 1.10, drift)
    assert counts["better"] >= 0.8 * CONFIRMATIONS, counts


def test_alternating_the_order_cancels_a_steady_drift():
    verdict = confirm(np.random.default_rng(0), [100.0], 1.10, drift=-0.01)
    assert verdict.ratio == pytest.approx(1.10)
