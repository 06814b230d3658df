"""What goes together, against the data of real releases: since when, until when, and what is not checked at all."""

from dataclasses import replace

import pytest
from handmade import judge, text

from dyno.lint.case import ModelFacts
from dyno.lint.fix import fix
from dyno.lint.knowledge import known_release

QWEN = ModelFacts("m", "Qwen3ForCausalLM", 40960, None, 16, 0)
NONE: set[str] = set()


def errors(flags: str, version: str, before: str = "", **around: object) -> set[str]:
    known = known_release(version)
    judging = replace(judge(known), **{"model": QWEN, "platform": "cpu", **around})
    found = judging.findings(text(f"{before} vllm serve m {flags}", "a.sh", known))
    return {each.code for each in found if each.severity == "error"}


@pytest.mark.parametrize(
    ("flags", "taken", "refused", "code"),
    [
        ("--kv-transfer-config '{}'", "0.18.1", "0.22.1", "DYN409"),
        ("--dcp-comm-backend a2a", "0.29.0", "0.26.0", "DYN409"),
        ("--reasoning-config '{}'", "0.30.0", "0.26.0", "DYN409"),
        ("--collect-detailed-traces all", "0.10.2", "0.14.1", "DYN409"),
        ("--enable-return-routed-experts", "0.22.1", "0.32.0", "DYN406"),
        ("--no-enable-chunked-prefill --max-num-batched-tokens 512 --max-model-len 2048", "0.10.2", "0.14.1", "DYN412"),
        ("-q fp8", "0.30.0", "0.31.0", "DYN512"),
    ],
)
def test_a_rule_holds_for_the_releases_that_keep_it(flags, taken, refused, code):
    assert errors(flags, taken) == NONE
    assert errors(flags, refused) == {code}


@pytest.mark.parametrize(
    ("flags", "version", "code"),
    [
        ("--offload-backend prefetch", "0.33.0", "DYN409"),
        ("--offload-backend prefetch --offload-group-size 4 --offload-num-in-group 8", "0.33.0", "DYN411"),
        ("--max-long-partial-prefills 4", "0.10.2", "DYN411"),
        ("--max-num-partial-prefills 4", "0.10.2", "DYN305"),
        ("--nnodes 4", "0.22.1", "DYN419"),
        ("--decode-context-parallel-size 2", "0.32.0", "DYN418"),
        ("--collect-detailed-traces all,model --otlp-traces-endpoint http://a", "0.18.1", "DYN111"),
        ("--grpc-port 50051", "0.33.0", "DYN409"),
        ("--enable-expert-parallel", "0.22.1", "DYN518"),
        ("--kv-events-config '{\"no_such_key\": 1}'", "0.22.1", "DYN117"),
        ("--speculative-config '{\"num_speculative_tokens\": 3}'", "0.22.1", "DYN417"),
        ("--max-loras 0 --enable-lora", "0.22.1", "DYN116"),
        ("--enable-sleep-mode", "0.22.1", "DYN406"),
        ("--no-enable-flashinfer-autotune --kernel-config.enable_flashinfer_autotune false", "0.26.0", "DYN410"),
    ],
)
def test_what_the_release_refuses_is_an_error(flags, version, code):
    assert errors(flags, version) == {code}


@pytest.mark.parametrize(
    ("flags", "version"),
    [
        ("--offload-backend prefetch --offload-group-size 4", "0.33.0"),
        ("--max-num-partial-prefills 4 --enable-chunked-prefill", "0.10.2"),
        ("--nnodes 4 --tensor-parallel-size 4", "0.22.1"),
        ("--kv-transfer-config '{}' --disable-hybrid-kv-cache-manager", "0.22.1"),
        ("--max-loras 0", "0.22.1"),
        ("--mm-processor-cache-gb -0.5", "0.22.1"),
        ("--dp-sync-interval 0 --dp-sync-interval 4", "0.33.0"),
        ("--kv-cache-memory-bytes ''", "0.33.0"),
        ("--pipeline-parallel-size 2", "0.18.1"),
        ("--kv-transfer-config.kv_connector x --kv-transfer-config.kv_role kv_both", "0.33.0"),
        ("--nnodes 4 $MORE", "0.22.1"),
    ],
)
def test_what_the_release_takes_is_none(flags, version):
    assert errors(flags, version) == NONE


def test_a_variable_may_be_what_is_needed():
    assert errors("--grpc-port 50051", "0.33.0", "VLLM_USE_RUST_FRONTEND=1") == NONE


def test_the_model_as_a_flag_after_vllm_serve():
    def codes(command: str, version: str) -> set[tuple[str, str]]:
        known = known_release(version)
        found = judge(known).findings(text(command, "a.sh", known))
        return {(each.code, each.severity) for each in found if each.severity != "note"}

    assert codes("vllm serve --model m", "0.10.2") == {("DYN712", "error")}
    assert codes("vllm serve --model m", "0.14.1") == {("DYN709", "warning")}
    assert codes("vllm serve --model=m", "0.10.2") == set()
    assert codes("python -m vllm.entrypoints.openai.api_server --model m", "0.10.2") == set()


def test_a_card_may_have_what_the_cpu_has_not():
    assert errors("--enable-sleep-mode", "0.22.1", platform=None) == NONE


def test_a_method_that_is_to_go_is_refused_until_it_is_allowed():
    leaving = replace(QWEN, quantization="fbgemm_fp8")
    assert errors("", "0.32.0", model=leaving) == {"DYN519"}
    assert errors("--allow-deprecated-quantization", "0.32.0", model=leaving) == NONE
    assert errors("", "0.13.0", model=leaving) == NONE


def test_keys_that_older_releases_forget_are_no_errors():
    known = known_release("0.14.1")
    found = judge(known).findings(text("vllm serve m --kv-events-config '{\"no_such_key\": 1}'", "a.sh", known))
    assert [(each.code, each.severity) for each in found] == [("DYN120", "warning")]


def test_a_value_that_the_flag_has_not_is_not_moved_to_it():
    known = known_release("0.22.1")
    before = "VLLM_ATTENTION_BACKEND=FLASHINFERX vllm serve m"
    assert fix(text(before, "a.sh", known), judge(known)).after.text == "vllm serve m"
