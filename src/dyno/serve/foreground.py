"""Runs a study's recommended configuration until it is told to stop."""

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dyno.engine.args import EngineArgs
from dyno.engine.environment import Environment, current_environment, load_environment
from dyno.engine.process import EngineProcess
from dyno.errors import EngineFailed, InputError
from dyno.study.journal import Journal, read_journal
from dyno.study.launchable import refuse_errors
from dyno.study.prepare import card_for, model_path
from dyno.study.spec import StudySpec
from dyno.study.store import load_outcome, spec_of
from dyno.study.tune import Host, hold_card
from dyno.units import format_seconds

# How often a running engine is looked after.
PERIOD_S = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user wants other than what the study says."""

    engine: str | None = None
    device: str | None = None
    lint: bool = True


def serve_study(
    folder: Path, asked: Asked, host: Host, say: Callable[[str], None], announce: Callable[[str], None]
) -> None:
    """Start the recommended engine, announce its URL and one curl line, and return when interrupted.

    InputError when the study recommends nothing, or what this engine refuses;
    EngineFailed when the engine does not start or dies.
    """
    journal = read_journal(folder)
    outcome, spec = load_outcome(folder), spec_of(journal)
    if outcome.recommended is None:
        raise InputError(f"{folder}: recommends nothing; see why: `dyno report --study {folder}`")
    candidate = outcome.recommended.candidate
    measured = next((other for other in journal.study.engines if other.name == candidate.engine), journal.study.engine)
    environment = _environment(measured, asked.engine)
    card = card_for(environment, host.hardware, asked.device or spec.device, host.visible_devices)
    if asked.lint:
        gpu = next((each for each in host.hardware.gpus if each.uuid == card), None)
        refuse_errors([replace(candidate, engine=None)], environment, gpu, journal.study.model)
    say(f"starting {candidate.name}: {candidate.args.command()}")
    with (
        hold_card(card),
        EngineProcess(
            environment,
            _here(candidate.args, journal, spec),
            folder / "logs" / "serve.log",
            card,
            ready_timeout_s=spec.ready_timeout_s,
        ) as running,
    ):
        try:
            facts = running.start(lambda phase: say(f"  {phase}"))
            say(f"ready after {format_seconds(facts.ready_s)}; Ctrl-C stops it")
            announce(f"{running.url}/v1")
            announce(_curl(running.url, running.model_name))
            while (failure := running.died()) is None:
                time.sleep(PERIOD_S)
            log = folder / "logs" / "serve.log"
            raise EngineFailed(f"{failure.cause}: {failure.detail}; {failure.remedy} (log: {log})", failure)
        except KeyboardInterrupt:
            say("stopping")
    say("stopped")


def _here(args: EngineArgs, journal: Journal, spec: StudySpec) -> EngineArgs:
    """With the model by its whole path: here, else where it was when it was measured."""
    here = model_path(spec)
    return replace(args, model=here if Path(here).is_absolute() else journal.study.candidates[0].args.model)


def _environment(measured: Environment, wanted: str | None) -> Environment:
    """The environment the study was measured in, or the one that was asked for in so many words."""
    if wanted is not None:
        return current_environment(wanted)
    found = load_environment(measured.name)
    if (found.version, found.platform) != (measured.version, measured.platform):
        was, now = (f"vLLM {each.version} on {each.platform}" for each in (measured, found))
        raise InputError(
            f"engine: {measured.name} was {was} when this was measured, is now {now}; name one by --engine"
        )
    return found


def _curl(url: str, model: str) -> str:
    body = json.dumps({"model": model, "prompt": "Hello", "max_tokens": 16})
    return f"curl {url}/v1/completions -H 'Content-Type: application/json' -d {shlex.quote(body)}"
