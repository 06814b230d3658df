"""What `dyno plan` reads before it plans, and how it shows the answer."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dyno.cli.options import limits_of
from dyno.cli.planload import load_of
from dyno.errors import InputError, Together, shown
from dyno.hardware.gpus import Card, live_card, named_card
from dyno.hardware.spec import Hardware
from dyno.model.config import problems_in
from dyno.model.document import read_json
from dyno.model.hf import describe_model
from dyno.plan.calibration import calibration_of
from dyno.plan.flags import parse_settings
from dyno.plan.jsonout import as_json
from dyno.plan.known import misfits
from dyno.plan.observed import Observation, kept_boots, parse_release, read_observed
from dyno.plan.planning import Question, make_plan, unknown_shape
from dyno.predict.memory import Host
from dyno.predict.setup import Release
from dyno.units import format_bytes
from dyno.workload import parse_limits

NEWEST: Release = (0, 33)
IDLE = "the card is taken to be idle: a desktop on it takes 0.3 to 1 GiB more"
GRID = ("max_model_len", "concurrency")
_MOST_BYTES = 2**50  # of any memory
_MOST_CAPABLE = 100
_NO_CARD = 2**28  # bytes: less memory has none that vLLM runs on


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line as it was written."""

    model: str
    gpu: str | None
    hardware: Path | None
    vllm: str | None
    settings: tuple[str, ...]
    limits: tuple[str, ...]
    observed: Path | None
    grid: str | None
    workload: Path | None
    input_len: int | None
    output_len: int | None
    concurrency: int | None
    warm: bool | None = None  # vLLM's compile cache: filled, empty; None: as in what was observed

    def numbers(self) -> dict[str, Any]:
        """Of a load, those that were given."""
        names = ("input_len", "output_len", "concurrency")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def run(asked: Asked, wants_json: bool) -> bool:
    """Print the plan. True when what was asked for fits. InputError has every problem of all that was given."""
    together = Together()
    with together:
        _check_grid(asked.grid)
    with together:
        release, platform = _engine(asked.vllm)
        machine = _machine(asked, platform)
    with together:
        model = describe_model(asked.model)
        if not model.caches:
            raise InputError(unknown_shape(model))
    with together:
        args = parse_settings(asked.settings, asked.model)
    with together:
        limits = parse_limits(limits_of(list(asked.limits)) or {})
    with together:
        load = load_of(asked.workload, asked.numbers())
    with together:
        seen = _observed(asked.observed) if asked.observed else () if asked.gpu or asked.hardware else kept_boots()
    together.end()
    if wrong := misfits(args, model, release):
        raise InputError(*(f"--set: {problem}" for problem in wrong))
    demand = load.demand() if load else None
    rates = calibration_of(machine.card, seen, keep=asked.observed is None) if demand else None
    notes = machine.notes
    if release > NEWEST:
        notes = (*notes, f"no release after {NEWEST[0]}.{NEWEST[1]} is known: its formulas are taken")
    boots = tuple(observation.boot() for observation in seen)
    warm = asked.warm if asked.warm is not None or asked.observed else False
    question = Question(model, args, release, machine.card, machine.host, boots, notes, limits, demand, rates,
                        machine.cards, warm, launched=not (asked.gpu or asked.hardware or asked.observed))  # fmt: skip
    plan = make_plan(question, grid=asked.grid is not None)
    if wants_json:
        print(json.dumps(as_json(plan)))
    else:
        from dyno.cli.plantext import show

        show(plan, load.told() if load else None)
    return not plan.asked.rejected


def _check_grid(grid: str | None) -> None:
    if grid is not None and tuple(part.strip() for part in grid.split(",")) != GRID:
        raise InputError(f"--grid: {grid[:60]!r} is not {','.join(GRID)}, which is the one there is")


def _observed(path: Path) -> tuple[Observation, ...]:
    """A study's starts, or those in a JSON list."""
    if not path.is_dir():
        return read_observed(path)
    from dyno.study.boots import observed_starts
    from dyno.study.journal import read_journal

    return observed_starts(read_journal(path))


def _engine(text: str | None) -> tuple[Release, str | None]:
    """The release to plan for, and the platform of the engine in use when it is that one."""
    if text is not None:
        return parse_release(text), None
    from dyno.home import envs_folder

    if not any(envs_folder().glob("*/environment.json")):
        return NEWEST, None
    from dyno.engine.environment import current_environment

    engine = current_environment()
    return parse_release(engine.version), engine.platform


