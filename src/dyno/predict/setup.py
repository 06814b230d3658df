"""What an engine makes of its flags: every number that memory depends on, defaults of the release filled in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from dyno.engine.args import EngineArgs, FlagValue
from dyno.hardware.gpus import Card
from dyno.model.spec import ModelSpec
from dyno.predict.lengths import default_len, longest_len

GIB = 2**30

Release = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Setup:
    """One engine on one kind of card. Lengths in tokens; `card` None means vLLM's CPU engine."""

    model: ModelSpec
    release: Release
    card: Card | None
    max_model_len: int
    max_num_batched_tokens: int
    max_num_seqs: int
    utilization: float
    block_size: int
    tensor_parallel: int = 1
    kv_dtype: str = "auto"
    online: str | None = None  # quantization while loading
    eager: bool = False  # nothing is compiled
    graphs: bool = True
    capture_sizes: tuple[int, ...] = ()
    asynchronous: bool = True
    prefix_caching: bool = True
    hybrid_manager: bool = True
    v2_runner: bool = True
    kv_cache_bytes: int | None = None  # --kv-cache-memory-bytes, or VLLM_CPU_KVCACHE_SPACE
    blocks: int | None = None  # --num-gpu-blocks-override
    offload_bytes: int = 0
    auto_fit: bool = False  # max_model_len is the longest that fits
    attention_backend: str = ""  # none: the release's own choice
    api_servers: int = 1
    flashinfer_sampler: bool | None = False  # None: not said, which is vLLM's default unless the machine says else

    def supposing(self, flashinfer: bool) -> "Setup":
        """The same with a sampler that is supposed, unless it was told."""
        return replace(self, flashinfer_sampler=flashinfer) if self.flashinfer_sampler is None else self

    @property
    def graphs_budgeted(self) -> bool:
        """Whether the release takes its estimate of CUDA graphs from the budget.

        Since 0.20 by default. The V2 runner, a default since 0.22, estimates nothing until 0.26.
        """
        return self.graphs and self.release >= (0, 20) and not (self.v2_runner and self.release < (0, 27))

    @property
    def in_flight_tokens(self) -> int:
        """Tokens scheduled and not settled: one batch until 0.25, then one for every batch under way."""
        batches = 2 if self.asynchronous and self.release >= (0, 26) else 1
        return batches * self.max_num_batched_tokens

    @property
    def mamba_mode(self) -> Literal["none", "align", "all"]:
        """vLLM's mamba_cache_mode: prefix caching of hybrid models is on by default since 0.26; 0.32 has no "all"."""
        if not self.prefix_caching or self.release < (0, 26):
            return "none"
        return "all" if self.mamba2 and self.release < (0, 32) else "align"

    @property
    def mamba2(self) -> bool:
        """Whether layers with a state are Mamba's, whose kernels can keep states of the middle of a prompt."""
        return self.model.architecture == "NemotronHForCausalLM"


# Architectures with experts whose default was the V2 runner while others with experts still had V1.
_V2_WITH_EXPERTS = frozenset({"DeepseekV2ForCausalLM", "Qwen2MoeForCausalLM"})
# Since when "auto" takes the KV cache's dtype from a checkpoint.
_STORED_CACHES: Mapping[str, Release] = {"compressed-tensors": (0, 20), "modelopt": (0, 14)}
_V2_FOR_ALL: Release = (0, 32)
# Of a compilation config, by name and by number.
_UNCOMPILED, _IN_PIECES = ("NONE", "0"), ("", "VLLM_COMPILE", "3")
_NO_GRAPHS, _WHOLE_GRAPHS = ("NONE", "0"), ("FULL", "2", "FULL_DECODE_ONLY")
_MOST_CAPTURED = 2**14  # tokens of a CUDA graph; a larger one is no use
_FLASHINFER_SAMPLES: Release = (0, 26)  # by default; of earlier releases nobody looked


