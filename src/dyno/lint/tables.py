"""What no catalog can know: successors and their values, names that people invent, what a release ignores.

The releases that an entry names were looked up in vLLM's sources of these releases; where it names none, the newest was
read.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dyno.lint.source import Value

Settings = tuple[tuple[str, Value], ...]
Translate = Callable[[Value], Settings]


@dataclass(frozen=True, slots=True)
class Successor:
    """What took the place of a flag that is gone. `to` gives nothing where nothing did."""

    note: str
    to: Translate = lambda _: ()
    needs: str | None = None  # a flag that the release must have for `to` to hold


def _rename(name: str) -> Translate:
    return lambda value: ((name, value),)


def _fp8_cache(value: Value) -> Settings:
    return (("kv_cache_dtype", value if isinstance(value, str) and value.startswith("fp8") else "fp8"),)


def _constant(name: str, value: Value) -> Translate:
    return lambda old: () if old is False else ((name, value),)


def _key(flag: str, key: str) -> Translate:
    """One key of a JSON flag, as `--flag.key value` writes it."""
    return lambda value: ((flag, {key: True if value is None else value}),)


def _task(value: Value) -> Settings:
    """What --task said, as runner and converter."""
    kinds = {"embedding": "embed", "embed": "embed", "classify": "classify", "score": "classify", "reward": "embed"}
    if value in ("auto", "generate", "transcription"):
        return (("runner", "auto" if value == "auto" else "generate"),)
    return (("runner", "pooling"), ("convert", kinds[str(value)])) if value in kinds else ()


def _graph_sizes(value: Value) -> Settings:
    """One number was the largest size, several were the sizes."""
    if isinstance(value, tuple) and len(value) == 1:
        return (("max_cudagraph_capture_size", value[0]),)
    return (("cudagraph_capture_sizes", value),)


_V0 = "it belonged to the V0 engine"
_NO_ADAPTERS = "prompt adapters are gone; LoRA adapters are not"
_OUTPUTS = "it is a key of --structured-outputs-config"
_EPLB = "it is a key of --eplb-config"
_JSON = "structured_outputs_config"

SUCCESSORS: Mapping[str, Successor] = {
    "swap_space": Successor("the V1 engine has no CPU swap: what is preempted is computed again; "
                            "--kv-offloading-size keeps evicted prefix blocks in RAM"),
    "num_scheduler_steps": Successor(f"{_V0}; asynchronous scheduling, on by default since 0.14, took its place"),
    "preemption_mode": Successor(f"{_V0}; what is preempted is always computed again"),
    "max_seq_len_to_capture": Successor("the graphs of the V1 engine are sized in tokens of a batch, "
                                        "--max-cudagraph-capture-size, not in sequence length"),
    "use_v2_block_manager": Successor("it did nothing since 0.6.6"),
    "calculate_kv_scales": Successor("scales come from the checkpoint, else they are 1.0"),
    "quantized_kv_cache": Successor("the flag is --kv-cache-dtype", _fp8_cache, "kv_cache_dtype"),
    **dict.fromkeys(("num_lookahead_slots", "scheduler_delay_factor", "multi_step_stream_outputs",
                     "disable_async_output_proc", "tokenizer_pool_size", "tokenizer_pool_type",
                     "tokenizer_pool_extra_config", "qlora_adapter_name_or_path"), Successor(_V0)),
    **dict.fromkeys(("max_num_partial_prefills", "max_long_partial_prefills"),
                    Successor("the V1 engine splits prompts by its budget of tokens alone")),
    "disable_frontend_multiprocessing": Successor("the engine always has a process of its own"),
    "expand_tools_even_if_tool_choice_none": Successor("that is what happens by default"),
    "override_attention_dtype": Successor("attention follows --dtype"),
    "chat_template_text_format": Successor("it is --chat-template-content-format now",
                                           _rename("chat_template_content_format"), "chat_template_content_format"),
    **dict.fromkeys(("enable_prompt_adapter", "max_prompt_adapters", "max_prompt_adapter_token", "prompt_adapters"),
                    Successor(_NO_ADAPTERS)),
    **dict.fromkeys(("lora_extra_vocab_size", "enable_lora_bias", "long_lora_scaling_factors"),
                    Successor("the V1 engine's LoRA has no such thing")),
    **dict.fromkeys(("speculative_disable_mqa_scorer", "disable_logprobs_during_spec_decoding",
                     "spec_decoding_acceptance_method", "typical_acceptance_sampler_posterior_threshold",
                     "typical_acceptance_sampler_posterior_alpha"), Successor(_V0)),
    "disable_log_requests": Successor("requests are logged only with --enable-log-requests"),
    "device": Successor("the platform is found by itself"),
    "enable_reasoning": Successor("--reasoning-parser alone turns it on"),
    "quantization_param_path": Successor("scales come from the checkpoint"),
    "logits_processor_pattern": Successor(_V0),
    "worker_use_ray": Successor("the flag is --distributed-executor-backend",
                                _constant("distributed_executor_backend", "ray"), "distributed_executor_backend"),
    "task": Successor("it is --runner and --convert now", _task, "runner"),
    "cuda_graph_sizes": Successor("it is --cudagraph-capture-sizes now", _graph_sizes, "cudagraph_capture_sizes"),
    "disable_mm_preprocessor_cache": Successor("the cache has a size now", _constant("mm_processor_cache_gb", "0"),
                                               "mm_processor_cache_gb"),
    "enable_multimodal_encoder_data_parallel": Successor("it is --mm-encoder-tp-mode now",
                                                         _constant("mm_encoder_tp_mode", "data"), "mm_encoder_tp_mode"),
    "guided_decoding_backend": Successor(_OUTPUTS, _key(_JSON, "backend"), _JSON),
    "guided_decoding_disable_fallback": Successor(_OUTPUTS, _key(_JSON, "disable_fallback"), _JSON),
    "guided_decoding_disable_any_whitespace": Successor(_OUTPUTS, _key(_JSON, "disable_any_whitespace"), _JSON),
    "guided_decoding_disable_additional_properties": Successor(_OUTPUTS, _key(_JSON, "disable_additional_properties"),
                                                               _JSON),
    "num_redundant_experts": Successor(_EPLB, _key("eplb_config", "num_redundant_experts"), "eplb_config"),
    "eplb_window_size": Successor(_EPLB, _key("eplb_config", "window_size"), "eplb_config"),
    "eplb_step_interval": Successor(_EPLB, _key("eplb_config", "step_interval"), "eplb_config"),
    "eplb_log_balancedness": Successor(_EPLB, _key("eplb_config", "log_balancedness"), "eplb_config"),
    "override_pooler_config": Successor("it is --pooler-config now", _rename("pooler_config"), "pooler_config"),
    "rope_scaling": Successor("it is a part of --hf-overrides, under the name that the model's config.json has"),
    "rope_theta": Successor("it is a part of --hf-overrides, under the name that the model's config.json has"),
}  # fmt: skip
UNDECIDED = ("rope_scaling", "rope_theta")  # a successor that only a person can write


@dataclass(frozen=True, slots=True)
class Moved:
    """What took the place of a variable: a flag, and its value, or nothing."""

    note: str
    flag: str = ""
    translate: Callable[[Value], Value] = lambda value: value


VARIABLES: Mapping[str, Moved] = {
    "VLLM_ATTENTION_BACKEND": Moved("it is a flag now", "attention_backend", lambda value: _backend(value)),
    "VLLM_USE_V1": Moved("V1 is the only engine"),
    "VLLM_ALL2ALL_BACKEND": Moved("it is a flag now", "all2all_backend"),
    "VLLM_ALLOW_DEPRECATED_BLOCK_MANAGER_V1": Moved("there is only one block manager"),
    "VLLM_USE_TRITON_FLASH_ATTN": Moved("the backend is chosen by --attention-backend"),
}  # fmt: skip

_GONE_BACKENDS = {"XFORMERS", "ROCM_FLASH", "DUAL_CHUNK_FLASH_ATTN"}


def _backend(value: Value) -> Value:
    """The backend in today's spelling; None for one that is gone, so that vLLM chooses."""
    name = str(value).upper().removesuffix("_VLLM_V1").removesuffix("_V1")
    return None if name in _GONE_BACKENDS else name


