"""The journal of a study: one JSON object a line, appended, flushed and fsynced; never rewritten."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Literal

from dyno.engine.environment import Environment
from dyno.errors import DynoError, InputError
from dyno.hardware.spec import Hardware
from dyno.model.spec import ModelSpec
from dyno.study.trial import Candidate, Foreseen, Phase, Step
from dyno.study.written import SpecFile
from dyno.verdict.compare import Comparison

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA_VERSION = 1
JOURNAL = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class StudyLine:
    """The first line: what was asked, and what was to be measured with what. `candidates[0]` is the baseline."""

    schema_version: int
    dyno_version: str
    created_at: str
    spec: SpecFile
    model: ModelSpec
    engine: Environment
    hardware: Hardware
    candidates: tuple[Candidate, ...]
    engines: tuple[Environment, ...] = ()  # those that candidates name beside the study's own
    kind: Literal["study"] = "study"


@dataclass(frozen=True, slots=True)
class BlockLine:
    """One machine and one boot of it. Nothing is compared across blocks but ratios to their own baseline."""

    block: int
    machine_id: str
    hardware: Hardware
    started_at: str
    kind: Literal["block"] = "block"


@dataclass(frozen=True, slots=True)
class ConfirmLine:
    """What is confirmed, and in how many rounds of launches: fixed before the first of them.

    `also` is a second candidate in the same rounds, on the other side of "may the output change?".
    """

    candidate: str
    pairs: int
    wanted: int
    at: str
    also: str | None = None
    kind: Literal["confirm"] = "confirm"

    @property
    def candidates(self) -> tuple[str, ...]:
        """One or two."""
        return (self.candidate, *([self.also] if self.also else ()))


@dataclass(frozen=True, slots=True)
class LookLine:
    """What a proof knew at a planned look, one verdict a metric, and whether it went on."""

    pairs: int
    verdicts: tuple[Comparison, ...]
    goes_on: bool
    at: str
    kind: Literal["look"] = "look"


@dataclass(frozen=True, slots=True)
class BeganLine:
    """A launch is about to take these tests. Where they do not all follow, it was interrupted."""

    block: int
    launch: int
    phase: Phase
    pair: int | None
    candidate: str
    tests: tuple[str, ...]
    at: str
    kind: Literal["began"] = "began"


@dataclass(frozen=True, slots=True)
class StepLine:
    """A finished test."""

    step: Step
    kind: Literal["step"] = "step"


@dataclass(frozen=True, slots=True)
class NoteLine:
    """Something that a reader of the study should know: an interruption, a budget that ran out."""

    text: str
    at: str
    kind: Literal["note"] = "note"


@dataclass(frozen=True, slots=True)
class PlanLine:
    """What was known of the candidates before any was launched; `note` says why nothing was."""

    candidates: tuple[Foreseen, ...]
    note: str
    at: str
    kind: Literal["plan"] = "plan"


Line = StudyLine | BlockLine | PlanLine | ConfirmLine | LookLine | BeganLine | StepLine | NoteLine


@dataclass(frozen=True, slots=True)
class Journal:
    """Everything a study's journal says, in order.

    `unended` are launches that began and have not ended, with the tests that did not follow.
    """

    study: StudyLine
    blocks: tuple[BlockLine, ...]
    confirm: ConfirmLine | None
    steps: tuple[Step, ...]
    notes: tuple[str, ...]
    looks: tuple[LookLine, ...] = ()
    plan: PlanLine | None = None
    unended: tuple[BeganLine, ...] = ()

    @property
    def foreseen(self) -> dict[str, Foreseen]:
        """What a plan said of candidates, by their names."""
        return {each.name: each for each in self.plan.candidates} if self.plan else {}


_ONE_AT_A_TIME = Lock()  # engines that warm at the same time begin in threads of their own


def append(folder: Path, line: Line) -> None:
    """Write one line and return when it is on the disk. DynoError when it cannot be written."""
    from pydantic_core import to_json

    path = folder / JOURNAL
    try:
        with _ONE_AT_A_TIME, path.open("ab") as file:
            file.write(to_json(line, inf_nan_mode="null") + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DynoError(f"{path}: cannot be written ({error.strerror}); what was finished is kept: make room, then "
                        f"dyno tune --resume --study {folder}") from error  # fmt: skip


def drop_torn_line(folder: Path) -> None:
    """Cut a last line that a kill left unfinished, so that the next append starts on a line of its own."""
    path = folder / JOURNAL
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
            os.fsync(file.fileno())


def read_journal(folder: Path) -> Journal:
    """A study's journal. A torn last line is passed over. InputError for anything that is no journal of this schema."""
    path = folder / JOURNAL
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: is not a study (it has no {JOURNAL}); give a folder that `dyno tune` made"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its owner and permissions") from error
    lines = content.split(b"\n")[:-1]
    if not lines:
        raise InputError(f"{path}: holds no whole line: nothing was recorded; remove the folder and start again")
    _check_schema(path, lines[0])
    return _folded(path, [_line(path, number, line) for number, line in enumerate(lines, 1)])


