"""`quantization_config` of a checkpoint: what its weights are stored as."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dyno.model.spec import Quantization

# Bits of a weight without its scales, and the weights that share a scale, where the method has one width.
_WIDTHS: Mapping[str, tuple[float, int]] = {
    "fp8": (8, 0), "fbgemm_fp8": (8, 0), "ptpc_fp8": (8, 0), "modelopt_fp4": (4, 16), "mxfp4": (4, 32),
    "bitsandbytes": (4, 64), "bitblas": (4, 128),
}  # fmt: skip
_ALGORITHMS: Mapping[str, tuple[float, int]] = {
    "FP8": (8, 0), "FP8_PER_CHANNEL_PER_TOKEN": (8, 0), "FP8_PB_WO": (8, 128 * 128), "NVFP4": (4, 16),
    "W4A16_NVFP4": (4, 16), "MXFP8": (8, 32),
}  # fmt: skip
_CACHES: Mapping[str, str] = {"fp8": "fp8_e4m3", "nvfp4": "nvfp4"}
_IN_GROUPS = ("awq", "gptq", "awq_marlin", "gptq_marlin")  # -1 is a whole row, 0 is nothing
_BITS, _MOST_GROUP = (2, 3, 4, 5, 6, 8, 16), 2**16


def read_quantization(config: object) -> Quantization | None:
    """How the weights are stored, None for a checkpoint that is not quantized or a method that is not known."""
    if not isinstance(config, dict) or not isinstance(method := config.get("quant_method"), str):
        return None
    if method == "compressed-tensors":
        return _compressed_tensors(config)
    if method in ("awq", "gptq", "awq_marlin", "gptq_marlin", "auto-round", "moe_wna16"):
        group = config.get("group_size", 128)
        return None if group == 0 and method in _IN_GROUPS else _grouped(method, config.get("bits", 4), group)
    if method == "modelopt":
        return _modelopt(config)
    if method == "mxfp4":
        return Quantization(method, 4, 32, roles=("experts",))
    if method not in _WIDTHS:
        return None
    bits, group = _WIDTHS[method]
    if method == "fp8" and (block := config.get("weight_block_size")) is not None:
        return _grouped(method, 8, block[0] * block[1]) if _is_block(block) else None
    return Quantization(method, bits, group)


def _is_block(block: object) -> bool:
    """Rows and columns that share a scale."""
    return isinstance(block, list) and len(block) == 2 and all(type(side) is int and side > 0 for side in block)


def _compressed_tensors(config: dict[str, Any]) -> Quantization | None:
    groups = config.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = first.get("weights") if isinstance(first, dict) else None
    if not isinstance(weights, dict):
        return None
    found = _grouped("compressed-tensors", weights.get("num_bits", 8), weights.get("group_size", 0))
    return replace(found, kv_dtype="fp8") if found and isinstance(config.get("kv_cache_scheme"), dict) else found


def _modelopt(config: dict[str, Any]) -> Quantization | None:
    """NVIDIA's, whose own file nests what config.json says flat."""
    nested = config.get("quantization")
    inner = {**config, **nested} if isinstance(nested, dict) else config
    width = _ALGORITHMS.get(str(inner.get("quant_algo")).upper())
    cache = str(inner.get("kv_cache_quant_algo")).lower()
    return None if width is None else Quantization("modelopt", *width, kv_dtype=_CACHES.get(cache, ""))


def _grouped(method: str, bits: object, group: object) -> Quantization | None:
    """None for numbers that no such checkpoint has. -1 and none are groups of a whole row."""
    group = 0 if group in (None, -1) else group
    if type(bits) is not int or bits not in _BITS or type(group) is not int or not 0 <= group <= _MOST_GROUP:
        return None
    return Quantization(method, bits, group)
