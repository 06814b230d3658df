"""What a model's config.json says, read where it lies: a folder, or the hub's cache. Nothing is fetched."""

import json
import os
from pathlib import Path
from typing import Any

from dyno.errors import InputError
from dyno.lint.case import ModelFacts

_EXPERTS = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")


def read_facts(model: str) -> ModelFacts:
    """The facts of a folder or an id. InputError when neither holds a readable config.json here."""
    file = _config_file(model)
    if file is None:
        raise InputError(
            f"--model: {model}: no folder with a config.json, and not in the hub's cache; download it first"
        )
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as JSON ({error}); fetch the model again") from error
    if not isinstance(config, dict):
        raise InputError(f"{file}: holds no object; fetch the model again")
    return _facts(model, config)


def facts_nearby(model: str) -> ModelFacts | None:
    """The same for a model that a configuration names, None when its config.json is not at hand."""
    try:
        return read_facts(model)
    except (InputError, ValueError):
        return None


def _config_file(model: str) -> Path | None:
    folder = Path(model).expanduser()
    if (folder / "config.json").is_file():
        return folder / "config.json"
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    folder = cache / f"models--{model.replace('/', '--')}"
    found = sorted(folder.glob("snapshots/*/config.json")) if "/" in model else []
    return found[-1] if found else None


def _facts(name: str, config: dict[str, Any]) -> ModelFacts:
    text = config.get("text_config")
    language = {**config, **text} if isinstance(text, dict) else config
    architectures, heads = config.get("architectures"), language.get("num_attention_heads")
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    return ModelFacts(
        name,
        str(architectures[0]) if isinstance(architectures, list) and architectures else None,
        _length(language),
        method if isinstance(method, str) else None,
        heads if isinstance(heads, int) else None,
        _experts(config, language),
    )


def _experts(config: dict[str, Any], language: dict[str, Any]) -> int | None:
    """0 only where nothing in the file speaks of experts: architectures have many words for them."""
    if "expert" not in json.dumps(config).lower():
        return 0
    return next((value for key in _EXPERTS if isinstance(value := language.get(key), int) and value > 0), None)


def _length(language: dict[str, Any]) -> int | None:
    """The most that any release makes of the lengths it names: releases disagree about YaRN."""
    lengths = [value for key in _LENGTHS if isinstance(value := language.get(key), int) and value > 0]
    if not lengths:
        return None
    scaling = language.get("rope_scaling") or language.get("rope_parameters") or {}
    if not isinstance(scaling, dict):
        return None
    factor, kind = scaling.get("factor"), scaling.get("rope_type", scaling.get("type"))
    original = scaling.get("original_max_position_embeddings")
    own = language.get("model_max_length")
    most = [min(lengths), own if isinstance(own, int) else 0]
    if isinstance(factor, int | float) and kind not in ("su", "longrope", "llama3"):
        most.append(int(factor * (original if kind == "yarn" and isinstance(original, int) else min(lengths))))
    return max(most)
