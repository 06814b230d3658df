"""What layers are made of: the weights that vLLM fuses, for attention, MLPs and experts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from dyno.model.fields import Fields
from dyno.model.spec import CacheKind, CacheLayers, Weights


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


def attention_weights(family: Family, sizes: Sizes, layers: int) -> list[Weights]:
    """Fused queries, keys and values, and the projection back, of so many layers."""
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


def mla_weights(sizes: Sizes, layers: int) -> list[Weights]:
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


def mlp_weights(layers: int, hidden: int, width: int, gated: bool = True) -> list[Weights]:
    """Gate and up in one, and down."""
    return [Weights("mlp", layers, width * (2 if gated else 1), hidden), Weights("mlp", layers, hidden, width)]


def mlp_layers(family: Family, sizes: Sizes) -> tuple[int, int]:
    """Layers with a dense MLP and layers with experts."""
    read, sparse = sizes.fields, sizes.depth if family.moe else 0
    if family.moe == "deepseek":
        first, every = read.count("first_k_dense_replace", default=0, least=0), read.count("moe_layer_freq", default=1)
        sparse = sum(layer >= first and layer % every == 0 for layer in range(sizes.depth))
    elif family.moe == "qwen":
        dense, every = read.numbers("mlp_only_layers"), read.count("decoder_sparse_step", default=1)
        sparse = sum((layer + 1) % every == 0 and layer not in dense for layer in range(sizes.depth))
    return sizes.depth - sparse, sparse


def experts(family: Family, sizes: Sizes) -> Shape:
    """How many there are, how many a token goes to, how wide they are, and what all tokens share."""
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


def expert_weights(family: Family, sizes: Sizes, layers: int, shape: Shape) -> list[Weights]:
    """Router, experts in one tensor, and what is shared beside them."""
    hidden, experts, width = sizes.hidden, shape.num_experts, shape.moe_intermediate_size
    bias = family.moe == "gpt-oss"
    return [
        Weights("router", layers, experts, hidden, kept=True),
        Weights("experts", layers, experts * 2 * width, hidden),
        Weights("experts", layers, experts * hidden, width),
        *([Weights("other", layers, experts * (2 * width + hidden), kept=True)] if bias else []),
        *(mlp_weights(layers, hidden, shape.intermediate_size) if shape.intermediate_size else []),
        *(
            [Weights("router", layers, 1, hidden, kept=True)]
            if family.moe == "qwen" and shape.intermediate_size
            else []
        ),
    ]
