"""Starts that a study has seen, for `dyno plan`."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dyno.errors import DynoError, InputError
from dyno.hardware.gpus import live_card
from dyno.plan.flags import VARIABLES
from dyno.plan.observed import Observation, keep_boot, parse_release
from dyno.predict.terms import Facts
from dyno.study.journal import Journal
from dyno.study.trial import Candidate, Step


def observed_starts(journal: Journal) -> tuple[Observation, ...]:
    """One start of each candidate that became ready, with what it told. InputError where its model is not known."""
    study = journal.study
    model = study.model
    if not model.caches:  # an older Dyno's journal
        from dyno.model.hf import resolve_model

        model = resolve_model(model.path or model.source, download=False)
    if not model.caches:
        raise InputError(f"{model.source}: {model.unknown}, so that a study of it says nothing of other models' memory")
    gpus = study.hardware.gpus if study.engine.platform == "cuda" else ()
    card = live_card(gpus[0]) if gpus else None
    return tuple(Observation(model, card, parse_release(study.engine.version), candidate.args, _facts(step))
                 for candidate, step in _ready(journal))  # fmt: skip


def keep_starts(journal: Journal) -> None:
    """Remembers the starts of a study on a card, so that plans for this machine are corrected by them.

    What cannot be kept is not worth a study: it is passed over.
    """
    study = journal.study
    if study.engine.platform != "cuda" or not study.hardware.gpus or not study.model.path:
        return
    config = Path(study.model.path) / "config.json"
    with suppress(DynoError, OSError, ValueError):
        content = json.loads(config.read_bytes())
        for candidate, step in _ready(journal):
            entry: dict[str, Any] = {
                "model": content, "gpu": study.hardware.gpus[0].name, "points": [],
                "engine_version": study.engine.version, "args": list(candidate.args.argv()[1:]),
                "env": {name: value for name, value in candidate.args.env if name in VARIABLES},
                "facts": {name: getattr(step.facts, name) for name in Facts.__dataclass_fields__},
            }  # fmt: skip
            keep_boot(entry)


def _ready(journal: Journal) -> Iterator[tuple[Candidate, Step]]:
    """The first start of each candidate with its own KV cache: one that only warmed had the smallest."""
    seen: set[str] = set()
    candidates = {candidate.name: candidate for candidate in journal.study.candidates}
    for step in journal.steps:
        if (
            step.facts is not None
            and step.phase != "warm"
            and step.candidate in candidates
            and step.candidate not in seen
        ):
            seen.add(step.candidate)
            yield candidates[step.candidate], step


def _facts(step: Step) -> Facts:
    return Facts(**{name: getattr(step.facts, name) for name in Facts.__dataclass_fields__})
