"""All rules together: their codes, their page, and the rules that need more than a release."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from handmade import KNOWN, judge, text

from dyno.errors import InputError
from dyno.hardware.gpus import find_card
from dyno.lint.case import ModelFacts
from dyno.lint.diff import changes
from dyno.lint.knowledge import known_release as release
from dyno.lint.matrix import matrix
from dyno.lint.releases import over_all, ranges
from dyno.lint.rules import MODULES, RULES, find_rules

ROOT = Path(__file__).parents[2]
BF16 = ModelFacts("m", "Qwen3ForCausalLM", 40960, None, 32)


def test_every_code_is_its_own_and_explains_itself():
    assert sum(len(module.RULES.all) for module in MODULES) == len(RULES)
    assert all(rule.why.endswith(".") and rule.source and rule.title for rule in RULES.values())


def test_the_page_of_codes_is_made_from_the_rules():
    page = runpy.run_path(str(ROOT / "tools" / "lint_codes.py"))["page"]()
    assert (ROOT / "docs" / "lint-codes.md").read_text(encoding="utf-8") == page


def test_an_unknown_code_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="DYN102"):
        find_rules(["DYN1022"])


def codes(content: str, name: str = "a.sh", version: str = "0.32.0", **around: object) -> set[str]:
    """Codes of errors and warnings."""
    known = replace(KNOWN, version=version)
    judging = replace(judge(known), **around)
    return {each.code for each in judging.findings(text(content, name, known)) if each.severity != "note"}


@pytest.mark.parametrize(
    ("content", "version", "around", "code"),
    [
        ("vllm serve m -q fp8 --kv-cache-dtype fp8_e5m2", "0.20.0", {}, "DYN401"),
        ("vllm serve x/m-FP8 --kv-cache-dtype fp8_e5m2", "0.20.0", {}, "DYN401"),
        ("vllm serve m --max-model-len 50000", "0.32.0", {"model": BF16}, "DYN511"),
        ("vllm serve m -q fp8", "0.31.0", {"model": BF16}, "DYN512"),
        ("vllm serve m -q fp8", "0.31.0", {}, "DYN513"),
        ("vllm serve m -q awq", "0.20.0", {"model": replace(BF16, quantization="gptq")}, "DYN514"),
        ("vllm serve Qwen/Qwen3-4B --trust-remote-code", "0.20.0", {}, "DYN515"),
        ("vllm serve Qwen/Qwen3-4B", "0.8.3", {}, "DYN516"),
        ("vllm serve m -q modelopt", "0.20.0", {"card": find_card("RTX 3090")}, "DYN501"),
        ("vllm serve m", "0.20.0", {"card": find_card("V100")}, "DYN504"),
        ("vllm serve m --gpu-memory-utilization 0.99", "0.20.0", {}, "DYN601"),
        ("vllm serve m --host 0.0.0.0", "0.20.0", {}, "DYN602"),
        ("docker run vllm/vllm-openai:latest --model m", "0.20.0", {}, "DYN603"),
        ("CUDA_TENSOR_CORES=1 vllm serve m", "0.20.0", {}, "DYN204"),
        ("VLLM_QUANTISATION=fp8 vllm serve m", "0.20.0", {}, "DYN201"),
        ("VLLM_CPU_KVCACHE_SPACE=0.5 vllm serve m", "0.20.0", {}, "DYN205"),
        (
            "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True vllm serve m --kv-offloading-size 8",
            "0.32.0",
            {},
            "DYN403",
        ),
        ("docker run vllm/vllm-openai:v0.32.0 --model m --kv-offloading-size 8", "0.32.0", {}, "DYN404"),
        ("docker run --ipc=host vllm/vllm-openai:v0.32.0 --model m --kv-offloading-size 8", "0.32.0", {}, "DYN405"),
        ("vllm serve m --max-num-seqs 64 --max-num-batched-tokens 32", "0.32.0", {}, "DYN411"),
        ("pip install vllm[flashinfer]>=0.10.1", "0.20.0", {}, "DYN701"),
        ("pip install 'vllm[cuda]'", "0.20.0", {}, "DYN710"),
        ("vllm serve m \\ \n  --port 80", "0.20.0", {}, "DYN702"),
        ("vllm serve m \\\n  --port 80\n  --max-num-seqs 3", "0.20.0", {}, "DYN702"),
        ("vllm serve m --port 80 --port 81", "0.20.0", {}, "DYN707"),
        ("vllm serve m n", "0.20.0", {}, "DYN708"),
        ("vllm serve --model m", "0.20.0", {}, "DYN709"),
        ("vllm serve m --enforce-eager true", "0.20.0", {}, "DYN114"),
        ("vllm serve m -q nonsense", "0.20.0", {}, "DYN115"),
        ("vllm serve m --gpu-memory-utilization 1.2", "0.20.0", {}, "DYN116"),
        ("vllm serve m --speculative-config.methods ngram", "0.20.0", {}, "DYN117"),
        ('vllm serve m --speculative-config \'{"method": "magic"}\'', "0.20.0", {}, "DYN118"),
        ("vllm serve m --speculative-config '{\"num_speculative_tokens\": 0}'", "0.20.0", {}, "DYN118"),
        ("vllm serve m --load-format dummy", "0.20.0", {}, "DYN106"),
        ("vllm serve m -q awq", "0.20.0", {"model": BF16}, "DYN514"),
        ("vllm serve m --max-model-len 0", "0.20.0", {}, "DYN416"),
        ('vllm serve m --speculative-config \'{"method": "ngram"}\'', "0.20.0", {}, "DYN415"),
        ("vllm serve m --async-scheduling --speculative-config.method ngram", "0.20.0", {}, "DYN414"),
    ],
)
def test_a_rule_finds_its_fault(content, version, around, code):
    assert code in codes(content, version=version, **around)


@pytest.mark.parametrize(
    ("content", "version", "around"),
    [
        ("vllm serve m -q fp8", "0.30.0", {"model": BF16}),
        ("vllm serve x/m-FP8 -q fp8", "0.32.0", {}),
        ("vllm serve m -q fp8", "0.32.0", {"model": replace(BF16, quantization="fp8")}),
        ("vllm serve m --max-model-len 40960", "0.32.0", {"model": BF16}),
        ("vllm serve ${MODEL} -q fp8 --max-model-len $LENGTH --kv-cache-dtype ${D}", "0.30.0", {"model": BF16}),
        ("VLLM_API_KEY=x vllm serve m --host 0.0.0.0", "0.20.0", {}),
        ("docker run -e VLLM_API_KEY=x vllm/vllm-openai@sha256:0a --model m --host 0.0.0.0", "0.20.0", {}),
        ("docker run --shm-size 16g vllm/vllm-openai:v0.32.0 --model m --kv-offloading-size 8", "0.32.0", {}),
        ("pip install 'vllm[flashinfer]>=0.10.1'", "0.20.0", {}),
        ("pip install vllm>=0.10.1 2>&1 | tee log", "0.20.0", {}),
        (
            "vllm serve m -O3 --speculative-config.method ngram --speculative-config.num_speculative_tokens 3",
            "0.20.0",
            {},
        ),
        ("CUDA_HOME=/usr MAX_JOBS=4 HF_TOKEN=x CUBLAS_WORKSPACE_CONFIG=:4096:8 vllm serve m", "0.20.0", {}),
    ],
)
def test_what_is_right_is_left_alone(content, version, around):
    if ">=0.10.1 2>" in content:
        assert codes(content, version=version) == {"DYN701"}, "only quotes keep the bound"
    else:
        assert codes(content, version=version, **around) == set()


def test_rules_of_yaml_files():
    assert codes("model: m\nmax-num-seqs: 3\nenforce-eager: false\n", "c.yaml") == {"DYN705"}
    assert codes("model: m\nmax-num-seqs: 3\nport:\n", "c.yaml") == {"DYN706"}


def test_what_is_the_default_is_a_note():
    found = judge().findings(text("vllm serve m --gpu-memory-utilization 0.92"))
    assert [(each.code, each.severity) for each in found] == [("DYN302", "note")]


def test_fp8_on_ada_is_native():
    found = replace(judge(), card=find_card("RTX 4090 Laptop")).findings(text("vllm serve m -q fp8"))
    assert [(each.code, each.severity) for each in found] == [("DYN502", "note")]
    assert "native" in found[0].message


def test_over_all_releases_rows_with_the_same_errors_are_one():
    known = {version: replace(KNOWN, version=version) for version in ("0.8.0", "0.8.3", "0.8.4", "0.9.0")}
    found = over_all([text("vllm serve Qwen/Qwen3-4B")], judge(), tuple(known), known.__getitem__)
    rows = [(one, other, bool(messages)) for one, other, messages in ranges(found)]
    assert rows == [("0.8.0", "0.8.3", True), ("0.8.4", "0.9.0", False)]


def test_what_changed_between_releases_is_told():
    older = replace(KNOWN, flags=KNOWN.flags[1:], variables=frozenset())
    told = changes(older, KNOWN)
    assert "new flag --max-num-seqs" in told
    assert "new variable VLLM_API_KEY" in told
    assert changes(KNOWN, KNOWN) == []


def test_optimisations_exclude_each_other_and_are_defaults():
    cells = matrix(replace(judge(), card=find_card("RTX 5070")), release("0.33.0"))
    assert cells["async scheduling", "async scheduling"].state == "default"
    assert cells["multi-step scheduling", "multi-step scheduling"].state == "no"
    assert cells["FP8 KV cache", "FlashAttention"].state == "no"
    assert cells["V1 engine", "V1 engine"].state == "no effect"
    assert cells["prefix caching", "KV offloading"].state == "yes"
