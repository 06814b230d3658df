"""Starts that were seen, as people hand them over (`--observed FILE`) and as Dyno keeps them for a machine."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dyno.engine.args import EngineArgs
from dyno.errors import DynoError, InputError
from dyno.hardware.gpus import Card, find_card
from dyno.home import dyno_home
from dyno.model.config import parse_config
from dyno.model.hf import resolve_model
from dyno.model.spec import ModelSpec
from dyno.plan.flags import parse_words
from dyno.predict.setup import Release, resolve
from dyno.predict.terms import Boot, Facts
from dyno.workload import Workload

MOST_KEPT = 200  # starts that are read again: the newest
_RELEASE = re.compile(r"v?(\d+)\.(\d+)")
_Bytes = Annotated[int, Field(ge=0, le=2**60)]
_Figure = Annotated[float | None, Field(ge=0, allow_inf_nan=False)]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="ignore")

    weights_bytes: _Bytes | None = None
    kv_cache_bytes: _Bytes | None = None
    kv_cache_tokens: _Bytes | None = None
    graph_bytes: _Bytes | None = None
    device_used_bytes: _Bytes | None = None


class _Point(BaseModel):
    model_config = ConfigDict(extra="ignore")

    input_len: int = Field(ge=1)
    output_len: int = Field(ge=1)
    concurrency: int = Field(ge=1)
    ttft_ms: _Figure = None
    tpot_ms: _Figure = None
    output_throughput: _Figure = None
    num_requests: int | None = Field(default=None, ge=1)
    prefix_len: int = Field(default=0, ge=0)


class _Observation(BaseModel):
    model_config = ConfigDict(extra="ignore")

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

    def boot(self) -> Boot:
        """The start as a prediction is corrected by it."""
        return Boot(resolve(self.model, self.args, self.release, self.card), self.facts)


def parse_release(text: str) -> Release:
    """`0.26.0`, `v0.32` or `0.32.0+cpu` as (0, 26). InputError for anything else."""
    if not (found := _RELEASE.match(text)):
        raise InputError(f"{text!r} is not a vLLM release such as 0.26.0")
    return int(found[1]), int(found[2])


def read_observed(file: Path) -> tuple[Observation, ...]:
    """The observations in a JSON list. InputError has every problem with the file and the entry it is in."""
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); name a JSON list of observations") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: is not JSON ({error})") from error
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
            found += _parsed([(f"boots.jsonl[{number}]", json.loads(line))])
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


def _parsed(entries: Sequence[tuple[str, Any]]) -> tuple[Observation, ...]:
    problems: list[str] = []
    found: list[Observation] = []
    for where, entry in entries:
        try:
            found.append(_observation(_Observation.model_validate(entry), where))
        except ValidationError as error:
            problems += [f"{where}.{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                         for fault in error.errors(include_url=False)]  # fmt: skip
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
    card = None if entry.gpu is None or entry.gpu.lower() == "cpu" else find_card(entry.gpu)
    words = parse_words(entry.args, model.source)
    args = EngineArgs(words.model, words.flags, tuple(entry.env.items()))
    points = tuple(_told(point) for point in entry.points)
    facts = Facts(**entry.facts.model_dump())
    return Observation(model, card, parse_release(entry.engine_version), args, facts, points, where)


def _told(point: _Point) -> Told:
    number = point.num_requests or 4 * point.concurrency
    figures = {"ttft": point.ttft_ms, "tpot": point.tpot_ms, "output_throughput": point.output_throughput}
    return Told(Workload("observed", point.input_len, point.output_len, point.concurrency, number, point.prefix_len),
                {name: value for name, value in figures.items() if value})  # fmt: skip
