"""Which launch comes next: a pure function of what was planned and what is finished."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dyno.engine.failures import Cause
from dyno.study.space import BASELINE
from dyno.study.spec import StudySpec
from dyno.study.trial import Candidate, Foreseen, Phase, Step

CONFIRM_TESTS = ("startup", "throughput")


@dataclass(frozen=True, slots=True)
class Order:
    """What a study was told to do, as far as the order of launches depends on it."""

    candidates: tuple[str, ...]  # without the baseline, as written
    tests: tuple[str, ...]
    seed: int
    against: tuple[tuple[str, str], ...] = ()  # candidate, and the one its ratio is taken to instead of the baseline
    ranked: bool = False  # a plan has put them in order, the best first


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """The next launch and the tests it still owes, in order."""

    launch: int
    block: int
    phase: Phase
    pair: int | None
    candidate: str
    tests: tuple[str, ...]
    place: int  # from 1, within this phase and block
    total: int

    def seed(self, study_seed: int, test: str) -> int:
        """Launches that are compared with each other get the same prompts; no two tests of a launch do."""
        shared = self.phase if self.pair is None else f"{self.phase} {self.pair}"
        return int.from_bytes(hashlib.sha256(f"{study_seed} {shared} {test}".encode()).digest()[:4], "big") >> 1


def order_of(candidates: Sequence[Candidate], foreseen: Mapping[str, Foreseen], spec: StudySpec) -> Order:
    """What is screened: nothing that cannot fit, and as a plan orders it where it foresees the objective of all."""
    others = [each for each in candidates[1:] if not (each.name in foreseen and foreseen[each.name].rejected)]
    told = {each.name: foreseen[each.name].figures.get(spec.objective.figure) for each in others
            if each.name in foreseen}  # fmt: skip
    known = {name: value for name, value in told.items() if value is not None}
    names = [each.name for each in others]
    if ranked := bool(names) and len(known) == len(names):
        names.sort(key=known.__getitem__, reverse=spec.objective.higher_is_better)
    against = tuple((each.name, each.against) for each in others if each.against in names and each.against)
    return Order(tuple(names), spec.tests, spec.seed, against, ranked)


def next_screen(order: Order, steps: Sequence[Step], block: int) -> LaunchPlan | None:
    """The next unfinished launch of screening in this block, None when the block's screening is complete."""
    names = screen_order(order, steps, block)
    first = _first_launch(steps, block)
    screened = [step for step in steps if step.phase == "screen"]
    for place, name in enumerate(names):
        if owed := _owed(screened, first + place, order.tests):
            return LaunchPlan(first + place, block, "screen", None, name, owed, place + 1, len(names))
    return None


def next_confirm(
    names: Sequence[str], rounds: int, steps: Sequence[Step], block: int, tests: tuple[str, ...] = CONFIRM_TESTS
) -> LaunchPlan | None:
    """The next unfinished launch of the confirmation, None when all its rounds are done; the baseline comes first.

    Each round begins with the next of the names (A B, B A; A B C, B C A, C A B), so that a linear drift of the machine
    cancels over as many rounds as there are names. A round is never split between blocks: one that another block left
    unfinished is launched again, whole, in this one.
    """
    ours = [step for step in steps if step.phase == "confirm" and step.block == block]
    launch = max((step.launch for step in steps if step.phase == "screen"
                  or (step.block != block and step.phase != "warm")), default=-1) + 1  # fmt: skip
    size = len(names)
    left = [number for number in range(rounds)
            if not any(is_whole(steps, number, earlier, size, tests) for earlier in range(block))]  # fmt: skip
    launches = [(number, names[(number + place) % size]) for number in left for place in range(size)]
    for place, (number, name) in enumerate(launches):
        if owed := _owed(ours, launch + place, tests):
            return LaunchPlan(launch + place, block, "confirm", number, name, owed, place + 1, len(launches))
    return None


def is_whole(
    steps: Sequence[Step], pair: int, block: int, size: int = 2, tests: tuple[str, ...] = CONFIRM_TESTS
) -> bool:
    """Whether all launches of a round were finished in this one block."""
    mine = [step for step in steps if step.pair == pair and step.block == block]
    return sum(not _owed(mine, launch, tests) for launch in {step.launch for step in mine}) == size


def screen_order(order: Order, steps: Sequence[Step], block: int) -> tuple[str, ...]:
    """Names in the order of a block's screening: the baseline first and last, between them a seeded shuffle.

    Candidates that an earlier block has screened are left out, but for those whose figures others' are compared with
    here, and so are those whose start took too long already when it only warmed.
    """
    names = list(order.candidates)
    if not order.ranked:
        random.Random(order.seed).shuffle(names)
    earlier = [step for step in steps if step.block < block and step.phase == "screen"]
    finished = {step.candidate for step in earlier if not _owed(earlier, step.launch, order.tests)}
    finished |= {step.candidate for step in steps if is_decisive(step)}
    compared = {other for name, other in order.against if name not in finished}
    left = [name for name in names if name not in finished or name in compared]
    if left:
        return (BASELINE, *left, BASELINE)
    return () if BASELINE in finished else (BASELINE,)


def is_decisive(step: Step) -> bool:
    """Whether a launch that only warmed says all about its candidate: it was not ready in the time it had."""
    return step.phase == "warm" and step.failure is not None and step.failure.cause is Cause.TIMEOUT


def affordable_pairs(wanted: int, left_s: float | None, pair_s: float) -> int:
    """As many pairs as the time left pays for, never more than wanted; a single pair proves nothing, so none."""
    if left_s is None:
        return wanted
    pairs = min(wanted, max(0, int(left_s // pair_s)))
    return pairs if pairs >= 2 or wanted < 2 else 0


def _first_launch(steps: Sequence[Step], block: int) -> int:
    return max((step.launch for step in steps if step.block < block and step.phase != "warm"), default=-1) + 1


def _owed(steps: Sequence[Step], launch: int, tests: tuple[str, ...]) -> tuple[str, ...]:
    """The tests a launch still owes, those to be taken again among them; a failed step ends its launch."""
    mine = [step for step in steps if step.launch == launch]
    if any(step.state == "failed" for step in mine):
        return ()
    taken = {step.scenario for step in mine if not step.again and step.state != "interrupted"}
    return tuple(test for test in tests if test not in taken)
