"""A study's spec as people write it: its keys, and what is wrong with what was written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from reprlib import repr as brief
from typing import Annotated, Any, ClassVar

from pydantic import Strict

from dyno.errors import InputError, nearest
from dyno.verdict.compare import EQUIVALENCE_MARGIN

TESTS = ("startup", "ttft", "throughput", "long_context", "prefix_reuse", "memory")

# Tests that take their time: only when they are named. `memory` stays last, as it tells the peaks of all others.
MORE_TESTS = ("context", "concurrency", "sustained", "soak")
ALL_TESTS = (*TESTS[:-1], *MORE_TESTS, "memory")

Whole = Annotated[int, Strict()]  # `true` is no number
Quantity = str | Annotated[int, Strict()] | Annotated[float, Strict()]


@dataclass(frozen=True, slots=True)
class WorkloadFile:
    """A workload: a preset, with any of its numbers changed. Lengths in tokens."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    preset: str = "chat"
    input_len: Whole | None = None
    output_len: Whole | None = None
    concurrency: Whole | None = None
    num_requests: Whole | None = None
    prefix_len: Whole | None = None
    prefixes: Whole | None = None


@dataclass(frozen=True, slots=True)
class CandidateFile:
    """A candidate with more than its flags: what its ratio is taken to, and how long it may take to start."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    args: str
    against: str | None = None
    timeout: Quantity | None = None


@dataclass(frozen=True, slots=True)
class ProveFile:
    """Makes a study a proof: baseline and one candidate, whole configurations both, no screening."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    engine_b: str | None = None
    metrics: tuple[str, ...] = ()
    max_pairs: Whole = 20
    margin: Quantity = EQUIVALENCE_MARGIN


@dataclass(frozen=True, slots=True)
class SpecFile:
    """The whole input of a study. Every key but `model` has a default."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    model: str = ""
    workload: str | WorkloadFile = "chat"
    workloads: dict[str, str | WorkloadFile] = field(default_factory=dict)
    objective: str = "output_throughput"
    limits: dict[str, Quantity] = field(default_factory=dict)
    baseline: str = ""
    candidates: dict[str, str | CandidateFile] | None = None
    pinned: str = ""
    tests: tuple[str, ...] = TESTS
    warm: bool | Whole | None = None
    pairs: Whole = 6
    budget: Quantity | None = None
    seed: Whole = 0
    allow_output_change: bool = False
    shared_host: bool = False
    engine: str | None = None
    device: str | Whole | None = None
    ready_timeout: Quantity = "20 min"
    duration: Quantity | None = None
    silence: Quantity = "5 min"
    weights: dict[str, Quantity] = field(default_factory=dict)
    prove: ProveFile | None = None


def read_spec(path: Path) -> dict[str, Any]:
    """The mapping that stands in a YAML spec, unchecked. InputError when it cannot be read as one."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name a spec in YAML") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text in UTF-8; name a spec in YAML") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}: line {line} is not YAML: {' '.join(str(error.problem).split())}") from error
    except YAMLError as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{path}: must be a mapping such as 'model: ./my-model'")
    return content


def spec_schema() -> dict[str, Any]:
    """The JSON Schema of a spec file."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(SpecFile).json_schema()
    schema["required"] = ["model"]
    return schema


def with_model_of_baseline(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """A baseline command names its model already: `vllm serve MODEL ...` makes the key `model` optional."""
    words = str(content.get("baseline", "")).split()
    if content.get("model") or "serve" not in words[:-1]:
        return content
    return {**content, "model": words[words.index("serve") + 1]}


def validated(content: Mapping[str, Any]) -> tuple[SpecFile, list[str]]:
    """What of the mapping has known keys and right types, and the problems with the rest."""
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(SpecFile)
    try:
        return adapter.validate_python(dict(content)), []
    except ValidationError as error:
        found: list[Mapping[str, Any]] = [dict(item) for item in error.errors()]
        problems = _problems([item for item in found if not _explained_deeper(item, found)])
        wrong = {str(item["loc"][0]) for item in found}
        return adapter.validate_python({key: content[key] for key in content if key not in wrong}), problems


def _explained_deeper(item: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> bool:
    """A key that may be text or a mapping reports both readings: only the one that got further is worth saying."""
    key = item["loc"][0]
    return len(item["loc"]) < max(len(other["loc"]) for other in found if other["loc"][0] == key)


_KEYS: Mapping[str, type[Any]] = {
    "workload": WorkloadFile, "workloads": WorkloadFile, "candidates": CandidateFile, "prove": ProveFile,
}  # fmt: skip

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list such as [ttft, throughput]",
    "dict_type": "a mapping such as {name: value}",
    "dataclass_type": "a mapping such as {concurrency: 4}",
}


def _problems(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence for each place: what a key with several readings could have been is said together."""
    sentences: dict[str, list[str]] = {}
    for item in found:
        path = [
            str(part)
            for part in item["loc"]
            if part not in ("WorkloadFile", "CandidateFile", "ProveFile", "str", "int", "float", "bool", "[key]")
        ]
        name = ".".join(path)
        if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            keys = _KEYS.get(path[0], SpecFile)
            known = [each.name for each in fields(keys)]
            sentences[f"{name}: unknown key{nearest(path[-1], known)}"] = []
        else:
            said = "is empty; it" if item["input"] is None else brief(item["input"])
            sentences.setdefault(f"{name}: {said} must be ", []).append(_WANTED.get(item["type"], str(item["msg"])))
    return [start + " or ".join(dict.fromkeys(ends)) for start, ends in sentences.items()]


def keys_of(problems: list[str]) -> set[str]:
    """The keys that the problems are about."""
    return {problem.split(":")[0].split(".")[0] for problem in problems}
