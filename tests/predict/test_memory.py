"""Against starts of vLLM 0.26 on an H200 and of 0.32 on a CPU, and against vLLM's own refusals."""

import pytest
from models import GEMMA_3_1B, QWEN3_4B, QWEN35_27B, setup
from tiny import LOGGED

from dyno.hardware.gpus import find_card
from dyno.predict.kv_cache import capacity, longest, pool
from dyno.predict.memory import Host, predict_memory, reasons_against
from dyno.predict.terms import Boot, Facts

MIB, GIB = 2**20, 2**30
SMALL = {"gpu_memory_utilization": 0.085, "max_num_batched_tokens": 2048, "max_num_seqs": 256}
TINY = {
    **QWEN3_4B, "vocab_size": 4096, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 4,
    "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64,
}  # fmt: skip

# (flags, whether it compiled, weights GiB, KV bytes, graphs, in use), all of a Qwen3-4B.
STARTS = [
    ({}, True, 7.56, 128881231135, 1073741824, 140663128064),
    ({}, False, 7.56, 129085242081, 1073741824, 140812025856),
    ({"max_num_batched_tokens": 16384}, True, 7.56, 128398047314, 1073741824, 140132548608),
    ({"max_num_batched_tokens": 16384}, False, 7.56, 128451734405, 1073741824, 140208046080),
    ({"quantization": "fp8"}, True, 4.22, 132446053990, 1009317315, 140516327424),
    ({**SMALL, "max_model_len": 4096}, True, 7.56, round(3.36 * GIB), round(0.61 * GIB), 13063 * MIB),
]


@pytest.mark.parametrize(("flags", "compiled", "weights", "kv", "graphs", "used"), STARTS)
def test_a_start_is_predicted_before_any_was_seen(flags, compiled, weights, kv, graphs, used):
    memory = predict_memory(setup(QWEN3_4B, env=[("VLLM_USE_FLASHINFER_SAMPLER", "0")], **flags))
    assert memory.weights_bytes / GIB == pytest.approx(weights, abs=0.006)
    told = memory.kv_cache_bytes if compiled else memory.warm_kv_cache_bytes
    assert abs(told - kv) < 35 * MIB
    assert abs(memory.graph_bytes - graphs) < 80 * MIB
    assert not compiled or abs(memory.device_used_bytes - used) < 240 * MIB


def test_low_and_high_hold_most_starts_and_are_narrow():
    held = []
    for flags, compiled, _, kv, *_ in STARTS:
        memory = predict_memory(setup(QWEN3_4B, **flags), warm=not compiled)
        held.append(memory.low_bytes < kv < memory.high_bytes)
        assert memory.high_bytes - memory.low_bytes < 20 * MIB
    assert sum(held) >= 4


def test_an_eager_start_holds_no_compiler_and_no_graphs():
    memory = predict_memory(setup(TINY, enforce_eager=True, gpu_memory_utilization=0.3, max_model_len=1024))
    assert abs(memory.kv_cache_bytes - 44431436677) < 40 * MIB
    assert memory.graph_bytes == 0
    assert memory.warm_kv_cache_bytes == memory.kv_cache_bytes


FULL = '{"mode": 0, "cudagraph_mode": "FULL_DECODE_ONLY"}'


@pytest.mark.parametrize(
    "flags",
    [{"compilation_config": '{"mode": 0}'}, {"compilation_config": '{"mode": "none", "cudagraph_mode": "PIECEWISE"}'},
     {"compilation_config": '{"level": 0}'}, {"optimization_level": 0}],
)  # fmt: skip
def test_a_start_that_compiles_nothing_takes_what_an_eager_one_takes(flags):
    memory, eager = (predict_memory(setup(QWEN3_4B, **each)) for each in (flags, {"enforce_eager": True}))
    assert memory == eager
    assert memory.graph_bytes == 0


def test_whole_graphs_are_captured_of_what_was_not_compiled_and_that_is_less_sure():
    memory, compiled = predict_memory(setup(QWEN3_4B, compilation_config=FULL)), predict_memory(setup(QWEN3_4B))
    assert memory.graph_bytes > 0
    assert memory.cold_kv_cache_bytes == memory.warm_kv_cache_bytes > compiled.cold_kv_cache_bytes
    assert memory.high_bytes - memory.low_bytes > 5 * (compiled.high_bytes - compiled.low_bytes)
    levelled = predict_memory(setup(QWEN3_4B, optimization_level=0, compilation_config='{"cudagraph_mode": "FULL"}'))
    assert levelled == memory


def test_graphs_of_pieces_need_vllms_own_compilation():
    stock = predict_memory(setup(QWEN3_4B, compilation_config='{"mode": 1}'))
    assert stock.graph_bytes == 0
    assert stock.cold_kv_cache_bytes < stock.warm_kv_cache_bytes


