"""What one start of another model says of the machine, and of what was not told."""

from dataclasses import replace

import pytest
from models import GEMMA_3_1B, LLAMA_8B, QWEN3_4B, setup

from dyno.predict.constants import MIB
from dyno.predict.kv_cache import longest
from dyno.predict.memory import predict_memory, reasons_against
from dyno.predict.terms import Boot, Facts

SMALL = {"gpu_memory_utilization": 0.2, "max_num_batched_tokens": 2048, "max_num_seqs": 256, "max_model_len": 4096}


def drawing(flashinfer, config=QWEN3_4B):
    """A setup that says whose sampler draws; None: it does not say."""
    said = {True: "1", False: "0"}
    env = [("VLLM_USE_FLASHINFER_SAMPLER", said[flashinfer])] if flashinfer is not None else []
    return setup(config, env=env, **SMALL)


def seen(asked, *, used=0, kv=0, warm=False):
    """A start that took what is predicted of it, and so many MiB more."""
    memory = predict_memory(asked, warm=warm)
    return Facts(memory.weights_bytes, memory.kv_cache_bytes - kv * MIB, None, memory.graph_bytes,
                 memory.device_used_bytes + (used - kv) * MIB)  # fmt: skip


@pytest.mark.parametrize("flashinfer", [True, False])
def test_the_sampler_that_nobody_named_is_known_from_one_start_of_another_model(flashinfer):
    boot = Boot(drawing(None, LLAMA_8B), seen(drawing(flashinfer, LLAMA_8B)))
    truth = predict_memory(drawing(flashinfer)).device_used_bytes
    assert abs(predict_memory(drawing(None), [boot]).device_used_bytes - truth) < 30 * MIB


def test_before_any_start_what_is_in_use_covers_both_samplers():
    unsaid = predict_memory(drawing(None))
    for flashinfer in (True, False):
        off = abs(predict_memory(drawing(flashinfer)).device_used_bytes - unsaid.device_used_bytes)
        assert off < unsaid.device_spread_bytes


def test_a_sampler_that_was_named_is_not_doubted():
    boot = Boot(drawing(None, LLAMA_8B), seen(drawing(False, LLAMA_8B)))
    told = drawing(True)
    off = predict_memory(told, [boot]).device_used_bytes - predict_memory(told).device_used_bytes
    assert abs(off) < 10 * MIB


def test_a_machine_that_keeps_far_more_is_believed_and_a_little_more_is_shared_with_the_scatter_of_models():
    told = drawing(False)
    moved = {}
    for used in (20, 500):
        boot = Boot(drawing(False, LLAMA_8B), seen(drawing(False, LLAMA_8B), used=used))
        moved[used] = (predict_memory(told, [boot]).device_used_bytes - predict_memory(told).device_used_bytes) / MIB
    assert 0 < moved[20] < 15
    assert 450 < moved[500] < 500


@pytest.mark.parametrize("warm", [True, False])
def test_a_compile_cache_is_taken_to_be_as_in_the_starts_that_were_seen(warm):
    asked = drawing(False)
    boots = [Boot(drawing(False, LLAMA_8B), seen(drawing(False, LLAMA_8B), warm=warm))]
    memory = predict_memory(asked, boots, warm=None)
    assert abs(memory.kv_cache_bytes - predict_memory(asked, warm=warm).kv_cache_bytes) < 10 * MIB


def test_a_length_that_a_first_start_has_no_room_for_is_refused_though_others_found_their_cache_filled():
    other = drawing(False, LLAMA_8B)
    boots = [Boot(other, seen(other, warm=True))]
    asked = replace(drawing(False), utilization=0.085)
    first, later = (longest(asked, predict_memory(asked, warm=warm).kv_cache_bytes) for warm in (False, True))
    between = replace(asked, max_model_len=(first + later) // 2)
    assert reasons_against(between, predict_memory(between, boots, warm=None))
    assert not reasons_against(between, predict_memory(between, boots, warm=True))


def test_a_start_with_many_more_sequences_says_little_of_what_is_kept_with_few():
    few, many = (replace(drawing(False), max_num_seqs=number) for number in (256, 1024))
    other = replace(drawing(False, LLAMA_8B), max_num_seqs=1024)
    boots = [Boot(other, seen(other, used=-150))]
    moved = [predict_memory(asked, boots).device_used_bytes - predict_memory(asked).device_used_bytes
             for asked in (few, many)]  # fmt: skip
    assert abs(moved[0]) < 60 * MIB < 100 * MIB < -moved[1]


def test_one_start_that_compiled_is_enough_to_expect_it_again():
    boots = [Boot(drawing(False, config), seen(drawing(False, config), warm=warm))
             for config, warm in ((LLAMA_8B, True), (GEMMA_3_1B, False))]  # fmt: skip
    asked = drawing(False)
    assert predict_memory(asked, boots, warm=None) == predict_memory(asked, boots, warm=False)


@pytest.mark.parametrize("used", [10**5, 10**9])
def test_a_start_that_cannot_be_explained_is_no_error(used):
    boot = Boot(drawing(None, LLAMA_8B), seen(drawing(False, LLAMA_8B), used=used, kv=-used))
    assert predict_memory(drawing(None), [boot], warm=None).weights_bytes == predict_memory(drawing(None)).weights_bytes


def test_an_eager_start_says_nothing_of_the_compile_cache():
    eager = replace(drawing(False, LLAMA_8B), eager=True, graphs=False, capture_sizes=())
    boots = [Boot(eager, seen(eager))]
    assert predict_memory(drawing(False), boots, warm=None) == predict_memory(drawing(False), boots, warm=False)


@pytest.mark.parametrize("flashinfer", [True, False])
def test_what_another_start_was_told_holds_for_one_that_was_told_nothing(flashinfer):
    """Also where what it took does not show it."""
    boot = Boot(drawing(flashinfer, LLAMA_8B), Facts())
    unsaid, truth = predict_memory(drawing(None), [boot]), predict_memory(drawing(flashinfer))
    assert abs(unsaid.device_used_bytes - truth.device_used_bytes) < 40 * MIB


def test_a_machine_whose_budget_is_smaller_is_not_taken_for_one_that_compiles():
    asked, other = drawing(False), drawing(False, LLAMA_8B)
    memory = predict_memory(asked, [Boot(other, seen(other, kv=60, warm=True))], warm=None)
    assert abs(memory.kv_cache_bytes + 60 * MIB - predict_memory(asked, warm=True).kv_cache_bytes) < 10 * MIB
