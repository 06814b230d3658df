"""From the records of requests to figures: pure, and the same whenever it is done again."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dyno.bench.percentiles import Blocks, percentiles
from dyno.bench.spool import Stamps
from dyno.workload import LATENCIES, PERCENTILES, STATISTICS, figure_of

Integers = NDArray[np.int64]
Milliseconds = NDArray[np.float64]

UNKNOWN = -1
_BLOCK = 1_000_000


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
    content_ns: "Integers | Stamps"
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
    return _since(records.sent_ns, records)


def ttft_intended_ms(records: Records) -> Milliseconds:
    """The same from the moment the request was meant to go out: what a client that was late cannot hide."""
    return _since(records.intended_ns, records)


def _since(start_ns: Integers, records: Records) -> Milliseconds:
    first = first_content_ns(records)
    return np.where(records.completed & (first != UNKNOWN), (first - start_ns) / 1e6, np.nan)


def first_content_ns(records: Records) -> Integers:
    """When each request's first content came, UNKNOWN where none did."""
    first = np.full(len(records.content_counts), UNKNOWN)
    seen = records.content_counts > 0
    first[seen] = records.content_ns[(np.cumsum(records.content_counts) - records.content_counts)[seen]]
    return first


def tpot_ms(records: Records) -> Milliseconds:
    """(last content - first content) / (output tokens - 1); NaN where tokens are unknown or fewer than two."""
    seen = records.completed & (records.content_counts > 1) & (records.output_tokens > 1)
    ends = np.cumsum(records.content_counts)
    span = records.content_ns[ends[seen] - 1] - records.content_ns[(ends - records.content_counts)[seen]]
    tpot = np.full(len(seen), np.nan)
    tpot[seen] = span / (records.output_tokens[seen] - 1) / 1e6
    return tpot


def itl_ms(records: Records) -> Milliseconds:
    """Gaps between events with content, pooled; where an event holds several tokens, each token's share of the gap."""
    return np.concatenate([np.empty(0), *_gaps_ms(records)])


def _gaps_ms(records: Records) -> Iterator[Milliseconds]:
    tokens, events, done = records.output_tokens, records.content_counts, records.completed
    known = (tokens > 1) & (events > 1)
    share = np.where(known, (events - 1) / np.maximum(tokens - 1, 1), 1.0)
    for request, content_ns in _blocks(records):
        within = (request[1:] == request[:-1]) & done[request[1:]]
        yield np.diff(content_ns)[within] / 1e6 * share[request[1:][within]]


def _blocks(records: Records) -> Iterator[tuple[Integers, Integers]]:
    """The request and the stamp of every event with content, some million at a time: a long load has fifty million."""
    ends = np.cumsum(records.content_counts)
    request = begin = 0
    while request < len(ends):
        until = max(request + 1, int(np.searchsorted(ends, begin + _BLOCK, side="right")))
        numbers = np.repeat(np.arange(request, until), records.content_counts[request:until])
        yield numbers, records.content_ns[begin : ends[until - 1]]
        request, begin = until, int(ends[until - 1])


def e2el_ms(records: Records) -> Milliseconds:
    """From sending to the last byte; NaN where the request failed."""
    return np.where(records.completed, (records.last_byte_ns - records.sent_ns) / 1e6, np.nan)


def e2el_intended_ms(records: Records) -> Milliseconds:
    """From the moment the request was meant to go out to the last byte; NaN where it failed."""
    return np.where(records.completed, (records.last_byte_ns - records.intended_ns) / 1e6, np.nan)


_OF_A_REQUEST = {"ttft": ttft_intended_ms, "tpot": tpot_ms, "e2el": e2el_intended_ms}
SLOS = tuple(_OF_A_REQUEST)


def goodput(records: Records, slos_ms: Mapping[str, float]) -> dict[str, float | None]:
    """Requests a second that kept every objective (of SLOS, in ms), and their share of all requests.

    Latencies are from the intended start; a failed request keeps nothing, one token keeps any tpot.
    """
    kept = records.completed
    for name, bound_ms in slos_ms.items():
        measured_ms = _OF_A_REQUEST[name](records)
        kept &= (measured_ms <= bound_ms) | (np.isnan(measured_ms) & (name == "tpot"))
    duration_s = _duration_s(records)
    return {"goodput": int(kept.sum()) / duration_s if duration_s else None, "goodput_share": float(kept.mean())}


def rates(records: Records) -> dict[str, float | None]:
    """Requests a second as an open loop's schedule asked for them, and as they were sent."""

    def rate(moments_ns: Integers) -> float | None:
        span_ns = int(moments_ns.max() - moments_ns.min())
        return (len(moments_ns) - 1) * 1e9 / span_ns if span_ns else None

    return {"requested_rate": rate(records.intended_ns), "achieved_rate": rate(records.sent_ns)}


