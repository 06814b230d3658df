from dataclasses import replace

import pytest
from models import GEMMA_3_1B, LLAMA_8B, QWEN3_4B, setup

from dyno.predict.constants import HOPPER, MIB, UNSEEN
from dyno.predict.fit import fit
from dyno.predict.memory import predict_memory
from dyno.predict.terms import Boot, Facts

TRUE = replace(HOPPER, other=300 * MIB, graph_layer=HOPPER.graph_layer * 1.5, kept=200 * MIB)
FLAGS = {"gpu_memory_utilization": 0.3, "max_num_batched_tokens": 2048, "max_num_seqs": 256, "max_model_len": 4096}


def seen(config, **flags):
    """A start on a machine whose constants are TRUE."""
    asked = setup(config, **{**FLAGS, **flags})
    memory = predict_memory(asked, measured=TRUE)
    return Boot(asked, Facts(memory.weights_bytes, memory.kv_cache_bytes, memory.kv_cache_tokens, memory.graph_bytes,
                             memory.device_used_bytes))  # fmt: skip


def test_constants_are_found_from_starts_of_other_models():
    boots = [("a", seen(QWEN3_4B)), ("b", seen(QWEN3_4B, max_num_seqs=64)), ("c", seen(LLAMA_8B))]
    found = fit(boots)
    assert found.fitted_on == ("a", "b", "c")
    assert found.other / MIB == pytest.approx(300, abs=15)
    wanted = setup(GEMMA_3_1B, **FLAGS)
    off = predict_memory(wanted, measured=found).kv_cache_bytes - predict_memory(wanted, measured=TRUE).kv_cache_bytes
    assert abs(off) < 15 * MIB


def test_without_starts_nothing_is_learned():
    assert fit([]) == UNSEEN


def test_one_start_is_enough_to_correct_another_model_on_its_machine():
    wanted = setup(LLAMA_8B, **FLAGS)
    truth = predict_memory(wanted, measured=TRUE)
    corrected = predict_memory(wanted, [seen(QWEN3_4B)])
    assert abs(corrected.kv_cache_bytes - truth.kv_cache_bytes) < 30 * MIB
    assert abs(corrected.graph_bytes - truth.graph_bytes) < 0.1 * truth.graph_bytes
