"""A study's spec: as people write it (SpecFile), and as the rooms read it (StudySpec)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from dyno.errors import InputError, nearest
from dyno.units import parse_seconds
from dyno.workload import PRESETS, Limit, Objective, Workload, parse_limits

TESTS = ("startup", "ttft", "throughput", "long_context", "prefix_reuse", "memory")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkloadFile:
    """A workload: a preset, with any of its numbers changed. Lengths in tokens."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    preset: str = "chat"
    input_len: int | None = None
    output_len: int | None = None
    concurrency: int | None = None
    num_requests: int | None = None


@dataclass(frozen=True, slots=True)
class SpecFile:
    """The whole input of a study. Every key but `model` has a default."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    model: str = ""
    workload: str | WorkloadFile = "chat"
    objective: str = "output_throughput"
    limits: dict[str, str | int | float] = field(default_factory=dict)
    baseline: str = ""
    candidates: dict[str, str] | None = None
    pinned: str = ""
    tests: tuple[str, ...] = TESTS
    pairs: int = 6
    budget: str | int | float | None = None
    seed: int = 0
    allow_output_change: bool = False
    engine: str | None = None
    device: str | None = None
    ready_timeout: str | int | float = "20 min"


@dataclass(frozen=True, slots=True)
class StudySpec:
    """A spec whose every word is understood. Commands stay text until the engine's flags are known."""

    model: str
    workload: Workload
    objective: Objective
    limits: tuple[Limit, ...]
    baseline: str
    candidates: tuple[tuple[str, str], ...] | None  # None: the table of defaults for this hardware
    pinned: str
    tests: tuple[str, ...]
    pairs: int
    budget_s: float | None
    seed: int
    allow_output_change: bool
    engine: str | None
    device: str | None
    ready_timeout_s: float


def read_spec(path: Path) -> dict[str, Any]:
    """The mapping that stands in a YAML spec, unchecked. InputError when it cannot be read as one."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    except YAMLError as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{path}: must be a mapping such as 'model: ./my-model'")
    return content


def parse_spec_file(content: Mapping[str, Any]) -> SpecFile:
    """The spec as written, with every key known and of the right type. InputError names all that are not."""
    return _validated(content)[0]


def parse_spec(content: Mapping[str, Any]) -> tuple[SpecFile, StudySpec]:
    """A spec from a mapping. InputError carries every problem: unknown keys, wrong types, unusable values."""
    written, problems = _validated(content, collect=True)
    spec = _understood(written, problems, skip=frozenset(_keys_of(problems)))
    if problems or spec is None:
        raise InputError(*problems)
    return written, spec


def spec_schema() -> dict[str, Any]:
    """The JSON Schema of a spec file."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(SpecFile).json_schema()
    schema["required"] = ["model"]
    return schema


def _validated(content: Mapping[str, Any], collect: bool = False) -> tuple[SpecFile, list[str]]:
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(SpecFile)
    try:
        return adapter.validate_python(dict(content)), []
    except ValidationError as error:
        found: list[Mapping[str, Any]] = [dict(item) for item in error.errors()]
        problems = list(dict.fromkeys(_problem(item) for item in found if not _explained_deeper(item, found)))
        if not collect:
            raise InputError(*problems) from error
        wrong = {str(item["loc"][0]) for item in found}
        return adapter.validate_python({key: content[key] for key in content if key not in wrong}), problems


