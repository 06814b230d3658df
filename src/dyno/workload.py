"""What is asked of an engine (Workload), what is best (Objective) and what must hold (Limit)."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dyno.errors import InputError, nearest
from dyno.units import parse_bytes, parse_celsius, parse_fraction, parse_rate, parse_seconds, parse_times

# Requests are made ready before the clock starts, and every answer is kept until it has stopped: a gigabyte or two.
MOST_TOKENS = 50_000_000


@dataclass(frozen=True, slots=True)
class Workload:
    """A closed loop of `concurrency` clients. Lengths in tokens; `num_requests` counts the measured ones.

    The first `prefix_len` tokens of every prompt are one of `prefixes` beginnings, drawn at random.
    """

    name: str
    input_len: int
    output_len: int
    concurrency: int
    num_requests: int
    prefix_len: int = 0
    prefixes: int = 1

    def __post_init__(self) -> None:
        problems = [f"workload.{field}: {value} must be at least 1"
                    for field in ("input_len", "output_len", "concurrency", "num_requests")
                    if (value := getattr(self, field)) < 1]  # fmt: skip
        if not 0 <= self.prefix_len < max(1, self.input_len):
            problems.append(f"workload.prefix_len: {self.prefix_len} must be less than the {self.input_len} tokens of "
                            "a prompt")  # fmt: skip
        if self.prefixes < 1 or (self.prefixes > 1 and not self.prefix_len):
            problems.append(f"workload.prefixes: {self.prefixes} must be at least 1, and more than 1 only with a "
                            "prefix_len")  # fmt: skip
        if 1 <= self.num_requests < self.concurrency:
            problems.append(f"workload.num_requests: {self.num_requests} must be at least the {self.concurrency} "
                            "requests under way at a time; ask for more, or for less concurrency")  # fmt: skip
        if (tokens := self.num_requests * (self.input_len + self.output_len)) > MOST_TOKENS:
            problems.append(
                f"workload: {tokens:,} tokens in {self.num_requests:,} requests are more than the {MOST_TOKENS:,} "
                "that one load may have; ask for fewer or shorter ones"
            )
        if problems:
            raise InputError(*problems)


PRESETS: Mapping[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("chat", input_len=512, output_len=128, concurrency=16, num_requests=64),
        Workload("long", input_len=8192, output_len=128, concurrency=4, num_requests=16),
        Workload("decode", input_len=128, output_len=512, concurrency=16, num_requests=48),
    )
}


def workload_from(preset: str, **changes: int | None) -> Workload:
    """A preset with some numbers changed, None changing nothing; `concurrency` alone asks for four requests a client.

    InputError for an unknown preset and for numbers that make no workload.
    """
    if preset not in PRESETS:
        presets = tuple(PRESETS)
        raise InputError(f"workload: {preset!r} is not a preset ({', '.join(presets)}){nearest(preset, presets)}")
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    if "concurrency" in given:
        given.setdefault("num_requests", 4 * max(1, given["concurrency"]))
    return replace(PRESETS[preset], **given, name=f"{preset}, changed") if given else PRESETS[preset]


LATENCIES = ("ttft", "tpot", "itl", "e2el")
PERCENTILES = (50, 90, 95, 99)
STATISTICS = ("mean", *(f"p{percentile}" for percentile in PERCENTILES))
THROUGHPUTS = ("output_throughput", "request_throughput")


@dataclass(frozen=True, slots=True)
class Objective:
    """The figure that decides, taken from the workload's own closed loop: `output_throughput`, `ttft_p95`, ..."""

    name: str = "output_throughput"

    def __post_init__(self) -> None:
        if self.name not in OBJECTIVES:
            raise InputError(f"objective: {self.name!r} is not known{nearest(self.name, OBJECTIVES)}")

    @property
    def higher_is_better(self) -> bool:
        return self.name in THROUGHPUTS

    @property
    def figure(self) -> str:
        """The name in a ScenarioResult's figures: `output_throughput` or `ttft_ms.p95`."""
        return figure_of(self.name)


