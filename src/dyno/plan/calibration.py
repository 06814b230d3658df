"""A card's rates from points measured on it. Fitting takes a second or two: the fit is kept until points change."""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from dyno.hardware.gpus import Card
from dyno.home import dyno_home
from dyno.plan.observed import Observation
from dyno.predict import kv_cache
from dyno.predict.calibrate import Point, calibrate
from dyno.predict.latency import Run, closed_loop, reasons_unserved
from dyno.predict.memory import predict_memory
from dyno.predict.rates import NAMES, Calibration, generic

_KEPT = TypeAdapter(tuple[str, Calibration])


def calibration_of(card: Card | None, observations: Sequence[Observation], keep: bool) -> Calibration:
    """The rates that the points of such cards explain best, generic ones where there are none.

    With `keep` a fit of the same points is read from $DYNO_HOME, and a new one written there.
    """
    points = tuple(points_of(observations, card))
    if not points:
        return generic(card)
    if not keep:
        return calibrate(points, generic(card))
    key = sha256(repr((generic(card), points)).encode()).hexdigest()
    if found := _read(key):
        return found
    fitted = calibrate(points, generic(card))
    with suppress(OSError):  # the next plan fits again
        kept_file().parent.mkdir(parents=True, exist_ok=True)
        kept_file().write_text(json.dumps([key, asdict(fitted)]))
    return fitted


def points_of(observations: Iterable[Observation], card: Card | None) -> Iterable[Point]:
    """What was measured on cards of the same name, or on the CPU engine; loads that cannot have been are left out."""
    for seen in observations:
        if (seen.card.name if seen.card else None) != (card.name if card else None):
            continue
        boot = seen.boot()
        memory = predict_memory(boot.setup, [boot])
        told = boot.facts.kv_cache_bytes
        blocks = kv_cache.blocks_in(boot.setup, told) if told else memory.blocks
        for number, each in enumerate(seen.points):
            demand = closed_loop(each.workload)
            if each.figures and not reasons_unserved(boot.setup, blocks, demand):
                yield Point(f"{seen.name}.points[{number}]", Run(boot.setup, blocks, demand), each.figures)


def kept_file() -> Path:
    """Where the last fit for this machine is kept."""
    return dyno_home() / "latency.json"


def _read(key: str) -> Calibration | None:
    try:
        known, fitted = _KEPT.validate_json(kept_file().read_bytes())
    except (OSError, ValidationError):
        return None
    return fitted if known == key and len(fitted.covariance) == len(NAMES) else None
