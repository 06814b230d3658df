"""From a spec to a study that can run: engine, model, flags and candidates, all checked before anything starts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from dyno.engine.args import EngineArgs
from dyno.engine.cards import choose_card
from dyno.engine.catalog import Catalog, parse_changes, parse_command
from dyno.engine.environment import Environment, current_environment, load_catalog, load_environment
from dyno.errors import InputError
from dyno.hardware.spec import Gpu, Hardware
from dyno.lint.check import Judge
from dyno.model.hf import resolve_model
from dyno.model.spec import ModelSpec
from dyno.study.journal import PlanLine
from dyno.study.launchable import judge_for, launchable
from dyno.study.space import Suggestion, alters_output, build_candidates, suggestions
from dyno.study.spec import StudySpec, parse_spec
from dyno.study.trial import Candidate
from dyno.study.written import SpecFile
from dyno.verdict.limits import refuse_unmeasurable
from dyno.workload import LONG_OUTPUT, length_of

T = TypeVar("T")

CANNOT_COMPILE = ("This machine lacks g++ or Python.h, without which the CPU engine cannot compile: "
                  "every configuration runs with --enforce-eager.")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prepared:
    """A study that has passed every check that needs no launch."""

    written: SpecFile
    spec: StudySpec
    environment: Environment
    model: ModelSpec
    candidates: tuple[Candidate, ...]
    device_uuid: str | None
    notes: tuple[str, ...]
    others: tuple[Environment, ...] = ()  # environments that candidates name
    plan: PlanLine | None = None  # None: nobody asked for one


def prepare(
    content: dict[str, Any], hardware: Hardware, visible_devices: str | None, tell: Callable[[str], None]
) -> Prepared:
    """Check a spec against the engine, the model and the machine. InputError holds all problems that can be known.

    `visible_devices` is CUDA_VISIBLE_DEVICES of the user's shell; `tell` hears of downloads. Of a model on the hub only
    the config is fetched here (see fetch).
    """
    written, spec = parse_spec(content)
    environment = current_environment(spec.engine)
    catalog = load_catalog(environment)
    device_uuid = card_for(environment, hardware, spec.device, visible_devices)
    card = next((gpu for gpu in hardware.gpus if gpu.uuid == device_uuid), None)
    problems: list[str] = []
    model = _collect(problems, lambda: resolve_model(spec.model, progress=tell, download=False))
    lean = environment.platform == "cpu" and not (hardware.compiler and hardware.python_headers)
    other = load_environment(spec.prove.engine_b) if spec.prove and spec.prove.engine_b else environment
    if other.platform != environment.platform:
        problems.append(f"prove.engine_b: {other.name} runs on {other.platform}, {environment.name} on "
                        f"{environment.platform}; name two engines of one platform")  # fmt: skip
    candidates = _collect(problems, lambda: (
        _sides(spec, catalog, other, lean) if spec.prove
        else _candidates(spec, catalog, environment, card, model, lean)))  # fmt: skip
    _collect(problems, lambda: refuse_unmeasurable(spec.limits, _measurable(card)))
    if candidates and model:
        problems += _too_long(candidates, spec, model) + _no_weights(candidates, model)
    if problems or candidates is None or model is None:
        raise InputError(*problems)
    return Prepared(written, spec, environment, model, candidates, device_uuid, (CANNOT_COMPILE,) if lean else (),
                    (other,) if other != environment else ())  # fmt: skip


def fetch(prepared: Prepared, tell: Callable[[str], None]) -> Prepared:
    """The same study with its model on this machine: downloaded where it was only an id."""
    return replace(prepared, model=resolve_model(prepared.spec.model, progress=tell))


def card_for(
    environment: Environment, hardware: Hardware, device: str | None, visible_devices: str | None
) -> str | None:
    """UUID of the card an engine of this environment runs on; None for the CPU engine. InputError: there is none."""
    if environment.platform == "cuda":
        return choose_card(hardware, device, visible_devices)
    if device is not None:
        raise InputError(f"device: {device!r} is no use to the engine {environment.name}, which runs on "
                         f"{environment.platform}; leave it out, or name another engine")  # fmt: skip
    return None


def _collect(problems: list[str], step: Callable[[], T]) -> T | None:
    try:
        return step()
    except InputError as error:
        problems.extend(error.problems)
        return None


def _candidates(
    spec: StudySpec, catalog: Catalog, environment: Environment, card: Gpu | None, model: ModelSpec | None, lean: bool
) -> tuple[Candidate, ...]:
    problems: list[str] = []
    path = model_path(spec)
    baseline = _named(problems, "baseline", lambda: _whole(spec.baseline, spec, catalog, path))
    pinned = _named(problems, "pinned", lambda: parse_changes(spec.pinned, catalog, path))
    changes = (
        tuple(Suggestion(change.name, change.args, "") for change in spec.candidates)
        if spec.candidates is not None
        else _known(suggestions(environment.platform, card.capability if card else None,
                                card.memory_total_bytes if card else None,
                                bool(model and model.quantization)), catalog, path, pinned,
                    judge_for(catalog, environment.platform, card, model))
    )  # fmt: skip
    none = EngineArgs(path)
    if lean:
        baseline = EngineArgs(path, (("enforce_eager", True),)).overlay(baseline or none)
    made = _named(problems, "", lambda: build_candidates(baseline or none, pinned or none, changes,
                                                         lambda text: parse_changes(text, catalog, path)))  # fmt: skip
    if problems or made is None:
        raise InputError(*problems)
    more = {change.name: change for change in spec.candidates or ()}
    return tuple(replace(each, against=asked.against, timeout_s=asked.timeout_s)
                 if (asked := more.get(each.name)) else each for each in made)  # fmt: skip


def _sides(spec: StudySpec, catalog: Catalog, other: Environment, lean: bool) -> tuple[Candidate, ...]:
    """The two of a proof: each a whole configuration, read with the flags of its own release, with what is pinned."""
    problems: list[str] = []
    (change,) = spec.candidates or ()
    name, text = change.name, change.args
    first = _named(problems, "A", lambda: _side("A", spec.baseline, spec, catalog, lean))
    second = _named(problems, name, lambda: _side(name, text, spec, load_catalog(other), lean))
    if first is None or second is None:
        raise InputError(*problems)
    named = spec.prove.engine_b if spec.prove else None
    return first, replace(second, alters_output=alters_output(first.args, second.args), engine=named)


def _side(name: str, text: str, spec: StudySpec, catalog: Catalog, lean: bool) -> Candidate:
    path = model_path(spec)
    whole, pinned = _whole(text, spec, catalog, path), parse_changes(spec.pinned, catalog, path)
    if lean:
        whole = EngineArgs(path, (("enforce_eager", True),)).overlay(whole)
    (made,) = build_candidates(whole, pinned, (), lambda change: parse_changes(change, catalog, path))
    return replace(made, name=name, reason="")


def model_path(spec: StudySpec) -> str:
    """A folder by its whole path, as engines start elsewhere; an id as it is, as vLLM finds it in the hub's cache."""
    folder = Path(spec.model).expanduser()
    return str(folder.absolute()) if folder.is_dir() else spec.model


