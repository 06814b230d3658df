"""A study's spec: as people write it (SpecFile), and as the rooms read it (StudySpec)."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from reprlib import repr as brief
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Strict

from dyno.errors import InputError, nearest
from dyno.units import parse_fraction, parse_seconds
from dyno.verdict.compare import EQUIVALENCE_MARGIN
from dyno.workload import Limit, Objective, Workload, latency_limits, length_of, parse_limits, workload_from

TESTS = ("startup", "ttft", "throughput", "long_context", "prefix_reuse", "memory")

# Tests that take their time: only when they are named. `memory` stays last, as it tells the peaks of all others.
MORE_TESTS = ("context", "concurrency", "sustained", "soak")
ALL_TESTS = (*TESTS[:-1], *MORE_TESTS, "memory")

_NO_TEST = {"backend": "tests: 'backend' is a proof of its own; ask for it with: dyno prove MODEL --backends all"}

# So that what one launch of the baseline costs is not taken a billion times for a slip of the finger.
MOST_PAIRS = 1000

T = TypeVar("T")
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


@dataclass(frozen=True, slots=True)
class ProveSpec:
    """What a proof asks: which metrics, of how many pairs at most, and which ratio matters to nobody."""

    engine_b: str | None
    metrics: tuple[Objective, ...]
    max_pairs: int
    margin: float


@dataclass(frozen=True, slots=True)
class Change:
    """A candidate as a spec has it: its flags as text, whose ratio is taken to `against`, else to the baseline."""

    name: str
    args: str
    against: str | None = None
    timeout_s: float | None = None  # to get ready, None: the study's


@dataclass(frozen=True, slots=True)
class StudySpec:
    """A spec whose every word is understood. Commands stay text until the engine's flags are known."""

    model: str
    workload: Workload
    objective: Objective
    limits: tuple[Limit, ...]
    baseline: str
    candidates: tuple[Change, ...] | None  # None: the table of defaults for this hardware
    pinned: str
    tests: tuple[str, ...]
    pairs: int
    budget_s: float | None
    seed: int
    allow_output_change: bool
    shared_host: bool  # neighbours never end: what they take is noted, and voids nothing
    engine: str | None
    device: str | None
    ready_timeout_s: float
    silence_s: float  # without a byte, after which a request has failed
    duration_s: float | None  # of `sustained` and of `soak`; None: a minute and ten
    weights: tuple[tuple[str, float], ...]  # of the decision matrix
    prove: ProveSpec | None
    clients_named: bool = False  # whether the workload says how many clients there are
    more_workloads: tuple[Workload, ...] = ()  # beside the first, measured by every launch
    warm: bool | int | None = None  # engines that fill caches at a time; None: as many as fit, on a GPU

    @property
    def at_limits(self) -> bool:
        """Whether throughput is that at the largest concurrency within the limits, instead of at the workload's."""
        return not self.clients_named and self.objective.higher_is_better and bool(latency_limits(self.limits))

    @property
    def loads(self) -> dict[str, Workload]:
        """The workloads by the test that takes them: `throughput` the first, `throughput@NAME` the others."""
        return {"throughput": self.workload} | {f"throughput@{load.name}": load for load in self.more_workloads}

    @property
    def confirm_tests(self) -> tuple[str, ...]:
        """What a launch of the confirmation takes."""
        return ("startup", *self.loads)


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


def parse_spec(content: Mapping[str, Any]) -> tuple[SpecFile, StudySpec]:
    """A spec from a mapping. InputError carries every problem: unknown keys, wrong types, unusable values."""
    written, problems = _validated(_with_model_of_baseline(content))
    spec = _understood(written, problems, skip=frozenset(_keys_of(problems)))
    if problems or spec is None:
        raise InputError(*problems)
    return written, spec


