"""The longest lengths and defaults, as vLLM 0.32's own ModelConfig gives them for the configs that are published."""

import pytest
from models import DEEPSEEK_V3, GPT_OSS_20B, LLAMA_8B, QWEN3_4B, setup

from dyno.predict.kv_cache import bytes_per_token
from dyno.predict.lengths import default_len, longest_len, rotary_positions
from dyno.predict.setup import refusals

LONG = {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}
PHI_3_MINI = {
    "architectures": ["Phi3ForCausalLM"], "vocab_size": 32064, "max_position_embeddings": 131072, "hidden_size": 3072,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "intermediate_size": 8192,
    "original_max_position_embeddings": 4096, "rope_scaling": LONG, "sliding_window": 262144,
}  # fmt: skip
LINEAR = {**LLAMA_8B, "max_position_embeddings": 16384, "rope_scaling": {"type": "linear", "factor": 4.0}}
YARN = {**QWEN3_4B, "max_position_embeddings": 32768,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "release", "default", "longest", "positions"),
    [
        (PHI_3_MINI, (0, 32), 4096, 131072, 135168), (PHI_3_MINI, (0, 10), 131072, 131072, 135168),
        ({**PHI_3_MINI, "rope_scaling": {**LONG, "type": "su"}}, (0, 32), 4096, 131072, 135168),
        (LINEAR, (0, 32), 65536, 65536, 65536), (YARN, (0, 32), 32768, 32768, 131072),
        (YARN, (0, 29), 131072, 131072, 131072), (QWEN3_4B, (0, 26), 40960, 40960, 40960),
        (DEEPSEEK_V3, (0, 26), 163840, 163840, 163840), (GPT_OSS_20B, (0, 32), 131072, 131072, 131072),
        ({**YARN, "rope_scaling": {"rope_type": "yarn", "factor": "wide"}}, (0, 26), 32768, 32768, 32768),
    ],
)  # fmt: skip
def test_lengths_are_those_that_the_release_makes_of_the_config(config, release, default, longest, positions):
    model = setup(config).model
    assert (default_len(model, release), longest_len(model, release)) == (default, longest)
    assert rotary_positions(model) == positions


def test_a_longer_length_than_the_default_is_taken_up_to_the_longest():
    assert setup(PHI_3_MINI, release=(0, 32)).max_model_len == 4096
    assert not refusals(setup(PHI_3_MINI, release=(0, 32), max_model_len=131072))
    assert "more than the model's 131072" in refusals(setup(PHI_3_MINI, release=(0, 32), max_model_len=131073))[0]


def test_a_window_longer_than_any_request_is_none():
    assert bytes_per_token(setup(PHI_3_MINI, release=(0, 32))) == 32 * 2 * 32 * 96 * 2
