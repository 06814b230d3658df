"""Gemma 4: global layers with heads of their own, shared caches, embeddings for each layer, experts beside the MLP."""

from dyno.model.layers import Family, Shape, Sizes, attention_weights, mlp_weights
from dyno.model.spec import CacheKind, CacheLayers, Weights


def gemma4(sizes: Sizes) -> Shape:
    """What vLLM's gemma4.py makes of a config."""
    read, hidden, depth = sizes.fields, sizes.hidden, sizes.depth
    kinds = _kinds(sizes)
    shared = min(read.count("num_kv_shared_layers", default=0, least=0), depth)
    own = kinds[: depth - shared] or kinds
    wide = shared if read.flag("use_double_wide_mlp", False) else 0
    inputs = read.count("hidden_size_per_layer_input", default=0, least=0)
    tied = read.flag("tie_word_embeddings", True)
    caches, weights = [], [
        Weights("embedding", 1, sizes.vocab, hidden, kept=True),
        *([] if tied else [Weights("lm_head", 1, sizes.vocab, hidden, kept=True)]),
        Weights("norm", 4 * depth + 1, hidden, kept=True),
        *(mlp_weights(depth - wide, hidden, sizes.mlp) if depth > wide else []),
        *(mlp_weights(wide, hidden, 2 * sizes.mlp) if wide else []),
    ]  # fmt: skip
    for kind in dict.fromkeys(kinds):
        cache = _cache(sizes, kind, own.count(kind))
        alike = Sizes(read, hidden, depth, sizes.heads, cache.kv_heads, cache.head_dim, sizes.vocab, sizes.mlp)
        weights += attention_weights(_ATTENTION, alike, kinds.count(kind))
        caches += [cache] if cache.layers else []
    if inputs:
        words = read.count("vocab_size_per_layer_input", default=sizes.vocab)
        weights += [Weights("embedding", 1, words, depth * inputs, kept=True),
                    Weights("other", 1, depth * inputs, hidden, kept=True),
                    Weights("other", 2 * depth, inputs, hidden, kept=True)]  # fmt: skip
    experts, chosen, width = _experts(sizes)
    if experts:
        weights += [Weights("router", depth, experts, hidden, kept=True),
                    Weights("experts", depth, experts * 2 * width, hidden),
                    Weights("experts", depth, experts * hidden, width)]  # fmt: skip
    widest = sizes.mlp * (2 if wide else 1)
    return Shape(tuple(caches), tuple(weights), widest, experts, chosen, width, tied)


def _no_layers(sizes: Sizes) -> tuple[CacheKind, ...]:
    del sizes
    return ()


_ATTENTION = Family(_no_layers, qk_norm=True)


def _kinds(sizes: Sizes) -> tuple[CacheKind, ...]:
    words = sizes.fields.words("layer_types", sizes.depth)
    if words is None:
        words = tuple("sliding_attention" if (layer + 1) % 6 else "full_attention" for layer in range(sizes.depth))
    if unknown := sorted(set(words) - {"sliding_attention", "full_attention"}):
        sizes.fields.problems.append(f"layer_types has {', '.join(unknown)}, which is not known")
    return tuple("sliding" if word == "sliding_attention" else "full" for word in (*words[:-1], "full_attention"))


def _cache(sizes: Sizes, kind: CacheKind, layers: int) -> CacheLayers:
    read = sizes.fields
    if kind == "sliding":
        return CacheLayers(kind, layers, sizes.kv_heads, sizes.head_dim, sizes.head_dim,
                           read.count("sliding_window", default=512))  # fmt: skip
    heads = sizes.kv_heads
    if read.flag("attention_k_eq_v", False):  # vLLM stores both all the same
        heads = read.count("num_global_key_value_heads", default=heads)
    dim = read.count("global_head_dim", default=512)
    return CacheLayers(kind, layers, heads, dim, dim)


def _experts(sizes: Sizes) -> tuple[int, int, int]:
    read = sizes.fields
    if not read.flag("enable_moe_block", False):
        return 0, 0, 0
    return read.count("num_experts"), read.count("top_k_experts", "num_experts_per_tok"), read.count(
        "moe_intermediate_size")  # fmt: skip
