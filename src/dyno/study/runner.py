"""Runs a study: launches in the order the schedule says until nothing is owed or the budget is spent."""

import time
from collections.abc import Sequence
from pathlib import Path

from dyno.study.journal import ConfirmLine, Journal, LookLine, NoteLine, append, read_journal
from dyno.study.launch import Launch, Session
from dyno.study.outcome import judge, screened_best, screened_other
from dyno.study.pairs import hindrance, looks_due, proven
from dyno.study.progress import Progress, ProgressKind, Watch
from dyno.study.schedule import LaunchPlan, affordable_pairs, next_confirm, next_screen, order_of, screen_order
from dyno.study.space import BASELINE
from dyno.study.spec import ProveSpec, StudySpec
from dyno.study.spent import spent_s
from dyno.study.store import now
from dyno.study.warm import warm_plans, warm_up


def run_study(session: Session, watch: Watch) -> Journal:
    """Screen, then confirm, until nothing is owed or the budget is spent. Returns the journal as it then stands.

    A proof confirms at once, and goes on until a look answers.

    A failed launch is a result and the study goes on; what was finished is on disk whenever this is interrupted.
    """
    journal = read_journal(session.folder)
    order = order_of(journal.study.candidates, journal.foreseen, session.spec)
    alone = not order.candidates
    clock = _Clock(watch, 0 if alone else 2 * session.spec.pairs, journal)
    if session.spec.prove:
        return _prove(session, session.spec.prove, clock)
    if journal.confirm is None and next_screen(order, journal.steps, session.block):
        journal = _warm(session, journal, screen_order(order, journal.steps, session.block), clock)
    while journal.confirm is None and (plan := next_screen(order, journal.steps, session.block)):
        if not _screening_affordable(journal, session.spec):
            clock.note(session.folder, f"The budget is spent: {plan.total - plan.place + 1} launches were not made.")
            break
        journal = _launch(session, journal, plan, clock)
    if journal.confirm is None and not alone and session.spec.pairs:
        journal = _decide(session, journal, clock)
    if journal.confirm and _next_round(journal, session):
        journal = _warm(session, journal, (BASELINE, *journal.confirm.candidates), clock)
    while plan := _next_round(journal, session):
        journal = _launch(session, journal, plan, clock)
    return journal


def _next_round(journal: Journal, session: Session) -> LaunchPlan | None:
    if (confirm := journal.confirm) is None:
        return None
    names = (BASELINE, *confirm.candidates)
    return next_confirm(names, confirm.pairs, journal.steps, session.block, session.spec.confirm_tests)


def _warm(session: Session, journal: Journal, names: Sequence[str], clock: "_Clock") -> Journal:
    """Fill the caches of what is to be launched next, several at a time, so that no first launch is compared."""
    if plans := warm_plans(session, journal, names):
        warm_up(session, journal, plans, clock.tell)
    return read_journal(session.folder)


def _prove(session: Session, asked: ProveSpec, clock: "_Clock") -> Journal:
    """Pairs of launches until a look answers every metric, something stands in the way, or the budget is spent."""
    baseline, candidate = (each.name for each in read_journal(session.folder).study.candidates)
    while _goes_on(journal := _look(session.folder, asked, clock)):
        plan = next_confirm((baseline, candidate), asked.max_pairs, journal.steps, session.block)
        if plan is None:
            break
        if plan.place % 2 and not _affordable(journal, session.spec, launches=2):
            clock.note(session.folder, f"The budget is spent after {plan.pair} of at most {asked.max_pairs} pairs.")
            break
        _launch(session, journal, plan, clock)
    return read_journal(session.folder)


def _look(folder: Path, asked: ProveSpec, clock: "_Clock") -> Journal:
    """Write down what is known at every planned look that was reached and not yet written down."""
    journal = read_journal(folder)
    if looks_due(journal, asked) > len(journal.looks) and not hindrance(journal):
        verdicts = proven(journal, asked)
        open_ones = any(each.answer == "inconclusive" for each in verdicts)
        append(folder, LookLine(max(each.pairs for each in verdicts), verdicts, open_ones, now()))
        clock.say("; ".join(f"{each.metric} {each.answer} after {each.pairs} pairs" for each in verdicts))
    return read_journal(folder)


