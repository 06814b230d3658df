"""Whatever people hand to `dyno plan` ends in a plan or in one message, soon: drawn with fixed seeds.

`python tests/plan/test_fuzz.py 5000` draws more, and names the slowest.
"""

import json
import random
import struct
import sys
from pathlib import Path
from time import monotonic

import pytest
from models import DEEPSEEK_V3, GEMMA_4_26B, GPT_OSS_20B, NEMOTRON_3_NANO, QWEN3_4B, QWEN35_27B

from dyno.cli.main import run

SEED = 17
CONFIGS = (
    QWEN3_4B, DEEPSEEK_V3, GPT_OSS_20B, NEMOTRON_3_NANO, QWEN35_27B["text_config"] | QWEN35_27B,
    GEMMA_4_26B["text_config"] | GEMMA_4_26B,
)  # fmt: skip
SMALL = {**QWEN3_4B, "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 32}  # fmt: skip
NUMBERS = (1, 2, 3, 8, 64, 1000, 4096, 10**6)
STRANGE = (
    None, True, False, -1, 0, 1, 7, 2**31, 2**63, 10**9, 10**40, -(10**20), 0.5, -1e308, float("nan"), float("inf"), "",
    "x", "9" * 300, "\ud800", "\x00", "../..", [], ["x"], [[[]]], [1, 2], {}, {"x": 1}, {"x": {"y": [None]}}, 10**18,
    ["full_attention"] * 3, "fp8", {"quant_method": "fp8"}, {"quant_method": None}, {"quant_method": "awq", "bits": -3},
    {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": "x"}}}},
)  # fmt: skip
TENSORS = {"model.embed_tokens.weight": (64, 16), "model.layers.0.self_attn.qkv.weight": (48, 16),
           "model.layers.0.mlp.up_proj.weight": (96, 16)}  # fmt: skip
SETTINGS = (
    "max_model_len", "max_num_batched_tokens", "max_num_seqs", "gpu_memory_utilization", "block_size", "dtype",
    "tensor_parallel_size", "kv_cache_dtype", "quantization", "compilation_config", "num_gpu_blocks_override",
    "kv_cache_memory_bytes", "kv_offloading_size", "enforce_eager", "attention_backend", "performance_mode",
    "VLLM_CPU_KVCACHE_SPACE", "load-format", "nothing", "",
)  # fmt: skip
WORDS = (
    "0", "-1", "1", "16", "4096", "auto", "1e9", "1000000000", "2147483647", "9" * 40, "0.5", "nan", "inf", "true",
    "fp8", "8k", "k", "8.5k", "", " ", "[]", "{}", "[" * 5000, "\u0663", "\u0663k", "x=y", "None", "awq", "0x10",
    '{"cudagraph_capture_sizes": [1, -3, "x", 1e9]}', '{"max_cudagraph_capture_size": 1000000000}', "FLASHINFER",
    "fp8_per_tensor",
)  # fmt: skip
LIMITS = (
    "vram",
    "ram",
    "ttft_p95",
    "tpot_p50",
    "ttft@8192",
    "ttft@7",
    "output_throughput",
    "temperature",
    "speedup",
    "x",
    "",
)
AMOUNTS = ("0", "-1", "1 GiB", "1e999 GiB", "9" * 400, "2 s", "x", "", "nan", "5 %", "-3 ms", "1000000 TiB")
YAMLS = (
    "a: &a [x, x]\nb: &b [*a, *a]\nworkload: [*b, *b]", "workload: {input_len: 2020-13-45}", "? [a]\n: b",
    "!!python/none x", "- " * 3000,
    "workload: {input_len: !!int 12x}", "- 1", "workload: nothing", "workload: chat", "{", "\t", "%", "<<: 3",
    "1: 2\nx: 3",    "input_len: 1e400", "[" * 3000, "input_len: 0o17\noutput_len: 1_000", "x: &x {y: *x}",
)  # fmt: skip
HARDWARE = {
    "cpu": {"name": "CPU", "cores": 8, "isa": []}, "ram_total_bytes": 94 * 10**9, "ram_available_bytes": 88 * 10**9,
    "shm_free_bytes": 47 * 10**9, "disk_free_bytes": 10**12,
    "gpus": [{"index": 0, "uuid": "GPU-1", "name": "NVIDIA GeForce RTX 5070", "capability": [12, 0],
              "memory_total_bytes": 12227 << 20, "memory_free_bytes": 10200 << 20, "memory_used_bytes": 1500 << 20}],
}  # fmt: skip
OBSERVED = [{
    "model": QWEN3_4B, "gpu": "NVIDIA H200", "engine_version": "0.26.0", "args": ["--max-model-len", "40960"],
    "facts": {"weights_bytes": 8117488189, "kv_cache_bytes": 128879231467, "graph_bytes": 1073741824},
    "points": [{"input_len": 512, "output_len": 128, "concurrency": 4, "tpot_ms": 4.1, "ttft_ms": 30.0}],
}]  # fmt: skip


def broken(drawn, value, depth=0):
    """The value with a field or two put out of order."""
    if depth and drawn.random() < 0.2:
        return drawn.choice(STRANGE)
    if isinstance(value, int) and drawn.random() < 0.8:
        return drawn.choice(NUMBERS)
    if isinstance(value, dict) and value:
        name = drawn.choice(list(value))
        if drawn.random() < 0.1:
            return {**{key: each for key, each in value.items() if key != name}, name + "s": value[name]}
        return {**value, name: broken(drawn, value[name], depth + 1)}
    if isinstance(value, list) and value:
        place = drawn.randrange(len(value))
        return [*value[:place], broken(drawn, value[place], depth + 1), *value[place + 1 :]]
    return drawn.choice(STRANGE)


def a_config(drawn, folder):
    config = drawn.choice(CONFIGS)
    for _ in range(drawn.choice((1, 1, 1, 2, 3))):
        config = broken(drawn, config)
    text = json.dumps(config)
    if drawn.random() < 0.1:
        text = text[: drawn.randrange(len(text))]
    (folder / "config.json").write_text(text)
    return []


def a_header(drawn, folder):
    at, header = 0, {}
    (folder / "config.json").write_text(json.dumps(SMALL))
    for name, (rows, columns) in TENSORS.items():
        header[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [at, at + 2 * rows * columns]}
        at += 2 * rows * columns
    for _ in range(drawn.choice((0, 0, 1, 2))):
        header = broken(drawn, header)
    text = json.dumps(header).encode()
    if drawn.random() < 0.2:
        text = bytes(drawn.randrange(256) if drawn.random() < 0.02 else byte for byte in text)
    length = drawn.choice((*[len(text)] * 12, 0, len(text) + 9, 2**63, 2**64 - 1))
    content = struct.pack("<Q", length) + text + bytes(drawn.choice((*[at] * 6, 0, at - 1, at + 1)))
    (folder / "model.safetensors").write_bytes(content[: drawn.choice((*[None] * 5, drawn.randrange(len(content))))])
    if drawn.random() < 0.3:
        index = {"weight_map": broken(drawn, dict.fromkeys(TENSORS, "model.safetensors"))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(drawn.choice((index, broken(drawn, index)))))
    return []


def some_words(drawn, folder):
    del folder
    words = [
        f"--set={drawn.choice(SETTINGS)}={drawn.choice((*WORDS, *map(str, NUMBERS)))}"
        for _ in range(drawn.choice((1, 1, 2)))
    ]
    words += [f"--limits={drawn.choice(LIMITS)}={drawn.choice(AMOUNTS)}" for _ in range(drawn.choice((0, 0, 1)))]
    words += [f"--grid={drawn.choice((*['max_model_len,concurrency'] * 4, ',', ''))}"] * drawn.randrange(2)
    return words + [f"--concurrency={drawn.choice(('0', '3', '8', '1000000'))}"] * drawn.randrange(2)


def a_load(drawn, folder):
    load = {
        "input_len": 64,
        "output_len": 8,
        "concurrency": 2,
        "num_requests": 4,
        "prefix_len": 0,
        "rate": 2,
        "preset": "chat",
    }
    kept = {name: value for name, value in load.items() if drawn.random() < 0.8}
    text = drawn.choice((*YAMLS, *(json.dumps(broken(drawn, kept)) for _ in range(20))))
    (folder / "load.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    return ["--workload", str(folder / "load.yaml")]


def a_machine(drawn, folder):
    (folder / "machine.json").write_text(json.dumps(broken(drawn, HARDWARE)))
    return ["--hardware", str(folder / "machine.json")]


def a_start(drawn, folder):
    (folder / "seen.json").write_text(json.dumps(broken(drawn, OBSERVED)))
    load = ["--input-len=64", "--output-len=8", "--concurrency=2"] if drawn.random() < 0.2 else []
    return ["--observed", str(folder / "seen.json"), *load]


KINDS = (a_config, a_header, some_words, a_load, a_machine, a_start)


def tried(kind, drawn, folder):
    """The words of one drawn case, its model folder written anew."""
    for file in folder.iterdir():
        file.unlink()
    (folder / "config.json").write_text(json.dumps(QWEN3_4B))
    words = kind(drawn, folder)
    gpu = [] if kind is a_machine else ["--gpu", drawn.choice(("H200", "RTX 4090", "B200", "cpu", "RTX 5070"))]
    return ["plan", str(folder), *gpu, *words, *drawn.choice(([], ["--json"]))]


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_handed_over_ends_in_a_plan_or_one_message(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DYNO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "model"
    folder.mkdir()
    drawn = random.Random(SEED)
    for _ in range(60):
        words = tried(kind, drawn, folder)
        code = run(words)
        said = capsys.readouterr()
        assert code in (0, 1, 2), (words, said.err)
        assert (code == 2) == bool(said.err), (words, said.err)
        assert len(said.err) < 20_000, (words, said.err[:500])
        assert "Traceback" not in said.err
        if words[-1] == "--json":
            assert json.loads(said.out)


def main(number):
    """So many cases, by hand."""
    import contextlib
    import io
    import os
    import resource
    import tempfile

    with tempfile.TemporaryDirectory() as room:
        os.environ |= {"DYNO_HOME": f"{room}/home", "HF_HUB_OFFLINE": "1"}
        folder, drawn, slowest, codes = Path(room) / "model", random.Random(number), [], {}
        folder.mkdir()
        for case in range(number):
            kind = KINDS[case % len(KINDS)]
            words, said, began = tried(kind, drawn, folder), io.StringIO(), monotonic()
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
                code = run(words)
            codes[kind.__name__, code] = codes.get((kind.__name__, code), 0) + 1
            held = {file.name: file.read_bytes()[:3000] for file in folder.iterdir()}
            slowest = sorted([*slowest, (monotonic() - began, words[2:], held)], key=lambda each: -each[0])[:5]
            if code not in (0, 1, 2) or (code == 2) != bool(said.getvalue()):
                print("case", case, code, words, said.getvalue()[:500], held)
        print(codes, *slowest, sep="\n")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, "MiB at most")


if __name__ == "__main__":
    main(int(sys.argv[1]))