def resolve(model: ModelSpec, args: EngineArgs, release: Release, card: Card | None) -> Setup:
    """The setup of `vllm serve` with these flags. What vLLM would refuse is for `refusals` to say."""
    flags, env = dict(args.flags), dict(args.env)
    length = _int(flags, "max_model_len", -1)
    default = default_len(model, release)
    batched, sequences = _batch(flags, release, card, default if length < 1 else length)
    compilation = _compilation(flags)
    graphs = card is not None and flags.get("enforce_eager") is not True and _graphs(compilation)
    space = env.get("VLLM_CPU_KVCACHE_SPACE") if card is None else None
    online = flags.get("quantization")
    return Setup(
        model=model,
        release=release,
        card=card,
        max_model_len=default if length < 1 else length,
        max_num_batched_tokens=batched,
        max_num_seqs=sequences,
        utilization=float(_number(flags, "gpu_memory_utilization", 0.92 if release >= (0, 20) else 0.90)),
        block_size=max(1, _int(flags, "block_size", 16 if card or model.uses_mla else 128)),
        tensor_parallel=max(1, _int(flags, "tensor_parallel_size", 1)),
        kv_dtype=_kv_dtype(model, flags, release),
        online=str(online) if online and model.quantized is None else None,
        eager=flags.get("enforce_eager") is True or _word(compilation, "mode") in _UNCOMPILED,
        graphs=graphs,
        capture_sizes=_capture_sizes(compilation, sequences, batched) if graphs else (),
        asynchronous=flags.get("async_scheduling", release >= (0, 14)) is True and card is not None,
        prefix_caching=flags.get("enable_prefix_caching", True) is True,
        hybrid_manager=flags.get("disable_hybrid_kv_cache_manager") is not True,
        v2_runner=card is not None and _v2_runner(model, env, release),
        kv_cache_bytes=int(space) * GIB if space and space.isdecimal() and int(space) else _explicit(flags),
        blocks=_int(flags, "num_gpu_blocks_override", 0) or None,
        offload_bytes=round(_number(flags, "kv_offloading_size", 0) * GIB),
        auto_fit=_int(flags, "max_model_len", 0) < 0,
        attention_backend=str(flags.get("attention_backend", "")).upper(),
        api_servers=max(1, _int(flags, "api_server_count", 1)),
        flashinfer_sampler=_flashinfer_sampler(env, release) if card else False,
    )


def refusals(setup: Setup) -> tuple[str, ...]:
    """What vLLM refuses in the flags alone, memory apart; one sentence each."""
    model, tp = setup.model, setup.tensor_parallel
    found = []
    if setup.max_model_len > (longest := longest_len(model, setup.release)):
        found.append(f"max_model_len {setup.max_model_len} is more than the model's {longest}")
    if setup.max_num_batched_tokens < setup.max_num_seqs:
        found.append(f"max_num_batched_tokens {setup.max_num_batched_tokens} is less than max_num_seqs "
                     f"{setup.max_num_seqs}")  # fmt: skip
    if not 0 < setup.utilization <= 1:
        found.append(f"gpu_memory_utilization {setup.utilization:g} is not more than 0 and at most 1")
    if model.num_attention_heads % tp:
        found.append(f"tensor_parallel_size {tp} does not divide the {model.num_attention_heads} attention heads")
    if setup.card and setup.block_size % 16:
        found.append(f"block_size {setup.block_size} is not a multiple of 16, as attention's kernels want it")
    if setup.online == "fp8" and setup.release >= (0, 31):
        found.append(
            "quantization fp8 takes FP8 checkpoints only since vLLM 0.31; for BF16 weights it is fp8_per_tensor"
        )
    if setup.kv_dtype.startswith("fp8") and setup.card and setup.card.capability < (8, 0):
        found.append(f"kv_cache_dtype {setup.kv_dtype} needs compute capability 8.0, {setup.card.name} has "
                     f"{setup.card.capability[0]}.{setup.card.capability[1]}")  # fmt: skip
    return tuple(found)


def _kv_dtype(model: ModelSpec, flags: Mapping[str, FlagValue], release: Release) -> str:
    """What was asked for, else what the checkpoint has scales for."""
    asked, stored = str(flags.get("kv_cache_dtype", "auto")), model.quantized
    if asked != "auto" or stored is None or not stored.kv_dtype or release < _STORED_CACHES.get(stored.method, (0, 0)):
        return asked
    return stored.kv_dtype


