"""Which launch comes next: a pure function of what was planned and what is finished."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from dyno.study.space import BASELINE
from dyno.study.trial import Phase, Step

CONFIRM_TESTS = ("startup", "throughput")


@dataclass(frozen=True, slots=True)
class Order:
    """What a study was told to do, as far as the order of launches depends on it."""

    candidates: tuple[str, ...]  # without the baseline, as written
    tests: tuple[str, ...]
    seed: int


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
    candidate: str, pairs: int, steps: Sequence[Step], block: int, baseline: str = BASELINE
) -> LaunchPlan | None:
    """The next unfinished launch of the confirmation, None when all its pairs are done.

    Pairs alternate A B, B A, so that a linear drift of the machine cancels. A pair is never split between blocks:
    one that another block left half done is launched again, whole, in this one.
    """
    ours = [step for step in steps if step.phase == "confirm" and step.block == block]
    launch = max((step.launch for step in steps if step.phase == "screen" or step.block != block), default=-1) + 1
    left = [pair for pair in range(pairs) if not any(is_whole(steps, pair, earlier) for earlier in range(block))]
    both = (baseline, candidate)
    launches = [(pair, name) for pair in left for name in (both if pair % 2 == 0 else both[::-1])]
    for place, (pair, name) in enumerate(launches):
        if owed := _owed(ours, launch + place, CONFIRM_TESTS):
            return LaunchPlan(launch + place, block, "confirm", pair, name, owed, place + 1, len(launches))
    return None


def is_whole(steps: Sequence[Step], pair: int, block: int) -> bool:
    """Whether both launches of a pair were finished in this one block."""
    mine = [step for step in steps if step.pair == pair and step.block == block]
    return sum(not _owed(mine, launch, CONFIRM_TESTS) for launch in {step.launch for step in mine}) == 2


def screen_order(order: Order, steps: Sequence[Step], block: int) -> tuple[str, ...]:
    """Names in the order of a block's screening: the baseline first and last, between them a seeded shuffle.

    Candidates that an earlier block has screened are left out.
    """
    names = list(order.candidates)
    random.Random(order.seed).shuffle(names)
    earlier = [step for step in steps if step.block < block and step.phase == "screen"]
    finished = {step.candidate for step in earlier if not _owed(earlier, step.launch, order.tests)}
    left = [name for name in names if name not in finished]
    if left:
        return (BASELINE, *left, BASELINE)
    return () if BASELINE in finished else (BASELINE,)


def affordable_pairs(wanted: int, left_s: float | None, pair_s: float) -> int:
    """As many pairs as the time left pays for, never more than wanted; a single pair proves nothing, so none."""
    if left_s is None:
        return wanted
    pairs = min(wanted, max(0, int(left_s // pair_s)))
    return pairs if pairs >= 2 or wanted < 2 else 0


def _first_launch(steps: Sequence[Step], block: int) -> int:
    return max((step.launch for step in steps if step.block < block), default=-1) + 1


def _owed(steps: Sequence[Step], launch: int, tests: tuple[str, ...]) -> tuple[str, ...]:
    """The tests a launch still owes, those to be taken again among them; a failed step ends its launch."""
    mine = [step for step in steps if step.launch == launch]
    if any(step.state == "failed" for step in mine):
        return ()
    return tuple(test for test in tests if test not in {step.scenario for step in mine if not step.again})
