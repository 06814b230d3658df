"""What the server itself counted: vLLM's counters and histograms before and after a load."""

import time
from dataclasses import dataclass
from typing import Any

from dyno.engine.metrics import Histogram, parse, scrape

_SETTLE_S = 2.0
_LOOK_EVERY_S = 0.05
_KV_USAGE = "vllm:kv_cache_usage_perc"
_TOTALS = ("generation_tokens", "prompt_tokens", "prefix_cache_queries", "prefix_cache_hits")
_HISTOGRAMS = ("time_to_first_token", "inter_token_latency", "e2e_request_latency", "request_queue_time",
               "request_prefill_time")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counters:
    """vLLM's counters, in tokens, and histograms, in seconds, at one moment or between two.

    None where the server has no such series. `queue` and `prefill` are of requests that have ended: how long they
    waited to be scheduled, and then for a first token.
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
                    *(metrics.histogram(f"vllm:{name}_seconds") for name in _HISTOGRAMS))  # fmt: skip


def settled_counters(url: str, before: Counters, output_tokens: int | None) -> Counters:
    """The counters once they hold these output tokens too: vLLM counts a little after it has answered."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        now = read_counters(url)
        added = now.since(before).generation_tokens
        if added is None or output_tokens is None or added >= output_tokens or time.monotonic() > deadline:
            return now
        time.sleep(_LOOK_EVERY_S)


def kv_usage(page: bytes) -> float | None:
    """The share of the KV cache in use, from one page of metrics; only its own lines are parsed."""
    lines = [line for line in page.decode(errors="replace").splitlines() if line.startswith(_KV_USAGE)]
    metrics = parse("\n".join(lines) + "\n")
    return None if metrics is None else metrics.total(_KV_USAGE)
