"""What one step takes: values in, values out."""

from dataclasses import replace

import pytest
from models import DEEPSEEK_V3, GPT_OSS_20B, LLAMA_8B, NEMOTRON_3_NANO, QWEN3_4B, QWEN3_30B_A3B, setup

from dyno.hardware.gpus import find_card
from dyno.predict.rates import NAMES, SPREAD, generic
from dyno.predict.roofline import costs

H200_RATES = generic(find_card("H200")).rates
IDEAL = replace(H200_RATES, **dict.fromkeys(("weights", "gemm", "gemm_low", "decode", "prefill", "link"), 1.0),
                **dict.fromkeys(("layer_s", "request_s", "host_s", "eager_s"), 1e-12))  # fmt: skip


def one_token(made, context=1, rates=H200_RATES):
    known = costs(made, rates)
    return known.step_s(1, known.read_s([(1, context)]))


def test_a_token_alone_takes_reading_all_weights_once():
    made = setup(QWEN3_4B)
    assert one_token(made, rates=IDEAL) == pytest.approx(4.02e9 * 2 / 4.8e12, rel=0.02)


def test_a_long_prompt_takes_its_flops():
    known = costs(setup(QWEN3_4B), replace(IDEAL, weights=1e9))
    layer = ((6144, 2560), (2560, 4096), (19456, 2560), (2560, 9728))
    begun = 36 * sum(rows * 800 for rows, _ in layer)  # of every sum, the beginning and the end
    flops = 2 * (36 * sum(rows * columns for rows, columns in layer) + begun) * 8192 + 4 * 36 * 32 * 128 * 8192**2 / 2
    assert known.card_s(8192, 1, 1, known.chunk_s(8192, 0)) == pytest.approx(flops / 989.4e12, rel=0.02)


def test_context_takes_reading_its_cache():
    made = setup(QWEN3_4B)
    more = one_token(made, 32768, IDEAL) - one_token(made, 0, IDEAL)
    assert more == pytest.approx(32768 * 147456 / 4.8e12, rel=1e-3)


def test_half_the_bytes_are_faster_and_a_second_card_too():
    plain = one_token(setup(LLAMA_8B), 8192)
    assert one_token(setup(LLAMA_8B, quantization="fp8"), 8192) < plain
    assert one_token(setup(LLAMA_8B, kv_cache_dtype="fp8"), 65536) < one_token(setup(LLAMA_8B), 65536)
    assert one_token(setup(LLAMA_8B, tensor_parallel_size=2), 8192) < plain


def test_eager_is_held_up_by_the_host_and_so_is_a_host_that_does_not_run_ahead():
    graphs = one_token(setup(QWEN3_4B))
    assert one_token(setup(QWEN3_4B, enforce_eager=True)) > 2 * graphs
    assert one_token(setup(QWEN3_4B, async_scheduling=False)) > graphs


def test_experts_that_no_token_goes_to_are_not_read():
    known = costs(setup(QWEN3_30B_A3B), IDEAL)
    alone, many = known.card_s(1, 1, 1, 0.0), known.card_s(512, 512, 512, 0.0)
    assert alone < 0.2 * many
    assert many > 28e9 * 2 / 4.8e12


def test_a_window_bounds_what_is_read_and_a_state_does_not_grow():
    windows = costs(setup(GPT_OSS_20B), IDEAL)
    short, long = windows.read_s([(1, 1024)]), windows.read_s([(1, 2048)])
    assert long < 1.9 * short
    hybrid = costs(setup(NEMOTRON_3_NANO), IDEAL)
    assert hybrid.read_s([(1, 1000)]) == pytest.approx(1000 * 6 * 2 * 2 * 128 * 2 / 4.8e12, rel=0.01)


def test_a_latent_is_read_once_for_all_heads():
    known = costs(setup(DEEPSEEK_V3, tensor_parallel_size=8), replace(IDEAL, gemm=1e9))
    assert known.read_s([(1, 1000)]) == pytest.approx(1000 * 61 * 1152 / 4.8e12, rel=1e-3)


def test_triton_reads_slowly_for_one_request_and_prefills_slowly():
    plain, triton = costs(setup(QWEN3_4B), IDEAL), costs(setup(QWEN3_4B, attention_backend="TRITON_ATTN"), IDEAL)
    assert triton.read_s([(1, 8192)]) > 4 * plain.read_s([(1, 8192)])
    assert triton.read_s([(64, 512)]) == pytest.approx(plain.read_s([(64, 512)]))
    assert triton.chunk_s(8192, 0) > 5 * plain.chunk_s(8192, 0)


def test_kernels_that_only_hopper_has_better_ones_than_are_no_slower_elsewhere():
    card = find_card("RTX 4090")
    plain, triton = (costs(setup(QWEN3_4B, card=card, max_model_len=4096, attention_backend=each), IDEAL)
                     for each in ("FLASH_ATTN", "TRITON_ATTN"))  # fmt: skip
    assert triton == plain


def test_a_step_with_prompts_takes_the_host_longer_and_one_beyond_all_graphs_longest():
    known = costs(setup(QWEN3_4B), H200_RATES)
    assert known.launch_s(64, 64) < known.launch_s(64, 64, prompts=True) < known.launch_s(8192, 64, prompts=True)
    eager = costs(setup(QWEN3_4B, enforce_eager=True), H200_RATES)
    assert eager.launch_s(1, 1) == eager.launch_s(1, 1, prompts=True) == known.launch_s(8192, 1, prompts=True)


def test_a_card_without_a_bandwidth_has_no_costs():
    unknown = replace(find_card("H200"), bandwidth_bytes_s=None)
    assert costs(setup(QWEN3_4B, card=unknown), H200_RATES) is None


def test_every_rate_has_a_spread():
    assert set(SPREAD) == set(NAMES)
