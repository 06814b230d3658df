import json
from dataclasses import replace

import pytest
from models import GPT_OSS_20B, LLAMA_8B, QWEN3_4B, setup

from dyno.hardware.gpus import find_card
from dyno.model.config import read_config
from dyno.model.quantization import read_quantization
from dyno.model.spec import Quantization, Stored
from dyno.predict.weights import weights_bytes

GIB = 2**30
COMPRESSED = {
    "quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"],
    "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 128, "strategy": "group"}}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, ("fp8", 8, 16384)),
        ({"quant_method": "fp8"}, ("fp8", 8, 0)),
        ({"quant_method": "awq", "bits": 4, "group_size": 64}, ("awq", 4, 64)),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, ("gptq", 8, 0)),
        (COMPRESSED, ("compressed-tensors", 4, 128)),
        ({"quant_method": "mxfp4"}, ("mxfp4", 4, 32)),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, ("modelopt", 4, 16)),
        ({"quant_method": "modelopt", "quantization": {"quant_algo": "FP8"}}, ("modelopt", 8, 0)),
    ],
)
def test_a_checkpoints_method_is_read_with_its_width(config, expected):
    found = read_quantization(config)
    assert (found.method, found.bits, found.group) == expected


@pytest.mark.parametrize("config", [None, [], {}, {"quant_method": 3}, {"quant_method": "tomorrow"},
                                    {"quant_method": "compressed-tensors"}, {"quant_method": "awq", "bits": "x"},
                                    {"quant_method": "gptq", "bits": 0},
                                    {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"},
                                    {"quant_method": "gptq", "bits": True},
                                    {"quant_method": "awq", "bits": 4, "group_size": 10**9}])  # fmt: skip
def test_what_is_not_known_is_not_guessed(config):
    assert read_quantization(config) is None


@pytest.mark.parametrize(
    ("config", "since", "dtype"),
    [
        ({**COMPRESSED, "kv_cache_scheme": {"num_bits": 8, "type": "float"}}, (0, 20), "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}, (0, 14), "fp8_e4m3"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": None}, (0, 14), "auto"),
        ({**COMPRESSED, "kv_cache_scheme": None}, (0, 20), "auto"),
    ],
)
def test_a_checkpoint_with_scales_for_its_cache_decides_its_dtype(config, since, dtype):
    model = LLAMA_8B | {"quantization_config": config}
    assert setup(model, release=since).kv_dtype == dtype
    assert setup(model, release=(since[0], since[1] - 1)).kv_dtype == "auto"
    assert setup(model, release=since, kv_cache_dtype="bfloat16").kv_dtype == "bfloat16"


def test_packed_weights_count_whole_and_wide_floats_in_16_bits():
    asked = setup(LLAMA_8B | {"quantization_config": {"quant_method": "awq"}})

    def held(dtype):
        stored = (Stored("mlp", dtype, 10**8, 4 * 10**8),)
        return weights_bytes(replace(asked, model=replace(asked.model, stored=stored)))

    assert held("I32") - held("F32") == 2 * 10**8


def test_modelopts_own_file_beside_a_config_is_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))
    told = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(told))
    spec = read_config(tmp_path / "config.json", "m", path=tmp_path, has_weights=False)
    assert spec.quantized == Quantization("modelopt", 4, 16, kv_dtype="fp8_e4m3")


def test_widths_that_are_not_said_are_the_methods_own():
    assert read_quantization({"quant_method": "awq"}) == Quantization("awq", 4, 128)


def test_experts_in_mxfp4_are_padded_for_marlins_tiles_but_not_for_hopper():
    config = GPT_OSS_20B | {"quantization_config": {"quant_method": "mxfp4"}}
    experts = 24 * 32 * 3 * 2880 * 2880 * 17 / 32  # bytes: 4 bits and a scale of 8 for 32
    more = weights_bytes(setup(config, card=find_card("RTX 4090"))) - weights_bytes(setup(config))
    assert more == pytest.approx(experts * (3072 * 2944 / 2880**2 - 1), rel=0.06)
    ada = setup(config, card=find_card("RTX 4090"))
    told = replace(ada.model, stored=(Stored("experts", "U8", round(experts), round(experts)),))
    rest = 2 * 2 * 201088 * 2880 + 24 * 2 * 2880 * (5120 + 4096)  # embedding, head, attention
    whole = replace(told, stored=(*told.stored, Stored("attention", "BF16", rest // 2, rest)))
    assert weights_bytes(replace(ada, model=whole)) == pytest.approx(weights_bytes(ada), rel=0.01)


@pytest.mark.parametrize(
    ("config", "method", "gib"),
    [
        (LLAMA_8B, None, 14.96),  # 16.06 GB
        (LLAMA_8B, {"quant_method": "fp8", "weight_block_size": [128, 128]}, 8.46),  # 9.08 GB
        (LLAMA_8B, COMPRESSED, 5.33),  # 5.7 GB
        (QWEN3_4B, {"quant_method": "fp8"}, 4.11),
        (GPT_OSS_20B, {"quant_method": "mxfp4"}, 12.8),  # 13.8 GB
    ],
)
def test_quantized_weights_are_as_large_as_published(config, method, gib):
    """What the allocator and the cosines add, up to a fifteenth of a GiB a 16-bit matrix rounded, is not published."""
    asked = setup(config if method is None else config | {"quantization_config": method})
    assert weights_bytes(asked) / GIB == pytest.approx(gib, rel=0.03)
