"""Starts that a study has seen, for `dyno plan`."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dyno.bench.scenarios import OF_ONE_LOAD, plan_load
from dyno.errors import DynoError, InputError
from dyno.hardware.gpus import live_card
from dyno.plan.flags import VARIABLES
from dyno.plan.observed import Observation, Told, keep_boot, parse_release
from dyno.predict.terms import Facts
from dyno.study.journal import Journal
from dyno.study.spec import StudySpec
from dyno.study.store import spec_of
from dyno.study.trial import Candidate, Step
from dyno.workload import Workload


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
    release = parse_release(study.engine.version)
    return tuple(Observation(model, card, release, candidate.args, _facts(step), _told(journal, candidate.name),
                             f"{candidate.name}", launched=True)
                 for candidate, step in _ready(journal))  # fmt: skip


def keep_starts(journal: Journal, model: Path) -> None:
    """Remembers the starts of a study of the model in this folder on a card, so that plans for it are corrected.

    What cannot be kept is not worth a study: it is passed over.
    """
    study = journal.study
    if study.engine.platform != "cuda" or not study.hardware.gpus:
        return
    with suppress(DynoError, OSError, ValueError):
        content = json.loads((model / "config.json").read_bytes())
        for candidate, step in _ready(journal):
            entry: dict[str, Any] = {
                "model": content, "gpu": study.hardware.gpus[0].name,
                "points": [_point(told) for told in _told(journal, candidate.name)],
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


def _told(journal: Journal, candidate: str) -> tuple[Told, ...]:
    """The loads that a configuration was put to, with their medians."""
    spec = spec_of(journal)
    lengths = {step.launch: step.facts.max_model_len for step in journal.steps if step.facts}
    found = []
    for step in journal.steps:
        kind, figures = step.scenario.partition("@")[0], step.figures
        if step.candidate != candidate or step.state != "complete" or step.phase == "warm" or kind not in OF_ONE_LOAD:
            continue
        if "capacity_concurrency" in figures:  # the load that a search ended with
            continue
        asked = workload_of(step.scenario, spec, lengths.get(step.launch))
        named = {"ttft": "ttft_ms.p50", "tpot": "tpot_ms.p50", "output_throughput": "output_throughput"}
        found.append(Told(asked, {name: value for name, figure in named.items() if (value := figures.get(figure))}))
    return tuple(found)


def workload_of(test: str, spec: StudySpec, max_model_len: int | None) -> Workload:
    """What a test of one load asks of an engine."""
    load = plan_load(test.partition("@")[0], spec.loads.get(test, spec.workload), 0, max_model_len)
    return Workload(test, load.input_len, load.output_len, load.concurrency, load.num_requests, load.prefix_len,
                    load.prefixes)  # fmt: skip


def _point(told: Told) -> dict[str, Any]:
    """As `--observed` has it."""
    load, figures = told.workload, told.figures
    return {"input_len": load.input_len, "output_len": load.output_len, "concurrency": load.concurrency,
            "num_requests": load.num_requests, "prefix_len": load.prefix_len, "ttft_ms": figures.get("ttft"),
            "tpot_ms": figures.get("tpot"), "output_throughput": figures.get("output_throughput")}  # fmt: skip


def _facts(step: Step) -> Facts:
    return Facts(**{name: getattr(step.facts, name) for name in Facts.__dataclass_fields__})