def _batch(flags: Mapping[str, FlagValue], release: Release, card: Card | None, length: int) -> tuple[int, int]:
    """vLLM's get_batch_defaults for the API server, and what is made of them."""
    large = card is not None and card.cuda_bytes >= 70 * GIB and "A100" not in card.name
    tokens, sequences = (8192, 1024) if large else (2048, 256)
    if card is not None and card.cuda_bytes >= 160 * GIB and release >= (0, 27):
        tokens = 16384
    if card is None:
        tokens, sequences = 2048, 128
    if flags.get("performance_mode") == "throughput":
        tokens, sequences = 2 * tokens, 2 * sequences
    asked_tokens, asked_sequences = _int(flags, "max_num_batched_tokens", 0), _int(flags, "max_num_seqs", 0)
    sequences = asked_sequences or sequences
    tokens = asked_tokens or min(tokens, sequences * length)
    return tokens, asked_sequences or min(sequences, tokens)


def _v2_runner(model: ModelSpec, env: Mapping[str, str], release: Release) -> bool:
    if asked := env.get("VLLM_USE_V2_MODEL_RUNNER"):
        return asked not in ("0", "false")
    if release < (0, 22):
        return False
    if release >= _V2_FOR_ALL:
        return True
    return not model.is_hybrid and (not model.num_experts or model.architecture in _V2_WITH_EXPERTS)


def _flashinfer_sampler(env: Mapping[str, str], release: Release) -> bool | None:
    told = env.get("VLLM_USE_FLASHINFER_SAMPLER")
    if told is None:
        return None if release >= _FLASHINFER_SAMPLES else False
    return told not in ("0", "false")


def _compilation(flags: Mapping[str, FlagValue]) -> Mapping[str, Any]:
    """--compilation-config with what -O0 says of keys that it leaves open; its `mode` was `level` until 0.17."""
    given = _json(flags.get("compilation_config"))
    given = {"mode": given["level"], **given} if "level" in given else given
    nothing = {"mode": 0, "cudagraph_mode": "NONE"} if str(flags.get("optimization_level")) == "0" else {}
    return {**nothing, **given}


def _graphs(compilation: Mapping[str, Any]) -> bool:
    """VllmConfig.__post_init__: graphs of pieces need vLLM's own compilation, whole ones do not."""
    graphs, mode = _word(compilation, "cudagraph_mode"), _word(compilation, "mode")
    return graphs in _WHOLE_GRAPHS or (graphs not in _NO_GRAPHS and mode in _IN_PIECES)


def _word(compilation: Mapping[str, Any], name: str) -> str:
    return "" if (value := compilation.get(name)) is None else str(value).upper()


def _capture_sizes(compilation: Mapping[str, Any], sequences: int, batched: int) -> tuple[int, ...]:
    """VllmConfig._set_cudagraph_sizes."""
    given = compilation.get("cudagraph_capture_sizes")
    if isinstance(given, list):
        return tuple(sorted({size for size in given if isinstance(size, int) and 0 < size <= batched}))
    asked = compilation.get("max_cudagraph_capture_size")
    most = min(asked if isinstance(asked, int) else min(2 * sequences, 512), batched, _MOST_CAPTURED)
    sizes = {size for size in (1, 2, 4, *range(8, 256, 8), *range(256, most + 1, 16)) if size <= most}
    return tuple(sorted(sizes | ({batched} if batched <= most else set())))


def _explicit(flags: Mapping[str, FlagValue]) -> int | None:
    return _int(flags, "kv_cache_memory_bytes", 0) or None


def _int(flags: Mapping[str, FlagValue], name: str, default: int) -> int:
    value = flags.get(name, default)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _number(flags: Mapping[str, FlagValue], name: str, default: float) -> float:
    value = flags.get(name, default)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _json(value: FlagValue | None) -> Mapping[str, Any]:
    try:
        read = json.loads(value) if isinstance(value, str) else {}
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
