"""Every launch of a study and what became of it, those among them that were cut short."""

from collections.abc import Sequence

from dyno.report.tables import Table
from dyno.study.outcome import Outcome
from dyno.study.trial import Step
from dyno.units import format_seconds


def launches_table(outcome: Outcome) -> Table:
    """A row for each launch, in order; those that only warmed stand where they were made."""
    launches: dict[tuple[int, int], list[Step]] = {}
    owed: dict[str, dict[str, None]] = {}  # the tests of a phase, which all its launches take
    for step in outcome.steps:
        launches.setdefault((step.block, step.launch), []).append(step)
        owed.setdefault(step.phase, {})[step.scenario] = None
    rows = [_row(steps, list(owed[steps[0].phase])) for steps in launches.values()]
    headers = ("Block", "Launch", "Phase", "Configuration", "Began", "Took", "State")
    caption = ("Launches below 0 only fill caches and are not measured. Nothing that was interrupted enters a ratio; "
               "where its launch was gone on with, all of the launch's loads are of the later start.")  # fmt: skip
    return Table("Every launch and its state", caption, headers, tuple(rows), (*headers[2:5], headers[-1]))


_CUT = "cut short before"  # by a Dyno that kept no word of it


def cut_short(outcome: Outcome) -> int:
    """How many launches, but for those that only warm, did not come to all of their tests."""
    return sum(row[2] != "warm" and row[-1].startswith(("interrupted", _CUT)) for row in launches_table(outcome).rows)


def _row(steps: Sequence[Step], owed: Sequence[str]) -> tuple[str, ...]:
    first = steps[0]
    phase = first.phase if first.pair is None else f"{first.phase}, round {first.pair + 1}"
    took_s = sum(step.duration_s for step in steps)
    return (str(first.block), str(first.launch), phase, first.candidate,
            first.started_at.replace("T", " ").removesuffix("+00:00"), format_seconds(took_s),
            _state(steps, owed))  # fmt: skip


def _state(steps: Sequence[Step], owed: Sequence[str]) -> str:
    if failed := next((step for step in steps if step.failure), None):
        return f"failed in {failed.scenario}: {failed.failure.cause.value}" if failed.failure else ""
    counted = [step for step in steps if step.state in ("complete", "void")]
    cut = [step.scenario for step in steps if step.state == "interrupted" and not step.figures]
    told = [f"interrupted in {', '.join(cut)}"] if cut else []
    missing = [test for test in owed if test not in {step.scenario for step in counted if not step.again}]
    if missing:
        return told[0] if told else f"{_CUT} {missing[0]}"
    void = dict.fromkeys(step.scenario for step in counted if step.state == "void")
    return "; ".join([*told, f"void: {', '.join(void)}" if void else "complete"])
