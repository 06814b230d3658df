"""What a confirmation says: of each candidate over all workloads together, and for each of them."""

from collections.abc import Mapping
from dataclasses import replace

from dyno.study.journal import ConfirmLine, Journal
from dyno.study.pairs import figures_of, hindrance, whole_pairs
from dyno.study.space import BASELINE
from dyno.study.spec import StudySpec
from dyno.verdict.compare import Comparison, compare
from dyno.verdict.holm import Judge, holm
from dyno.verdict.sequential import ALPHA


def confirmed(journal: Journal, spec: StudySpec) -> tuple[Comparison, ...]:
    """The verdicts, which say "better" only when all was done that was decided.

    First that of each confirmed candidate, over all workloads in geometric mean, then those of single workloads where
    there are several. The first are the question that is asked and are judged together; the others, also together.
    """
    confirm = journal.confirm
    if confirm is None or confirm.pairs == 0:
        return ()
    every = tuple(spec.loads)
    means = {name: _judge(journal, spec, confirm, name, ("", every)) for name in confirm.candidates}
    single = {f"{name} {test}": _judge(journal, spec, confirm, name, (test, (test,)))
              for name in confirm.candidates for test in every if len(every) > 1}  # fmt: skip
    return (*_judged(means), *_judged(single))


def _judged(judges: Mapping[str, Judge]) -> tuple[Comparison, ...]:
    return tuple(holm(judges, ALPHA).values()) if judges else ()


def _judge(
    journal: Journal, spec: StudySpec, confirm: ConfirmLine, name: str, told: tuple[str, tuple[str, ...]]
) -> Judge:
    """How one candidate is judged by these tests at any level."""
    test, tests = told
    load = f"@{spec.loads[test].name}" if test else ""
    metric = f"{spec.objective.name}{load}"
    whole = whole_pairs(journal, confirm.pairs, len(confirm.candidates) + 1, spec.confirm_tests)
    pairs = figures_of(journal.steps, whole, (name, BASELINE), spec.objective, tests)
    note = _open(journal, confirm, name, len(whole))
    void = len(whole) - len(pairs)

    def judge(level: float) -> Comparison:
        made = compare(name, BASELINE, metric, pairs, spec.objective.higher_is_better, level)
        if note:
            return replace(made, answer="inconclusive", note=note, more_pairs=None)
        return replace(made, note=f"{void} of {confirm.pairs} pairs void and left out" if void else "")

    return judge


def _open(journal: Journal, confirm: ConfirmLine, name: str, whole: int) -> str:
    """What keeps the confirmation of a candidate from an answer."""
    if note := hindrance(journal, (name, BASELINE)):
        return note
    return f"{whole} of {confirm.pairs} pairs are made so far" if whole < confirm.pairs else ""
