"""How the load of a running server may differ from a closed loop of requests that are all alike."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import get_args

from dyno.bench.arrivals import LONGEST_S, read_trace
from dyno.bench.record import FIXED, Arrival, Lengths, Load, Spread, TraceRow
from dyno.bench.stats import SLOS, Records, goodput, rates
from dyno.errors import InputError, nearest
from dyno.units import parse_seconds


@dataclass(frozen=True, slots=True)
class Shape:
    """Arrivals, lengths and beginnings of a load as Load has them, and the objectives of its goodput, name to ms."""

    arrival: Arrival = "closed"
    rate: float | None = None
    trace: tuple[TraceRow, ...] = ()
    lengths: Lengths = FIXED
    prefix_len: int = 0
    prefixes: int = 1
    slos_ms: tuple[tuple[str, float], ...] = ()

    def of(self, load: Load) -> Load:
        """A load of this shape. InputError when its prompts are too short for their prefix, or it lasts too long."""
        shortest = min((row.input_len for row in self.trace), default=load.input_len)
        if self.prefix_len and self.prefix_len >= shortest:
            raise InputError(f"--prefix-len {self.prefix_len}: must be less than the {shortest} tokens of a prompt")
        if self.rate and (span_s := (load.num_requests - 1) / self.rate) > LONGEST_S:
            raise InputError(f"--rate {self.rate:g}: {load.num_requests} requests would last {span_s:,.3g} s, and a "
                             f"load lasts at most {LONGEST_S:,.0f}; ask for more or for fewer")  # fmt: skip
        shaped = {name: value for name, value in asdict(self).items() if name not in ("slos_ms", "trace", "lengths")}
        load = replace(load, **shaped, lengths=self.lengths, trace=self.trace)
        return replace(load, num_requests=len(self.trace)) if self.trace else load

    def figures(self, records: Records) -> dict[str, float | None]:
        """What only a load of this shape has: an open loop's rates, goodput where objectives were named."""
        named = {} if self.arrival == "closed" else rates(records)
        return named | (goodput(records, dict(self.slos_ms)) if self.slos_ms else {})

    def told(self) -> dict[str, object]:
        """The shape as members of `--json`'s `load`; none for a plain closed loop."""
        if self == PLAIN:
            return {}
        told = {**asdict(replace(self, trace=())), "slos_ms": dict(self.slos_ms)}
        del told["trace"]
        return told | ({"num_requests": len(self.trace)} if self.trace else {})


PLAIN = Shape()
_MOST_A_SECOND = 1_000_000


def read_shape(options: Mapping[str, str], *, rate: float | None, trace: Path | None, prefix_len: int,
               prefixes: int) -> Shape:  # fmt: skip
    """The shape that command-line options describe; `options` are the texts of arrival, lengths and goodput.

    InputError names every option that cannot be used.
    """
    arrival = options["arrival"] or ("poisson" if rate else "closed")
    problems = []
    if arrival not in ("closed", "poisson", "constant"):
        problems.append(f"--arrival: {arrival!r} is not known{nearest(arrival, ('poisson', 'constant'))}")
    elif (arrival == "closed") != (rate is None):
        problems.append("--arrival poisson and --arrival constant need a --rate, and a rate one of them")
    if rate is not None and not (isfinite(rate) and rate > 0):
        problems.append(f"--rate: {rate:g} must be more than 0 requests a second")
    elif rate is not None and rate > _MOST_A_SECOND:
        problems.append(f"--rate: {rate:g} must be at most {_MOST_A_SECOND:,} requests a second")
    if trace is not None and (rate is not None or options["arrival"] or options["lengths"]):
        problems.append("--trace: brings its own times and lengths; leave out --rate, --arrival and --lengths")
    if prefix_len < 0 or prefixes < 1 or (prefixes > 1 and not prefix_len):
        problems.append("--prefixes: at least 1, and more than 1 only with a --prefix-len of at least 1")
    if problems:
        raise InputError(*problems)
    rows = () if trace is None else read_trace(trace)
    kind: Arrival = "trace" if rows else next(each for each in get_args(Arrival) if each == arrival)
    lengths, slos_ms = parse_lengths(options["lengths"]), parse_slos(options["goodput"])
    return Shape(kind, rate, rows, lengths, prefix_len, prefixes, slos_ms)


def parse_lengths(text: str) -> Lengths:
    """Reads `uniform:0.5` (half of the length to either side) or `lognormal:0.8` (sigma). InputError for others."""
    if text in ("", "fixed"):
        return FIXED
    spread, _, width = text.partition(":")
    try:
        lengths = Lengths(next(each for each in get_args(Spread)[1:] if each == spread), float(width))
    except (StopIteration, ValueError) as error:
        raise InputError(f"--lengths: {text!r} is not fixed, uniform:WIDTH or lognormal:SIGMA") from error
    if not 0 < lengths.width <= (1 if spread == "uniform" else 3):
        raise InputError(f"--lengths: {text!r}; a uniform width is at most 1, a lognormal sigma at most 3")
    return lengths


def parse_slos(text: str) -> tuple[tuple[str, float], ...]:
    """Reads `ttft:2s,tpot:50ms` as names and milliseconds. InputError names every objective that cannot be used."""
    slos, problems = dict[str, float](), []
    for word in filter(None, (word.strip() for word in text.split(","))):
        name, _, bound = word.partition(":")
        if name not in SLOS:
            problems.append(f"--goodput: {name!r} is not known ({', '.join(SLOS)}){nearest(name, SLOS)}")
            continue
        try:
            slos[name] = parse_seconds(bound) * 1000
        except ValueError as error:
            problems.append(f"--goodput {name}: {error}")
    if problems:
        raise InputError(*problems)
    return tuple(slos.items())
