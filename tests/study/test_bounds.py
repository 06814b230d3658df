"""What is known for sure of a decode step."""

from dataclasses import replace

import pytest
from made import MODEL

from dyno.bench.audit import PhysicalBounds
from dyno.engine.args import EngineArgs
from dyno.study.bounds import decode_bounds

GIB = 1 << 30
LLAMA = replace(MODEL, architecture="LlamaForCausalLM", vocab_size=1 << 17, hidden_size=1 << 12)  # 1 GiB of embeddings
NOTHING = PhysicalBounds()


def bounds(model=LLAMA, stored=16 * GIB, bandwidth=float(GIB << 10), **flags):
    return decode_bounds(model, stored, bandwidth, EngineArgs("/m", tuple(flags.items())))


def test_a_token_takes_as_long_as_reading_the_weights_once():
    read_gib = 16 - 1 - 0.25
    assert bounds().at_least == {"tpot_ms.p50": pytest.approx(0.9 * read_gib / 1024 * 1000)}
    assert bounds(tensor_parallel_size=2).at_least == {"tpot_ms.p50": pytest.approx(0.9 * 7.25 / 1024 * 1000)}


def test_a_quantized_checkpoint_is_read_as_it_is_stored():
    assert bounds(replace(LLAMA, dtype="float32", quantization="fp8")) == bounds()


@pytest.mark.parametrize("unsure", [
    {"stored": None}, {"bandwidth": None}, {"stored": GIB},
    {"model": replace(LLAMA, architecture="Qwen3MoeForCausalLM")}, {"model": replace(LLAMA, dtype="float32")},
    {"quantization": "fp8"}, {"speculative_config": {"method": "ngram"}}, {"hf_overrides": {}},
], ids=["no checkpoint", "no card", "fits the caches", "experts", "float32", "online quantization", "speculation",
        "another shape"])  # fmt: skip
def test_what_is_not_sure_bounds_nothing(unsure):
    assert bounds(**unsure) == NOTHING
