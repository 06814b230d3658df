"""Is A better than B? Only launches of both can say."""

from dataclasses import dataclass
from typing import Literal

Answer = Literal["better", "worse", "equivalent", "inconclusive"]


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

    @property
    def launches(self) -> int:
        return 2 * self.pairs
