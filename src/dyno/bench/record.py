"""The values that measuring makes."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Target:
    """An OpenAI-compatible server; `url` with or without `/v1` at its end.

    `token_ids` is the half-open range of ids prompts may be drawn from: prompts then are ids, exact in length.
    Without it, and in chat, prompts are words and their length is what the server's usage says.
    `api_key_env` names the variable that holds the API key.
    """

    url: str
    model: str
    chat: bool = False
    token_ids: tuple[int, int] | None = None
    api_key_env: str | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """One closed loop: `concurrency` clients send `num_requests` requests. Lengths in tokens.

    The first `prefix_len` tokens are the same in every prompt of the load. Nothing else repeats, within it or
    between loads of different seeds.
    """

    concurrency: int
    num_requests: int
    input_len: int
    output_len: int
    seed: int
    prefix_len: int = 0


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """What one test of the set measured.

    `figures` are flat and named: `ttft_ms.p50` ... `e2el_ms.p99` (mean, p50, p90, p95, p99 of ttft, tpot, itl, e2el),
    `output_throughput`, `request_throughput` (per second), `completed`, `failed`, `duration_s`, `prompt_tokens`,
    `output_tokens`, and the scenario's own; None where the server did not tell. Failed requests never enter a latency.
    """

    scenario: str
    figures: dict[str, float | None]
    void: tuple[str, ...]  # why it proves nothing; empty when valid
    raw: tuple[Path, ...] = ()  # one compact file per load
    errors: dict[str, int] = field(default_factory=dict)  # failed requests by kind
