"""Facts of a start, from the lines of every spelling since vLLM 0.8."""

from pathlib import Path

import pytest

from dyno.engine.facts import StartFacts, read_facts

GIB = 2**30
CPU_LOG = (Path(__file__).parents[1] / "data" / "logs" / "start_cpu.txt").read_text()

# release, line, field, value
LINES = [
    ("0.8.0", "INFO 03-21 [kv_cache_utils.py:537] GPU KV cache size: 874,048 tokens", "kv_cache_tokens", 874_048),
    ("0.8.0", "Maximum concurrency for 40,960 tokens per request: 21.34x", "max_concurrency", 21.34),
    ("0.8.0", "Maximum concurrency for 40,960 tokens per request: 21.34x", "max_model_len", 40_960),
    ("0.28.0", "GPU KV cache size: 24,448 tokens, Maximum concurrency for 4,096 tokens per request: 5.97x",
     "kv_cache_tokens", 24_448),
    ("0.33.0", "XPU KV cache size: 24,448 tokens, Maximum concurrency for 4,096 tokens per request: 5.97x",
     "max_concurrency", 5.97),
    ("0.33.0", "GPU + host KV cache size: 9,000 tokens, Maximum concurrency for 4,096 tokens per request: 2.20x",
     "kv_cache_tokens", 9_000),
    ("0.9.2", "Available KV cache memory: 120.03 GiB", "kv_cache_bytes", round(120.03 * GIB)),
    ("0.26.0", "Initial free memory 139.2 GiB, reserved 8.00 GiB memory for KV Cache as specified by "
     "kv_cache_memory_bytes config", "kv_cache_bytes", 8 * GIB),
    ("0.32.0", "Explicitly set (1.0/8.34) GiB for KV cache on node 0.", "kv_cache_bytes", GIB),
    ("0.32.0", "Auto set (2.5/8.34) GiB for KV cache on node 0, with 4.0 GiB requested memory for the worker. "
     "1.5 GiB memory was consumed by non-kv usages.", "kv_cache_bytes", round(2.5 * GIB)),
    ("0.8.3", "Model loading took 7.5552 GiB and 3.210000 seconds", "weights_bytes", round(7.5552 * GIB)),
    ("0.8.3", "Model loading took 7.5552 GiB and 3.210000 seconds", "weights_load_s", 3.21),
    ("0.32.0", "Model loading took 7.56 GiB memory and 3.210000 seconds", "weights_bytes", round(7.56 * GIB)),
    ("0.32.0", "Model loading took 7.56 GiB memory and 3.210000 seconds", "weights_load_s", 3.21),
    ("0.32.0", "Loading weights took 1.23 seconds", "weights_load_s", 1.23),
    ("0.17.0", "torch.compile takes 24.31 s in total", "compile_s", 24.31),
    ("0.18.0", "torch.compile took 24.31 s in total", "compile_s", 24.31),
    ("0.32.0", "[backbone] torch.compile took 24.31 s in total", "compile_s", 24.31),
    ("0.26.0", "init engine (profile, create kv cache, warmup model) took 41.23 s (compilation: 24.30 s)",
     "compile_s", 24.3),
    ("0.26.0", "init engine (profile, create kv cache, warmup model) took 41.23 s (compilation: 24.30 s)",
     "init_s", 41.23),
    ("0.8.0", "init engine (profile, create kv cache, warmup model) took 41.23 seconds", "init_s", 41.23),
    ("0.8.0", "Graph capturing finished in 22 secs, took 0.61 GiB", "graph_capture_s", 22.0),
    ("0.8.0", "Graph capturing finished in 22 secs, took 0.61 GiB", "graph_bytes", round(0.61 * GIB)),
    ("0.8.0", "Using Flash Attention backend on V1 engine.", "attention_backend", "Flash Attention"),
    ("0.12.0", "Using AttentionBackendEnum.FLASH_ATTN backend.", "attention_backend", "FLASH_ATTN"),
    ("0.32.0", "Using FLASH_ATTN attention backend out of potential backends: [FLASH_ATTN, FLASHINFER].",
     "attention_backend", "FLASH_ATTN"),
]  # fmt: skip


@pytest.mark.parametrize(("release", "line", "field", "value"), LINES)
def test_a_line_of_any_release_gives_its_fact(release, line, field, value):
    facts = read_facts(f"(EngineCore pid=7) INFO 11-21 01:16:24 [x.py:1] {line}\n", None, 1.0, None, None)
    assert getattr(facts, field) == value, release


def test_a_whole_log_of_the_cpu_engine_is_read():
    assert read_facts(CPU_LOG, None, 29.3, None, 5 * GIB) == StartFacts(
        ready_s=29.3,
        kv_cache_tokens=262_144,
        kv_cache_bytes=GIB,
        max_concurrency=64.0,
        max_model_len=4096,
        compile_s=5.0,  # from the stamps of the two lines around it
        init_s=7.64,
        rss_bytes=5 * GIB,
    )


def test_labels_of_the_metrics_come_before_the_log():
    labels = {"num_gpu_blocks": "2048", "block_size": "128", "kv_cache_size_tokens": "262016",
              "kv_cache_max_concurrency": "63.96875", "kv_cache_memory_bytes": "1073741800"}  # fmt: skip
    facts = read_facts(CPU_LOG, labels, 1.0, None, None)
    assert (facts.kv_cache_tokens, facts.max_concurrency) == (262_016, 63.96875)
    assert (facts.kv_cache_bytes, facts.block_size) == (1_073_741_800, 128)


def test_labels_without_capacity_leave_it_to_the_log():
    labels = {"num_gpu_blocks": "1528", "block_size": "16", "kv_cache_memory_bytes": "None"}
    facts = read_facts(CPU_LOG, labels, 1.0, None, None)
    assert (facts.kv_cache_tokens, facts.kv_cache_bytes) == (262_144, GIB)


def test_blocks_give_the_capacity_when_nothing_else_does():
    assert read_facts("", {"num_gpu_blocks": "1528", "block_size": "16"}, 1.0, None, None).kv_cache_tokens == 24_448


@pytest.mark.parametrize("log", ["", "no line of vLLM\nGPU KV cache size: unknown tokens"])
def test_what_was_not_said_is_not_known(log):
    assert read_facts(log, None, 1.5, 7, None) == StartFacts(ready_s=1.5, device_used_bytes=7)


def test_a_warm_up_over_new_year_is_seconds_long():
    log = ("INFO 12-31 23:59:58 [cpu_model_runner.py:87] Warming up model for the compilation...\n"
           "INFO 01-01 00:00:03 [cpu_model_runner.py:91] Warming up done.\n")  # fmt: skip
    assert read_facts(log, None, 1.0, None, None).compile_s == 5.0


@pytest.mark.parametrize(
    ("log", "cached"),
    [("Directly load AOT compilation from path /c", True), ("x\nDirectly load the compiled graph(s) for", True),
     ("Compiling a graph for compile range (1, 8192) takes 11.94 s", False), ("", None)],
)  # fmt: skip
def test_a_start_tells_whether_its_code_came_from_the_caches(log, cached):
    assert read_facts(log, None, 1.0, None, None).compile_cached is cached
