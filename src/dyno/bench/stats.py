"""From the records of requests to figures: pure, and the same whenever it is done again."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dyno.workload import LATENCIES, PERCENTILES, STATISTICS, figure_of

Integers = NDArray[np.int64]
Milliseconds = NDArray[np.float64]

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Records:
    """One entry per request, in the order of sending. Times in ns of one monotonic clock, UNKNOWN where absent.

    `content_ns` holds the stamps of all events with content, one request after the other, `content_counts` of each.
    """

    intended_ns: Integers
    sent_ns: Integers
    first_byte_ns: Integers
    last_byte_ns: Integers
    prompt_tokens: Integers
    output_tokens: Integers
    content_counts: Integers
    content_ns: Integers
    outcomes: tuple[str, ...]  # empty: all went well; else the kind of failure

    @property
    def completed(self) -> NDArray[np.bool_]:
        return np.array([not outcome for outcome in self.outcomes], dtype=np.bool_)

    @property
    def errors(self) -> dict[str, int]:
        """How many requests failed, by kind."""
        return dict(Counter(outcome for outcome in self.outcomes if outcome))


def ttft_ms(records: Records) -> Milliseconds:
    """From sending to the chunk with the first content; NaN where there was none or the request failed."""
    seen = records.completed & (records.content_counts > 0)
    ttft = np.full(len(seen), np.nan)
    first = (np.cumsum(records.content_counts) - records.content_counts)[seen]
    ttft[seen] = (records.content_ns[first] - records.sent_ns[seen]) / 1e6
    return ttft


def tpot_ms(records: Records) -> Milliseconds:
    """(last content - first content) / (output tokens - 1) of the requests whose tokens are known."""
    seen = records.completed & (records.content_counts > 1) & (records.output_tokens > 1)
    ends = np.cumsum(records.content_counts)
    span = records.content_ns[ends[seen] - 1] - records.content_ns[(ends - records.content_counts)[seen]]
    tpot: Milliseconds = span / (records.output_tokens[seen] - 1) / 1e6
    return tpot


def itl_ms(records: Records) -> Milliseconds:
    """Gaps between events with content, pooled; where an event holds several tokens, each token's share of the gap."""
    request = np.repeat(np.arange(len(records.content_counts)), records.content_counts)
    within = (request[1:] == request[:-1]) & records.completed[request[1:]]
    gaps = np.diff(records.content_ns)[within] / 1e6
    tokens, events = records.output_tokens, records.content_counts
    known = (tokens > 1) & (events > 1)
    share = np.where(known, (events - 1) / np.maximum(tokens - 1, 1), 1.0)
    itl: Milliseconds = gaps * share[request[1:][within]]
    return itl


def e2el_ms(records: Records) -> Milliseconds:
    """From sending to the last byte."""
    done = records.completed
    e2el: Milliseconds = (records.last_byte_ns[done] - records.sent_ns[done]) / 1e6
    return e2el


def figures(records: Records) -> dict[str, float | None]:
    """All figures of a load, named as ScenarioResult says.

    Throughputs are over the whole loop, from the first request sent to the last byte received, ramp and tail included.
    """
    done = records.completed
    duration_s = float(records.last_byte_ns[done].max() - records.sent_ns.min()) / 1e9 if done.any() else None
    output_tokens = total(records.output_tokens[done])
    named: dict[str, float | None] = {}
    for latency, measured_ms in zip(LATENCIES, (ttft_ms, tpot_ms, itl_ms, e2el_ms), strict=True):
        named |= {figure_of(f"{latency}_{name}"): value for name, value in summary(measured_ms(records)).items()}
    return named | {
        "output_throughput": output_tokens / duration_s if duration_s and output_tokens is not None else None,
        "request_throughput": int(done.sum()) / duration_s if duration_s else None,
        "completed": int(done.sum()),
        "failed": int((~done).sum()),
        "duration_s": duration_s,
        "prompt_tokens": total(records.prompt_tokens[done]),
        "output_tokens": output_tokens,
    }


def total(tokens: Integers) -> int | None:
    """The sum, None when one of them is unknown or there is none."""
    return int(tokens.sum()) if len(tokens) and (tokens != UNKNOWN).all() else None


def summary(values: Milliseconds) -> dict[str, float | None]:
    """Mean and percentiles, linear between neighbours; None of nothing."""
    values = values[~np.isnan(values)]
    if not len(values):
        return dict.fromkeys(STATISTICS)
    return dict(zip(STATISTICS, (float(values.mean()), *np.percentile(values, PERCENTILES).tolist()), strict=True))