def _goes_on(journal: Journal) -> bool:
    return not hindrance(journal) and not (journal.looks and not journal.looks[-1].goes_on)


class _Clock:
    """Tells the watcher how far a study is."""

    def __init__(self, watch: Watch, confirming: int, journal: Journal) -> None:
        self._watch, self._confirming, self._noted = watch, confirming, journal.notes
        self.finished = sum(step.state != "interrupted" for step in journal.steps)  # tests, before this run
        self._started = time.monotonic()
        self._launches: list[float] = []

    def tell(self, kind: ProgressKind, plan: LaunchPlan, text: str) -> None:
        mean = sum(self._launches) / len(self._launches) if self._launches else None
        left = plan.total - plan.place + 1 + (self._confirming if plan.phase == "screen" else 0)
        expected = None if mean is None else mean * left
        elapsed = time.monotonic() - self._started
        self._watch(Progress(kind, plan.phase, plan.place, plan.total, plan.candidate, text, elapsed, expected))

    @property
    def at_first_launch(self) -> bool:
        return not self._launches

    def launched(self, seconds: float) -> None:
        self._launches.append(seconds)

    def note(self, folder: Path, text: str) -> None:
        if text not in self._noted:  # a resumed study comes by the same places again
            append(folder, NoteLine(text, now()))
        self.say(text)

    def say(self, text: str) -> None:
        self._watch(Progress("note", "", 0, 0, "", text, time.monotonic() - self._started, None))


def _screening_affordable(journal: Journal, spec: StudySpec) -> bool:
    """Whether another launch leaves enough of the budget for the shortest confirmation."""
    reserve = 4 if spec.pairs >= 2 and len(journal.study.candidates) > 1 else 0
    return _affordable(journal, spec, launches=1 + reserve)


def _affordable(journal: Journal, spec: StudySpec, launches: int) -> bool:
    """Whether the budget pays for so many more launches; the first of a study are never refused."""
    if spec.budget_s is None or not journal.steps:
        return True
    return spent_s(journal.steps) + _launch_s(journal) * launches <= spec.budget_s


def _launch_s(journal: Journal) -> float:
    """Mean seconds of a launch so far; a confirmation's launches are shorter, so this errs on the safe side."""
    measured = [step for step in journal.steps if step.phase != "warm"]
    return spent_s(measured) / max(1, len({step.launch for step in measured}))


def _decide(session: Session, journal: Journal, clock: _Clock) -> Journal:
    """Fix what is confirmed and in how many pairs, before the first of them."""
    outcome = judge(journal, session.spec, session.folder.name)
    if outcome.rows[0].state == "failed":
        clock.note(session.folder, "Nothing to confirm: the baseline failed, so that there is nothing to compare with.")
        return journal
    best = screened_best(outcome, session.spec)
    if best is None:
        clock.note(session.folder, "Nothing to confirm: no candidate keeps the limits by what screening measured.")
        return journal
    other = screened_other(outcome, session.spec, best)
    also = other.candidate.name if other else None
    left = None if session.spec.budget_s is None else session.spec.budget_s - spent_s(journal.steps)
    pairs = affordable_pairs(session.spec.pairs, left, (3 if also else 2) * _launch_s(journal))
    append(session.folder, ConfirmLine(best.candidate.name, pairs, session.spec.pairs, now(), also))
    if pairs < session.spec.pairs:
        what = "rounds of three" if also else "pairs of"
        clock.note(session.folder, f"The budget pays for {pairs} of {session.spec.pairs} {what} launches.")
    return read_journal(session.folder)


def _launch(session: Session, journal: Journal, plan: LaunchPlan, clock: _Clock) -> Journal:
    """Start one engine, take the tests it owes, stop it. Every finished test is on disk before the next begins."""
    started = time.monotonic()
    if clock.finished and clock.at_first_launch:
        clock.note(session.folder, f"Went on after an interruption, {clock.finished} tests finished.")
    candidate = session.here(next(each for each in journal.study.candidates if each.name == plan.candidate))
    clock.tell("launch", plan, candidate.args.changes() or "vLLM's defaults")
    Launch(session, plan, candidate, lambda kind, text: clock.tell(kind, plan, text)).take()
    clock.launched(time.monotonic() - started)
    clock.tell("done", plan, "")
    return read_journal(session.folder)
