"""The values that measuring makes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Arrival = Literal["closed", "poisson", "constant", "trace"]
Spread = Literal["fixed", "uniform", "lognormal"]
SILENCE_S = 300.0  # a long prompt on a processor takes minutes


@dataclass(frozen=True, slots=True)
class Target:
    """An OpenAI-compatible server; `url` with or without `/v1` at its end.

    `token_ids` is the half-open range of ids prompts may be drawn from: prompts then are ids, exact in length.
    Without it, and in chat, prompts are words and their length is what the server's usage says.
    `api_key_env` names the variable that holds the API key. A request that hears nothing for `silence_s` has failed.
    On a `shared_host` others always work beside the client, and what they take voids nothing.
    """

    url: str
    model: str
    chat: bool = False
    token_ids: tuple[int, int] | None = None
    api_key_env: str | None = None
    silence_s: float = SILENCE_S
    shared_host: bool = False


@dataclass(frozen=True, slots=True)
class Lengths:
    """How lengths lie around the one that was asked for, which stays their mean.

    `width` is the share of it that a uniform one strays to either side, or the sigma of a lognormal one.
    """

    spread: Spread = "fixed"
    width: float = 0.0


FIXED = Lengths()


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One request of a trace: when it came, in seconds of the trace's own clock, and its lengths in tokens."""

    timestamp_s: float
    input_len: int
    output_len: int


@dataclass(frozen=True, slots=True)
class Load:
    """`num_requests` requests. Lengths in tokens, `rate` in requests a second.

    In a closed loop `concurrency` clients each send the next request once they have their answer. In an open one
    requests come at their own times whatever became of the earlier ones; `concurrency` then is the number of
    connections opened beforehand, not a cap. A trace brings its own times and lengths.

    The first `prefix_len` tokens of every prompt are one of `prefixes` beginnings. Nothing else repeats, within the
    load or between loads of different seeds.
    """

    concurrency: int
    num_requests: int
    input_len: int
    output_len: int
    seed: int
    prefix_len: int = 0
    prefixes: int = 1
    arrival: Arrival = "closed"
    rate: float | None = None
    lengths: Lengths = FIXED
    trace: tuple[TraceRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """Where a search for the concurrency at the limits begins, and the most clients it asks for; None: many."""

    start: int
    most: int | None = None


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """What one test of the set measured.

    `figures` are flat and named: `ttft_ms.p50` ... `e2el_ms.p99` (mean, p50, p90, p95, p99 of ttft, tpot, itl, e2el),
    `output_throughput`, `request_throughput` (per second), `completed`, `failed`, `duration_s`, `prompt_tokens`,
    `output_tokens`, `ttft_intended_ms.*` and `e2el_intended_ms.*` (from the moment a request was meant to go out),
    `steady.*` (without ramp and tail), `reconcile.*` (latencies against the server's own histograms), and the
    scenario's own; None where the server did not tell. Failed requests never enter a latency.
    """

    scenario: str
    figures: dict[str, float | None]
    void: tuple[str, ...]  # why it proves nothing; empty when valid
    raw: tuple[Path, ...] = ()  # one compact file per load
    errors: dict[str, int] = field(default_factory=dict)  # failed requests by kind
