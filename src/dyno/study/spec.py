"""A study's spec as the rooms read it, from what people write (SpecFile)."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from dyno.errors import InputError, nearest
from dyno.study.written import (
    ALL_TESTS,
    CandidateFile,
    Quantity,
    SpecFile,
    WorkloadFile,
    keys_of,
    validated,
    with_model_of_baseline,
)
from dyno.units import parse_fraction, parse_seconds
from dyno.workload import Limit, Objective, Workload, latency_limits, length_of, parse_limits, workload_from

_NO_TEST = {"backend": "tests: 'backend' is a proof of its own; ask for it with: dyno prove MODEL --backends all"}

# So that what one launch of the baseline costs is not taken a billion times for a slip of the finger.
MOST_PAIRS = 1000

T = TypeVar("T")


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


def parse_spec(content: Mapping[str, Any]) -> tuple[SpecFile, StudySpec]:
    """A spec from a mapping. InputError carries every problem: unknown keys, wrong types, unusable values."""
    written, problems = validated(with_model_of_baseline(content))
    spec = _understood(written, problems, skip=frozenset(keys_of(problems)))
    if problems or spec is None:
        raise InputError(*problems)
    return written, spec


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