def _with_model_of_baseline(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """A baseline command names its model already: `vllm serve MODEL ...` makes the key `model` optional."""
    words = str(content.get("baseline", "")).split()
    if content.get("model") or "serve" not in words[:-1]:
        return content
    return {**content, "model": words[words.index("serve") + 1]}


def spec_schema() -> dict[str, Any]:
    """The JSON Schema of a spec file."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(SpecFile).json_schema()
    schema["required"] = ["model"]
    return schema


def _validated(content: Mapping[str, Any]) -> tuple[SpecFile, list[str]]:
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

    workloads = parsed("workloads", lambda: _workloads(written))
    objective = parsed("objective", lambda: Objective(written.objective))
    limits = parsed("limits", lambda: parse_limits(written.limits))
    lengths = any(length_of(limit) for limit in limits or ())
    tests = parsed("tests", lambda: _tests((*written.tests, *(["context"] if lengths else [])), written.workloads))
    pairs = parsed("pairs", lambda: _pairs(written.pairs))
    budget_s = parsed("budget", lambda: None if written.budget is None else _positive_seconds(written.budget))
    duration_s = parsed("duration", lambda: None if written.duration is None else _positive_seconds(written.duration))
    timeout_s = parsed("ready_timeout", lambda: _positive_seconds(written.ready_timeout))
    silence_s = parsed("silence", lambda: _positive_seconds(written.silence))
    candidates = parsed("candidates", lambda: _candidates(written.candidates))
    warm = parsed("warm", lambda: _warm(written.warm))
    weights = parsed("weights", lambda: _weights(written.weights))
    prove = parsed("prove", lambda: _prove(written))
    if not written.model and "model" not in skip:
        problems.append("model: missing; give a model folder or a Hugging Face id")
    if workloads is None or objective is None or limits is None or tests is None or pairs is None or timeout_s is None:
        return None
    spec = StudySpec(
        model=written.model, workload=workloads[0], objective=objective, limits=limits, baseline=written.baseline,
        candidates=candidates, pinned=written.pinned, tests=tests, pairs=pairs, budget_s=budget_s, seed=written.seed,
        allow_output_change=written.allow_output_change, shared_host=written.shared_host, engine=written.engine,
        device=None if written.device is None else str(written.device),
        ready_timeout_s=timeout_s, silence_s=silence_s or 0.0, duration_s=duration_s, weights=weights or (),
        prove=prove,
        clients_named=any(isinstance(each, WorkloadFile) and each.concurrency is not None
                          for each in (written.workload, *written.workloads.values())),
        more_workloads=workloads[1:], warm=warm,
    )  # fmt: skip
    problems += _not_in_a_proof(spec)
    return spec


def _not_in_a_proof(spec: StudySpec) -> list[str]:
    """What a proof, whose launches take the workload's own load alone, cannot be asked."""
    if spec.prove is None:
        return []
    asked = [metric.name for metric in spec.prove.metrics if not metric.higher_is_better] if spec.at_limits else []
    other = [limit.name for limit in spec.limits if length_of(limit) or limit.name == "speedup"]
    return [*(f"prove.metrics: {name} cannot be compared where the number of clients follows from the limits; "
              "say how many there are (--concurrency)" for name in asked),
            *(f"limits.{name}: a proof does not measure that; tune does" for name in other)]  # fmt: skip


def _workload(written: str | WorkloadFile) -> Workload:
    return workload_from(written) if isinstance(written, str) else workload_from(**asdict(written))


def _workloads(written: SpecFile) -> tuple[Workload, ...]:
    """The workload, or the several that a launch measures one after the other, by their names."""
    if not written.workloads:
        return (_workload(written.workload),)
    problems, made = [], []
    if written.workload != "chat" or written.prove:
        problems.append("workloads: takes the place of `workload`, and goes with no proof; leave one of them out")
    for name, asked in written.workloads.items():
        if not _PLAIN_NAME.fullmatch(name):
            problems.append(f"workloads.{name!a}: a name is letters, digits, '-' and '_'")
            continue
        try:
            made.append(replace(_workload(asked), name=name))
        except InputError as error:
            problems += [f"workloads.{name}: {problem}" for problem in error.problems]
    if problems:
        raise InputError(*problems)
    return tuple(made)


_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,30}")


