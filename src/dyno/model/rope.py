"""`rope_scaling` of a config, `rope_parameters` of newer ones."""

from collections.abc import Mapping
from typing import Any

from dyno.model.spec import Rope

_NAMES: Mapping[str, str] = {"su": "longrope"}  # what the first Phi-3 called it
_MOST = 10_000.0


def read_rope(fields: Mapping[str, Any]) -> Rope:
    """How positions are stretched; of several kinds of layers the last that is, as vLLM does it.

    Gemma 3 says its stretched length already, and its factor says nothing of lengths.
    """
    if "gemma3" in str(fields.get("model_type", "")):
        return Rope()
    told = fields.get("rope_scaling") or fields.get("rope_parameters")
    kinds = [told, *told.values()] if isinstance(told, dict) else []
    found = Rope()
    for kind in kinds:
        name = kind.get("rope_type", kind.get("type")) if isinstance(kind, dict) else None
        if isinstance(name, str) and name not in ("default", "mrope"):
            original = kind.get("original_max_position_embeddings", fields.get("original_max_position_embeddings"))
            found = Rope(_NAMES.get(name, name), _factor(kind.get("factor")), _whole(original))
    return found


def _factor(value: object) -> float:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST
    return float(value) if fits and isinstance(value, int | float) else 1.0


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 2**31 else 0
