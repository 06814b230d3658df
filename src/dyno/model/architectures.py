"""The shape of every architecture that Dyno knows: its weights as vLLM fuses them, and what each layer caches."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from dyno.model.fields import Fields
from dyno.model.spec import CacheKind, CacheLayers, Weights

_LAYER_TYPES: Mapping[str, CacheKind] = {
    "full_attention": "full",
    "sliding_attention": "sliding",
    "linear_attention": "state",
    "chunked_attention": "chunked",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What an architecture adds to the plain numbers of a config."""

    caches: tuple[CacheLayers, ...]
    weights: tuple[Weights, ...]
    intermediate_size: int
    num_experts: int = 0
    experts_per_token: int = 0
    moe_intermediate_size: int = 0
    tied: bool = False
    mla_expanded_dim: int = 0


@dataclass(frozen=True, slots=True)
class Family:
    """How an architecture differs from Llama's."""

    layers: Callable[["Sizes"], tuple[CacheKind, ...]]
    moe: Literal["", "mixtral", "qwen", "gpt-oss", "deepseek"] = ""
    tied: bool = False  # what the config means when it does not say
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: bool = False
    norms: int = 2  # a layer
    gated: bool = True  # gate and up in the MLP
    output_gate: bool = False  # attention's queries come with a gate as wide
    mla: bool = False


@dataclass(frozen=True, slots=True)
class Sizes:
    """The numbers that all families share."""

    fields: Fields
    hidden: int
    depth: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    mlp: int = field(default=0)


def known_architectures() -> tuple[str, ...]:
    """Their names as config.json spells them."""
    return (*FAMILIES, "NemotronHForCausalLM")


def describe(architecture: str, sizes: Sizes) -> Shape | None:
    """The shape of a model, None for an architecture that is not known. What is wrong goes to the fields' problems."""
    if architecture == "NemotronHForCausalLM":
        return _nemotron(sizes)
    family = FAMILIES.get(architecture)
    return None if family is None else _transformer(family, sizes)


def _transformer(family: Family, sizes: Sizes) -> Shape:
    read, hidden = sizes.fields, sizes.hidden
    kinds = family.layers(sizes)
    counted = Counter(kinds)
    dense, sparse = _mlp_layers(family, sizes)
    if not sizes.mlp and (dense or family.moe in ("mixtral", "gpt-oss")):
        read.lacking.append("intermediate_size")
    tied = read.flag("tie_word_embeddings", family.tied)
    attending = sizes.depth - counted["state"]
    weights = [
        Weights("embedding", 1, sizes.vocab, hidden, kept=True),
        *([] if tied else [Weights("lm_head", 1, sizes.vocab, hidden, kept=True)]),
        *(_mla_weights(sizes, attending) if family.mla else _attention_weights(family, sizes, attending)),
        *(_delta_net_weights(sizes, counted["state"]) if counted["state"] else []),
        Weights("norm", sizes.depth * family.norms + 1, hidden, kept=True),
    ]
    if dense:
        weights += _mlp_weights(dense, hidden, sizes.mlp, family.gated)
    shape = Shape((), (), 0)
    if sparse:
        shape = _experts(family, sizes)
        weights += _expert_weights(family, sizes, sparse, shape)
    caches = tuple(_cache(family, sizes, kind, layers) for kind, layers in counted.items())
    expanded = read.count("qk_nope_head_dim") + read.count("v_head_dim") if family.mla else 0
    return replace(shape, caches=caches, weights=tuple(weights), tied=tied, mla_expanded_dim=expanded,
                   intermediate_size=max(shape.intermediate_size, sizes.mlp if dense else 0))  # fmt: skip


def _cache(family: Family, sizes: Sizes, kind: CacheKind, layers: int) -> CacheLayers:
    read = sizes.fields
    if family.mla:
        return CacheLayers("mla", layers, 1, read.count("kv_lora_rank") + read.count("qk_rope_head_dim"))
    if kind == "state":
        return CacheLayers("state", layers, state=_delta_net_state(sizes))
    if kind == "chunked":
        return CacheLayers(kind, layers, sizes.kv_heads, sizes.head_dim, sizes.head_dim,
                           read.count("attention_chunk_size", default=8192))  # fmt: skip
    if kind == "sliding":
        return CacheLayers(kind, layers, sizes.kv_heads, sizes.head_dim, sizes.head_dim, read.count("sliding_window"))
    heads = read.count("num_global_key_value_heads", default=sizes.kv_heads)  # Gemma 4's global layers differ
    dim = read.count("global_head_dim", default=sizes.head_dim)
    return CacheLayers(kind, layers, heads, dim, dim)


