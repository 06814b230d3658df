"""Constants from starts that were seen."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil, log, sqrt
from statistics import fmean, median

from dyno.predict.constants import MIB, UNSEEN, Constants
from dyno.predict.graphs import graph_bytes, graph_features, pools_bytes
from dyno.predict.terms import SURE, Boot, kept_off, other_off, own_spread

# Nothing is surer than this of a model that was not seen.
_LEAST_OTHER, _LEAST_KEPT, _LEAST_GRAPH = MIB, 20 * MIB, 0.06
_HELD = 0.85  # of the boots, by an interval of `SURE` standard deviations: a few more than 80 of 100, as models are few
_KNOWN = (0.1, 1.0)  # of one model's weight: what was known before of a graph's layers, and of its splits


def fit(boots: Sequence[tuple[str, Boot]], known: Constants = UNSEEN) -> Constants:
    """The constants that explain the boots best, with their ids. Each model counts once, however often it was started.

    They are of the boots' own machine: nothing is left of how far machines lie apart.
    """
    if not boots:
        return replace(known, fitted_on=())
    models = _by_model([boot for _, boot in boots])
    found = _graphs(models, known)
    offs = [[(off, own_spread(boot.setup, found)) for boot in boots if (off := other_off(boot, found)) is not None]
            for boots in models]  # fmt: skip
    told = [each for each in offs if each]
    other, other_off_ = _middle(told), _apart(told, found.other_off)
    found = replace(found, other=found.other + other, other_off=other_off_)
    kept, kept_off_ = _centre(_of_models(models, lambda boot: kept_off(boot, found)), found.kept_off, _LEAST_KEPT)
    card = boots[0][1].setup.card
    return replace(found, card=card.name if card else "", fitted_on=tuple(name for name, _ in boots),
                   kept=found.kept + kept, kept_off=kept_off_,
                   machine_off=other_off_ / sqrt(max(1, len(told))))  # fmt: skip


def _by_model(boots: Sequence[Boot]) -> list[list[Boot]]:
    models: dict[object, list[Boot]] = {}
    for boot in boots:
        models.setdefault((boot.setup.model.architecture, boot.setup.model.weights), []).append(boot)
    return list(models.values())


def _of_models(models: Sequence[Sequence[Boot]], off: Callable[[Boot], float | None]) -> list[float]:
    """A model's is the middle one of its boots'."""
    found = [[each for boot in boots if (each := off(boot)) is not None] for boots in models]
    return [median(offs) for offs in found if offs]


def _centre(offs: Sequence[float], unknown: float, least: float) -> tuple[float, float]:
    """The middle of the models', and how far a model that was not fitted may lie from it."""
    if len(offs) < 2:
        return (offs[0] if offs else 0.0), unknown
    centre = median(offs)
    return centre, max(least, sqrt(fmean((off - centre) ** 2 for off in offs) * (1 + 1 / len(offs))))


def _middle(models: Sequence[Sequence[tuple[float, float]]]) -> float:
    """The middle of the models', each with the middle one of its boots'."""
    return median(median(off for off, _ in boots) for boots in models) if models else 0.0


def _apart(models: Sequence[Sequence[tuple[float, float]]], unknown: float) -> float:
    """How far models lie apart beyond what each may be off by itself, so that `SURE` holds as many boots as it should.

    Each is held against the middle of the other models. One that is far off does not widen the interval of all.
    """
    if len(models) < 2:
        return unknown
    needed = []
    for number, boots in enumerate(models):
        centre = _middle([*models[:number], *models[number + 1 :]])
        needed += [sqrt(max(0.0, ((off - centre) / SURE) ** 2 - own**2)) for off, own in boots]
    return max(_LEAST_OTHER, sorted(needed)[ceil(_HELD * len(needed)) - 1])


def _graphs(models: Sequence[Sequence[Boot]], known: Constants) -> Constants:
    """Least squares of relative errors, drawn a little towards what is known."""
    from scipy.optimize import nnls

    rows, wanted = [], []
    seen = [[boot for boot in boots if boot.facts.graph_bytes and boot.setup.v2_runner] for boots in models]
    for boots in seen:
        for boot in boots:
            (layers, splits), took = graph_features(boot.setup), float(boot.facts.graph_bytes or 0)
            weight = 1 / took / sqrt(len(boots))
            rows.append([known.graph_layer * layers * weight, known.graph_split * splits * weight])
            wanted.append((took - pools_bytes(boot.setup)) * weight)
    (layer, split), _ = nnls([*rows, [_KNOWN[0], 0.0], [0.0, _KNOWN[1]]], [*wanted, *_KNOWN])
    found = replace(known, graph_layer=known.graph_layer * float(layer), graph_split=known.graph_split * float(split))
    left = [[log(boot.facts.graph_bytes / graph_bytes(boot.setup, found)) for boot in boots if boot.facts.graph_bytes]
            for boots in seen if boots]  # fmt: skip
    _, off = _centre([median(each) for each in left], known.graph_off, _LEAST_GRAPH)
    return replace(found, graph_off=off)
