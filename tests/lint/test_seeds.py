"""The five seeds' configurations: what is stale, invented or in conflict is found, what is right is left alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from handmade import judge, text

from dyno.hardware.gpus import find_card
from dyno.lint.case import ModelFacts
from dyno.lint.fix import fix
from dyno.lint.knowledge import known_release as release

SEEDS = Path(__file__).parents[1] / "data" / "seeds"
BF16 = ModelFacts("Qwen3-8B", "Qwen3ForCausalLM", 131072, None, 32)

# Per seed what vLLM 0.33 would not take, or takes for nothing.
STALE = {
    "000": {("DYN115", "--kv-cache-dtype"), ("DYN115", "kv_cache_dtype"), ("DYN102", "--swap-space"),
            ("DYN102", "swap_space"), ("DYN102", "--calculate-kv-scales"), ("DYN102", "calculate_kv_scales"),
            ("DYN711", "get_memory_usage"), ("DYN701", "vllm[flashinfer]>=0.10.1"), ("DYN710", "vllm[cuda]"),
            ("DYN602", "--host")},
    "001": {("DYN102", "use_v2_block_manager"), ("DYN401", "kv_cache_dtype"), ("DYN513", "quantization"),
            ("DYN202", "VLLM_ATTENTION_BACKEND"), ("DYN711", "attn_backend"), ("DYN710", "vllm[cuda]"),
            ("DYN515", "trust_remote_code")},
    "002": {("DYN102", "swap_space"), ("DYN513", "quantization"), ("DYN201", "VLLM_QUANTIZATION"),
            ("DYN201", "VLLM_KV_CACHE_DTYPE"), ("DYN201", "VLLM_SWAP_SPACE"), ("DYN201", "VLLM_GPU_MEMORY_UTILIZATION"),
            ("DYN201", "VLLM_TRUST_REMOTE_CODE")},
    "003": {("DYN513", "--quantization"), ("DYN407", "--disable-log-stats"), ("DYN102", "--max-seq-len-to-capture"),
            ("DYN102", "--num-scheduler-steps"), ("DYN102", "--speculative-model"), ("DYN101", "--quantized-kv-cache"),
            ("DYN102", "--swap-space"), ("DYN102", "--preemption-mode"), ("DYN204", "CUDA_ALLOCATOR_BACKEND"),
            ("DYN204", "CUDA_MALLOC_ASYNC_POOLS"), ("DYN204", "CUDA_TENSOR_CORES"), ("DYN204", "CUDNN_TENSOR_OPS"),
            ("DYN204", "CUDA_L2_PERSISTING_SIZE"), ("DYN204", "CUDA_COPY_SPLIT_THRESHOLD"), ("DYN602", "--host"),
            ("DYN515", "--trust-remote-code")},
    "004": {("DYN102", "--num-scheduler-steps"), ("DYN202", "VLLM_USE_V1"), ("DYN202", "VLLM_ATTENTION_BACKEND"),
            ("DYN405", "--kv_offloading_size"), ("DYN603", "vllm/vllm-openai:latest"), ("DYN602", "--host")},
}  # fmt: skip


def findings(seed: str, version: str, **around: object) -> list[tuple[str, str, str]]:
    known = release(version)
    judging = replace(judge(known), **around)
    content = (SEEDS / f"{seed}.md").read_text(encoding="utf-8")
    return [(each.code, each.item, each.severity) for each in judging.findings(text(content, f"{seed}.md", known))]


@pytest.mark.parametrize("seed", STALE)
def test_every_stale_item_is_found_and_no_other(seed):
    assert {(code, item) for code, item, severity in findings(seed, "0.33.0") if severity != "note"} == STALE[seed]


@pytest.mark.parametrize(
    ("seed", "version", "code", "item"),
    [
        ("000", "0.10.1", "DYN103", "--attention-backend"),
        ("000", "0.13.0", "DYN111", "--kv-cache-dtype"),
        ("000", "0.16.0", "DYN301", "--swap-space"),
        ("000", "0.20.0", "DYN408", "calculate_kv_scales"),
        ("001", "0.9.2", "DYN301", "use_v2_block_manager"),
        ("001", "0.9.2", "DYN103", "attention_backend"),
        ("004", "0.10.0", "DYN103", "--kv_offloading_size"),
        ("004", "0.10.0", "DYN304", "--num-scheduler-steps"),
        ("004", "0.11.1", "DYN102", "--num-scheduler-steps"),
        ("004", "0.12.0", "DYN202", "VLLM_USE_V1"),
    ],
)
def test_each_release_has_its_own_faults(seed, version, code, item):
    assert (code, item) in {(code, item) for code, item, _ in findings(seed, version)}


@pytest.mark.parametrize("version", ["0.10.1", "0.13.0", "0.16.0", "0.20.0", "0.33.0"])
@pytest.mark.parametrize("seed", ["000", "001", "004"])
def test_three_seeds_start_on_no_release(seed, version):
    assert "error" in {severity for *_, severity in findings(seed, version)}


def test_a_bf16_checkpoint_and_fp8_since_0_31():
    assert ("DYN512", "--quantization", "error") in findings("003", "0.31.0", model=BF16)
    assert not {code for code, *_ in findings("003", "0.30.0", model=BF16)} & {"DYN512", "DYN513"}


def test_fp8_on_the_laptop_is_native():
    assert ("DYN502", "--quantization", "note") in findings("000", "0.33.0", card=find_card("RTX 4090 Laptop"))


@pytest.mark.parametrize("version", ["0.10.2", "0.13.0", "0.16.0", "0.20.0", "0.28.0", "0.33.0"])
@pytest.mark.parametrize("seed", STALE)
def test_repaired_seeds_have_no_error_that_a_machine_could_mend(seed, version):
    known = release(version)
    content = (SEEDS / f"{seed}.md").read_text(encoding="utf-8")
    done = fix(text(content, f"{seed}.md", known), judge(known))
    errors = [each for each in done.left if each.severity == "error"]
    assert [each for each in errors if each.change] == []
    assert {each.code for each in errors} <= {"DYN101", "DYN102", "DYN103", "DYN701", "DYN711"}
    lines = done.after.text.split("\n")
    named = [each for each in errors if each.code.startswith("DYN10")]
    assert all(lines[each.line - 1].startswith("- ") for each in named), "what is left stands in a sentence"