# Which layers cache what


def _all(kind: CacheKind, sizes: Sizes) -> tuple[CacheKind, ...]:
    return (kind,) * sizes.depth


def _all_full(sizes: Sizes) -> tuple[CacheKind, ...]:
    return _all("full", sizes)


def _as_listed(sizes: Sizes) -> tuple[CacheKind, ...]:
    """`layer_types` where the config has them, all full where not (Qwen2 and 3 slide only when they are told to)."""
    words = sizes.fields.words("layer_types", sizes.depth)
    if words is None:
        return _all_full(sizes)
    if unknown := sorted(set(words) - set(_LAYER_TYPES)):
        sizes.fields.problems.append(f"layer_types has {', '.join(unknown)}, which is not known")
        return _all_full(sizes)
    return tuple(_LAYER_TYPES[word] for word in words)


def _sliding_if_windowed(sizes: Sizes) -> tuple[CacheKind, ...]:
    """Mistral: every layer slides where the config sets a window."""
    return _all("sliding", sizes) if sizes.fields.values.get("sliding_window") else _all_full(sizes)


def _every(interval_name: str, default: int, other: CacheKind) -> Callable[[Sizes], tuple[CacheKind, ...]]:
    """`layer_types` where the config has them, else every n-th layer full and the others `other`."""

    def layers(sizes: Sizes) -> tuple[CacheKind, ...]:
        if sizes.fields.values.get("layer_types") is not None:
            return _as_listed(sizes)
        interval = sizes.fields.count(interval_name, default=default)
        return tuple("full" if (layer + 1) % interval == 0 else other for layer in range(sizes.depth))

    return layers


FAMILIES: Mapping[str, Family] = {
    "LlamaForCausalLM": Family(_all_full),
    "MistralForCausalLM": Family(_sliding_if_windowed),
    "Qwen2ForCausalLM": Family(_as_listed, qkv_bias=True),
    "Qwen3ForCausalLM": Family(_as_listed, qk_norm=True),
    "SmolLM3ForCausalLM": Family(_all_full, tied=True),
    "GraniteForCausalLM": Family(_all_full),
    "Olmo2ForCausalLM": Family(_all_full, qk_norm=True),
    "Phi3ForCausalLM": Family(_all_full),
    "GemmaForCausalLM": Family(_all_full, tied=True),
    "Gemma2ForCausalLM": Family(_every("sliding_window_pattern", 2, "sliding"), tied=True, norms=4),
    "Gemma3ForCausalLM": Family(_every("sliding_window_pattern", 6, "sliding"), tied=True, norms=4, qk_norm=True),
    "Gemma3ForConditionalGeneration": Family(_every("sliding_window_pattern", 6, "sliding"), tied=True, norms=4,
                                             qk_norm=True),
    "MixtralForCausalLM": Family(_sliding_if_windowed, moe="mixtral"),
    "Qwen2MoeForCausalLM": Family(_all_full, moe="qwen", qkv_bias=True),
    "Qwen3MoeForCausalLM": Family(_all_full, moe="qwen", qk_norm=True),
    "OlmoeForCausalLM": Family(_all_full, moe="qwen", qk_norm=True),
    "GptOssForCausalLM": Family(_every("sliding_window_pattern", 2, "sliding"), moe="gpt-oss", qkv_bias=True,
                                out_bias=True),
    "DeepseekV2ForCausalLM": Family(_all_full, moe="deepseek", mla=True),
    "DeepseekV3ForCausalLM": Family(_all_full, moe="deepseek", mla=True),
    "Qwen3NextForCausalLM": Family(_every("full_attention_interval", 4, "state"), moe="qwen", qk_norm=True,
                                   output_gate=True),
    "Qwen3_5ForCausalLM": Family(_every("full_attention_interval", 4, "state"), qk_norm=True, output_gate=True),
    "Qwen3_5ForConditionalGeneration": Family(_every("full_attention_interval", 4, "state"), qk_norm=True,
                                              output_gate=True),
    "Qwen3_5MoeForConditionalGeneration": Family(_every("full_attention_interval", 4, "state"), moe="qwen",
                                                 qk_norm=True, output_gate=True),
}  # fmt: skip


