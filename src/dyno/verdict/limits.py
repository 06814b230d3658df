"""Do the measured figures keep the limits, and can they be known at all?"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dyno.errors import InputError
from dyno.workload import Limit, figure_of


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """One limit against one row: `value` in the limit's own unit, None when the row could not be measured."""

    limit: Limit
    value: float | None
    met: bool | None


# The limits that are not a figure of the load itself, and the figure that each of them reads.
_FIGURES: Mapping[str, str] = {
    "vram": "device_peak_bytes",
    "ram": "rss_peak_bytes",
    "temperature": "temperature_peak_c",
    "ready": "ready_s",
    "speedup": "speedup",
}

# What makes a limit measurable that every machine and every engine does not offer.
_NEEDS: Mapping[str, str] = {
    "vram": "this machine has no GPU memory counter that Dyno can read",
    "temperature": "this machine has no temperature sensor that Dyno can read",
    "accuracy_drop": "Dyno does not measure accuracy yet",
}


def limit_figure(name: str) -> str:
    """The figure that a limit reads: `ttft_p95` -> `ttft_ms.p95`, `vram` -> `device_peak_bytes`."""
    return _FIGURES.get(name) or figure_of(name)


def check_limits(limits: Sequence[Limit], figures: Mapping[str, float | None]) -> tuple[LimitCheck, ...]:
    """Each limit against the figures of one row, in the order of the limits. A bound itself is kept."""
    return tuple(_check(limit, figures.get(limit_figure(limit.name))) for limit in limits)


def _check(limit: Limit, value: float | None) -> LimitCheck:
    if value is None:
        return LimitCheck(limit, None, None)
    return LimitCheck(limit, value, value <= limit.bound if limit.side == "at most" else value >= limit.bound)


def refuse_unmeasurable(limits: Sequence[Limit], can_measure: Collection[str]) -> None:
    """InputError that names every limit nothing here can measure. `can_measure` holds names of limits.

    Only the limits that need something special are asked for in `can_measure`; latencies, throughputs, `ram`
    and `ready` are measured by every study.
    """
    problems = [f"limits.{limit.name}: cannot be checked here: {_NEEDS[limit.name]}; remove this limit"
                for limit in limits if limit.name in _NEEDS and limit.name not in can_measure]  # fmt: skip
    if problems:
        raise InputError(*problems)
