"""Is a series steady? Where it changes, what of its start to leave out, whether it grows: pure, by named methods."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

_FEWEST = 10  # points on either side of a change, and in all for a slope that says something
_BATCH = 5
_BLOCKS = 20


@dataclass(frozen=True, slots=True)
class Change:
    """The mean of a series moves from `before` to `after` at `index`; `p_value` of there being no change."""

    index: int
    before: float
    after: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Slope:
    """A straight line's slope per unit of time, with the interval that holds the true one; None of too little."""

    per_unit: float
    low: float
    high: float


def change_point(values: Series, alpha: float = 0.01) -> Change | None:
    """The one change of the mean, None when the series may well have none.

    Where: least squares (Bai, Journal of Time Series Analysis 15, 1994). Whether: the largest CUSUM against the
    supremum of a Brownian bridge, scaled by the long-run variance about the two means, so that neighbours which
    resemble each other are not taken for a change (Csorgo and Horvath, Limit Theorems in Change-Point Analysis, 1997).
    """
    number = len(values)
    if number < 2 * _FEWEST:
        return None
    split = np.arange(1, number)
    cusum = np.abs(np.cumsum(values)[:-1] - split / number * values.sum())
    inner = slice(_FEWEST - 1, number - _FEWEST)
    index = int(split[inner][np.argmax((cusum / np.sqrt(split * (number - split)))[inner])])
    before, after = float(values[:index].mean()), float(values[index:].mean())
    deviation = _long_run_deviation(values - np.where(np.arange(number) < index, before, after))
    highest = float(cusum[inner].max())
    if highest <= 1e-9 * float(np.abs(values).sum()):
        return None
    from scipy.special import kolmogorov  # a sixth of a second to import, which most loads can spare

    p_value = float(kolmogorov(highest / (deviation * np.sqrt(number)))) if deviation else 0.0
    return Change(index, before, after, p_value) if p_value < alpha else None


def mser5(values: Series) -> int:
    """How many values of the start to leave out: those that make the rest's mean least certain, at most half.

    MSER-5: means of batches of five, cut where their standard error is smallest (White, Simulation 69, 1997).
    """
    batches = len(values) // _BATCH
    if batches < 4:
        return 0
    means = values[: batches * _BATCH].reshape(batches, _BATCH).mean(axis=1)
    errors = [float(means[cut:].var()) / (batches - cut) for cut in range(batches // 2 + 1)]
    return int(np.argmin(errors)) * _BATCH


def slope(times: Series, values: Series, confidence: float = 0.95) -> Slope | None:
    """Least squares with a t-interval (Draper and Smith, Applied Regression Analysis, 1.4); None of fewer than 10."""
    number = len(times)
    if number < _FEWEST or np.ptp(times) == 0:
        return None
    moved, values = times - times.mean(), values - values[0]  # else what is constant and large would seem to creep
    spread = float(moved @ moved)
    per_unit = float(moved @ values) / spread
    residuals = values - values.mean() - per_unit * moved
    from scipy.special import stdtrit

    half = float(stdtrit(number - 2, (1 + confidence) / 2)) * float(
        np.sqrt(residuals @ residuals / (number - 2) / spread)
    )
    return Slope(per_unit, per_unit - half, per_unit + half)


def growth(times: Series, values: Series, confidence: float = 0.99) -> Slope | None:
    """Does it leak: the slope of block means after the warm-up, which MSER-5 cuts; it grows if `low` is above 0."""
    cut = mser5(values)
    return slope(_blocks(times[cut:], _BLOCKS), _blocks(values[cut:], _BLOCKS), confidence)


def over_saturated(times: Series, waits: Series, least_rise: float = 0.25, confidence: float = 0.99) -> bool:
    """Do waiting times still grow, by the lower end of this interval and at least by `least_rise` of their mean?"""
    line = slope(_blocks(times, _FEWEST), _blocks(waits, _FEWEST), confidence)
    if line is None or line.low <= 0:
        return False
    return line.per_unit * float(np.ptp(times)) >= least_rise * float(waits.mean())


def _blocks(values: Series, most: int) -> Series:
    """Means of consecutive blocks, which resemble each other less than single values do, so that an interval made of
    them does not come out too narrow (batch means: Schmeiser, Operations Research 30, 1982)."""
    return np.array(
        [block.mean() for block in np.array_split(values, max(1, min(most, len(values)))) if len(block)],
        dtype=np.float64,
    )


def _long_run_deviation(residuals: Series) -> float:
    """The square root of the long-run variance of what follows its own last value (a first-order autoregression).

    Means fitted to short segments make neighbours look less alike than they are: Kendall's correction (Biometrika 41,
    1954) for segments of half the length. Neighbours that seem to repel each other count as independent.
    """
    number = len(residuals)
    square = float(residuals @ residuals)
    if square == 0:
        return 0.0
    alike = float(residuals[1:] @ residuals[:-1]) / square
    alike = min(max(alike + 2 * (1 + 3 * alike) / number, 0.0), 0.95)
    return float(np.sqrt(square / (number - 3) * (1 - alike**2))) / (1 - alike)