# Weights


def _attention_weights(family: Family, sizes: Sizes, layers: int) -> list[Weights]:
    if not layers:
        return []
    queries = sizes.heads * sizes.head_dim
    fused = queries * (2 if family.output_gate else 1) + 2 * sizes.kv_heads * sizes.head_dim
    bias = sizes.fields.flag("attention_bias", family.qkv_bias)
    return [
        Weights("attention", layers, fused, sizes.hidden),
        Weights("attention", layers, sizes.hidden, queries),
        *([Weights("other", layers, fused, kept=True)] if bias else []),
        *([Weights("other", layers, sizes.hidden, kept=True)] if bias and family.out_bias else []),
        *([Weights("norm", 2 * layers, sizes.head_dim, kept=True)] if family.qk_norm else []),
    ]


def _mla_weights(sizes: Sizes, layers: int) -> list[Weights]:
    """DeepSeek's: queries through a low rank where the config has one, keys and values out of one latent."""
    read = sizes.fields
    latent, rotary = read.count("kv_lora_rank"), read.count("qk_rope_head_dim")
    plain, value = read.count("qk_nope_head_dim"), read.count("v_head_dim")
    queries = sizes.heads * (plain + rotary)
    rank = read.count("q_lora_rank") if read.values.get("q_lora_rank") else 0
    if rank:  # fused with the latent's projection
        q = [Weights("attention", layers, rank + latent + rotary, sizes.hidden, kept=False),
             Weights("attention", layers, queries, rank), Weights("norm", layers, rank, kept=True)]  # fmt: skip
    else:
        q = [Weights("attention", layers, queries, sizes.hidden),
             Weights("attention", layers, latent + rotary, sizes.hidden)]  # fmt: skip
    return [
        *q,
        Weights("norm", layers, latent, kept=True),
        Weights("attention", layers, sizes.heads * (plain + value), latent),
        Weights("attention", layers, sizes.hidden, sizes.heads * value),
    ]


def _mlp_weights(layers: int, hidden: int, width: int, gated: bool = True) -> list[Weights]:
    return [Weights("mlp", layers, width * (2 if gated else 1), hidden), Weights("mlp", layers, hidden, width)]


def _mlp_layers(family: Family, sizes: Sizes) -> tuple[int, int]:
    """Layers with a dense MLP and layers with experts."""
    if not family.moe:
        return sizes.depth, 0
    if family.moe == "deepseek":
        first = min(sizes.fields.count("first_k_dense_replace", default=0, least=0), sizes.depth)
        return first, sizes.depth - first
    return 0, sizes.depth


def _experts(family: Family, sizes: Sizes) -> Shape:
    read = sizes.fields
    experts = read.count("num_experts", "num_local_experts", "n_routed_experts")
    chosen = read.count("num_experts_per_tok", "experts_per_token")
    if chosen > experts:
        read.problems.append(f"num_experts_per_tok is {chosen}: there are {experts} experts")
    width = (sizes.mlp if family.moe in ("mixtral", "gpt-oss")
             else read.count("moe_intermediate_size", "intermediate_size"))  # fmt: skip
    if family.moe == "deepseek":
        shared = width * read.count("n_shared_experts", default=0, least=0)
    elif family.moe == "qwen":
        shared = read.count("shared_expert_intermediate_size", default=0, least=0)
    else:
        shared = 0
    return Shape((), (), shared, experts, chosen, width)


def _expert_weights(family: Family, sizes: Sizes, layers: int, shape: Shape) -> list[Weights]:
    hidden, experts, width = sizes.hidden, shape.num_experts, shape.moe_intermediate_size
    bias = family.moe == "gpt-oss"
    return [
        Weights("router", layers, experts, hidden, kept=True),
        Weights("experts", layers, experts * 2 * width, hidden),
        Weights("experts", layers, experts * hidden, width),
        *([Weights("other", layers, experts * (2 * width + hidden), kept=True)] if bias else []),
        *(_mlp_weights(layers, hidden, shape.intermediate_size) if shape.intermediate_size else []),
        *(
            [Weights("router", layers, 1, hidden, kept=True)]
            if family.moe == "qwen" and shape.intermediate_size
            else []
        ),
    ]


# Layers with a state


def _delta_net(sizes: Sizes) -> tuple[int, int, int, int, int]:
    read = sizes.fields
    return (read.count("linear_num_key_heads"), read.count("linear_key_head_dim"), read.count("linear_num_value_heads"),
            read.count("linear_value_head_dim"), read.count("linear_conv_kernel_dim", default=4))  # fmt: skip


