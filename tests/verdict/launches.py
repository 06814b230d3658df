"""Launches of one configuration as they were recorded, in their order, and more like them."""

import json
from pathlib import Path

import numpy as np
import pytest

RECORDED = json.loads((Path(__file__).parents[1] / "data/launch_spread.json").read_text())
SERIES = [pytest.param(entry["output_throughput"], id=entry["what"]) for entry in RECORDED]
DRIFTS = [pytest.param(drift, id=f"drift {drift:+.1%} a launch") for drift in (0.0, -0.003)]
BLOCK = 8  # launches in a row, on average: a proof's first look is at so many


def resampled(rng, known, number):
    """Numbers of so many launches of `known`, in runs that keep the recorded order and with it the machine's own drift.

    The stationary bootstrap (Politis & Romano, JASA 89, 1994): each launch is the one that followed the one before, the
    first after the last, or at random times any.
    """
    jumps = rng.random(number) < max(1 / BLOCK, 2 / known)
    jumps[0] = True
    places, at = rng.integers(known, size=number), np.arange(number)
    begun = np.maximum.accumulate(np.where(jumps, at, 0))
    return (places[begun] + at - begun) % known


def interleaved(rng, baseline, candidate, pairs, drift=0.0):
    """Pairs (candidate, baseline) of a proof A B, B A, ... of launches that each would have been the one or the other.

    `drift` comes on top, from launch to launch.
    """
    at = resampled(rng, len(baseline), 2 * pairs)
    slower = (1 + drift) ** np.arange(2 * pairs)
    first, second = np.asarray(baseline)[at] * slower, np.asarray(candidate)[at] * slower
    return [(second[2 * pair + 1 - pair % 2], first[2 * pair + pair % 2]) for pair in range(pairs)]


def faster(series, effect):
    """The same launches, each so many times as fast."""
    return [figure * effect for figure in series]
