"""What a start of an engine tells: facts read from its metrics and its log."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartFacts:
    """Facts of one start; None where the engine did not say. Times in seconds, sizes in bytes, lengths in tokens."""

    ready_s: float
    weights_load_s: float | None = None
    weights_bytes: int | None = None
    kv_cache_tokens: int | None = None
    kv_cache_bytes: int | None = None
    max_concurrency: float | None = None
    max_model_len: int | None = None
    block_size: int | None = None
    compile_s: float | None = None
    graph_capture_s: float | None = None
    graph_bytes: int | None = None
    init_s: float | None = None
    attention_backend: str | None = None
    device_used_bytes: int | None = None  # of the card, when ready
    rss_bytes: int | None = None  # of the engine's process tree, when ready