# What nothing reads, with what there really is.
INVENTED: Mapping[str, str] = {
    "CUDA_ALLOCATOR_BACKEND": "the real one is PYTORCH_CUDA_ALLOC_CONF=backend:cudaMallocAsync",
    "CUDA_MALLOC_ASYNC_POOLS": "the allocator is chosen by PYTORCH_CUDA_ALLOC_CONF=backend:cudaMallocAsync",
    "CUDA_TENSOR_CORES": "tensor cores are used whenever the data type allows",
    "CUDA_L2_PERSISTING_SIZE": "persisting L2 is a call of the CUDA API, cudaLimitPersistingL2CacheSize",
    "CUDNN_TENSOR_OPS": "tensor cores are used whenever the data type allows",
    "CUDA_COPY_SPLIT_THRESHOLD": "CUDA_COPY_SPLIT_THRESHOLD_MB belongs to NVIDIA's HPL benchmark",
}


@dataclass(frozen=True, slots=True)
class Ignored:
    """From `since` until before `until` the parser takes it and nothing acts on it."""

    since: str
    until: str
    note: str


IGNORED: Mapping[str, Ignored] = {
    "swap_space": Ignored("0.8.0", "0.26.0", "the V1 engine has no CPU swap, what is preempted is computed again; "
                          "--kv-offloading-size keeps evicted prefix blocks in RAM"),
    "max_seq_len_to_capture": Ignored("0.8.0", "0.11.0", "the V1 engine sizes its graphs in tokens of a batch"),
    "use_v2_block_manager": Ignored("0.6.6", "0.10.0", "there is only one block manager"),
    "disable_cascade_attn": Ignored("0.32.0", "99", "cascade attention is gone"),
}  # fmt: skip

