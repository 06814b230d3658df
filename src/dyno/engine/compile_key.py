"""Which configurations compile the same code, so that what one start leaves in the caches serves the other."""

from dyno.engine.args import EngineArgs, FlagValue

# Flags that vLLM leaves out of the key of its compile caches (CacheConfig, ModelConfig and SchedulerConfig
# .compute_hash, 0.26 and 0.32), or that only its server reads. What is not here is taken to be part of the key.
# max_model_len, max_num_batched_tokens, kv_offloading_size and everything about dtypes are part of it; max_num_seqs is
# through the sizes of CUDA graphs.
NOT_COMPILED = frozenset({
    "gpu_memory_utilization", "kv_cache_memory_bytes", "num_gpu_blocks_override", "enable_prefix_caching",
    "prefix_caching_hash_algo", "stream_interval", "async_scheduling", "scheduling_policy", "scheduler_cls",
    "seed", "tokenizer", "tokenizer_mode", "tokenizer_revision", "skip_tokenizer_init", "served_model_name",
    "disable_log_stats", "enable_log_requests", "max_log_len", "uvicorn_log_level", "api_server_count",
    "tool_call_parser", "enable_auto_tool_choice", "reasoning_parser", "chat_template", "kv_transfer_config",
})  # fmt: skip

Key = tuple[tuple[str, FlagValue], ...]


def compile_key(args: EngineArgs) -> Key | None:
    """Equal for configurations whose compiled code is the same; None where nothing is compiled."""
    if args.flag("enforce_eager") is True:
        return None
    flags = tuple((name, value) for name, value in args.flags if name not in NOT_COMPILED)
    return (("model", args.model), *flags, *args.env)