def _known(
    table: tuple[Suggestion, ...], catalog: Catalog, path: str, pinned: EngineArgs | None, judge: Judge
) -> tuple[Suggestion, ...]:
    """The suggestions that this release takes and that leave alone what the user pinned."""
    fit = []
    pins = {name for name, _ in (*pinned.flags, *pinned.env)} if pinned else set()
    for suggestion in launchable(table, catalog, path, judge):
        change = parse_changes(suggestion.change, catalog, path)
        if not pins & {name for name, _ in (*change.flags, *change.env)}:
            fit.append(suggestion)
    return tuple(fit)


def _named(problems: list[str], where: str, step: Callable[[], T]) -> T | None:
    found: list[str] = []
    result = _collect(found, step)
    problems += [f"{where}: {problem}" if where else problem for problem in found]
    return result


def _whole(text: str, spec: StudySpec, catalog: Catalog, path: str) -> EngineArgs:
    """A whole configuration, written as a command or as flags and variables alone."""
    if not _is_command(text):
        return parse_changes(text, catalog, path)
    args = parse_command(text, catalog)
    if args.model != spec.model:
        raise InputError(f"serves {args.model!r}, but the study's model is {spec.model!r}; name the same model in both")
    return replace(args, model=path)


def _is_command(text: str) -> bool:
    return "serve" in text.split() or "--model" in text.split()


def _measurable(card: Gpu | None) -> set[str]:
    if card is None:
        return set()
    sensors = {"vram": card.memory_used_bytes, "temperature": card.temperature_c}
    return {name for name, value in sensors.items() if value is not None}


def _too_long(candidates: tuple[Candidate, ...], spec: StudySpec, model: ModelSpec) -> list[str]:
    wanted = max(load.input_len + load.output_len for load in spec.loads.values())
    needed = [(wanted, "the workload needs", "ask for shorter prompts or answers, or raise it")]
    needed += [(length + LONG_OUTPUT, f"limits.{limit.name} needs", "name a shorter length, or raise it")
                for limit in spec.limits if (length := length_of(limit))]  # fmt: skip
    first: dict[object, str] = {}  # of the candidates that share a limit one is enough
    for candidate in candidates:
        first.setdefault(candidate.args.flag("max_model_len") or model.max_position_embeddings, candidate.name)
    return [f"{name}: {what} {tokens} tokens a request, but max_model_len is {limit}; {remedy}"
            for tokens, what, remedy in needed
            for limit, name in first.items() if isinstance(limit, int) and 0 < limit < tokens]  # fmt: skip


def _no_weights(candidates: tuple[Candidate, ...], model: ModelSpec) -> list[str]:
    if model.has_weights or all(candidate.args.flag("load_format") == "dummy" for candidate in candidates):
        return []
    return [f"model: {model.source} holds no weights; to measure with random ones add --load-format dummy "
            "to the baseline (or to A and B) or to what is pinned"]  # fmt: skip
