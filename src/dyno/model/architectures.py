"""The shape of every architecture that Dyno knows: its weights as vLLM fuses them, and what each layer caches."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from dyno.model.gemma4 import gemma4
from dyno.model.hybrids import delta_net_state, delta_net_weights, nemotron
from dyno.model.layers import (
    Family,
    Shape,
    Sizes,
    attention_weights,
    expert_weights,
    experts,
    mla_weights,
    mlp_layers,
    mlp_weights,
)
from dyno.model.spec import CacheKind, CacheLayers, Weights

_LAYER_TYPES: Mapping[str, CacheKind] = {
    "full_attention": "full",
    "sliding_attention": "sliding",
    "linear_attention": "state",
    "chunked_attention": "chunked",
}


_OF_THEIR_OWN: Mapping[str, Callable[[Sizes], Shape]] = {
    "Gemma4ForCausalLM": gemma4,
    "Gemma4ForConditionalGeneration": gemma4,
    "NemotronHForCausalLM": nemotron,
}


def known_architectures() -> tuple[str, ...]:
    """Their names as config.json spells them."""
    return (*FAMILIES, *_OF_THEIR_OWN)


def describe(architecture: str, sizes: Sizes) -> Shape | None:
    """The shape of a model, None for an architecture that is not known. What is wrong goes to the fields' problems."""
    if own := _OF_THEIR_OWN.get(architecture):
        return own(sizes)
    family = FAMILIES.get(architecture)
    return None if family is None else _transformer(family, sizes)


def _transformer(family: Family, sizes: Sizes) -> Shape:
    read, hidden = sizes.fields, sizes.hidden
    kinds = family.layers(sizes)
    counted = Counter(kinds)
    dense, sparse = mlp_layers(family, sizes)
    if not sizes.mlp and (dense or family.moe in ("mixtral", "gpt-oss")):
        read.lacking.append("intermediate_size")
    tied = read.flag("tie_word_embeddings", family.tied)
    attending = sizes.depth - counted["state"]
    weights = [
        Weights("embedding", 1, sizes.vocab, hidden, kept=True),
        *([] if tied else [Weights("lm_head", 1, sizes.vocab, hidden, kept=True)]),
        *(mla_weights(sizes, attending) if family.mla else attention_weights(family, sizes, attending)),
        *(delta_net_weights(sizes, counted["state"]) if counted["state"] else []),
        Weights("norm", sizes.depth * family.norms + 1, hidden, kept=True),
    ]
    if dense:
        weights += mlp_weights(dense, hidden, sizes.mlp, family.gated)
    shape = Shape((), (), 0)
    if sparse:
        shape = experts(family, sizes)
        weights += expert_weights(family, sizes, sparse, shape)
    caches = tuple(_cache(family, sizes, kind, layers) for kind, layers in counted.items())
    expanded = read.count("qk_nope_head_dim") + read.count("v_head_dim") if family.mla else 0
    return replace(shape, caches=caches, weights=tuple(weights), tied=tied, mla_expanded_dim=expanded,
                   intermediate_size=max(shape.intermediate_size, sizes.mlp if dense else 0))  # fmt: skip


def _cache(family: Family, sizes: Sizes, kind: CacheKind, layers: int) -> CacheLayers:
    read = sizes.fields
    if family.mla:
        return CacheLayers("mla", layers, 1, read.count("kv_lora_rank") + read.count("qk_rope_head_dim"))
    if kind == "state":
        return CacheLayers("state", layers, state=delta_net_state(sizes))
    if kind == "chunked":
        return CacheLayers(kind, layers, sizes.kv_heads, sizes.head_dim, sizes.head_dim,
                           read.count("attention_chunk_size", default=8192))  # fmt: skip
    if kind == "sliding":
        return CacheLayers(kind, layers, sizes.kv_heads, sizes.head_dim, sizes.head_dim, read.count("sliding_window"))
    return CacheLayers(kind, layers, sizes.kv_heads, sizes.head_dim, sizes.head_dim)


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
    "Phi3ForCausalLM": Family(_sliding_if_windowed),
    "SeedOssForCausalLM": Family(_all_full, qkv_bias=True),
    "Ernie4_5ForCausalLM": Family(_all_full, tied=True),
    "Glm4ForCausalLM": Family(_all_full, norms=4),
    "Glm4MoeForCausalLM": Family(_all_full, moe="deepseek"),
    "Olmo3ForCausalLM": Family(_every("sliding_window_pattern", 4, "sliding"), qk_norm=True),
    "Exaone4ForCausalLM": Family(_every("sliding_window_pattern", 4, "sliding"), qk_norm=True),
    "Cohere2ForCausalLM": Family(_every("sliding_window_pattern", 4, "sliding"), tied=True, norms=1),
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
    "Qwen2_5_VLForConditionalGeneration": Family(_as_listed, qkv_bias=True),
    "Qwen3VLForConditionalGeneration": Family(_as_listed, qk_norm=True),
    "Qwen3VLMoeForConditionalGeneration": Family(_all_full, moe="qwen", qk_norm=True),
    "Mistral3ForConditionalGeneration": Family(_sliding_if_windowed),
    "Qwen3_5ForCausalLM": Family(_every("full_attention_interval", 4, "state"), qk_norm=True, output_gate=True),
    "Qwen3_5ForConditionalGeneration": Family(_every("full_attention_interval", 4, "state"), qk_norm=True,
                                              output_gate=True),
    "Qwen3_5MoeForConditionalGeneration": Family(_every("full_attention_interval", 4, "state"), moe="qwen",
                                                 qk_norm=True, output_gate=True),
}  # fmt: skip