def _explained_deeper(item: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> bool:
    """A key that may be text or a mapping reports both readings: only the one that got further is worth saying."""
    key = item["loc"][0]
    return len(item["loc"]) < max(len(other["loc"]) for other in found if other["loc"][0] == key)


def _problem(found: Mapping[str, Any]) -> str:
    path = [str(part) for part in found["loc"] if part not in ("WorkloadFile", "str", "int", "float")]
    name = ".".join(path)
    if found["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = [item.name for item in fields(WorkloadFile if path[0] == "workload" else SpecFile)]
        return f"{name}: unknown key{nearest(path[-1], known)}"
    message = str(found["msg"])
    return f"{name}: {found['input']!r}: {message[0].lower()}{message[1:]}"


def _keys_of(problems: list[str]) -> set[str]:
    return {problem.split(":")[0].split(".")[0] for problem in problems}


def _understood(written: SpecFile, problems: list[str], skip: frozenset[str]) -> StudySpec | None:
    def parsed(key: str, parse: Callable[[], T]) -> T | None:
        if key in skip:
            return None
        try:
            return parse()
        except InputError as error:
            problems.extend(error.problems)
        except ValueError as error:
            problems.append(f"{key}: {error}")
        return None

    workload = parsed("workload", lambda: _workload(written.workload))
    objective = parsed("objective", lambda: Objective(written.objective))
    limits = parsed("limits", lambda: parse_limits(written.limits))
    tests = parsed("tests", lambda: _tests(written.tests))
    pairs = parsed("pairs", lambda: _at_least("pairs", written.pairs, 0))
    budget_s = parsed("budget", lambda: None if written.budget is None else _positive_seconds(written.budget))
    timeout_s = parsed("ready_timeout", lambda: _positive_seconds(written.ready_timeout))
    candidates = parsed("candidates", lambda: _candidates(written.candidates))
    if not written.model and "model" not in skip:
        problems.append("model: missing; give a model folder or a Hugging Face id")
    if workload is None or objective is None or limits is None or tests is None or pairs is None or timeout_s is None:
        return None
    return StudySpec(
        model=written.model, workload=workload, objective=objective, limits=limits, baseline=written.baseline,
        candidates=candidates, pinned=written.pinned, tests=tests, pairs=pairs, budget_s=budget_s, seed=written.seed,
        allow_output_change=written.allow_output_change, engine=written.engine, device=written.device,
        ready_timeout_s=timeout_s,
    )  # fmt: skip


def _workload(written: str | WorkloadFile) -> Workload:
    given = WorkloadFile(preset=written) if isinstance(written, str) else written
    if given.preset not in PRESETS:
        raise InputError(f"workload: {given.preset!r} is not a preset ({', '.join(PRESETS)})"
                         f"{nearest(given.preset, tuple(PRESETS))}")  # fmt: skip
    base = PRESETS[given.preset]
    changed = {name: value for name in ("input_len", "output_len", "concurrency", "num_requests")
               if (value := getattr(given, name)) is not None}  # fmt: skip
    if not changed:
        return base
    numbers = {name: getattr(base, name) for name in ("input_len", "output_len", "concurrency", "num_requests")}
    if "concurrency" in changed and "num_requests" not in changed:
        changed["num_requests"] = 4 * changed["concurrency"]
    return Workload(name=f"{given.preset}, changed", **{**numbers, **changed})


def _tests(written: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [f"tests: {name!r} is not a test{nearest(name, TESTS)}" for name in written if name not in TESTS]:
        raise InputError(*unknown)
    chosen = {"startup", "throughput", "memory", *written}
    return tuple(name for name in TESTS if name in chosen)


def _candidates(written: dict[str, str] | None) -> tuple[tuple[str, str], ...] | None:
    if written is None:
        return None
    problems = [f"candidates.{name}: {why}" for name, change in written.items() for why in _wrong(name, change)]
    if problems:
        raise InputError(*problems)
    return tuple(written.items())


def _wrong(name: str, change: str) -> list[str]:
    wrong = []
    if name == "baseline":
        wrong.append("'baseline' is the name of what all candidates are compared with; use the key 'baseline'")
    if not name.strip() or not name.isprintable():
        wrong.append("a name is needed that can be printed")
    if not isinstance(change, str):
        wrong.append("write it as flags and variables, such as '--enforce-eager'")
    return wrong


def _at_least(key: str, value: int, least: int) -> int:
    if value < least:
        raise InputError(f"{key}: {value} must be at least {least}")
    return value


def _positive_seconds(text: str | float) -> float:
    seconds = parse_seconds(text)
    if seconds <= 0:
        raise ValueError(f"{text!r} must be more than 0 s")
    return seconds
