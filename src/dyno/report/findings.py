"""What the audit found, in words: what counts, what does not and why, what was noted."""

import re
from collections.abc import Sequence

from dyno.study.outcome import Outcome
from dyno.study.trial import Step


def audit_sentence(outcome: Outcome) -> str:
    """How much of what was measured counts."""
    steps = outcome.steps
    if not steps:
        return "Nothing has been measured yet."
    void, failed, cut = (sum(step.state == state for step in steps) for state in ("void", "failed", "interrupted"))
    launches = len({step.launch for step in steps})
    taken = f"{len(steps)} test{_s(len(steps))} in {launches} launch{'es' * (launches > 1)}"
    if not void and not failed and not cut:
        return f"All {taken} count: no request failed, and the audit voids none of them."
    parts = [f"{void} {'is' if void == 1 else 'are'} void and in no figure"] if void else []
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{cut} {'was' if cut == 1 else 'were'} interrupted"] if cut else []
    return f"Of {taken}, {len(steps) - void - failed - cut} count, {', '.join(parts)}."


def void_lines(outcome: Outcome) -> tuple[str, ...]:
    """Why tests are void, a sentence for each cause and configuration; the same cause is told once, with its figures
    where it first occurred."""
    found: dict[tuple[str, str], list[tuple[Step, str]]] = {}
    for step in outcome.steps:
        for reason in step.void:
            found.setdefault((step.candidate, _NUMBER.sub("", _LOAD.sub("", reason))), []).append((step, reason))
    return tuple(_line(candidate, where) for (candidate, _), where in found.items())


def note_lines(outcome: Outcome) -> tuple[str, ...]:
    """What was noted, the same thing once: of several launches the worst, and in how many; else with the numbers."""
    found: dict[str, list[tuple[float, str]]] = {}
    for note in outcome.notes:
        same = _OF_LAUNCH.match(note)
        kind = same[1] if same else _NUMBER.sub("", note)
        found.setdefault(kind, []).append((float(same[2]) if same else 0.0, note))
    return tuple(map(_note, found.values()))


def _note(same: Sequence[tuple[float, str]]) -> str:
    if len(same) == 1 or _OF_LAUNCH.match(same[0][1]):
        return max(same)[1] + (f" The same, and less, in {len(same) - 1} other launches." if len(same) > 1 else "")
    first, *numbers = dict.fromkeys(number[0] if (number := _NUMBER.search(note)) else "" for _, note in same)
    return same[0][1] + (f" The same with {', '.join(numbers)}." if first and numbers else "")


# A note of a launch: what it is about, and by how much.
_OF_LAUNCH = re.compile(r"Launch \d+, (\w+: \D+)(\d+(?:\.\d+)?)")

# Reasons that differ in these alone have one cause: the name of a load, and figures.
_LOAD = re.compile(r"^(?:context|concurrency|sustained|soak)(?:-[\w-]+)?: ")
_NUMBER = re.compile(r"\d[\d,.]*")


def _line(candidate: str, where: Sequence[tuple[Step, str]]) -> str:
    tests = list(dict.fromkeys(step.scenario for step, _ in where))
    launches = list(dict.fromkeys(step.launch for step, _ in where))
    numbers = ", ".join(map(str, launches))
    reason = where[0][1]
    told = f"first in {tests[0]}: {reason}" if len(tests) > 1 else reason
    return f"{candidate}, {', '.join(tests)} (launch{'es' * (len(launches) > 1)} {numbers}): {told}."


def _s(count: int) -> str:
    return "" if count == 1 else "s"