@dataclass(frozen=True, slots=True)
class Machine:
    """What to plan for: a card, None for vLLM's CPU engine, how many of it there are where that is known, the rest of
    the machine, and what is to be said of it."""

    card: Card | None
    host: Host = field(default_factory=Host)
    notes: tuple[str, ...] = ()
    cards: int | None = None


def _machine(asked: Asked, platform: str | None) -> Machine:
    if asked.gpu is not None and asked.hardware is not None:
        raise InputError("--gpu and --hardware: name one of them")
    if asked.gpu is not None:
        if asked.gpu.lower() == "cpu":
            return Machine(None, _host(_here(), 0))
        found = named_card(asked.gpu)
        idle = (IDLE,) if found.card.name.startswith("RTX") else ()
        return Machine(found.card, notes=(*filter(None, (found.choice,)), *idle))
    hardware = _hardware(asked.hardware) if asked.hardware else _here()
    if not hardware.gpus or platform == "cpu":
        return Machine(None, _host(hardware, 0))
    first = hardware.gpus[0]
    alike = sum(gpu.name == first.name for gpu in hardware.gpus)
    return Machine(live_card(first), _host(hardware, first.memory_used_bytes or 0), _shared(hardware), alike)


def _host(hardware: Hardware, card_used_bytes: int) -> Host:
    return Host(card_used_bytes, hardware.ram_total_bytes, hardware.ram_available_bytes, hardware.shm_free_bytes)


def _shared(hardware: Hardware) -> tuple[str, ...]:
    """Who else has memory of the card: it moves while an engine runs."""
    gpu = hardware.gpus[0]
    notes = []
    if gpu.memory_used_bytes and gpu.display_attached:
        notes.append(f"{format_bytes(gpu.memory_used_bytes)} of the card are in use, a display is attached: what a "
                     "desktop takes comes and goes")  # fmt: skip
    if hardware.wsl2:
        notes.append("under WSL2 Windows takes memory of the card as well, and moves what does not fit to the host's")
    return tuple(notes)


def _here() -> Hardware:
    from dyno.hardware.probe import read_hardware
    from dyno.home import dyno_home

    return read_hardware(dyno_home())


def _hardware(file: Path) -> Hardware:
    from pydantic import TypeAdapter, ValidationError

    remedy = "write it with `dyno doctor --json`"
    content = read_json(file, remedy)
    described = content["hardware"] if isinstance(content, dict) and "hardware" in content else content
    try:
        hardware = TypeAdapter(Hardware).validate_python(described)
    except ValidationError as error:
        raise InputError(*(f"{file}: {problem}; {remedy}" for problem in problems_in(error))) from error
    if wrong := tuple(_absurd(hardware)):
        raise InputError(*(f"{file}: {problem}; {remedy}" for problem in wrong))
    return hardware


def _absurd(hardware: Hardware) -> Iterator[str]:
    """What no machine says of itself."""
    told = {name: getattr(hardware, name) for name in ("ram_total_bytes", "ram_available_bytes", "shm_free_bytes")}
    for number, gpu in enumerate(hardware.gpus):
        where, total = f"gpus.{number}", gpu.memory_total_bytes
        free, used = gpu.memory_free_bytes or 0, gpu.memory_used_bytes or 0
        told |= {f"{where}.memory_total_bytes": total, f"{where}.memory_free_bytes": free,
                 f"{where}.memory_used_bytes": used}  # fmt: skip
        if total is not None and not max(_NO_CARD, free + used) <= total:
            yield f"{where}: no card has {total} bytes, {free} of them free and {used} in use"
        if gpu.capability and not (1 <= gpu.capability[0] < _MOST_CAPABLE and 0 <= gpu.capability[1] < _MOST_CAPABLE):
            yield f"{where}.capability is {list(gpu.capability)}: that is none, such as [8, 9]"
    if hardware.ram_available_bytes > hardware.ram_total_bytes:
        yield (f"ram_available_bytes is {hardware.ram_available_bytes}: more than the {hardware.ram_total_bytes} that "
               "there are")  # fmt: skip
    yield from (f"{name} is {shown(value)}: it must be from 0 to {_MOST_BYTES}" for name, value in told.items()
                if value is not None and not 0 <= value <= _MOST_BYTES)  # fmt: skip