def _tests(written: tuple[str, ...], workloads: Collection[str]) -> tuple[str, ...]:
    if unknown := [name for name in written if name not in ALL_TESTS]:
        raise InputError(*(_NO_TEST.get(name, f"tests: {name!r} is not a test{nearest(name, ALL_TESTS)}")
                           for name in unknown))  # fmt: skip
    chosen = {"startup", "throughput", "memory", *written}
    taken = [name for name in ALL_TESTS if name in chosen]
    after = taken.index("throughput") + 1
    return (*taken[:after], *(f"throughput@{name}" for name in list(workloads)[1:]), *taken[after:])


def _candidates(written: dict[str, str | CandidateFile] | None) -> tuple[Change, ...] | None:
    if written is None:
        return None
    problems = [f"candidates.{name if name.isprintable() else ascii(name)}: {why}"
                for name, asked in written.items() for why in _wrong(name, asked, tuple(written))]  # fmt: skip
    if problems:
        raise InputError(*problems)
    return tuple(_change(name, asked) for name, asked in written.items())


def _change(name: str, asked: str | CandidateFile) -> Change:
    if isinstance(asked, str):
        return Change(name, asked)
    timeout_s = None if asked.timeout is None else _positive_seconds(asked.timeout)
    return Change(name, asked.args, asked.against, timeout_s)


def _wrong(name: str, asked: str | CandidateFile, names: tuple[str, ...]) -> list[str]:
    wrong = []
    if isinstance(asked, CandidateFile):
        if asked.against is not None and (asked.against not in names or asked.against == name):
            wrong.append(f"against: {asked.against!r} is no other candidate{nearest(asked.against, names)}")
        try:
            _change(name, asked)
        except ValueError as error:
            wrong.append(f"timeout: {error}")
    if name == "baseline":
        wrong.append("'baseline' is the name of what all candidates are compared with; use the key 'baseline'")
    if not name.strip() or not name.isprintable():
        wrong.append("a name is needed that can be printed")
    return wrong


def _pairs(number: int) -> int:
    if not 0 <= number <= MOST_PAIRS:
        raise InputError(f"pairs: {number} must be at least 0 and at most {MOST_PAIRS}")
    return number


def _warm(written: bool | int | None) -> bool | int | None:
    if written is not None and written < 0:
        raise InputError(f"warm: {written} must be at least 0 engines at a time")
    return written


def _weights(written: dict[str, Quantity]) -> tuple[tuple[str, float], ...]:
    weights = tuple((name, _share(f"weights.{name}", text)) for name, text in written.items())
    if wrong := [f"weights.{name}: {written[name]!r} must be more than 0" for name, weight in weights if weight <= 0]:
        raise InputError(*wrong)
    return weights


def _prove(written: SpecFile) -> ProveSpec | None:
    asked = written.prove
    if asked is None:
        return None
    if len(written.candidates or {}) != 1 or "A" in (written.candidates or {}):
        raise InputError("prove: needs exactly one candidate, and not by the name A, which the baseline has here")
    if not 2 <= asked.max_pairs <= MOST_PAIRS:
        raise InputError(f"prove.max_pairs: {asked.max_pairs} must be at least 2 and at most {MOST_PAIRS}")
    margin = _share("prove.margin", asked.margin)
    if not 0 < margin < 1:
        raise InputError(f"prove.margin: {asked.margin!r} must be more than 0 and less than 100 %")
    names = dict.fromkeys(asked.metrics or (written.objective,))
    return ProveSpec(asked.engine_b, tuple(Objective(name) for name in names), asked.max_pairs, margin)


def _share(where: str, text: str | float) -> float:
    try:
        return parse_fraction(text)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _positive_seconds(text: str | float) -> float:
    seconds = parse_seconds(text)
    if seconds <= 0:
        raise ValueError(f"{text!r} must be more than 0 s")
    return seconds
