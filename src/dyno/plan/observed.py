"""Starts that were seen, as people hand them over (`--observed FILE`) and as Dyno keeps them for a machine."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dyno.engine.args import EngineArgs
from dyno.errors import DynoError, InputError, Together
from dyno.hardware.gpus import Card, find_card
from dyno.home import dyno_home
from dyno.model.config import parse_config, problems_in
from dyno.model.document import read_json
from dyno.model.hf import resolve_model
from dyno.model.spec import ModelSpec
from dyno.plan.flags import VARIABLES, parse_words, read_value
from dyno.plan.known import spelt, strange_words
from dyno.predict.memory import predict_memory
from dyno.predict.rates import generic
from dyno.predict.roofline import costs
from dyno.predict.setup import Release, Setup, resolve
from dyno.predict.terms import Boot, Facts
from dyno.units import format_bytes
from dyno.workload import MOST_TOKENS, Workload

MOST_KEPT = 200  # starts that are read again: the newest
_RELEASE = re.compile(r"v?(\d{1,2})\.(\d{1,3})(\.\w+)*([+-][\w.+-]*)?", re.ASCII)
_OLDEST: Release = (0, 8)  # with the engine whose memory and scheduler the formulas are of
_OF_A_CARD = ("weights_bytes", "kv_cache_bytes", "graph_bytes", "device_used_bytes")
_ALIKE = 0.8  # as much as `fact` is like `facts`
_FAR = 2.0  # times: weights that say so much more or less than the model's shape are another model's
_FASTER = 10  # times: no draft makes so many tokens of one pass over the weights as to be that much faster
_LEAST_MS = 1e-3  # of anything, where the card's bandwidth is not known
_FAR_OFF = 0.25  # of the card: so far off is no KV cache that these flags leave


def _rounded(value: object) -> object:
    return round(value) if isinstance(value, float) and isfinite(value) else value


_Bytes = Annotated[int, BeforeValidator(_rounded), Field(gt=0, le=2**50)]
_Figure = Annotated[float | None, Field(ge=0, le=1e9, allow_inf_nan=False)]
_Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    weights_bytes: _Bytes | None = None
    kv_cache_bytes: _Bytes | None = None
    kv_cache_tokens: _Bytes | None = None
    graph_bytes: Annotated[int, BeforeValidator(_rounded), Field(ge=0, le=2**50)] | None = None
    device_used_bytes: _Bytes | None = None


class _Point(_Strict):
    input_len: _Tokens
    output_len: _Tokens
    concurrency: _Tokens
    ttft_ms: _Figure = None
    tpot_ms: _Figure = None
    output_throughput: _Figure = None
    num_requests: _Tokens | None = None
    prefix_len: int = Field(default=0, ge=0)


class _Observation(_Strict):
    model: dict[str, Any] | str
    gpu: str | None
    engine_version: str
    args: list[str] = []
    env: dict[str, str] = {}  # what is not here may have been set all the same
    facts: _Facts = _Facts()
    points: list[_Point] = []


@dataclass(frozen=True, slots=True)
class Told:
    """A load that was measured, and its figures: medians in ms and output tokens a second, by name; those there are."""

    workload: Workload
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Observation:
    """One start of an engine and what it told. `card` None means vLLM's CPU engine."""

    model: ModelSpec
    card: Card | None
    release: Release
    args: EngineArgs
    facts: Facts
    points: tuple[Told, ...] = ()
    name: str = ""
    launched: bool = False  # by Dyno, which hands no variable of vLLM on that is not in `args`

    def boot(self) -> Boot:
        """The start as a prediction is corrected by it."""
        setup = resolve(self.model, self.args, self.release, self.card)
        return Boot(setup.supposing(True) if self.launched else setup, self.facts)


def parse_release(text: str) -> Release:
    """`0.26.0`, `v0.32` or `0.32.0+cpu` as (0, 26). InputError for anything else."""
    if not (found := _RELEASE.fullmatch(text)):
        raise InputError(f"{text[:40]!r} is not a vLLM release such as 0.26.0")
    if (release := (int(found[1]), int(found[2]))) < _OLDEST:
        raise InputError(f"vLLM {text} has another engine than the one planned for; name {_OLDEST[0]}.{_OLDEST[1]} or "
                         "a later one")  # fmt: skip
    return release


