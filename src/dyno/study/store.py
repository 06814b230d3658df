"""Study folders: making one, going on with one, finding the newest, reading what came out."""

import hashlib
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dyno._version import __version__
from dyno.engine.environment import Environment
from dyno.errors import InputError
from dyno.hardware.spec import Hardware
from dyno.study.journal import (
    JOURNAL,
    SCHEMA_VERSION,
    BlockLine,
    Journal,
    NoteLine,
    StepLine,
    StudyLine,
    append,
    drop_torn_line,
    read_journal,
)
from dyno.study.outcome import Outcome, judge
from dyno.study.prepare import Prepared
from dyno.study.schedule import LaunchPlan
from dyno.study.spec import StudySpec, parse_spec
from dyno.study.trial import Step
from dyno.study.written import SpecFile

STUDIES = Path("studies")


def free_folder(name: str) -> Path:
    """A folder under ./studies that does not exist yet: NAME, NAME-2, ... Not created here."""
    plain = "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in name).strip(".-") or "study"
    folder, number = STUDIES / plain, 2
    while folder.exists():
        folder, number = STUDIES / f"{plain}-{number}", number + 1
    return folder


def newest_study() -> Path:
    """The study under ./studies that was written to last. InputError when there is none."""
    journals = sorted(STUDIES.glob(f"*/{JOURNAL}"), key=lambda path: path.stat().st_mtime)
    if not journals:
        raise InputError(f"no study under ./{STUDIES}; run `dyno tune MODEL` first, or name one with --study DIR")
    return journals[-1].parent


def check_folder(folder: Path) -> None:
    """InputError when a new study cannot go into this folder: it holds a study already, or something else."""
    if not str(folder).isprintable():
        raise InputError(f"{str(folder)!a}: cannot be printed; name another folder (--study DIR)")
    try:
        others = {path.name for path in folder.iterdir()} - {"raw", "logs", ".lock"} if folder.exists() else set()
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); name another folder (--study DIR)") from error
    if JOURNAL in others:
        raise InputError(f"{folder}: holds a study already; go on with it (--resume), or name another folder "
                         "(--study DIR)")  # fmt: skip
    if others:
        raise InputError(f"{folder}: holds other things ({', '.join(sorted(others)[:3])}); name a new or an empty "
                         "folder (--study DIR)")  # fmt: skip


def make_folder(folder: Path) -> None:
    """The folder of a new study. InputError when it cannot be made, or as in check_folder."""
    check_folder(folder)
    try:
        (folder / "raw").mkdir(parents=True, exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); name another folder (--study DIR)") from error


def create_study(folder: Path, prepared: Prepared, hardware: Hardware) -> None:
    """A new study folder with the first lines of its journal. InputError as in make_folder."""
    make_folder(folder)
    append(folder, StudyLine(SCHEMA_VERSION, __version__, now(), prepared.written, prepared.model,
                             prepared.environment, hardware, prepared.candidates, prepared.others))  # fmt: skip
    plan = prepared.plan
    if plan:
        append(folder, plan)
    unfit = [f"{each.name} is not launched: {'; '.join(each.rejected)}."
             for each in (plan.candidates if plan else ()) if each.rejected]  # fmt: skip
    for note in (*prepared.notes, *([plan.note] if plan and plan.note else []), *unfit):
        append(folder, NoteLine(note, now()))


def check_resumable(
    journal: Journal,
    asked: dict[str, Any],
    engine: Environment,
    hardware: Hardware,
    others: tuple[Environment, ...] = (),
) -> None:
    """InputError with everything that makes going on a different study: changed spec, engine version, kind of machine.

    `asked` holds what the command line and its spec file say this time; what they leave out is as it was.
    """
    was = journal.study
    problems = []
    if asked:
        # A command that names its model says all that it means; another adds to what was said.
        again = parse_spec(asked if "model" in asked else {**_plain(was.spec), **asked})[0]
        # Where the engine stands and which card it gets belong to the machine, not to the question asked.
        changed = [(item.name, before, after) for item in fields(SpecFile) if item.name not in ("engine", "device")
                   if (before := getattr(was.spec, item.name)) != (after := getattr(again, item.name))]  # fmt: skip
        problems = [f"{name}: was {before!r}, is now {after!r}; a study's spec cannot change: start a new one"
                    for name, before, after in changed]  # fmt: skip
    for old, new in zip((was.engine, *was.engines), (engine, *others), strict=True):
        if (new.version, new.platform) != (old.version, old.platform):
            problems.append(f"engine: was vLLM {old.version} on {old.platform}, is now vLLM {new.version} "
                            f"on {new.platform}; use the same release, or start a new study")  # fmt: skip
    if hardware.kind != was.hardware.kind:
        problems.append(f"machine: was {was.hardware.kind}, is now {hardware.kind}; figures of two kinds of machine "
                        "do not belong in one study: start a new one")  # fmt: skip
    if problems:
        raise InputError(*problems)


def enter_block(folder: Path, hardware: Hardware) -> int:
    """The block to measure in.

    The same machine without a reboot goes on in its block; anything else starts a new one with its own baseline. What
    an interruption cut is written down first.
    """
    drop_torn_line(folder)
    journal = read_journal(folder)
    for step in _cut_short(journal):
        append(folder, StepLine(step))
    machine = machine_id(hardware)
    if journal.blocks and journal.blocks[-1].machine_id == machine:
        return journal.blocks[-1].block
    block = len(journal.blocks) + 1
    append(folder, BlockLine(block, machine, hardware, now()))
    if block > 1:
        append(folder, NoteLine(f"Block {block} is another machine or another boot: it has its own baseline.", now()))
    return block


def _cut_short(journal: Journal) -> Iterator[Step]:
    """A step for every launch that began and never ended, at the test that did not follow."""
    for began in journal.unended:
        plan = LaunchPlan(began.launch, began.block, began.phase, began.pair, began.candidate, began.tests, 0, 0)
        yield Step(began.block, began.launch, began.phase, began.pair, began.candidate, began.tests[0],
                   plan.seed(journal.study.spec.seed, began.tests[0]), "interrupted", started_at=began.at)  # fmt: skip


def machine_id(hardware: Hardware) -> str:
    """A hash that is the same for one machine, one boot and one set of cards, and tells nothing else."""
    parts = [gpu.uuid for gpu in hardware.gpus]
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        if Path(path).is_file():
            parts.append(Path(path).read_text().strip())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def load_outcome(folder: Path) -> Outcome:
    """What came out of a study so far. InputError when the folder holds no readable study."""
    journal = read_journal(folder)
    return judge(journal, spec_of(journal), folder.absolute().name)


def spec_of(journal: Journal, asked: dict[str, Any] | None = None) -> StudySpec:
    """The spec a study was started with, what is `asked` this time in place of what was. InputError for bad input."""
    return parse_spec({**_plain(journal.study.spec), **(asked or {})})[1]


def now() -> str:
    """UTC to the second, as journals hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(written: SpecFile) -> dict[str, Any]:
    return {item.name: getattr(written, item.name) for item in fields(SpecFile)}
