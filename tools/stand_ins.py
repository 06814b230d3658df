"""Model folders without weights that answer for real ones: their length, heads and quantization are the real ones'."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dyno.lint.case import ModelFacts
from dyno.model.synthetic import SHAPES, write_model

# As the config.json of such checkpoints says it.
_QUANTIZED: Mapping[str, Mapping[str, Any]] = {
    "fp8": {"quant_method": "fp8", "activation_scheme": "dynamic"},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True},
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False},
    "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_4bit": True, "_load_in_4bit": True},
    "fbgemm_fp8": {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0},
    "mxfp4": {"quant_method": "mxfp4"},
}


def stand_in(folder: Path, facts: ModelFacts) -> Path:
    """The folder of a stand-in below `folder`, written when it is not there."""
    shape = SHAPES["qwen3-next-part" if "Next" in (facts.architecture or "") else "demo"]
    fields = dict(shape.fields)
    if facts.max_model_len:
        fields["max_position_embeddings"] = facts.max_model_len
    if facts.num_attention_heads:
        fields |= {"num_attention_heads": facts.num_attention_heads, "num_key_value_heads": 1}
    if facts.quantization:
        fields["quantization_config"] = dict(_QUANTIZED[facts.quantization])
    if facts.quantization in ("awq", "gptq"):
        fields["torch_dtype"] = "float16"  # as these checkpoints are
    return write_model(folder / re.sub(r"\W+", "-", facts.name).strip("-"), replace(shape, fields=fields))
