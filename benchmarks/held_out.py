"""What may not be trained on: which models are one and the same, and which records tell the same measurement."""

from collections.abc import Mapping
from functools import cache
from math import isclose

from dyno.model.config import parse_config
from dyno.model.spec import ModelSpec
from dyno.model.synthetic import SHAPES


def shape(model: ModelSpec) -> tuple[object, ...]:
    """What two models have in common that take the same time and memory, whatever else their config.json says."""
    caches = [(cache.kind, cache.layers, cache.kv_heads, cache.head_dim, cache.window) for cache in model.caches]
    return (model.num_hidden_layers, model.hidden_size, model.vocab_size, model.num_attention_heads, *caches,
            model.intermediate_size, model.num_experts, model.moe_intermediate_size)  # fmt: skip


def model_of(model: str | dict) -> ModelSpec:
    """From its config.json, or one of those that Dyno makes by its name."""
    if isinstance(model, str):
        shape = SHAPES[model]
        model = {"architectures": [shape.architecture], "model_type": shape.model_type, "torch_dtype": "bfloat16",
                 **shape.fields}  # fmt: skip
    return parse_config(model, "its model", where="model", path=None, has_weights=False)


def model_name(model: ModelSpec) -> str:
    """One for each shape: that of a model that Dyno makes, else the sizes themselves."""
    sizes = shape(model)
    return named_shapes().get(sizes) or "x".join(map(str, sizes))


@cache
def named_shapes() -> dict[tuple[object, ...], str]:
    return {shape(model_of(name)): name for name in SHAPES}


def same(one: Mapping[str, float | None], other: Mapping[str, float | None], apart: float) -> bool:
    """Whether of the figures that both tell two and more are no further `apart` (a share), and at most one is."""
    both = [(value, other[name]) for name, value in one.items() if value and other.get(name)]
    near = sum(isclose(*pair, rel_tol=apart) for pair in both)
    return near >= 2 and len(both) - near <= 1
