"""What the server itself counted: vLLM's counters and histograms before and after a load."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dyno.engine.metrics import Histogram, parse, scrape

_SETTLE_S = 2.0
_LOOK_EVERY_S = 0.05
_GAUGES = ("vllm:kv_cache_usage_perc", "vllm:num_requests_running", "vllm:num_requests_waiting")
_TOTALS = ("generation_tokens", "prompt_tokens", "prefix_cache_queries", "prefix_cache_hits")
_HISTOGRAMS = (
    *((f"vllm:{name}_seconds", "") for name in ("time_to_first_token", "inter_token_latency", "e2e_request_latency",
                                                "request_queue_time", "request_prefill_time")),
    ("http_request_duration_seconds", "/completions"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counters:
    """vLLM's counters, in tokens, and histograms, in seconds, at one moment or between two.

    None where the server has no such series. `queue` and `prefill` are of requests that have ended: how long they
    waited to be scheduled, and then for a first token. `http` is of its web server, from a request's head to the last
    byte of the answer.
    """

    generation_tokens: float | None = None
    prompt_tokens: float | None = None
    prefix_cache_queries: float | None = None
    prefix_cache_hits: float | None = None
    ttft: Histogram | None = None
    itl: Histogram | None = None
    e2el: Histogram | None = None
    queue: Histogram | None = None
    prefill: Histogram | None = None
    http: Histogram | None = None

    def since(self, before: "Counters") -> "Counters":
        """What was added since `before`."""
        pairs: list[tuple[Any, Any]] = [(getattr(self, name), getattr(before, name)) for name in Counters.__slots__]
        return Counters(*(None if now is None or then is None else now - then for now, then in pairs))


def read_counters(url: str) -> Counters:
    """The counters now."""
    metrics = scrape(url)
    if metrics is None:
        return Counters()
    generation, prompt, queries, hits = (metrics.total(f"vllm:{name}") for name in _TOTALS)
    return Counters(generation, prompt, queries, hits,
                    *(metrics.histogram(name, handler) for name, handler in _HISTOGRAMS))  # fmt: skip


def settled_counters(url: str, before: Counters, output_tokens: int | None) -> Counters:
    """The counters once they hold these output tokens too: vLLM counts a little after it has answered."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        now = read_counters(url)
        added = now.since(before).generation_tokens
        if added is None or output_tokens is None or added >= output_tokens or time.monotonic() > deadline:
            return now
        time.sleep(_LOOK_EVERY_S)


@dataclass(frozen=True, slots=True)
class Gauges:
    """vLLM's gauges, looked at once a second: `at_ns` of the clock of a load's stamps, NaN where one was not told.

    `kv_usage` is the share of the KV cache in use, `running` and `waiting` are requests.
    """

    at_ns: NDArray[np.int64]
    kv_usage: NDArray[np.float64]
    running: NDArray[np.float64]
    waiting: NDArray[np.float64]

    @property
    def kv_usage_peak(self) -> float | None:
        """The highest share of the KV cache; None when it was never told."""
        told = self.kv_usage[~np.isnan(self.kv_usage)]
        return float(told.max()) if len(told) else None


def read_gauges(pages: Iterable[tuple[int, bytes]]) -> Gauges:
    """The gauges of pages of metrics, each with its time; only their own lines are parsed."""
    rows = [(at_ns, *_gauges(page)) for at_ns, page in pages]
    values = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, len(_GAUGES))
    return Gauges(np.array([row[0] for row in rows], dtype=np.int64), *values.T)


def _gauges(page: bytes) -> list[float]:
    lines = [line for line in page.decode(errors="replace").splitlines() if line.startswith(_GAUGES)]
    metrics = parse("\n".join(lines) + "\n")
    told = [None if metrics is None else metrics.total(name) for name in _GAUGES]
    return [np.nan if value is None else value for value in told]
