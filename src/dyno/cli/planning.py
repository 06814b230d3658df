"""What `dyno plan` reads before it plans, and how it shows the answer."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dyno.cli.options import named
from dyno.errors import InputError, Together
from dyno.hardware.gpus import Card, live_card, named_card
from dyno.hardware.spec import Hardware
from dyno.model.hf import describe_model
from dyno.plan.calibration import calibration_of
from dyno.plan.flags import parse_settings
from dyno.plan.jsonout import as_json
from dyno.plan.known import misfits
from dyno.plan.observed import Observation, kept_boots, parse_release, read_observed
from dyno.plan.planning import Question, make_plan, unknown_shape
from dyno.predict.demand import Demand
from dyno.predict.latency import closed_loop, open_loop
from dyno.predict.memory import Host
from dyno.predict.setup import Release
from dyno.units import format_bytes
from dyno.workload import Workload, parse_limits, workload_from

NEWEST: Release = (0, 33)
IDLE = "the card is taken to be idle: a desktop on it takes 0.3 to 1 GiB more"
GRID = ("max_model_len", "concurrency")
_MORE = ("num_requests", "prefix_len", "prefixes")
_FASTEST = 1e5  # requests a second


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


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the engine: by clients who wait for their answers, or so many requests a second."""

    workload: Workload
    rate: float | None = None

    def demand(self) -> Demand:
        """The requests."""
        return closed_loop(self.workload) if self.rate is None else open_loop(self.workload, self.rate)

    def told(self) -> str:
        """In a few words."""
        how = f"{self.workload.concurrency} at once" if self.rate is None else f"{self.rate:g} a second"
        load = self.workload
        return f"{load.num_requests} requests of {load.input_len} in, {load.output_len} out, {how}"


def run(asked: Asked, wants_json: bool) -> bool:
    """Print the plan. True when what was asked for fits. InputError has every problem of all that was given."""
    together = Together()
    with together:
        _check_grid(asked.grid)
    with together:
        release, platform = _engine(asked.vllm)
        card, host, notes = _machine(asked, platform)
    with together:
        model = describe_model(asked.model)
        if not model.caches:
            raise InputError(unknown_shape(model))
    with together:
        args = parse_settings(asked.settings, asked.model)
    with together:
        limits = parse_limits(named(list(asked.limits), "--limits", "=") or {})
    with together:
        load = load_of(asked)
    with together:
        seen = _observed(asked.observed) if asked.observed else () if asked.gpu or asked.hardware else kept_boots()
    together.end()
    if wrong := misfits(args, model, release):
        raise InputError(*(f"--set: {problem}" for problem in wrong))
    demand = load.demand() if load else None
    rates = calibration_of(card, seen, keep=asked.observed is None) if demand else None
    if release > NEWEST:
        notes = (*notes, f"no release after {NEWEST[0]}.{NEWEST[1]} is known: its formulas are taken")
    boots = tuple(observation.boot() for observation in seen)
    warm = asked.warm if asked.warm is not None or asked.observed else False
    question = Question(model, args, release, card, host, boots, notes, limits, demand, rates, warm,
                        launched=not (asked.gpu or asked.hardware or asked.observed))  # fmt: skip
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


def load_of(asked: Asked) -> Load | None:
    """The load that was asked for, None when none was. InputError for a file that is none."""
    file = asked.workload
    numbers: dict[str, Any] = {"input_len": asked.input_len, "output_len": asked.output_len,
                               "concurrency": asked.concurrency}  # fmt: skip
    given = {name: value for name, value in numbers.items() if value is not None}
    if file is not None:
        given = {**_yaml(file), **given}
    if not given:
        return None
    preset = given.pop("preset", "chat")
    rate = given.pop("rate", None)
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= _FASTEST):
        raise InputError(f"workload.rate: {rate!r} is not a number of requests a second")
    if not isinstance(preset, str) or (strange := sorted(set(given) - {*numbers, *_MORE})):
        raise InputError(f"workload: {', '.join(strange) if isinstance(preset, str) else 'preset'} is not known")
    if wrong := [name for name, value in given.items() if isinstance(value, bool) or not isinstance(value, int)]:
        raise InputError(*(f"workload.{name}: {given[name]!r} is not a whole number" for name in wrong))
    return Load(workload_from(preset, **given), rate)


def _yaml(file: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe").load(file.read_text())
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: is not YAML ({error})") from error
    content = content.get("workload", content) if isinstance(content, dict) else content
    if isinstance(content, str):
        return {"preset": content}
    if not isinstance(content, dict):
        raise InputError(f"{file}: holds no workload; write input_len, output_len and concurrency")
    return content


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


def _machine(asked: Asked, platform: str | None) -> tuple[Card | None, Host, tuple[str, ...]]:
    """The card to plan for, None for vLLM's CPU engine; what else the machine has; what is to be said of it."""
    if asked.gpu is not None and asked.hardware is not None:
        raise InputError("--gpu and --hardware: name one of them")
    if asked.gpu is not None:
        if asked.gpu.lower() == "cpu":
            return None, _host(_here(), 0), ()
        found = named_card(asked.gpu)
        choice = (found.choice,) if found.choice else ()
        return found.card, Host(), (*choice, *((IDLE,) if found.card.name.startswith("RTX") else ()))
    hardware = _hardware(asked.hardware) if asked.hardware else _here()
    card = live_card(hardware.gpus[0]) if hardware.gpus and platform != "cpu" else None
    used = (hardware.gpus[0].memory_used_bytes or 0) if card else 0
    return card, _host(hardware, used), _shared(hardware) if card else ()


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

    try:
        content = json.loads(file.read_bytes())
        described = content["hardware"] if isinstance(content, dict) and "hardware" in content else content
        return TypeAdapter(Hardware).validate_python(described)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); write it with `dyno doctor --json`") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise InputError(f"{file}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}; write it with "
                         "`dyno doctor --json`") from error  # fmt: skip
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: is not JSON ({error}); write it with `dyno doctor --json`") from error
