"""Did a ratio change between two studies? Each ratio is to its own study's baseline."""

import math
from collections.abc import Sequence
from statistics import fmean, variance

from dyno.verdict.compare import Comparison, interval_answer
from dyno.verdict.sequential import Question


def change(question: Question, before: Sequence[float], after: Sequence[float], level: float) -> Comparison:
    """Welch's t on the log ratios of two studies' pairs: `ratio` is that of after over that of before.

    `pairs` are those of both. Fewer than two on a side are inconclusive.
    """
    names = (question.candidate, question.baseline, question.metric)
    pairs = len(before) + len(after)
    if min(len(before), len(after)) < 2:
        note = "fewer than two pairs in one of the studies"
        return Comparison(*names, "inconclusive", None, None, None, pairs, None, note, question.margin)
    from scipy.special import stdtrit

    mean = fmean(after) - fmean(before)
    parts = [(variance(logs) / len(logs), len(logs) - 1) for logs in (before, after)]
    squared = sum(part for part, _ in parts)
    freedom = squared**2 / sum(part**2 / degrees for part, degrees in parts) if squared > 0 else 1.0
    half = float(stdtrit(freedom, 1 - level / 2)) * math.sqrt(squared)
    answer = interval_answer(mean, half, question.higher_is_better, question.margin)
    return Comparison(*names, answer, math.exp(mean), math.exp(mean - half), math.exp(mean + half), pairs, None,
                      margin=question.margin)  # fmt: skip
