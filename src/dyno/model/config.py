"""config.json, parsed once into a ModelSpec, with every problem it has."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from dyno.errors import InputError
from dyno.model.spec import ModelSpec

T = TypeVar("T")

# The field's name first, then what older families call it.
_LENGTHS: Mapping[str, tuple[str, ...]] = {
    "vocab_size": (),
    "max_position_embeddings": ("n_positions", "max_seq_len"),
    "hidden_size": ("n_embd", "d_model"),
    "num_hidden_layers": ("n_layer", "n_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
}


def read_config(file: Path, source: str, *, path: Path | None, has_weights: bool) -> ModelSpec:
    """The model that `file` describes. InputError names the file, every field at fault and what to do."""
    try:
        config = json.loads(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); {_REMEDY}") from error
    except ValueError as error:
        raise InputError(f"{file}: is not JSON ({error}); {_REMEDY}") from error
    if not isinstance(config, dict):
        raise InputError(f"{file}: holds {_kind(config)}, not an object; {_REMEDY}")
    reader = _Reader(config)
    lengths = {field: reader.positive(field, *older) for field, older in _LENGTHS.items()}
    hidden_size, heads = lengths["hidden_size"], lengths["num_attention_heads"]
    spec = ModelSpec(
        source=source,
        path=None if path is None else str(path),
        architecture=reader.architecture(),
        **lengths,
        num_key_value_heads=reader.positive("num_key_value_heads", default=heads),
        head_dim=reader.positive("head_dim", default=hidden_size // max(heads, 1)),
        dtype=reader.text(("dtype", "torch_dtype"), "auto"),
        quantization=reader.quantization(),
        has_weights=has_weights,
    )
    if reader.problems:
        raise InputError(*(f"{file}: {problem}; {_REMEDY}" for problem in reader.problems))
    return spec


_REMEDY = "take the config.json that came with the model, or fetch it again"


class _Reader:
    """Fields of a config, those of a nested `text_config` first. Collects what is wrong with them."""

    def __init__(self, config: Mapping[str, object]) -> None:
        self.problems: list[str] = []
        self._outer = config
        nested = self._typed("text_config", config.get("text_config"), dict, "an object") or {}
        self._fields = {**config, **{name: value for name, value in nested.items() if value is not None}}

    def positive(self, field: str, *older: str, default: int | None = None) -> int:
        """A whole number above 0. Without a default the field must be there."""
        name = next((name for name in (field, *older) if self._fields.get(name) is not None), field)
        value = self._fields.get(name)
        if value is None:
            if default is None:
                self.problems.append(f"lacks the field {field}")
            return default or 0
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self.problems.append(f"{name} is {value!r}, not a whole number above 0")
            return 1
        return value

    def text(self, names: tuple[str, ...], default: str) -> str:
        """The first of the fields that is there."""
        name = next((name for name in names if self._fields.get(name) is not None), names[0])
        return self._typed(name, self._fields.get(name), str, "a text") or default

    def architecture(self) -> str:
        """The first of `architectures`, which stands outside a text_config."""
        names = self._outer.get("architectures")
        if isinstance(names, list) and names and isinstance(names[0], str):
            return names[0]
        self.problems.append("lacks the field architectures" if names is None
                             else f"architectures is {names!r}, not a list of names")  # fmt: skip
        return ""

    def quantization(self) -> str | None:
        """`quantization_config.quant_method`, None for weights as they were trained."""
        value = self._outer.get("quantization_config") or self._fields.get("quantization_config")
        table = self._typed("quantization_config", value, dict, "an object") or {}
        return self._typed("quantization_config.quant_method", table.get("quant_method"), str, "a text")

    def _typed(self, name: str, value: object, kind: type[T], words: str) -> T | None:
        if value is None or isinstance(value, kind):
            return value
        self.problems.append(f"{name} is {value!r}, not {words}")
        return None


def _kind(value: object) -> str:
    return "null" if value is None else f"a {type(value).__name__}"
