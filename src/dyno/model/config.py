"""config.json, parsed once into a ModelSpec, with every problem it has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from dyno.errors import InputError, shown
from dyno.model.architectures import describe, known_architectures
from dyno.model.document import read_json
from dyno.model.fields import MOST, Fields
from dyno.model.layers import Shape, Sizes
from dyno.model.quantization import read_quantization
from dyno.model.rope import read_rope
from dyno.model.spec import ModelSpec

MOST_PARAMETERS = 10**14  # a hundred times the largest
MOST_LAYERS = 1_000  # the deepest model has a few hundred


# PyTorch's names, and what they come to: vLLM serves those that are no floats of 16 or 32 bits as it would by default.
_DTYPES: Mapping[str, str] = {
    "auto": "auto", "bfloat16": "bfloat16", **dict.fromkeys(("float16", "half"), "float16"),
    **dict.fromkeys(("float32", "float", "float64", "double"), "float32"),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "int8", "uint8"), "auto"),
}  # fmt: skip


def _dtype(name: str) -> str:
    if (plain := name.removeprefix("torch.")) not in _DTYPES:
        raise ValueError("it must be one of PyTorch's, such as bfloat16, float16 or float32")
    return _DTYPES[plain]


class _Quantization(BaseModel):
    quant_method: str | None = None


class _Config(BaseModel):
    model_config = ConfigDict(strict=True)

    architectures: list[str] = Field(min_length=1)
    vocab_size: PositiveInt = Field(le=MOST)
    max_position_embeddings: PositiveInt = Field(
        le=MOST, validation_alias=AliasChoices("max_position_embeddings", "n_positions", "max_seq_len")
    )
    hidden_size: PositiveInt = Field(le=MOST, validation_alias=AliasChoices("hidden_size", "n_embd", "d_model"))
    num_hidden_layers: PositiveInt = Field(
        le=MOST_LAYERS, validation_alias=AliasChoices("num_hidden_layers", "n_layer", "n_layers")
    )
    num_attention_heads: PositiveInt = Field(
        le=MOST, validation_alias=AliasChoices("num_attention_heads", "n_head", "n_heads")
    )
    num_key_value_heads: PositiveInt | None = Field(default=None, le=MOST)
    head_dim: PositiveInt | None = Field(default=None, le=MOST)
    dtype: Annotated[str, AfterValidator(_dtype)] = Field(
        default="auto", validation_alias=AliasChoices("dtype", "torch_dtype")
    )
    quantization_config: _Quantization = _Quantization()


# What makers leave out of their configs, because it is the default of their class in transformers.
_LEFT_OUT: Mapping[str, Mapping[str, Any]] = {
    "Gemma3ForConditionalGeneration": {
        "vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
        "max_position_embeddings": 131072, "sliding_window": 4096, "sliding_window_pattern": 6,
    },
}  # fmt: skip

_REMEDY = "take the config.json that came with the model, or fetch it again"


def read_config(file: Path, source: str, *, path: Path | None, has_weights: bool) -> ModelSpec:
    """The model that `file` describes. InputError names the file, every field at fault and what to do."""
    content = read_json(file, _REMEDY)
    beside = file.with_name("hf_quant_config.json")
    if isinstance(content, dict) and not content.get("quantization_config") and beside.is_file():
        told = read_json(beside, _REMEDY)
        content["quantization_config"] = {"quant_method": "modelopt", **(told if isinstance(told, dict) else {})}
    return parse_config(content, source, where=str(file), path=path, has_weights=has_weights)


def parse_config(content: object, source: str, *, where: str, path: Path | None, has_weights: bool) -> ModelSpec:
    """The model that the content of a config.json describes; `where` is named in what is wrong with it (InputError)."""
    try:
        fields = _language_model(content)
        config = _Config.model_validate(fields)
    except ValidationError as error:
        raise InputError(*(f"{where}: {problem}; {_REMEDY}" for problem in (*_strange(fields), *problems_in(error)))
                         ) from error  # fmt: skip
    except ValueError as error:
        raise InputError(f"{where}: is not a JSON object ({error}); {_REMEDY}") from error
    shape, unknown = _shape(config, fields, where)
    method, quantized = config.quantization_config.quant_method, read_quantization(fields.get("quantization_config"))
    if method and not quantized and not unknown:
        shape, unknown = Shape((), (), 0), _unknown_width(method)
    return ModelSpec(
        source=source,
        path=None if path is None else str(path),
        architecture=config.architectures[0],
        vocab_size=config.vocab_size,
        max_position_embeddings=config.max_position_embeddings,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads or config.num_attention_heads,
        head_dim=_head_dim(config),
        dtype=config.dtype,
        quantization=method,
        has_weights=has_weights,
        intermediate_size=shape.intermediate_size,
        num_experts=shape.num_experts,
        experts_per_token=shape.experts_per_token,
        moe_intermediate_size=shape.moe_intermediate_size,
        mla_expanded_dim=shape.mla_expanded_dim,
        rotary_dim=_rotary_dim(config, fields),
        rope=read_rope(fields),
        tie_word_embeddings=shape.tied,
        multimodal=any(name in fields for name in ("vision_config", "audio_config")),
        caches=shape.caches,
        weights=shape.weights,
        quantized=quantized,
        unknown=unknown,
    )


def _unknown_width(method: str) -> str:
    name = shown(method)[1:-1]
    if read_quantization({"quant_method": method}):
        return (
            f"its quantization_config has numbers that no {name} checkpoint has (bits, group_size, weight_block_size)"
        )
    return f"its quantization {name} is not one whose width Dyno knows"


def _strange(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """An architecture that is not known explains what its config lacks."""
    names = fields.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    if not isinstance(name, str) or name in known_architectures():
        return ()
    return (f"its architecture {shown(name)} is not one whose shape Dyno knows, and its fields are others",)


def _head_dim(config: _Config) -> int:
    return config.head_dim or config.hidden_size // config.num_attention_heads


def _rotary_dim(config: _Config, fields: dict[str, Any]) -> int:
    """Elements of cosines and sines a position: of one table, of two where windows have their own base (Gemma)."""
    if config.architectures[0] == "NemotronHForCausalLM":
        return 0
    if isinstance(latent := fields.get("qk_rope_head_dim"), int):
        return latent
    rope = fields.get("rope_parameters")
    share = (rope if isinstance(rope, dict) else {}).get("partial_rotary_factor", fields.get("partial_rotary_factor"))
    turned = share if isinstance(share, float) and 0 < share <= 1 else 1.0
    tables = 2 if config.architectures[0].startswith(("Gemma3", "Gemma4")) else 1
    return round(_head_dim(config) * turned) * tables


def _shape(config: _Config, values: dict[str, Any], where: str) -> tuple[Shape, str]:
    """What the architecture makes of the numbers; an empty shape and the reason where that cannot be known.

    InputError for numbers that are none.
    """
    fields = Fields(values)
    architecture, heads = config.architectures[0], config.num_attention_heads
    mlp = fields.count("intermediate_size", default=0, least=0)
    sizes = Sizes(fields, config.hidden_size, config.num_hidden_layers, heads, config.num_key_value_heads or heads,
                  max(1, _head_dim(config)), config.vocab_size, mlp)  # fmt: skip
    shape = describe(architecture, sizes)
    if shape is None:
        return Shape((), (), 0), f"its architecture {architecture} is not one whose shape Dyno knows"
    if _head_dim(config) < 1:
        fields.problems.append(f"num_attention_heads is {heads}: more than hidden_size, and there is no head_dim")
    elif sizes.heads % sizes.kv_heads:
        fields.problems.append(
            f"num_key_value_heads is {sizes.kv_heads}: it does not divide the {heads} attention heads"
        )
    if fields.problems:
        raise InputError(*(f"{where}: {problem}; {_REMEDY}" for problem in dict.fromkeys(fields.problems)))
    if (number := sum(group.parameters for group in shape.weights)) > MOST_PARAMETERS:
        raise InputError(f"{where}: its numbers make {number:.2g} parameters, which no model has; {_REMEDY}")
    if fields.lacking:
        return Shape((), (), 0), f"its config lacks {', '.join(dict.fromkeys(fields.lacking))}"
    return shape, ""


def _language_model(config: object) -> dict[str, Any]:
    """The fields that are set, those of a nested `text_config` before the outer ones, but the outer architecture."""
    if not isinstance(config, dict):
        raise ValueError(f"it holds {type(config).__name__}")
    nested = config.get("text_config")
    fields = {**config, **nested, "architectures": config.get("architectures")} if isinstance(nested, dict) else config
    architecture = next(iter(names), None) if isinstance(names := fields.get("architectures"), list) else None
    left_out = _LEFT_OUT.get(architecture, {}) if isinstance(architecture, str) else {}
    return {**left_out, **{name: value for name, value in fields.items() if value is not None}}


def problems_in(error: ValidationError) -> list[str]:
    """What a document lacks, and its fields with the value that is wrong; one sentence each."""
    problems = []
    for fault in error.errors(include_url=False):
        field = ".".join(map(str, fault["loc"]))
        said = fault["msg"].removeprefix("Value error, ")
        wrong = f"{field} is {shown(fault['input'])}: {said[0].lower()}{said[1:]}"
        told = {"missing": f"lacks the field {field}", "extra_forbidden": f"{field} is not a field that is known"}
        problems.append(told.get(fault["type"], wrong))
    return problems