def _delta_net_state(sizes: Sizes) -> tuple[tuple[int, str | None], ...]:
    """vLLM's MambaStateShapeCalculator.gated_delta_net_state_shape: convolution and recurrent state."""
    key_heads, key_dim, value_heads, value_dim, kernel = _delta_net(sizes)
    channels = 2 * key_heads * key_dim + value_heads * value_dim
    dtype = sizes.fields.values.get("mamba_ssm_dtype")
    return ((channels * (kernel - 1), None), (value_heads * value_dim * key_dim, dtype if dtype in _FLOATS else None))


_FLOATS = ("float32", "bfloat16", "float16")


def _delta_net_weights(sizes: Sizes, layers: int) -> list[Weights]:
    key_heads, key_dim, value_heads, value_dim, kernel = _delta_net(sizes)
    keys, values = key_heads * key_dim, value_heads * value_dim
    return [
        Weights("attention", layers, 2 * keys + 2 * values, sizes.hidden),
        Weights("attention", layers, 2 * value_heads, sizes.hidden),
        Weights("attention", layers, sizes.hidden, values),
        Weights("other", layers, (2 * keys + values) * kernel, kept=True),
        Weights("norm", layers, value_dim + 2 * value_heads, kept=True),
    ]


def _nemotron(sizes: Sizes) -> Shape:
    """Nemotron-H: a pattern of Mamba 2 (M), attention (*), dense MLP (-) and experts (E), one a layer."""
    read, hidden = sizes.fields, sizes.hidden
    pattern = Counter(read.text("hybrid_override_pattern", "M" * sizes.depth)[: sizes.depth])
    if strange := sorted(set(pattern) - set("M*-E")):
        read.problems.append(f"hybrid_override_pattern has {', '.join(strange)}, which is not known")
    heads, dim = read.count("mamba_num_heads"), read.count("mamba_head_dim")
    groups, state = read.count("n_groups", "mamba_n_groups", default=8), read.count("ssm_state_size")
    kernel, inner = read.count("conv_kernel", default=4), heads * dim
    channels = inner + 2 * groups * state
    attention = Family(_all_full)
    experts = _experts(Family(_all_full, moe="qwen"), sizes) if pattern["E"] else Shape((), (), 0)
    shared = read.count("moe_shared_expert_intermediate_size", default=0, least=0) if pattern["E"] else 0
    tied = read.flag("tie_word_embeddings", False)
    mamba, sparse = pattern["M"], pattern["E"]
    weights = [
        Weights("embedding", 1, sizes.vocab, hidden, kept=True),
        *([] if tied else [Weights("lm_head", 1, sizes.vocab, hidden, kept=True)]),
        Weights("norm", sizes.depth + 1, hidden, kept=True),
        *_attention_weights(attention, sizes, pattern["*"]),
        *(_mlp_weights(pattern["-"], hidden, sizes.mlp, gated=False) if pattern["-"] else []),
        *([Weights("attention", mamba, inner + channels + heads, hidden), Weights("attention", mamba, hidden, inner),
           Weights("other", mamba, channels * (kernel + 1), kept=True),
           Weights("norm", mamba, inner + 3 * heads, kept=True)] if mamba else []),
        *([Weights("router", sparse, experts.num_experts, hidden + 1, kept=True),
           Weights("experts", sparse, experts.num_experts * experts.moe_intermediate_size, hidden),
           Weights("experts", sparse, experts.num_experts * hidden, experts.moe_intermediate_size)] if sparse else []),
        *(_mlp_weights(sparse, hidden, shared, gated=False) if shared else []),
    ]  # fmt: skip
    dtype = read.values.get("mamba_ssm_cache_dtype")
    caches = [
        *([CacheLayers("full", pattern["*"], sizes.kv_heads, sizes.head_dim, sizes.head_dim)] if pattern["*"] else []),
        *([CacheLayers("state", mamba, state=((channels * (kernel - 1), None),
                                              (inner * state, dtype if dtype in _FLOATS else None)))] if mamba else []),
    ]  # fmt: skip
    return Shape(tuple(caches), tuple(weights), max(sizes.mlp if pattern["-"] else 0, shared), experts.num_experts,
                 experts.experts_per_token, experts.moe_intermediate_size, tied)  # fmt: skip
