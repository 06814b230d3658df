from models import H200, QWEN3_4B, setup

from dyno.predict.allocator import Allocator
from dyno.predict.constants import HOPPER, MIB
from dyno.predict.graphs import graph_bytes, split_bytes
from dyno.predict.kept import kept_bytes

SMALL = {"gpu_memory_utilization": 0.085, "max_num_batched_tokens": 2048, "max_num_seqs": 256, "max_model_len": 4096}
V026 = ((0, 26), H200)


def test_a_block_that_was_given_back_is_taken_again():
    pool = Allocator()
    pool.give(pool.take(100 * MIB))
    pool.take(60 * MIB)
    pool.take(40 * MIB)
    assert pool.reserved_bytes == 100 * MIB


def test_neighbours_are_merged_and_segments_are_not():
    pool = Allocator()
    pool.give(*[pool.take(50 * MIB) for _ in range(2)])
    pool.take(100 * MIB)
    assert pool.reserved_bytes == 200 * MIB
    whole = Allocator()
    whole.give(whole.take(100 * MIB))
    whole.give(*[whole.take(50 * MIB) for _ in range(2)])
    whole.take(100 * MIB)
    assert whole.reserved_bytes == 100 * MIB


def test_while_loading_a_block_of_20_mebibytes_is_not_split_and_serves_nothing_smaller():
    pool = Allocator(max_split=20 * MIB)
    pool.give(pool.take(32 * MIB))
    assert pool.take(30 * MIB)[0] == 32 * MIB
    pool.give(pool.take(64 * MIB))
    pool.take(10 * MIB)
    pool.take(40 * MIB)
    assert pool.reserved_bytes == (32 + 64 + 10 + 40) * MIB


def test_flashinfers_sampler_keeps_three_times_the_logits_in_32_bits():
    with_it, without = (kept_bytes(setup(QWEN3_4B, *V026, [("VLLM_USE_FLASHINFER_SAMPLER", switch)]), cold=True)
                        for switch in ("1", "0"))  # fmt: skip
    assert abs((with_it - without) / MIB - 1706) < 10  # two studies of one H200, 1,024 sequences


def test_attention_that_splits_counts_once_whole_and_once_more():
    whole = split_bytes(setup(QWEN3_4B, *V026, **SMALL), 256)
    assert whole == 32 * 32 * 256 * 128 * 4
    assert split_bytes(setup(QWEN3_4B, *V026, **SMALL, enforce_eager=True), 256) == 0


def test_the_first_runner_counts_every_graph_for_a_mebibyte_at_least():
    asked = setup(QWEN3_4B, *V026, [("VLLM_USE_V2_MODEL_RUNNER", "0")], **SMALL)
    assert graph_bytes(asked, HOPPER) > (50 + 34) * MIB + split_bytes(asked, 256)
