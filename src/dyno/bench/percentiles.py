"""Percentiles of more values than are to be held at a time: exact, in a few passes over them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Blocks = Callable[[], Iterator[Floats]]  # the same values, block by block, at every call

HELD = 4_000_000  # values
_SAMPLED = 1_000_000
_WITHIN = 0.005  # of all values lie between a percentile and either end of its window, as a sample sees it


def percentiles(blocks: Blocks, number: int, wanted: Sequence[float], held: int = HELD) -> list[float]:
    """Percentiles (0 to 100) of all `number` values, linear between neighbours. No value may be NaN."""
    if number <= held:
        return [float(each) for each in np.percentile(np.concatenate(list(blocks())), wanted, overwrite_input=True)]
    step = -(-number // min(held, _SAMPLED))
    sample = np.sort(np.concatenate([values[::step].copy() for values in blocks()]))
    places = [(number - 1) * each / 100 for each in wanted]
    found, width = dict[float, float](), _WITHIN
    while missing := [place for place in places if place not in found]:
        windows = [_Window(_at(sample, place / number - width), _at(sample, place / number + width))
                   for place in missing]  # fmt: skip
        for values in blocks():
            for window in windows:
                window.take(values)
        for place, window in zip(missing, windows, strict=True):
            lower, upper = window.ranked(int(place)), window.ranked(min(int(place) + 1, number - 1))
            if lower is not None and upper is not None:
                found[place] = lower + (upper - lower) * (place - int(place))
        width *= 4
    return [found[place] for place in places]


def _at(sample: Floats, share: float) -> float:
    if share <= 0:
        return -np.inf
    return float(sample[int(share * len(sample))]) if share < 1 else np.inf


@dataclass(slots=True)
class _Window:
    """Values between two of them are held; of those below and at the ends, which may be many, the number."""

    low: float
    high: float
    below: int = 0
    at_low: int = 0
    at_high: int = 0
    inside: list[Floats] = field(default_factory=list)

    def take(self, values: Floats) -> None:
        self.below += int((values < self.low).sum())
        self.at_low += int((values == self.low).sum())
        self.at_high += int((values == self.high).sum())
        self.inside.append(values[(values > self.low) & (values < self.high)])

    def ranked(self, rank: int) -> float | None:
        """The value with so many others before it; None when it lies outside."""
        if len(self.inside) > 1:
            self.inside = [np.sort(np.concatenate(self.inside))]
        (inside,) = self.inside
        if 0 <= (place := rank - self.below) < self.at_low:
            return self.low
        if 0 <= (place := place - self.at_low) < len(inside):
            return float(inside[place])
        return self.high if self.low < self.high and 0 <= place - len(inside) < self.at_high else None
