"""config.json, parsed once into a ModelSpec, with every problem it has."""

import json
from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from dyno.errors import InputError
from dyno.model.spec import ModelSpec


class _Quantization(BaseModel):
    quant_method: str | None = None


class _Config(BaseModel):
    model_config = ConfigDict(strict=True)

    architectures: list[str] = Field(min_length=1)
    vocab_size: PositiveInt
    max_position_embeddings: PositiveInt = Field(
        validation_alias=AliasChoices("max_position_embeddings", "n_positions", "max_seq_len")
    )
    hidden_size: PositiveInt = Field(validation_alias=AliasChoices("hidden_size", "n_embd", "d_model"))
    num_hidden_layers: PositiveInt = Field(validation_alias=AliasChoices("num_hidden_layers", "n_layer", "n_layers"))
    num_attention_heads: PositiveInt = Field(validation_alias=AliasChoices("num_attention_heads", "n_head", "n_heads"))
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    dtype: str = Field(default="auto", validation_alias=AliasChoices("dtype", "torch_dtype"))
    quantization_config: _Quantization = _Quantization()


_REMEDY = "take the config.json that came with the model, or fetch it again"


def read_config(file: Path, source: str, *, path: Path | None, has_weights: bool) -> ModelSpec:
    """The model that `file` describes. InputError names the file, every field at fault and what to do."""
    try:
        config = _Config.model_validate(_language_model(json.loads(file.read_bytes())))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); {_REMEDY}") from error
    except ValidationError as error:
        raise InputError(*(f"{file}: {problem}; {_REMEDY}" for problem in _problems(error))) from error
    except ValueError as error:
        raise InputError(f"{file}: is not a JSON object ({error}); {_REMEDY}") from error
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
        head_dim=config.head_dim or config.hidden_size // config.num_attention_heads,
        dtype=config.dtype,
        quantization=config.quantization_config.quant_method,
        has_weights=has_weights,
    )


def _language_model(config: object) -> dict[str, object]:
    """The fields that are set, those of a nested `text_config` before the outer ones, but the outer architecture."""
    if not isinstance(config, dict):
        raise ValueError(f"it holds {type(config).__name__}")
    nested = config.get("text_config")
    fields = {**config, **nested, "architectures": config.get("architectures")} if isinstance(nested, dict) else config
    return {name: value for name, value in fields.items() if value is not None}


def _problems(error: ValidationError) -> list[str]:
    problems = []
    for fault in error.errors(include_url=False):
        field = ".".join(map(str, fault["loc"]))
        wrong = f"{field} is {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
        problems.append(f"lacks the field {field}" if fault["type"] == "missing" else wrong)
    return problems
