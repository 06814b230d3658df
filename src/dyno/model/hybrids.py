"""Layers that keep a state instead of keys and values: gated delta nets and Mamba 2."""

from collections import Counter

from dyno.model.layers import (
    Family,
    Shape,
    Sizes,
    attention_weights,
    experts,
    mlp_weights,
)
from dyno.model.spec import CacheKind, CacheLayers, Weights


def _delta_net(sizes: Sizes) -> tuple[int, int, int, int, int]:
    read = sizes.fields
    return (read.count("linear_num_key_heads"), read.count("linear_key_head_dim"), read.count("linear_num_value_heads"),
            read.count("linear_value_head_dim"), read.count("linear_conv_kernel_dim", default=4))  # fmt: skip


def delta_net_state(sizes: Sizes) -> tuple[tuple[int, str | None], ...]:
    """vLLM's MambaStateShapeCalculator.gateddelta_net_state_shape: convolution and recurrent state."""
    key_heads, key_dim, value_heads, value_dim, kernel = _delta_net(sizes)
    channels = 2 * key_heads * key_dim + value_heads * value_dim
    dtype = sizes.fields.values.get("mamba_ssm_dtype")
    return ((channels * (kernel - 1), None), (value_heads * value_dim * key_dim, dtype if dtype in _FLOATS else None))


_FLOATS = ("float32", "bfloat16", "float16")


def delta_net_weights(sizes: Sizes, layers: int) -> list[Weights]:
    """Projections in and out, convolution and gates."""
    key_heads, key_dim, value_heads, value_dim, kernel = _delta_net(sizes)
    keys, values = key_heads * key_dim, value_heads * value_dim
    return [
        Weights("attention", layers, 2 * keys + 2 * values, sizes.hidden),
        Weights("attention", layers, 2 * value_heads, sizes.hidden),
        Weights("attention", layers, sizes.hidden, values),
        Weights("other", layers, (2 * keys + values) * kernel, kept=True),
        Weights("norm", layers, value_dim + 2 * value_heads, kept=True),
    ]


def _no_layers(sizes: Sizes) -> tuple[CacheKind, ...]:
    """Nemotron's layers are counted from its pattern."""
    del sizes
    return ()


def nemotron(sizes: Sizes) -> Shape:
    """Nemotron-H: a pattern of Mamba 2 (M), attention (*), dense MLP (-) and experts (E), one a layer."""
    read, hidden = sizes.fields, sizes.hidden
    pattern = Counter(read.text("hybrid_override_pattern", "M" * sizes.depth)[: sizes.depth])
    if strange := sorted(set(pattern) - set("M*-E")):
        read.problems.append(f"hybrid_override_pattern has {', '.join(strange)}, which is not known")
    heads, dim = read.count("mamba_num_heads"), read.count("mamba_head_dim")
    groups, state = read.count("n_groups", "mamba_n_groups", default=8), read.count("ssm_state_size")
    kernel, inner = read.count("conv_kernel", default=4), heads * dim
    channels = inner + 2 * groups * state
    attention = Family(_no_layers)
    routed = experts(Family(_no_layers, moe="qwen"), sizes) if pattern["E"] else Shape((), (), 0)
    shared = read.count("moe_shared_expert_intermediate_size", default=0, least=0) if pattern["E"] else 0
    tied = read.flag("tie_word_embeddings", False)
    mamba, sparse = pattern["M"], pattern["E"]
    weights = [
        Weights("embedding", 1, sizes.vocab, hidden, kept=True),
        *([] if tied else [Weights("lm_head", 1, sizes.vocab, hidden, kept=True)]),
        Weights("norm", sizes.depth + 1, hidden, kept=True),
        *attention_weights(attention, sizes, pattern["*"]),
        *(mlp_weights(pattern["-"], hidden, sizes.mlp, gated=False) if pattern["-"] else []),
        *([Weights("attention", mamba, inner + channels + heads, hidden), Weights("attention", mamba, hidden, inner),
           Weights("other", mamba, channels * (kernel + 1), kept=True),
           Weights("norm", mamba, inner + 3 * heads, kept=True)] if mamba else []),
        *([Weights("router", sparse, routed.num_experts, hidden + 1, kept=True),
           Weights("experts", sparse, routed.num_experts * routed.moe_intermediate_size, hidden),
           Weights("experts", sparse, routed.num_experts * hidden, routed.moe_intermediate_size)] if sparse else []),
        *(mlp_weights(sparse, hidden, shared, gated=False) if shared else []),
    ]  # fmt: skip
    dtype = read.values.get("mamba_ssm_cache_dtype")
    caches = [
        *([CacheLayers("full", pattern["*"], sizes.kv_heads, sizes.head_dim, sizes.head_dim)] if pattern["*"] else []),
        *([CacheLayers("state", mamba, state=((channels * (kernel - 1), None),
                                              (inner * state, dtype if dtype in _FLOATS else None)))] if mamba else []),
    ]  # fmt: skip
    return Shape(tuple(caches), tuple(weights), max(sizes.mlp if pattern["-"] else 0, shared), routed.num_experts,
                 routed.experts_per_token, routed.moe_intermediate_size, tied)  # fmt: skip
