"""Rates from points that were measured: least squares of logarithms, drawn towards what was known before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from typing import TYPE_CHECKING

from dyno.predict.latency import Figures, Run, derivatives, simulated
from dyno.predict.rates import LAUNCHES, NAMES, RESIDUAL, Calibration

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_POINTS = 60  # of which a fit is made: more say little more and take long
_FIGURES = tuple(RESIDUAL)
# One standard deviation of a point about its prediction, of the logarithm: the error of the model and of the launch.
_POINT: Mapping[str, float] = {"tpot": 0.03, "output_throughput": 0.03, "ttft": 0.08}
_ROUNDS = 12
_FARTHEST = 0.5  # that the logarithm of a rate moves in a round
_SHARES = (1.0, 0.5, 0.2, 0.05)  # of a step, until one leads down
_GAIN = 0.002  # of the cost: less is not worth another round
_FAR = 2.0  # standard deviations
_MANY = 64
_MOST_DOUBTED = 50.0  # times the variance: as little is then known of a card as of any of its kind

# What was known of the error counts as so many points. A model that was not among the points is a little further off.
_RESIDUAL_KNOWN, _OTHER_MODEL = 10.0, 1.15


@dataclass(frozen=True, slots=True)
class Point:
    """A load that was measured; `told` has medians in ms and tokens a second by name (ttft, tpot, ...)."""

    id: str
    run: Run
    told: Mapping[str, float]


def calibrate(points: Sequence[Point], known: Calibration) -> Calibration:
    """The rates that explain the points best, as far as what was known lets them, and how sure they are then.

    Points of cards of which too little is known, or with nothing told, are passed over.
    """
    import numpy as np

    usable = [point for point in _chosen(points) if _told(point, simulated(point.run, known.rates))]
    if not usable:
        return known
    known = _doubted(usable, known)
    precision = np.linalg.inv(np.array(known.covariance))
    moved, found = np.zeros(len(NAMES)), known
    cost = _cost(usable, known)
    for _ in range(_ROUNDS):
        slopes, offs, weights = _linear(usable, found)
        normal = slopes.T @ (slopes * weights[:, None]) + precision
        step = np.clip(np.linalg.solve(normal, slopes.T @ (weights * offs) - precision @ moved), -_FARTHEST, _FARTHEST)
        for share in _SHARES:
            tried = moved + share * step
            there = _moved(known, tried)
            if (less := _cost(usable, there) + float(tried @ precision @ tried) / 2) < cost:
                break
        else:
            break
        gained, cost, moved, found = cost - less, less, tried, there
        if gained < _GAIN * cost:
            break
    covariance = np.linalg.inv(normal)
    return Calibration(found.rates, tuple(tuple(map(float, row)) for row in covariance), _residual(usable, found),
                       tuple(point.id for point in usable), known.constants_on)  # fmt: skip


def _doubted(points: Sequence[Point], known: Calibration) -> Calibration:
    """What was known, less sure where most figures lie far from what it says: then card, host or engine are others."""
    import numpy as np

    slopes, offs, weights = _linear(points, known)
    covariance = np.array(known.covariance)
    spread = np.einsum("ij,jk,ik->i", slopes, covariance, slopes) + 1 / weights
    surprise = float(np.median(offs**2 / spread)) / _FAR**2
    if surprise <= 1:
        return known
    wider = covariance * min(surprise, _MOST_DOUBTED)
    return replace(known, covariance=tuple(tuple(map(float, row)) for row in wider))


def _chosen(points: Sequence[Point]) -> Sequence[Point]:
    """Of very many points, some spread over all."""
    if len(points) <= MOST_POINTS:
        return points
    return [points[round(place * (len(points) - 1) / (MOST_POINTS - 1))] for place in range(MOST_POINTS)]


def _told(point: Point, figures: Figures | None) -> dict[str, float]:
    """By figure, the logarithm of what was measured over what a simulation says."""
    said = figures.medians() if figures else {}
    return {
        name: log(point.told[name] / said[name]) for name in _FIGURES if name in said and point.told.get(name, 0) > 0
    }


def _moved(known: Calibration, by: Iterable[float]) -> Calibration:
    changed = {name: getattr(known.rates, name) * exp(each) for name, each in zip(NAMES, by, strict=True)}
    return replace(known, rates=replace(known.rates, **changed))


def _sigma(point: Point, figure: str) -> float:
    """How far off a figure may be. The median TTFT of many who start together lies between their waves: anywhere."""
    clients = point.run.demand.clients or 1
    return _POINT[figure] * (max(1.0, clients / _MANY) if figure == "ttft" else 1.0)


def _cost(points: Sequence[Point], now: Calibration) -> float:
    """How unlikely the points are: as Huber has it, so that a point that is far off pulls no more than others."""
    offs = [abs(off) / _sigma(point, name) for point in points
            for name, off in _told(point, simulated(point.run, now.rates)).items()]  # fmt: skip
    return sum(off**2 / 2 if off < _FAR else _FAR * (off - _FAR / 2) for off in offs)


def _linear(points: Sequence[Point], now: Calibration) -> "tuple[Floats, Floats, Floats]":
    """Derivatives, how far off each figure is, and its weight, one row a figure."""
    import numpy as np

    slopes, offs, weights = [], [], []
    for point in points:
        figures = simulated(point.run, now.rates)
        moves = derivatives(point.run, now, figures) if figures else {}
        for name, off in _told(point, figures).items():
            slopes.append([moves.get(rate, {}).get(name, 0.0) for rate in NAMES])
            offs.append(off)
            sigma = _sigma(point, name)
            weights.append(min(1.0, _FAR * sigma / max(abs(off), 1e-9)) / sigma**2)
    return np.array(slopes), np.array(offs), np.array(weights)


def _residual(points: Sequence[Point], found: Calibration) -> dict[str, float]:
    """What the fitted rates leave of each figure, over the points and what was known of it."""
    squares: dict[str, list[float]] = {name: [] for name in _FIGURES}
    for point in points:
        for name, off in _told(point, simulated(point.run, found.rates)).items():
            squares[name].append((off * _POINT[name] / _sigma(point, name)) ** 2)
    return {name: _scale(name, offs) for name, offs in squares.items()}


def _scale(name: str, squares: Sequence[float]) -> float:
    if not squares:
        return RESIDUAL[name]
    known = _RESIDUAL_KNOWN * _POINT[name] ** 2
    return max(LAUNCHES[name], _OTHER_MODEL * sqrt((sum(squares) + known) / (len(squares) + _RESIDUAL_KNOWN)))
