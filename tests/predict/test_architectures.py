"""Against what the makers and others publish of their models."""

import pytest
from models import (
    DEEPSEEK_V3,
    GEMMA_3_1B,
    GEMMA_4_26B,
    GPT_OSS_20B,
    LLAMA_8B,
    NEMOTRON_3_NANO,
    QWEN3_4B,
    QWEN3_30B_A3B,
    QWEN35_27B,
    read,
    setup,
)

from dyno.predict.kv_cache import bytes_per_token, grows


@pytest.mark.parametrize(
    ("config", "total", "active"),
    [
        (QWEN3_4B, 4.022, 4.022), (LLAMA_8B, 8.03, 8.03), (GEMMA_3_1B, 1.0, 1.0), (DEEPSEEK_V3, 671.0, 37.6),
        (QWEN3_30B_A3B, 30.53, 3.35), (GPT_OSS_20B, 20.9, 4.2), (NEMOTRON_3_NANO, 31.6, 3.58), (QWEN35_27B, 26.9, 26.9),
    ],
)  # fmt: skip
def test_the_parameters_are_those_that_are_published(config, total, active):
    spec = read(config)
    assert spec.parameters / 1e9 == pytest.approx(total, rel=0.003)
    assert spec.active_parameters / 1e9 == pytest.approx(active, rel=0.003)


@pytest.mark.parametrize(
    ("config", "kib"),
    [
        (QWEN3_4B, 144.0), (DEEPSEEK_V3, 68.625), (GPT_OSS_20B, 24.0), (GEMMA_3_1B, 4.0), (QWEN35_27B, 64.0),
        (NEMOTRON_3_NANO, 6.0), (GEMMA_4_26B, 20.0), (QWEN3_30B_A3B, 96.0), (LLAMA_8B, 128.0),
    ],
)  # fmt: skip
def test_a_token_costs_what_public_tables_say(config, kib):
    assert bytes_per_token(setup(config)) / 1024 == kib


MISTRAL_7B = {
    "architectures": ["MistralForCausalLM"], "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "sliding_window": 4096,
    "max_position_embeddings": 32768, "tie_word_embeddings": False,
}  # fmt: skip
PHI_3_MINI_4K = {
    "architectures": ["Phi3ForCausalLM"], "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "sliding_window": 2047,
    "max_position_embeddings": 4096, "tie_word_embeddings": False,
}  # fmt: skip


@pytest.mark.parametrize(("config", "nbytes"), [(MISTRAL_7B, 131072), (PHI_3_MINI_4K, 393216)])
def test_a_token_within_the_window_of_every_layer_costs_what_public_tables_say(config, nbytes):
    windowed = setup(config)
    assert bytes_per_token(windowed) == nbytes
    assert not grows(windowed)
    for whole in (setup(config, max_model_len=config["sliding_window"]),
                  setup(config, disable_hybrid_kv_cache_manager=True)):  # fmt: skip
        assert bytes_per_token(whole) == nbytes
        assert grows(whole)


@pytest.mark.parametrize(
    ("config", "change", "sparse"),
    [
        (QWEN3_30B_A3B, {}, 48), (QWEN3_30B_A3B, {"decoder_sparse_step": 2}, 24),
        (QWEN3_30B_A3B, {"mlp_only_layers": [0, 1, 47]}, 45),
        (QWEN3_30B_A3B, {"mlp_only_layers": [0, 1], "decoder_sparse_step": 2}, 23),
        (DEEPSEEK_V3, {}, 58), (DEEPSEEK_V3, {"moe_layer_freq": 2}, 29),
    ],
)  # fmt: skip
def test_only_layers_that_the_config_says_have_experts(config, change, sparse):
    weights = read({**config, "intermediate_size": 6144, **change}).weights
    assert {group.count for group in weights if group.role == "experts"} == {sparse}


def test_a_latent_is_kept_whole_by_every_card_and_heads_are_shared_out():
    assert bytes_per_token(setup(DEEPSEEK_V3, tensor_parallel_size=8)) / 1024 == 68.625
    assert bytes_per_token(setup(LLAMA_8B, tensor_parallel_size=4)) / 1024 == 32.0
    assert bytes_per_token(setup(QWEN3_30B_A3B, tensor_parallel_size=8)) / 1024 == 24.0  # no less than one head


def test_an_unknown_architecture_has_no_shape():
    assert read({**QWEN3_4B, "architectures": ["Qwen9ForCausalLM"]}).caches == ()
