"""Is A better than B? Only launches of both can say."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

Answer = Literal["better", "worse", "equivalent", "inconclusive"]

# Launches of one configuration differ by 0.7 % on a GPU host (one standard deviation), so that 2 % is two to three
# times the noise of a launch: an interval inside it takes a handful of pairs there, and a smaller gain is not worth
# a change of configuration to anybody.
EQUIVALENCE_MARGIN = 0.02

CONFIDENCE = 0.95

# Pairs beyond which nobody goes on asking: some hours of launches.
MOST_PAIRS = 60


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against the baseline, launch by launch. `ratio` is candidate / baseline with its 95 % interval."""

    candidate: str
    baseline: str
    metric: str
    answer: Answer
    ratio: float | None
    low: float | None
    high: float | None
    pairs: int
    more_pairs: int | None  # how many more would likely settle an inconclusive one
    note: str = ""  # what keeps it from being more than it is
    margin: float = EQUIVALENCE_MARGIN  # what "equivalent" means here

    @property
    def launches(self) -> int:
        return 2 * self.pairs


def compare(candidate: str, baseline: str, metric: str, pairs: Sequence[tuple[float, float]],
            higher_is_better: bool, level: float = 1 - CONFIDENCE) -> Comparison:  # fmt: skip
    """Student's t on the log ratios of pairs (candidate figure, baseline figure), one per pair of interleaved launches.

    The pairs alternate in order (A B, B A, ...), so that a steady drift of the machine widens the interval and
    leaves its centre alone. The interval and the answer err with probability `level`. ValueError for a figure that is
    not a positive number.
    """
    if any(not 0 < figure < math.inf for pair in pairs for figure in pair):
        raise ValueError(f"{metric} of {candidate} against {baseline}: every figure must be a positive number: {pairs}")
    logs = [math.log(ours / theirs) for ours, theirs in pairs]
    if len(logs) < 2:
        ratio = math.exp(logs[0]) if logs else None
        return Comparison(candidate, baseline, metric, "inconclusive", ratio, None, None, len(logs), None)
    mean, spread = fmean(logs), stdev(logs)
    half = half_width(spread, len(logs), level)
    answer = interval_answer(mean, half, higher_is_better)
    more = _more_pairs(mean, spread, len(logs)) if answer == "inconclusive" else None
    return Comparison(candidate, baseline, metric, answer, math.exp(mean), math.exp(mean - half), math.exp(mean + half),
                      len(logs), more)  # fmt: skip


def half_width(spread: float, pairs: int, level: float = 1 - CONFIDENCE) -> float:
    """Half of the confidence interval of a mean of `pairs` log ratios with this standard deviation."""
    from scipy.special import stdtrit

    return float(stdtrit(pairs - 1, 1 - level / 2)) * spread / math.sqrt(pairs)


def interval_answer(mean: float, half: float, higher_is_better: bool, margin: float = EQUIVALENCE_MARGIN) -> Answer:
    """What an interval of log ratios says: inside the margin, on one side of 0, or neither."""
    if abs(mean) + half < math.log1p(margin):
        return "equivalent"
    if abs(mean) <= half:
        return "inconclusive"
    return "better" if (mean > 0) == higher_is_better else "worse"


def _more_pairs(mean: float, spread: float, pairs: int) -> int | None:
    """How many more pairs would settle it if mean and spread stay as they are; None beyond MOST_PAIRS in all."""
    enough = max(abs(mean), math.log1p(EQUIVALENCE_MARGIN) - abs(mean))
    settled = (n for n in range(pairs + 1, MOST_PAIRS + 1) if half_width(spread, n) < enough)
    first = next(settled, None)
    return first - pairs if first else None