def read_observed(file: Path) -> tuple[Observation, ...]:
    """The observations in a JSON list. InputError has every problem with the file and the entry it is in."""
    content = read_json(file, "name a JSON list of observations")
    if not isinstance(content, list):
        raise InputError(f"{file}: holds {type(content).__name__}, not a list of observations")
    return _parsed([(f"{file}[{number}]", entry) for number, entry in enumerate(content)])


def kept_boots() -> tuple[Observation, ...]:
    """The starts that Dyno has seen on this machine. Lines that cannot be read any more are passed over."""
    try:
        lines = boots_file().read_text().splitlines()[-MOST_KEPT:]
    except OSError:
        return ()
    found: list[Observation] = []
    for number, line in enumerate(lines):
        try:
            found += _parsed([(f"boots.jsonl[{number}]", json.loads(line))], ours=True)
        except (ValueError, RecursionError, InputError):
            continue
    return tuple(found)


def keep_boot(entry: dict[str, Any]) -> None:
    """Appends one observation, in the form of `--observed`, once. DynoError when it cannot be written."""
    file, line = boots_file(), json.dumps(entry) + "\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or line not in file.read_text():
            with file.open("a") as lines:
                lines.write(line)
    except OSError as error:
        raise DynoError(f"{file}: cannot be written ({error.strerror}); make room there") from error


def boots_file() -> Path:
    """Where the starts seen on this machine are kept."""
    return dyno_home() / "boots.jsonl"


def _parsed(entries: Sequence[tuple[str, Any]], *, ours: bool = False) -> tuple[Observation, ...]:
    """`ours` were written by Dyno: what they say is taken as it is."""
    problems: list[str] = []
    found: list[Observation] = []
    for where, entry in entries:
        try:
            strange = () if ours or not isinstance(entry, dict) else _misspelt(entry)
            seen = replace(_observation(_Observation.model_validate(entry), where), launched=ours)
            wrong = () if ours else (*strange, *_wrong(seen, entry))
            problems += [f"{where}: {problem}" for problem in wrong]
            found.append(seen)
        except ValidationError as error:
            problems += [f"{where}: {problem}" for problem in problems_in(error)]
        except InputError as error:
            problems += [problem if where in problem else f"{where}: {problem}" for problem in error.problems]
    if problems:
        raise InputError(*problems)
    return tuple(found)


def _observation(entry: _Observation, where: str) -> Observation:
    if isinstance(entry.model, str):
        model = resolve_model(entry.model, download=False)
    else:
        model = parse_config(entry.model, "its model", where=f"{where}.model", path=None, has_weights=False)
    if not model.caches:
        raise InputError(model.unknown)
    together = Together()
    with together:
        card = None if entry.gpu is None or entry.gpu.lower() == "cpu" else find_card(entry.gpu, "gpu")
    with together:
        release = parse_release(entry.engine_version)
        words = parse_words(spelt(entry.args, release), model.source)
    for name in VARIABLES:
        with together:
            read_value(name, entry.env.get(name, "0"), "env: ")
    points = []
    for number, point in enumerate(entry.points):
        with together:
            points.append(_told(point, f"points.{number}"))
    together.end()
    args = EngineArgs(words.model, words.flags, tuple(entry.env.items()))
    return Observation(model, card, release, args, Facts(**entry.facts.model_dump()), tuple(points), where)


def _told(point: _Point, where: str) -> Told:
    number = point.num_requests or 4 * point.concurrency
    figures = {"ttft": point.ttft_ms, "tpot": point.tpot_ms, "output_throughput": point.output_throughput}
    none = [name for name, value in figures.items() if value == 0 and (name != "tpot" or point.output_len > 1)]
    if none:
        raise InputError(f"{where}: {' and '.join(none)} of 0 cannot have been measured; leave out what was not")
    try:
        load = Workload("observed", point.input_len, point.output_len, point.concurrency, number, point.prefix_len)
    except InputError as error:
        raise InputError(*(f"{where}: {problem}" for problem in error.problems)) from error
    return Told(load, {name: value for name, value in figures.items() if value})


