import pytest
from models import GEMMA_3_1B, QWEN3_4B, setup

from dyno.predict.memory import Host
from dyno.predict.offload import ENGINE_BYTES, SYSTEM_BYTES, size_offload

GIB = 2**30
PAGE = 16 * 144 * 1024  # of all layers of a Qwen3-4B
FREE = 86 * GIB
HOST = Host(ram_bytes=94 * GIB, ram_free_bytes=FREE, shm_free_bytes=200 * GIB)


def test_what_is_left_beside_system_engine_and_others_is_safe():
    sized = size_offload(setup(QWEN3_4B), HOST)
    assert sized.safe_bytes == FREE - SYSTEM_BYTES - ENGINE_BYTES
    assert sized.used_bytes == 8 * GIB
    assert sized.step_tokens == 16 * GIB // PAGE * 16


def test_shared_memory_is_a_bound_of_its_own():
    assert size_offload(setup(QWEN3_4B), Host(0, 94 * GIB, FREE, 47 * GIB)).safe_bytes == 47 * GIB
    assert size_offload(setup(QWEN3_4B), Host(0, 8 * GIB, 2 * GIB, 8 * GIB)).safe_bytes == 0


@pytest.mark.parametrize("config", [QWEN3_4B, GEMMA_3_1B])
def test_an_fp8_cache_doubles_what_it_holds(config):
    plain, fp8 = (size_offload(setup(config, kv_cache_dtype=dtype), HOST) for dtype in ("auto", "fp8"))
    assert fp8.safe_tokens == pytest.approx(2 * plain.safe_tokens, rel=1e-4)


def test_a_size_that_was_asked_for_is_told_in_tokens():
    asked = setup(QWEN3_4B, kv_offloading_size=32.0)
    assert size_offload(asked, HOST).asked_tokens == 32 * GIB // PAGE * 16


def test_without_a_host_or_a_card_there_is_nothing_to_size():
    assert size_offload(setup(QWEN3_4B), Host()) is None
    assert size_offload(setup(QWEN3_4B, card=None), HOST) is None