def steady(records: Records) -> dict[str, float | None]:
    """Throughputs without ramp and tail, None where nothing is left between them.

    The window opens when all requests that were sent before the first answer was complete had their first content:
    in a closed loop, when every client was served. It closes when the last request was sent.
    """
    done = records.completed
    window: dict[str, float | None] = dict.fromkeys(
        ("steady.duration_s", "steady.output_throughput", "steady.request_throughput"))  # fmt: skip
    if not done.any():
        return window
    early = records.sent_ns < records.last_byte_ns[done].min()
    opens, closes = int(first_content_ns(records)[early].max()), int(records.sent_ns.max())
    if opens == UNKNOWN or opens >= closes:
        return window
    duration_s = (closes - opens) / 1e9
    ended = done & (records.last_byte_ns > opens) & (records.last_byte_ns <= closes)
    window |= {"steady.duration_s": duration_s, "steady.request_throughput": int(ended.sum()) / duration_s}
    if (records.output_tokens[done] != UNKNOWN).all():
        tokens_per_event = records.output_tokens / np.maximum(records.content_counts, 1)
        tokens_within = 0.0
        for request, stamps in _blocks(records):
            within = (stamps > opens) & (stamps <= closes) & done[request]
            tokens_within += float(tokens_per_event[request[within]].sum())
        window["steady.output_throughput"] = tokens_within / duration_s
    return window


def tokens_over_time(records: Records, begin_ns: int, bins: int, period_ns: int = 1_000_000_000) -> NDArray[np.float64]:
    """Output tokens in each of so many periods since `begin_ns`; an event of several tokens counts as many.

    An event counts once where its request did not tell its tokens.
    """
    known = records.completed & (records.output_tokens != UNKNOWN)
    weight = np.where(known, records.output_tokens / np.maximum(records.content_counts, 1), 1.0)
    tokens = np.zeros(bins)
    for request, stamps in _blocks(records):
        place = (stamps - begin_ns) // period_ns
        inside = (place >= 0) & (place < bins)
        tokens += np.bincount(place[inside], weights=weight[request[inside]], minlength=bins)
    return tokens


def _duration_s(records: Records) -> float | None:
    done = records.completed
    return float(records.last_byte_ns[done].max() - records.sent_ns.min()) / 1e9 if done.any() else None


def figures(records: Records) -> dict[str, float | None]:
    """All figures of a load, named as ScenarioResult says.

    Throughputs are over the whole loop, from the first request sent to the last byte received, ramp and tail included.
    """
    done = records.completed
    duration_s = _duration_s(records)
    output_tokens = total(records.output_tokens[done])
    named: dict[str, float | None] = {}
    for latency in LATENCIES:
        told = summary(blocks_of(latency, records))
        named |= {figure_of(f"{latency}_{name}"): value for name, value in told.items()}
    for intended, of_request in (("ttft_intended_ms", ttft_intended_ms), ("e2el_intended_ms", e2el_intended_ms)):
        named |= {f"{intended}.{name}": value for name, value in summary(_one(of_request(records))).items()}
    return (
        named
        | steady(records)
        | {
            "output_throughput": output_tokens / duration_s if duration_s and output_tokens is not None else None,
            "request_throughput": int(done.sum()) / duration_s if duration_s else None,
            "completed": int(done.sum()),
            "failed": int((~done).sum()),
            "duration_s": duration_s,
            "prompt_tokens": total(records.prompt_tokens[done]),
            "output_tokens": output_tokens,
        }
    )


def total(tokens: Integers) -> int | None:
    """The sum, None when one of them is unknown or there is none."""
    return int(tokens.sum()) if len(tokens) and (tokens != UNKNOWN).all() else None


def blocks_of(latency: str, records: Records) -> Blocks:
    """All values of ttft, tpot, itl or e2el, in ms, without those that are unknown."""
    if latency == "itl":
        return lambda: _gaps_ms(records)
    return _one({"ttft": ttft_ms, "tpot": tpot_ms, "e2el": e2el_ms}[latency](records))


def _one(values: Milliseconds) -> Blocks:
    return lambda: iter((values[~np.isnan(values)],))


def summary(blocks: Blocks) -> dict[str, float | None]:
    """Mean and percentiles, linear between neighbours; None of nothing."""
    number, whole = 0, 0.0
    for values in blocks():
        number, whole = number + len(values), whole + float(values.sum())
    if not number:
        return dict.fromkeys(STATISTICS)
    return dict(zip(STATISTICS, (whole / number, *percentiles(blocks, number, PERCENTILES)), strict=True))
