"""When each request of a load is meant to go out and how long it is: pure, the same for the same seed."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dyno.bench.record import Lengths, Load, TraceRow
from dyno.errors import InputError
from dyno.workload import MOST_TOKENS

Integers = NDArray[np.int64]

LONGEST_S = 30 * 86_400.0  # from a load's first request to its last
_LENGTHS, _ARRIVALS = 2, 3  # streams of chance beside those of the prompts


def offsets_ns(load: Load) -> Integers | None:
    """When each request goes out, in ns from the first; None in a closed loop.

    Poisson gaps are scaled to the exact rate, else a short load would miss it by chance alone.
    """
    if load.arrival == "closed":
        return None
    if load.arrival == "trace":
        seconds = np.array([row.timestamp_s for row in load.trace])
        return _nanoseconds(seconds - seconds[0])
    if not load.rate:
        raise ValueError(f"{load.arrival} arrivals need a rate")
    gaps = np.ones(load.num_requests - 1)
    if load.arrival == "poisson":
        gaps = np.random.default_rng([load.seed, _ARRIVALS]).exponential(size=load.num_requests - 1)
        gaps *= len(gaps) / gaps.sum() if len(gaps) else 1.0
    return _nanoseconds(np.concatenate([[0.0], np.cumsum(gaps)]) / load.rate)


def _nanoseconds(seconds: NDArray[np.float64]) -> Integers:
    rounded: Integers = np.rint(seconds * 1e9).astype(np.int64)
    return rounded


def request_lengths(load: Load) -> tuple[Integers, Integers]:
    """Input and output length of each request, in tokens, at least 1 each; of inputs what follows the prefix varies."""
    if load.trace:
        return (np.array([row.input_len for row in load.trace]), np.array([row.output_len for row in load.trace]))
    chance = np.random.default_rng([load.seed, _LENGTHS])
    inputs = load.prefix_len + _drawn(chance, load.lengths, load.input_len - load.prefix_len, load.num_requests)
    return inputs, _drawn(chance, load.lengths, load.output_len, load.num_requests)


def _drawn(chance: np.random.Generator, lengths: Lengths, mean: int, number: int) -> Integers:
    factors = np.ones(number)
    if lengths.spread == "uniform":
        factors = chance.uniform(1 - lengths.width, 1 + lengths.width, number)
    elif lengths.spread == "lognormal":
        factors = chance.lognormal(-(lengths.width**2) / 2, lengths.width, number)
    return np.maximum(1, np.rint(mean * factors)).astype(np.int64)


def read_trace(path: Path) -> tuple[TraceRow, ...]:
    """Reads JSON lines of timestamp_s, input_len and output_len, in the order of time. InputError names a bad line."""
    try:
        return trace_rows(path.read_text(encoding="utf-8").splitlines(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--trace {path}: cannot be read ({error})") from error


def trace_rows(lines: Iterable[str], name: str) -> tuple[TraceRow, ...]:
    """The rows of a trace from its lines; empty ones are passed over, and members of other names."""
    rows: list[TraceRow] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            rows.append(_row(line, f"--trace {name}, line {number}"))
            if len(rows) > 1 and rows[-1].timestamp_s < rows[-2].timestamp_s:
                raise InputError(f"--trace {name}, line {number}: timestamp_s {rows[-1].timestamp_s:g} is before the "
                                 f"line above ({rows[-2].timestamp_s:g}); sort the trace by time")  # fmt: skip
    if not rows:
        raise InputError(f"--trace {name}: holds no request")
    if (span_s := rows[-1].timestamp_s - rows[0].timestamp_s) > LONGEST_S:
        raise InputError(f"--trace {name}: lasts {span_s:,.3g} s, and a load at most {LONGEST_S:,.0f}; timestamp_s "
                         "is in seconds")  # fmt: skip
    if (tokens := sum(row.input_len + row.output_len for row in rows)) > MOST_TOKENS:
        raise InputError(f"--trace {name}: {tokens:,} tokens are more than the {MOST_TOKENS:,} that one load may have")
    return tuple(rows)


def _row(line: str, where: str) -> TraceRow:
    try:
        read = json.loads(line)
        row = TraceRow(float(read["timestamp_s"]), int(read["input_len"]), int(read["output_len"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"{where}: not an object with the numbers timestamp_s, input_len, output_len "
                         f"({error!r})") from error  # fmt: skip
    if not (np.isfinite(row.timestamp_s) and row.input_len > 0 and row.output_len > 0):
        raise InputError(f"{where}: timestamp_s must be finite, input_len and output_len at least 1")
    return row
