"""The flags that `dyno plan` understands, as people write them."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

from dyno.engine.args import EngineArgs, FlagValue
from dyno.errors import InputError, nearest

_SCALES = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}
_SWITCH: Mapping[str, bool] = {"true": True, "false": False}


def _whole(text: str) -> int:
    if text in ("auto", "-1"):
        return -1
    scale = _SCALES.get(text[-1:], 1)
    number = float(text[:-1]) if scale > 1 else int(text)
    if not 0 <= number <= 2**50:
        raise ValueError
    return int(number * scale)


def _count(text: str) -> int:
    if (number := _whole(text)) < 1:
        raise ValueError
    return number


def _fraction(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 10**6:
        raise ValueError
    return number


def _switch(text: str) -> bool:
    return _SWITCH[text.lower()]


def _object(text: str) -> str:
    if not isinstance(json.loads(text), dict):
        raise ValueError
    return text


def _kv_dtype(text: str) -> str:
    return KV_DTYPES[KV_DTYPES.index(text)]


def _method(text: str) -> str:
    return METHODS[METHODS.index(text)]


# vLLM's CacheDType and QuantizationMethods, of all releases since 0.20.
KV_DTYPES = (
    "auto", "float16", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_ds_mla", "nvfp4_ds_mla", "nvfp4",
    "nvfp4_4over6", "int4_per_token_head", "int8_per_token_head", "fp8_per_token_head", "turboquant_k8v4",
    "turboquant_4bit_nc", "turboquant_k3v4_nc", "turboquant_3bit_nc", "ultraquant_4bit",
)  # fmt: skip
METHODS = (
    "fp8", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "int8_per_channel_weight_only", "experts_int8",
    "mxfp8", "nvfp4_per_token", "awq", "awq_marlin", "auto_awq", "gptq", "gptq_marlin", "auto_gptq",
    "compressed-tensors", "bitsandbytes", "modelopt", "modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed", "mxfp4",
    "gpt_oss_mxfp4", "fbgemm_fp8", "fp_quant", "ptpc_fp8", "quark", "moe_wna16", "torchao", "inc", "online",
    "humming", "deepseek_v4_fp8", "gguf", "rtn", "auto-round", "bitblas",
)  # fmt: skip

_KINDS: Mapping[Callable[[str], FlagValue], str] = {
    _whole: "a whole number such as 8192 or 8k", _count: "a whole number from 1", _fraction: "a number",
    _switch: "true or false", str: "text", _object: "a JSON object", _kv_dtype: f"one of {', '.join(KV_DTYPES)}",
    _method: f"one of {', '.join(METHODS)}",
}  # fmt: skip

FLAGS: Mapping[str, Callable[[str], FlagValue]] = {
    **dict.fromkeys(("max_model_len", "max_num_batched_tokens", "max_num_seqs", "num_gpu_blocks_override",
                     "kv_cache_memory_bytes"), _whole),
    **dict.fromkeys(("block_size", "tensor_parallel_size"), _count),
    **dict.fromkeys(("gpu_memory_utilization", "kv_offloading_size"), _fraction),
    **dict.fromkeys(("enforce_eager", "enable_prefix_caching", "async_scheduling", "enable_chunked_prefill",
                     "disable_hybrid_kv_cache_manager", "enable_expert_parallel"), _switch),
    "kv_cache_dtype": _kv_dtype,
    "quantization": _method,
    "compilation_config": _object,
    **dict.fromkeys(("dtype", "load_format", "attention_backend", "performance_mode"), str),
}  # fmt: skip
VARIABLES = ("VLLM_CPU_KVCACHE_SPACE", "VLLM_USE_V2_MODEL_RUNNER", "VLLM_USE_FLASHINFER_SAMPLER")
_SHORT = {"tp": "tensor_parallel_size", "q": "quantization", "kv_cache_memory": "kv_cache_memory_bytes"}


def parse_settings(settings: Iterable[str], model: str) -> EngineArgs:
    """`flag=value` words, with `-` or `_`, as EngineArgs. InputError has every problem."""
    flags: dict[str, FlagValue] = {}
    env: dict[str, str] = {}
    problems: list[str] = []
    for word in settings:
        name, equals, text = (part.strip() for part in word.partition("="))
        try:
            if not equals or not text:
                raise InputError(f"--set: {word!r} is not FLAG=VALUE")
            if name in VARIABLES:
                env[name] = str(_whole(text))
            else:
                name = _name(name)
                flags[name] = _value(name, text)
        except InputError as error:
            problems += error.problems
        except ValueError:
            problems.append(f"--set: {name}: {text!r} is not a whole number")
    if problems:
        raise InputError(*problems)
    return EngineArgs(model, tuple(flags.items()), tuple(env.items()))


def parse_words(words: Sequence[str], model: str) -> EngineArgs:
    """The words after `vllm serve MODEL`; flags that nothing depends on are passed over. InputError for bad values."""
    flags: dict[str, FlagValue] = {}
    rest = list(words)
    while rest:
        option, equals, text = rest.pop(0).partition("=")
        if not option.startswith("-"):
            continue
        plain = option.lstrip("-").replace("-", "_")
        name, negated = _SHORT.get(plain, plain), plain.removeprefix("no_") in FLAGS and plain.startswith("no_")
        if negated:
            flags[plain.removeprefix("no_")] = False
        elif FLAGS.get(name) is _switch:
            flags[name] = True
        elif name in FLAGS:
            flags[name] = _value(name, text if equals else rest.pop(0) if rest else "")
    return EngineArgs(model, tuple(flags.items()))


def _name(text: str) -> str:
    plain = text.lstrip("-").replace("-", "_")
    name = _SHORT.get(plain, plain)
    if name not in FLAGS:
        raise InputError(f"--set: {text!r} is not a flag that plan understands{nearest(name, tuple(FLAGS))}; "
                         f"it does {', '.join(FLAGS)} and {', '.join(VARIABLES)}")  # fmt: skip
    return name


def _value(name: str, text: str) -> FlagValue:
    read = FLAGS[name]
    try:
        return read(text)
    except (ValueError, KeyError, OverflowError, RecursionError):
        raise InputError(f"--set: {name}: {text!r} is not {_KINDS[read]}") from None