ON_BY_DEFAULT: Mapping[str, str] = {  # their default is None, and the engine makes that "on"
    "enable_chunked_prefill": "0.8.0",
    "enable_prefix_caching": "0.8.0",
    "async_scheduling": "0.14.0",
}

NEVER_IN_V1 = ("max_num_partial_prefills", "max_long_partial_prefills", "logits_processor_pattern")
V0_ONLY: Mapping[str, str] = {  # until before that release it made the V1 engine give way to V0
    "num_scheduler_steps": "0.10.1",
    **dict.fromkeys(("preemption_mode", "disable_async_output_proc", "scheduler_delay_factor", *NEVER_IN_V1), "0.11.0"),
}

# Values that people write, and what the flag calls them; the first that this release knows is taken.
SYNONYMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "kv_cache_dtype": {**dict.fromkeys(("fp16", "half", "float16"), ("auto",)), "bf16": ("bfloat16", "auto"),
                       "int8": ("int8_per_token_head",), "bfloat16": ("auto",), "fp8e4m3": ("fp8",), "e4m3": ("fp8",)},
    "dtype": {"fp16": ("float16",), "bf16": ("bfloat16",), "fp32": ("float32",), "fp8": ("auto",)},
}  # fmt: skip

# What neither parser nor field says, and a class behind them does.
CHOICES: Mapping[str, tuple[str, ...]] = {"optimization_level": ("0", "1", "2", "3")}
OBJECTS = ("hf_overrides", "override_pooler_config")  # text for the parser, JSON for what reads it

# Lists that the parser takes as one word with commas, too, and the class behind it does not since that release.
APART: Mapping[str, str] = {"collect_detailed_traces": "0.10.2"}

# A list that is looked into only with another flag.
LOOKED_UP_WITH: Mapping[str, str] = {"tool_call_parser": "enable_auto_tool_choice"}

# Flags that became keys of --speculative-config.
SPECULATIVE: Mapping[str, str] = {
    "speculative_model": "model", "num_speculative_tokens": "num_speculative_tokens",
    "speculative_model_quantization": "quantization", "ngram_prompt_lookup_max": "prompt_lookup_max",
    "speculative_draft_tensor_parallel_size": "draft_tensor_parallel_size",
    "ngram_prompt_lookup_min": "prompt_lookup_min", "speculative_max_model_len": "max_model_len",
    "speculative_disable_by_batch_size": "disable_by_batch_size", "spec_decoding_acceptance_method": "",
}  # fmt: skip

# Methods of quantization that are refused since 0.14 unless they are allowed, and the release that has them no longer.
LEAVING: Mapping[str, str] = {
    **dict.fromkeys(("deepspeedfp", "hqq", "auto-round", "rtn"), "0.15.0"),
    **dict.fromkeys(("bitblas", "gptq_marlin_24", "gptq_bitblas", "ipex"), "0.16.0"), "ptpc_fp8": "0.19.0",
    **dict.fromkeys(("experts_int8", "petit_nvfp4"), "0.20.0"), "tpu_int8": "0.23.0", "fbgemm_fp8": "99",
    "fp_quant": "99",
}  # fmt: skip

LEAST_CAPABILITY: Mapping[str, tuple[int, int]] = {
    "awq": (7, 5), "gptq": (6, 0), "gptq_marlin": (8, 0), "awq_marlin": (8, 0), "fp8": (7, 5), "fbgemm_fp8": (8, 0),
    "modelopt": (8, 9), "modelopt_fp4": (8, 0), "mxfp4": (8, 0), "experts_int8": (8, 0),
}  # fmt: skip

# Families whose architecture vLLM has had for long, by names of models and architectures.
NATIVE = re.compile(
    r"qwen[23](\.5)?(?!-?(omni|audio))|llama|mistral|mixtral|gemma|phi-?[34]|deepseek-(r1|v[23])|gpt-oss|"
    r"gpt2|dialogpt|opt-",
    re.IGNORECASE,
)
FIRST_RELEASE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"qwen3-?(vl|next|omni)", re.IGNORECASE), "0.11.0"),
    (re.compile(r"qwen3(?![.\d])", re.IGNORECASE), "0.8.4"),
    (re.compile(r"gpt-?oss", re.IGNORECASE), "0.10.1"),
)