def _misspelt(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Names beside those that are known, and close to one; others are notes of whoever wrote them."""
    known = tuple(_Observation.model_fields)
    return tuple(f"{name[:40]!r} is not a field; did you mean {close[0]!r}?" for name in entry
                 if name not in known and (close := get_close_matches(name, known, n=1, cutoff=_ALIKE)))  # fmt: skip


def _wrong(seen: Observation, entry: Mapping[str, Any]) -> Iterable[str]:
    """What vLLM would not have taken, and facts that cannot be of such a start."""
    yield from strange_words(entry.get("args", ()), seen.release)
    facts, card = seen.facts, seen.card
    told = {name: value for name in _OF_A_CARD if (value := getattr(facts, name))}
    if card and (more := [name for name, value in told.items() if value > card.memory_bytes]):
        yield from (f"facts.{name}: {format_bytes(told[name])} are more than the {format_bytes(card.memory_bytes)} of "
                    f"one {card.name}; give bytes of one card" for name in more)  # fmt: skip
        return
    setup = seen.boot().setup
    memory = predict_memory(setup)
    yield from _too_fast(seen, setup)
    yield from _too_little(facts, memory.weights_bytes, setup.blocks is not None)
    if (weights := facts.weights_bytes) and not 1 / _FAR < weights / memory.weights_bytes < _FAR:
        yield (f"facts.weights_bytes: {format_bytes(weights)}, where the model's shape and these args make "
               f"{format_bytes(memory.weights_bytes)}: not a start of this model; correct it or leave "
               "the entry out")  # fmt: skip
    if card and (kv := facts.kv_cache_bytes) and abs(kv - memory.kv_cache_bytes) > _FAR_OFF * card.memory_bytes:
        yield (f"facts.kv_cache_bytes: {format_bytes(kv)}, where these args leave about "
               f"{format_bytes(max(0, memory.kv_cache_bytes))}: not a start with them; correct it or leave "
               "the entry out")  # fmt: skip


def _too_little(facts: Facts, weights_bytes: int, blocks_told: bool) -> Iterable[str]:
    """What is in use holds the weights and, but where its blocks were told, the KV cache."""
    weights = facts.weights_bytes or round(weights_bytes / _FAR)
    held = weights + (0 if blocks_told else facts.kv_cache_bytes or 0)
    if (used := facts.device_used_bytes) and used < held:
        yield (f"facts.device_used_bytes: {format_bytes(used)}, where weights and KV cache alone take "
               f"{format_bytes(held)}: nvidia-smi shows all of the card's, in bytes; correct it or leave it out"
               )  # fmt: skip


def _too_fast(seen: Observation, setup: Setup) -> Iterable[str]:
    """Points of requests that the engine does not take, or faster than reading the weights once for a token lets be."""
    known = costs(setup, generic(seen.card).rates) if seen.card else None
    least_ms = max(_LEAST_MS, known.stream_s * 1000 / _FASTER if known else 0.0)
    for number, (load, figures) in enumerate((each.workload, each.figures) for each in seen.points):
        if (length := load.input_len + load.output_len) > setup.max_model_len:
            yield (f"points.{number}: a request of {length:,} tokens, answer included, is longer than max_model_len "
                   f"{setup.max_model_len:,}: not measured with these args; correct it or leave it out")  # fmt: skip
        most = 1000 * load.concurrency / least_ms
        limits = {"ttft": least_ms, "tpot": least_ms if load.output_len > 1 else 0.0}
        wrong = [f"{name}_ms of {figures[name]:g} is less than {least:.3g}" for name, least in limits.items()
                 if figures.get(name, least) < least]  # fmt: skip
        if (rate := figures.get("output_throughput", 0.0)) > most:
            wrong.append(f"output_throughput of {rate:g} is more than {most:.3g}")
        if wrong:
            why = f", {_FASTER} times as fast as the card reads the weights" if known else ""
            yield (f"points.{number}: {' and '.join(wrong)}{why}; times are in ms, rates in tokens a second; correct "
                   "it or leave it out")  # fmt: skip
