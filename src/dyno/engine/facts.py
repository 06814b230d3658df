"""What a start of an engine tells: facts read from its metrics and its log."""

import re
from collections.abc import Mapping
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
    compile_cached: bool | None = None  # whether all compiled code came from the caches; None: nothing was compiled


_GIB = 2**30
_COMPILED = "Compiling a graph for compile range"
_CACHED = ("Directly load AOT compilation from path", "Directly load the compiled graph(s)")
_CPU_WARM_UP = ("Warming up model for the compilation", "Warming up done")

# The spellings of releases 0.8 to 0.33, the preferred one first. A fact is the first group of the first that matches.
_LINES: Mapping[str, tuple[str, ...]] = {
    "weights_load_s": (r"Loading weights took ([\d.]+) seconds",
                       r"Model loading took [\d.]+ Gi?B.* and ([\d.]+) seconds"),
    "weights_gib": (r"Model loading took ([\d.]+) (?:GiB|GB)", r"Loading model weights took ([\d.]+) GB"),
    "kv_cache_tokens": (r"KV cache size: ([\d,]+) tokens",),
    "kv_cache_gib": (
        r"reserved ([\d.]+) GiB memory for KV Cache",
        r"Available KV cache memory: ([\d.]+) GiB",
        r"(?:Explicitly|Auto) set \(([\d.]+)/[\d.]+\) GiB for KV cache",
    ),
    "max_concurrency": (r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x",),
    "max_model_len": (r"Maximum concurrency for ([\d,]+) tokens per request", r"Using max model len (\d+)"),
    "compile_s": (r"init engine .*\(compilation: ([\d.]+) s\)", r"torch\.compile takes? ([\d.]+) s in total",
                  r"torch\.compile took ([\d.]+) s in total"),
    "graph_capture_s": (r"Graph capturing finished in ([\d.]+) secs",),
    "graph_gib": (r"Graph capturing finished in [\d.]+ secs, took ([\d.]+) GiB",),
    "init_s": (r"init engine \(profile, create kv cache, warmup model\) took ([\d.]+) s",),
    "attention_backend": (r"Using (\w+) attention backend", r"Using AttentionBackendEnum\.(\w+) backend",
                          r"Using ([\w ]+) backend on V1 engine"),
}  # fmt: skip


def read_facts(
    log: str,
    cache_config: Mapping[str, str] | None,
    ready_s: float,
    device_used_bytes: int | None,
    rss_bytes: int | None,
) -> StartFacts:
    """The facts of a start: from the labels of `vllm:cache_config_info` where they exist, else from the log."""
    labels = cache_config or {}
    blocks, block_size = _number(labels.get("num_gpu_blocks")), _number(labels.get("block_size"))
    tokens = _first(_number(labels.get("kv_cache_size_tokens")), _in_log(log, "kv_cache_tokens"),
                    blocks * block_size if blocks and block_size else None)  # fmt: skip
    explicit_bytes = _number(labels.get("kv_cache_memory_bytes"))
    return StartFacts(
        ready_s=ready_s,
        weights_load_s=_in_log(log, "weights_load_s"),
        weights_bytes=_bytes(_in_log(log, "weights_gib")),
        kv_cache_tokens=_whole(tokens),
        kv_cache_bytes=_whole(_first(explicit_bytes, _bytes(_in_log(log, "kv_cache_gib")))),
        max_concurrency=_first(_number(labels.get("kv_cache_max_concurrency")), _in_log(log, "max_concurrency")),
        max_model_len=_whole(_in_log(log, "max_model_len")),
        block_size=_whole(block_size),
        compile_s=_first(_in_log(log, "compile_s"), _cpu_warm_up_s(log)),
        graph_capture_s=_in_log(log, "graph_capture_s"),
        graph_bytes=_bytes(_in_log(log, "graph_gib")),
        init_s=_in_log(log, "init_s"),
        attention_backend=_text(log, "attention_backend"),
        device_used_bytes=device_used_bytes,
        rss_bytes=rss_bytes,
        compile_cached=False if _COMPILED in log else True if any(line in log for line in _CACHED) else None,
    )


def _text(log: str, fact: str) -> str | None:
    matches = (re.search(pattern, log) for pattern in _LINES[fact])
    return next((match[1] for match in matches if match), None)


def _in_log(log: str, fact: str) -> float | None:
    return _number((_text(log, fact) or "").replace(",", ""))


def _number(text: str | None) -> float | None:
    """None also for the `None` and `auto` that labels hold."""
    try:
        return float(text or "")
    except ValueError:
        return None


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _bytes(gib: float | None) -> int | None:
    return _whole(None if gib is None else gib * _GIB)


def _cpu_warm_up_s(log: str) -> float | None:
    """The CPU engine does not say how long it compiled; the stamps of its first and last line do, to the second."""
    found = [re.search(rf"(\d\d):(\d\d):(\d\d) \[.*{text}", log) for text in _CPU_WARM_UP]
    seconds = [3600 * int(at[1]) + 60 * int(at[2]) + int(at[3]) for at in found if at]
    return float((seconds[1] - seconds[0]) % 86400) if len(seconds) == 2 else None
