"""Where a study's time went: warming, starting, measuring."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dyno.study.trial import Step

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by what they were spent on. Engines that warm at the same time count once."""

    warming_s: float
    starting_s: float
    measuring_s: float

    @property
    def total_s(self) -> float:
        return self.warming_s + self.starting_s + self.measuring_s

    @property
    def measuring_share(self) -> float | None:
        """None of nothing."""
        return self.measuring_s / self.total_s if self.total_s else None


def spent(steps: Sequence[Step]) -> Spent:
    """What the steps say; stopping engines, and what was interrupted, are in no step."""
    measured = [step for step in steps if step.phase != "warm"]
    starts = [step for step in measured if step.scenario == "startup"]
    return Spent(_together(step for step in steps if step.phase == "warm"),
                 sum(step.duration_s for step in starts),
                 sum(step.duration_s for step in measured if step.scenario != "startup"))  # fmt: skip


def spent_s(steps: Sequence[Step]) -> float:
    """Seconds in all."""
    return spent(steps).total_s


def _together(steps: Iterable[Step]) -> float:
    """How long at least one of the steps was under way; of steps without a clock the sum."""
    known = [(step.started_at, step.duration_s) for step in steps]
    bare = sum(duration for at, duration in known if not at)
    begun = [(datetime.fromisoformat(at).timestamp(), duration) for at, duration in known if at]
    total, until = 0.0, float("-inf")
    for begin, end in sorted((at, at + duration) for at, duration in begun):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total + bare
