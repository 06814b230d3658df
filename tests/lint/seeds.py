"""The flags and variables of the five seeds through the releases, as they were found in vLLM's own sources."""

from dyno.engine.catalog import Flag
from dyno.lint.known import Known, Span, number

_CACHE_TYPES = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2")
_SWITCHES = "enable_chunked_prefill enable_prefix_caching disable_log_stats trust_remote_code disable_sliding_window"
_FLAGS = (
    *((Flag(name, ("--" + name.replace("_", "-"),), "switch"), "0.6.2", None) for name in _SWITCHES.split()),
    *((Flag(name, ("--" + name.replace("_", "-"),), kind), first, gone) for name, kind, first, gone in (
        ("model", "str", "0.6.2", None), ("host", "str", "0.6.2", None), ("port", "int", "0.6.2", None),
        ("tensor_parallel_size", "int", "0.6.2", None), ("gpu_memory_utilization", "float", "0.6.2", None),
        ("max_model_len", "size", "0.6.2", None), ("max_num_seqs", "int", "0.6.2", None),
        ("max_num_batched_tokens", "size", "0.6.2", None), ("download_dir", "str", "0.6.2", None),
        ("dtype", "str", "0.6.2", None), ("quantization", "str", "0.6.2", None),
        ("tokenizer_mode", "str", "0.6.2", None),
        ("attention_backend", "str", "0.13.0", None), ("kv_offloading_backend", "str", "0.11.1", None),
        ("kv_offloading_size", "float", "0.11.1", None), ("async_scheduling", "switch", "0.10.0", None),
        ("speculative_config", "json", "0.8.3", None), ("num_scheduler_steps", "int", "0.6.2", "0.10.1"),
        ("preemption_mode", "str", "0.6.2", "0.11.0"), ("max_seq_len_to_capture", "int", "0.6.2", "0.11.0"),
        ("swap_space", "float", "0.6.2", "0.18.0"), ("use_v2_block_manager", "switch", "0.6.2", "0.10.0"),
        ("speculative_model", "str", "0.6.2", "0.8.3"), ("calculate_kv_scales", "switch", "0.7.3", "0.28.0"))),
    (Flag("kv_cache_dtype", ("--kv-cache-dtype",), "str", _CACHE_TYPES), "0.6.2", None),
)  # fmt: skip
_VARIABLES = {"VLLM_ATTENTION_BACKEND": Span("0.6.2", "0.14.1", "0.15.0"), "VLLM_PORT": Span("0.6.2", "0.33.0"),
              "VLLM_USE_V1": Span("0.6.6", "0.11.0", "0.11.1"), "VLLM_API_KEY": Span("0.6.2", "0.33.0")}  # fmt: skip
_SERVER = {"host", "port"}


def release(version: str) -> Known:
    """What that release knows of what the seeds use."""

    def has(first: str, gone: str | None) -> bool:
        return number(first) <= number(version) and not (gone and number(gone) <= number(version))

    flags = tuple(flag for flag, first, gone in _FLAGS if has(first, gone))
    return Known(
        version, flags, frozenset(flag.name for flag in flags) - _SERVER,
        frozenset(name for name, span in _VARIABLES.items() if has(span.first, span.gone)),
        {flag.name: Span(first, "", gone) for flag, first, gone in _FLAGS}, _VARIABLES,
        {flag.name: flag for flag, first, gone in _FLAGS if not has(first, gone)},
    )  # fmt: skip
