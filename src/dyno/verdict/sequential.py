"""Looking at the pairs while they are made, and stopping when they have answered, without being wrong more often.

At each planned look the 95 % that hold for one look are widened so that they hold for all looks together. The error is
spent evenly, alpha t at the share t of the pairs (a function of Lan & DeMets, "Discrete sequential boundaries for
clinical trials", Biometrika 70, 1983), by the recursion of Armitage, McPherson & Rowe (JRSS A 132, 1969). The nominal
levels are carried over to Student's t (Pocock, Biometrika 64, 1977). The intervals are the repeated confidence
intervals of Jennison & Turnbull (JRSS B 51, 1989): all of them at once cover the truth 95 times in 100, so that one may
stop by any rule, "better", "worse" or "equivalent", and be wrong at most 5 times in 100.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from dyno.verdict.compare import CONFIDENCE, EQUIVALENCE_MARGIN, Comparison, half_width, interval_answer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

ALPHA = 1 - CONFIDENCE
FIRST_LOOK = 4
POWER = 0.8

# Pairs beyond which a number is no help: a day of launches.
MOST_PAIRS = 500

# How much more often than the nominal levels say the looks err together once carried over to Student's t: 1.09 to 1.17
# times where 6 to 60 pairs are planned, simulated with normal figures. So much less error is spent.
_CARRIED_OVER = 1.17

# Points of the grid on which the recursion integrates: the levels are then exact to 1e-5.
_GRID = 401


@dataclass(frozen=True, slots=True)
class Question:
    """Is `candidate` better than `baseline` in this metric? Asked of at most `max_pairs` pairs."""

    candidate: str
    baseline: str
    metric: str
    higher_is_better: bool
    max_pairs: int
    margin: float = EQUIVALENCE_MARGIN


def planned_looks(max_pairs: int) -> tuple[int, ...]:
    """Numbers of pairs at which to look: even ones, where A B and B A are as many, and rarer as they grow."""
    looks = []
    pairs = FIRST_LOOK
    while pairs < max_pairs:
        looks.append(pairs)
        pairs += max(2, pairs // 8 * 2)
    return (*looks, max_pairs) if max_pairs >= 2 else ()


@cache
def nominal_levels(looks: tuple[int, ...], alpha: float = ALPHA) -> tuple[float, ...]:
    """The two-sided level of each look, such that all of them together err with probability alpha."""
    import numpy as np
    from scipy.special import ndtr

    levels: list[float] = []
    at, mass = np.zeros(1), np.ones(1)  # where an undecided random walk may stand, and how likely
    before = 0.0
    for look in looks:
        now = look / looks[-1]
        step = math.sqrt(now - before)
        bound = _bound(at, mass, step, alpha * (now - before))
        levels.append(float(2 * ndtr(-bound / math.sqrt(now))))
        grid = np.linspace(-bound, bound, _GRID)
        kernel = np.exp(-0.5 * ((grid[:, None] - at[None, :]) / step) ** 2) / (step * math.sqrt(2 * math.pi))
        weights = np.full(_GRID, grid[1] - grid[0])
        weights[[0, -1]] /= 2
        at, mass, before = grid, (kernel @ mass) * weights, now
    return tuple(levels)


def look_levels(max_pairs: int, alpha: float = ALPHA) -> dict[int, float]:
    """The planned looks and the level of each for Student's t, such that all together err at most so often."""
    looks = planned_looks(max_pairs)
    levels = nominal_levels(looks, alpha / _CARRIED_OVER if len(looks) > 1 else alpha)
    return dict(zip(looks, levels, strict=True))


def judge_looks(question: Question, pairs: Sequence[tuple[float, float]], alpha: float = ALPHA) -> Comparison:
    """The answer of the first look that has one, else that of the last look there was. Pairs are (candidate, baseline).

    ValueError for a figure that is not a positive number.
    """
    if any(not 0 < figure < math.inf for pair in pairs for figure in pair):
        raise ValueError(f"{question.metric}: every figure must be a positive number: {list(pairs)}")
    logs = [math.log(ours / theirs) for ours, theirs in pairs]
    answer = _comparison(question, logs, None)
    for look, level in look_levels(question.max_pairs, alpha).items():
        if look > len(logs):
            break
        answer = _comparison(question, logs[:look], level)
        if answer.answer != "inconclusive":
            return answer
    more = _more_pairs(question, logs[: answer.pairs], alpha) if answer.low is not None else None
    return replace(answer, more_pairs=more)


def pairs_needed(effect: float, spread: float, alpha: float = ALPHA) -> int | None:
    """The least even `max_pairs` that tells a log ratio `effect` from 0 four times in five; None beyond MOST_PAIRS.

    `spread` is the standard deviation of a pair's log ratio.
    """
    from scipy.special import stdtrit

    def enough(half: int) -> bool:
        pairs = 2 * half
        last = look_levels(pairs, alpha)[pairs]
        missed = float(stdtrit(pairs - 1, POWER)) * spread / math.sqrt(pairs)
        return half_width(spread, pairs, last) + missed <= abs(effect)

    halves = range(FIRST_LOOK // 2, MOST_PAIRS // 2 + 1)
    found = bisect_left(halves, True, key=enough)
    return 2 * halves[found] if found < len(halves) else None


def _comparison(question: Question, logs: Sequence[float], level: float | None) -> Comparison:
    names = (question.candidate, question.baseline, question.metric)
    mean = fmean(logs) if logs else None
    if mean is None or level is None:
        ratio = None if mean is None else math.exp(mean)
        return Comparison(*names, "inconclusive", ratio, None, None, len(logs), None, margin=question.margin)
    half = half_width(stdev(logs), len(logs), level)
    answer = interval_answer(mean, half, question.higher_is_better, question.margin)
    return Comparison(*names, answer, math.exp(mean), math.exp(mean - half), math.exp(mean + half), len(logs), None,
                      margin=question.margin)  # fmt: skip


def _more_pairs(question: Question, logs: Sequence[float], alpha: float) -> int | None:
    """Pairs beyond these that would likely settle it if mean and spread stay as they are; None beyond MOST_PAIRS."""
    mean = abs(fmean(logs))
    needed = pairs_needed(max(mean, math.log1p(question.margin) - mean), stdev(logs), alpha)
    return None if needed is None else max(2, needed - len(logs))


def _bound(at: "Numbers", mass: "Numbers", step: float, spend: float) -> float:
    """Where the walk, a step of this deviation later, stands outside +-bound with probability `spend`."""
    from scipy.special import ndtr

    low, high = 0.0, 10.0
    while high - low > 1e-9:
        bound = (low + high) / 2
        outside = float(mass @ (ndtr((-bound - at) / step) + ndtr((at - bound) / step)))
        low, high = (bound, high) if outside > spend else (low, bound)
    return high
