"""Constants from starts that were seen."""

from collections.abc import Sequence
from dataclasses import replace
from math import log, sqrt
from statistics import fmean

from dyno.predict.constants import HOPPER, MIB, Constants
from dyno.predict.terms import Boot, graph_bytes, graph_features, kept_off, other_off, sampled

# Nothing is surer than this of a model that was not seen.
_LEAST_OTHER, _LEAST_GRAPH, _LEAST_KEPT = 12 * MIB, 0.06, 25 * MIB
# What was known counts as so many starts, or so much of one start's error over the factor's own.
_OTHER_KNOWN, _GRAPH_KNOWN, _KEPT_KNOWN = 0.5, (0.2, 0.2), (0.1, 1.2)


def fit(boots: Sequence[tuple[str, Boot]], known: Constants = HOPPER) -> Constants:
    """The constants that explain the boots best, drawn towards those that are known; with the ids of the boots."""
    seen = [boot for _, boot in boots]
    if not seen:
        return replace(known, fitted_on=())
    other, other_spread = _mean([off for boot in seen if (off := other_off(boot, known)) is not None], _LEAST_OTHER)
    graphs = _graphs([boot for boot in seen if boot.facts.graph_bytes], known)
    kept = _kept(seen, graphs)
    return replace(kept, fitted_on=tuple(name for name, _ in boots), other=known.other + other, other_off=other_spread)


def _mean(offs: Sequence[float], least: float) -> tuple[float, float]:
    if not offs:
        return 0.0, 4 * least
    mean = sum(offs) / (len(offs) + _OTHER_KNOWN)
    return mean, max(least, _deviation([off - mean for off in offs]))


def _deviation(left: Sequence[float]) -> float:
    """Of a model that was not fitted: a little more than what is left over the fitted ones."""
    return sqrt(fmean(each**2 for each in left) * (1 + 1 / len(left)))


def _graphs(boots: Sequence[Boot], known: Constants) -> Constants:
    """Least squares of relative errors."""
    rows, wanted = [], []
    for boot in boots:
        sizes, tokens = graph_features(boot.setup)
        took = float(boot.facts.graph_bytes or 0)
        rows.append([known.graph_layer * sizes / took, known.graph_token * tokens / took])
        wanted.append(1.0)
    layer, token = _positive(rows, wanted, _GRAPH_KNOWN)
    found = replace(known, graph_layer=known.graph_layer * layer, graph_token=known.graph_token * token)
    left = [log(boot.facts.graph_bytes / graph_bytes(boot.setup, found)) for boot in boots if boot.facts.graph_bytes]
    return replace(found, graph_off=max(_LEAST_GRAPH, _deviation(left)) if left else known.graph_off)


def _kept(boots: Sequence[Boot], known: Constants) -> Constants:
    told = [(boot, off) for boot in boots if (off := kept_off(boot, known)) is not None]
    rows, wanted = [], []
    for boot, off in told:
        share = known.kept_logit * sampled(boot.setup)
        rows.append([known.kept / MIB / 100, share / MIB / 100])
        wanted.append((known.kept + share + off) / MIB / 100)  # beyond what is known of it
    base, logit = _positive(rows, wanted, _KEPT_KNOWN)
    found = replace(known, kept=known.kept * base, kept_logit=known.kept_logit * logit)
    left = [off for boot, _ in told if (off := kept_off(boot, found)) is not None]
    return replace(found, kept_off=max(_LEAST_KEPT, _deviation(left)) if left else known.kept_off)


def _positive(rows: list[list[float]], wanted: list[float], known: tuple[float, float]) -> tuple[float, float]:
    """Two factors, not negative, drawn towards 1."""
    from scipy.optimize import nnls

    found, _ = nnls([*rows, [known[0], 0.0], [0.0, known[1]]], [*wanted, *known])
    return float(found[0]), float(found[1])