OBJECTIVES = (*THROUGHPUTS, *(f"{latency}_{statistic}" for latency in LATENCIES for statistic in STATISTICS))


def figure_of(name: str) -> str:
    """`ttft_p95` -> `ttft_ms.p95`, `ttft@8192` -> `8192.ttft_ms`; throughputs keep their name."""
    at_length, found, length = name.partition("@")
    if found:
        return f"{length}.{at_length}_ms"
    latency, _, statistic = name.partition("_")
    return f"{latency}_ms.{statistic}" if latency in LATENCIES else name


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound every recommended configuration keeps. `bound` in ms, bytes, degrees C, a share, tokens/s, or a ratio.

    `ttft@8192` is about prompts of that length, one request at a time; `speedup` about the baseline's objective.
    """

    name: str
    bound: float
    side: Literal["at most", "at least"]


def _milliseconds(text: str | float) -> float:
    return parse_seconds(text) * 1000


_LIMITS: Mapping[str, tuple[Callable[[str | float], float], Literal["at most", "at least"]]] = {
    **{f"{latency}_{statistic}": (_milliseconds, "at most") for latency in LATENCIES for statistic in STATISTICS},
    **dict.fromkeys(THROUGHPUTS, (parse_rate, "at least")),
    "vram": (parse_bytes, "at most"),
    "ram": (parse_bytes, "at most"),
    "temperature": (parse_celsius, "at most"),
    "accuracy_drop": (parse_fraction, "at most"),
    "ready": (parse_seconds, "at most"),
    "speedup": (parse_times, "at least"),
}

SHORTEST_LENGTH = 2048  # of the test `context`, whose prompts double from there
LONG_OUTPUT = 32  # tokens of its answers
_AT_LENGTH = re.compile(r"(ttft|tpot|e2el)@(\d+)([Kk]?)")


def length_of(limit: Limit) -> int | None:
    """The prompt length that a limit such as `ttft@8192` is about, None for all others."""
    _, found, length = limit.name.partition("@")
    return int(length) if found else None


def _limit_name(name: str) -> str:
    """The name as figures have it: `ttft@8K` is `ttft@8192`. InputError for a length that no test measures."""
    match = _AT_LENGTH.fullmatch(name)
    if match is None:
        return name
    length = int(match[2]) * (1024 if match[3] else 1)
    if length < SHORTEST_LENGTH or length & (length - 1):
        raise InputError(f"limits.{name}: {length} is not a length that the test `context` measures; name 2K, 4K, 8K, "
                         "16K ... tokens")  # fmt: skip
    return f"{match[1]}@{length}"


def parse_limits(limits: Mapping[str, str | float]) -> tuple[Limit, ...]:
    """`{ttft_p95: 2 s, vram: 11 GiB}` as records. InputError names every unknown limit and unreadable bound."""
    parsed: list[Limit] = []
    problems: list[str] = []
    for name, text in limits.items():
        try:
            parsed.append(_limit(name, text))
        except InputError as error:
            problems += error.problems
        except ValueError as error:
            problems.append(f"limits.{name}: {error}")
    if problems:
        raise InputError(*problems)
    return tuple(parsed)


def _limit(written: str, text: str | float) -> Limit:
    name = _limit_name(written)
    known = _LIMITS.get("ttft_p50" if _AT_LENGTH.fullmatch(name) else name)
    if known is None:
        raise InputError(f"limits.{name}: not a known limit{nearest(name, tuple(_LIMITS))}")
    parse, side = known
    if (bound := float(parse(text))) < 0:
        raise InputError(f"limits.{name}: {text!r} must not be negative")
    return Limit(name, bound, side)


def latency_limits(limits: Sequence[Limit]) -> tuple[Limit, ...]:
    """Those that fewer clients make easier to keep: latencies. Throughput, memory and heat do not steer the search."""
    return tuple(limit for limit in limits if limit.name.partition("_")[0] in LATENCIES)