def test_one_start_corrects_the_prediction_of_another_configuration():
    seen = Boot(setup(QWEN3_4B, quantization="fp8"), Facts(4531190497, 132446053990 - 200 * MIB, 0, 1209317315))
    wanted = setup(QWEN3_4B, **SMALL)
    before, after = predict_memory(wanted), predict_memory(wanted, [seen])
    assert before.kv_cache_bytes - after.kv_cache_bytes > 100 * MIB
    assert after.graph_bytes > 1.1 * before.graph_bytes


def test_one_start_on_a_card_that_nobody_measured_makes_the_figures_surer():
    card = find_card("RTX 4090")
    asked, other = (setup(config, card=card, max_model_len=4096) for config in (QWEN3_4B, GEMMA_3_1B))
    told = predict_memory(other)
    seen = Boot(other, Facts(told.weights_bytes, told.kv_cache_bytes - 30 * MIB, None, told.graph_bytes))
    before, after = predict_memory(asked), predict_memory(asked, [seen])
    assert after.high_bytes - after.low_bytes < (before.high_bytes - before.low_bytes) / 2


def test_a_start_on_another_card_corrects_nothing():
    seen = Boot(setup(QWEN3_4B, card=find_card("RTX 4090")), Facts(8117488189, 10 * GIB, 0, GIB, 20 * GIB))
    assert predict_memory(setup(QWEN3_4B), [seen]) == predict_memory(setup(QWEN3_4B))


@pytest.mark.parametrize(("dtype", "tokens"), [("auto", 262144), ("fp8", 524288)])
def test_the_cpu_engine_is_exact_with_a_space(dtype, tokens):
    asked = setup(TINY, (0, 32), None, [("VLLM_CPU_KVCACHE_SPACE", "1")], max_model_len=4096, kv_cache_dtype=dtype)
    memory = predict_memory(asked)
    assert (memory.kv_cache_tokens, memory.max_concurrency) == (tokens, tokens / 4096)
    assert memory.low_bytes == memory.kv_cache_bytes == memory.high_bytes == GIB


@pytest.mark.parametrize(("config", "tokens", "concurrency"), LOGGED)
def test_windows_latents_and_states_are_shared_out_as_vllm_does(config, tokens, concurrency):
    asked = setup(config, (0, 32), None, [("VLLM_CPU_KVCACHE_SPACE", "1")], max_model_len=4096)
    memory = predict_memory(asked)
    assert (memory.kv_cache_tokens, round(memory.max_concurrency, 2)) == (tokens, concurrency)


def test_a_length_that_vllm_refuses_is_refused_with_the_longest_that_fits():
    asked = setup(QWEN3_4B, **SMALL, max_model_len=40960)
    (reason,) = reasons_against(asked, predict_memory(asked))
    assert "needs 5.62 GiB" in reason
    assert int(reason.rpartition(" ")[2]) == pytest.approx(24448, rel=0.02)  # vLLM's own estimate
    fits = setup(QWEN3_4B, **SMALL, max_model_len=24000)
    assert reasons_against(fits, predict_memory(fits)) == ()


def test_what_others_have_in_use_is_in_the_way():
    asked = setup(QWEN3_4B)
    host = Host(card_used_bytes=20 * GIB)
    (first, second) = reasons_against(asked, predict_memory(asked, host=host), host)
    assert "vLLM asks for 129 GiB" in first
    assert "would be in use when ready" in second


def test_pages_of_a_model_with_windows_are_shared_by_groups():
    shared = pool(setup(GEMMA_3_1B))
    assert (shared.layers_per_group, len(shared.groups)) == (4, 7)  # 4 global layers, 22 sliding in 6 groups
    asked = setup(GEMMA_3_1B, max_model_len=32768)
    a_window = (512 - 1 + 2 * 8192) / 16
    assert shared.blocks_per_request(asked, 32768) == pytest.approx(32768 / 16 + 6 * (a_window + 1), abs=6)
    tokens, concurrency = capacity(asked, GIB, 32768)
    assert tokens == int(concurrency * 32768)


def test_without_the_hybrid_manager_windows_are_kept_whole():
    asked = setup(GEMMA_3_1B, disable_hybrid_kv_cache_manager=True, max_model_len=32768)
    assert (pool(asked).layers_per_group, len(pool(asked).groups)) == (26, 1)


def test_attentions_block_grows_until_it_holds_a_state():
    shared = pool(setup(QWEN35_27B))
    state = 30720 * 2 + 786432 * 4
    assert shared.groups[0].nbytes >= state
    assert shared.groups[0].nbytes - state < 16 * 4096


def test_the_longest_grows_with_the_memory():
    asked = setup(GEMMA_3_1B)
    lengths = [longest(asked, size * MIB) for size in (0, 50, 100, 200, 400)]
    assert lengths == sorted(lengths)
    assert lengths[0] == 0


def test_since_029_the_block_that_is_never_used_does_not_count():
    block = pool(setup(QWEN3_4B)).bytes_per_block
    assert longest(setup(QWEN3_4B, (0, 26)), 100 * block) == 1600
    assert longest(setup(QWEN3_4B, (0, 32)), 100 * block) == 1584