def _check_schema(path: Path, first: bytes) -> None:
    try:
        version = json.loads(first)["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, 1, "is not the first line of a study") from error
    if version != SCHEMA_VERSION:
        raise InputError(f"{path}: has schema_version {version!r}, this Dyno reads {SCHEMA_VERSION}; "
                         "use the Dyno that made the study")  # fmt: skip


def _line(path: Path, number: int, line: bytes) -> Line:
    from pydantic import ValidationError

    try:
        return _adapter().validate_json(line, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        what = ": ".join(filter(None, (".".join(str(part) for part in first["loc"]), first["msg"])))
        raise _damaged(path, number, f"is damaged ({what})") from error


def _damaged(path: Path, number: int, what: str) -> InputError:
    return InputError(f"{path}:{number}: {what}; nothing was changed: mend the line from a copy, or start a new study")


@cache
def _adapter() -> "TypeAdapter[Line]":
    from pydantic import Field, TypeAdapter

    return TypeAdapter(Annotated[Line, Field(discriminator="kind")])


def _folded(path: Path, lines: Sequence[Line]) -> Journal:
    head = lines[0]
    if not isinstance(head, StudyLine):
        raise _damaged(path, 1, "is not the first line of a study")
    confirms = [line for line in lines if isinstance(line, ConfirmLine)]
    plans = [line for line in lines if isinstance(line, PlanLine)]
    steps, unended = _launched(lines)
    return Journal(
        study=head,
        blocks=tuple(line for line in lines if isinstance(line, BlockLine)),
        confirm=confirms[-1] if confirms else None,
        steps=steps,
        notes=tuple(line.text for line in lines if isinstance(line, NoteLine)),
        looks=tuple(line for line in lines if isinstance(line, LookLine)),
        plan=plans[-1] if plans else None,
        unended=unended,
    )


def _launched(lines: Sequence[Line]) -> tuple[tuple[Step, ...], tuple[BeganLine, ...]]:
    """All steps, and the launches that have not ended. Loads of a launch that was cut between them are set aside."""
    steps: list[Step] = []
    owing: dict[tuple[int, int], BeganLine] = {}
    for line in lines:
        if isinstance(line, BeganLine):
            owing[line.block, line.launch] = line
        elif isinstance(line, StepLine):
            step = line.step
            began = owing.pop((step.block, step.launch), None)
            if began and step.state == "interrupted" and any(map(_is_load, began.tests)):
                steps = [_set_aside(each) if (each.block, each.launch) == (step.block, step.launch) else each
                         for each in steps]  # fmt: skip
            elif began and step.state not in ("interrupted", "failed"):
                left = tuple(test for test in began.tests if test != step.scenario or step.again)
                owing |= {(step.block, step.launch): replace(began, tests=left)} if left else {}
            steps.append(step)
    return tuple(steps), tuple(owing.values())


def _is_load(test: str) -> bool:
    return test.partition("@")[0] == "throughput"


_CUT = "its launch was interrupted before all loads that are compared were taken"


def _set_aside(step: Step) -> Step:
    """What is compared of a launch is of one start; a load before the interruption is taken again after it."""
    whole = step.state not in ("complete", "void") or not _is_load(step.scenario)
    return step if whole else replace(step, state="interrupted", void=(*step.void, _CUT))
