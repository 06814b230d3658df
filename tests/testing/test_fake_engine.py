"""The fake engine is vLLM as far as Dyno looks."""

import argparse
import json
import signal
import subprocess
import sys
from http.client import IncompleteRead
from pathlib import Path

import pytest

from dyno.engine.client import canary, health, served_models
from dyno.engine.facts import read_facts
from dyno.engine.failures import Cause, diagnose
from dyno.engine.metrics import scrape
from dyno.testing.fake_engine import write_site
from dyno.testing.fake_flags import make_arg_parser
from dyno.testing.fake_script import read_script

PROMPT = list(range(100))


def script(*words: str, **env: str):
    return read_script(env, make_arg_parser(argparse.ArgumentParser()).parse_args(["model", *words]))


def segments() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("psm_*")}


def test_an_interpreter_that_sees_the_folder_takes_it_for_vllm(site):
    code = ("import vllm, importlib.metadata as m; from vllm.platforms import current_platform as p;"
            "from vllm.utils.argparse_utils import FlexibleArgumentParser as F;"
            "from vllm.entrypoints.launchers.cli_args import make_arg_parser;"
            "print(vllm.__version__, m.version('vllm'), p.device_type, m.version('torch'),"
            "make_arg_parser(F()).parse_args(['m', '--max-num-seqs', '8']).max_num_seqs)")  # fmt: skip
    answer = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["0.32.0+cpu", "0.32.0+cpu", "cpu", "2.13.0+cpu", "8"]


def test_it_answers_as_a_ready_engine_does(start):
    engine = start("model", "--served-model-name", "m", "nonce", "--max-model-len", "4K").wait_ready()
    assert health(engine.url)
    assert served_models(engine.url) == ("m", "nonce")
    assert canary(engine.url, "nonce", timeout_s=5).answered
    assert engine.get("/version") == {"version": "0.32.0"}
    assert {card["max_model_len"] for card in engine.get("/v1/models")["data"]} == {4096}


def test_its_start_gives_facts_on_the_path_of_real_vllm(start):
    engine = start(
        "model", "--max_model_len", "4096", "--kv-cache-dtype", "fp8", VLLM_CPU_KVCACHE_SPACE="2"
    ).wait_ready()
    labels = scrape(engine.url).labels("vllm:cache_config_info")
    by_metrics, by_log = (read_facts(engine.log, source, 0.3, None, None) for source in (labels, None))
    for facts in (by_metrics, by_log):
        assert (facts.kv_cache_tokens, facts.kv_cache_bytes, facts.max_concurrency) == (2 * 2 * 262_144, 2 << 30, 256.0)
        assert (facts.max_model_len, facts.init_s) == (4096, 2.72)


def test_a_fake_cuda_engine_tells_what_a_cuda_engine_tells(start, tmp_path):
    engine = start("model", site=write_site(tmp_path / "cuda", "0.33.0", "cuda")).wait_ready()
    facts = read_facts(engine.log, None, 0.3, None, None)
    assert (facts.compile_s, facts.graph_capture_s, facts.weights_load_s) == (24.31, 5.0, 1.23)
    assert facts.attention_backend == "FLASH_ATTN"


def test_a_stream_has_one_piece_per_token_then_usage(start):
    *pieces, usage = start().wait_ready().stream(prompt=PROMPT, max_tokens=5, ignore_eos=True,
                                                 stream_options={"include_usage": True})  # fmt: skip
    assert len([piece["choices"][0]["text"].strip() for piece in pieces]) == 5
    assert [piece["choices"][0]["finish_reason"] for piece in pieces] == [None] * 4 + ["length"]
    assert (usage["choices"], usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == ([], 100, 5)


def test_a_chat_stream_begins_with_its_role(start):
    first, *pieces = start().wait_ready().stream("/v1/chat/completions", max_tokens=3, ignore_eos=True,
                                                 messages=[{"role": "user", "content": "kume kole"}])  # fmt: skip
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len(pieces) == 3


def test_a_stream_interval_gathers_tokens_into_pieces(start):
    pieces = start("model", "--stream-interval", "4").wait_ready().stream(prompt=PROMPT, max_tokens=10, ignore_eos=True)
    assert [len(piece["choices"][0]["text"].split()) for piece in pieces] == [1, 4, 4, 1]


def test_equal_prompts_get_equal_answers_and_usage_without_a_stream(start):
    engine = start().wait_ready()
    first, second = (engine.complete(prompt="kume kole", max_tokens=4, ignore_eos=True) for _ in range(2))
    assert first["choices"][0]["text"] == second["choices"][0]["text"]
    assert first["usage"] == {"prompt_tokens": 2, "total_tokens": 6, "completion_tokens": 4}


def test_without_ignore_eos_an_answer_may_end_early(start):
    answer = start().wait_ready().complete(prompt=[1, 2], max_tokens=50)
    assert (answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == (4, "stop")


def test_unknown_models_and_prompts_that_do_not_fit_are_refused(start):
    engine = start("model", "--max-model-len", "104").wait_ready()
    assert engine.post("/v1/completions", model="other", prompt=PROMPT, max_tokens=1)[0] == 404
    assert engine.post("/v1/completions", prompt=PROMPT, max_tokens=5)[0] == 400
    assert engine.post("/v1/completions", prompt=PROMPT, max_tokens=4)[0] == 200


def test_the_counters_equal_what_was_served(start):
    engine = start().wait_ready()
    for _ in range(3):
        engine.complete(prompt=PROMPT, max_tokens=7, ignore_eos=True)
    metrics = scrape(engine.url)
    assert (metrics.total("vllm:prompt_tokens"), metrics.total("vllm:generation_tokens")) == (300, 21)
    assert (metrics.total("vllm:request_success"), metrics.total("vllm:num_requests_running")) == (3, 0)
    assert metrics.total("vllm:inter_token_latency_seconds_count") == 18
    assert metrics.total("vllm:e2e_request_latency_seconds_count") == 3


@pytest.mark.parametrize(
    ("flag", "queries", "hits"), [("--enable-prefix-caching", 200, 96), ("--no-enable-prefix-caching", 0, 0)]
)
def test_a_repeated_prefix_hits_full_blocks_unless_switched_off(start, flag, queries, hits):
    engine = start("model", flag).wait_ready()
    for last in (1000, 1001):
        engine.complete(prompt=[*PROMPT[:-1], last], max_tokens=1)
    metrics = scrape(engine.url)
    assert (metrics.total("vllm:prefix_cache_queries"), metrics.total("vllm:prefix_cache_hits")) == (queries, hits)


def test_flags_and_variables_set_the_pace():
    assert (script().ttft_s, script().tpot_s) == (0.002, 0.001)
    assert script("--enforce-eager").tpot_s == pytest.approx(0.0012)
    assert script(FAKE_FAST="1", FAKE_TPOT_MS="3").tpot_s == pytest.approx(0.002)


def test_launches_differ_by_the_jitter_and_a_seed_repeats_it():
    jittered = [script(FAKE_JITTER="0.1", FAKE_SEED=str(seed)).tpot_s for seed in range(3)]
    assert len(set(jittered)) == 3
    assert script(FAKE_JITTER="0.1", FAKE_SEED="0").tpot_s == jittered[0]


FAILURES = [("oom_load", Cause.OOM_LOAD), ("oom_profile", Cause.OOM_PROFILE), ("oom_graphs", Cause.OOM_GRAPHS),
            ("memory_taken", Cause.MEMORY_TAKEN), ("kv_too_small", Cause.KV_TOO_SMALL), ("killed", Cause.KILLED),
            ("bad_argument", Cause.BAD_ARGUMENT), ("model_files", Cause.MODEL_FILES),
            ("port_in_use", Cause.PORT_IN_USE)]  # fmt: skip


@pytest.mark.parametrize(("name", "cause"), FAILURES)
def test_a_failure_on_demand_has_its_cause(start, name, cause):
    engine = start(FAKE_FAIL=name)
    exit_code = engine.process.wait(timeout=20)
    assert exit_code != 0
    assert diagnose(engine.log, exit_code, timed_out=False).cause is cause


@pytest.mark.parametrize(("words", "env", "cause"), [
    (("model", "--quantization", "fp8_per_tensor"), {}, Cause.BAD_ARGUMENT),
    (("model",), {"VLLM_CPU_KVCACHE_SPACE": "40"}, Cause.OOM_PROFILE),
    (("model", "--kv-cache-memory-bytes", "1M"), {}, Cause.KV_TOO_SMALL),
    (("/nowhere/model",), {}, Cause.MODEL_FILES),
    (("model", "--no-such-flag"), {}, Cause.BAD_ARGUMENT),
    (("model", "--kv-cache-dtype", "fp9"), {}, Cause.BAD_ARGUMENT),
])  # fmt: skip
def test_flags_that_real_vllm_fails_with_fail(start, words, env, cause):
    engine = start(*words, **env)
    exit_code = engine.process.wait(timeout=20)
    assert diagnose(engine.log, exit_code, timed_out=False).cause is cause


def test_a_second_engine_on_the_port_fails(start):
    first = start().wait_ready()
    second = start(port=first.port)
    assert second.process.wait(timeout=20) == 1
    assert diagnose(second.log, 1, timed_out=False).cause is Cause.PORT_IN_USE


def test_an_engine_core_that_dies_ends_the_stream_and_the_server(start):
    engine = start(FAKE_FAIL="dies_mid_stream").wait_ready()
    assert canary(engine.url, "model", timeout_s=5).answered
    with pytest.raises(IncompleteRead):
        engine.stream(prompt=PROMPT, max_tokens=9, ignore_eos=True)
    assert engine.process.wait(timeout=20) == 1
    assert diagnose(engine.log, 1, timed_out=False).cause is Cause.DIED


def test_an_engine_that_hangs_is_healthy_and_completes_nothing(start):
    engine = start(FAKE_FAIL="hangs").wait_ready()
    assert health(engine.url)
    assert not canary(engine.url, "model", timeout_s=0.1).answered


def test_a_failure_can_set_in_later(start):
    engine = start(FAKE_FAIL="hangs", FAKE_FAIL_AFTER="1").wait_ready()
    assert [canary(engine.url, "model", timeout_s=timeout).answered for timeout in (5, 0.1)] == [True, False]


def test_answers_can_be_garbled_uncounted_or_miscounted(start):
    garbled, uncounted, miscounted = (
        start(FAKE_FAIL=name).wait_ready() for name in ("wrong_json", "no_usage", "wrong_tokens")
    )
    assert not canary(garbled.url, "model", timeout_s=5).answered
    assert uncounted.complete(prompt=PROMPT)["usage"] is None
    served = miscounted.complete(prompt=PROMPT, max_tokens=4, ignore_eos=True)["usage"]["completion_tokens"]
    assert scrape(miscounted.url).total("vllm:generation_tokens") != served


def test_metrics_can_be_missing_or_empty(start):
    assert scrape(start(FAKE_FAIL="no_metrics").wait_ready().url) is None
    assert scrape(start("model", "--disable-log-stats").wait_ready().url).samples == {}


def test_an_engine_that_is_never_ready_does_not_listen(start):
    engine = start(FAKE_FAIL="never_ready")
    engine.wait_until(lambda: "init engine" in engine.log)
    assert not health(engine.url, timeout_s=0.2)
    assert engine.process.poll() is None


def test_term_ends_the_whole_tree_and_its_shared_memory(start):
    before = segments()
    engine = start().wait_ready()
    held = segments() - before
    engine.process.terminate()
    assert engine.process.wait(timeout=20) == 0
    assert engine.family
    assert not engine.survivors()
    assert not held & segments()


def test_a_killed_server_leaves_its_core_running(start):
    engine = start().wait_ready()
    engine.process.send_signal(signal.SIGKILL)
    engine.process.wait()
    assert engine.running()


def test_a_child_can_outlive_the_engine(start):
    engine = start(FAKE_FAIL="outliving_child").wait_ready()
    engine.process.terminate()
    engine.process.wait(timeout=20)
    assert engine.running()


def test_an_engine_can_ignore_term(start):
    engine = start(FAKE_FAIL="ignores_term").wait_ready()
    engine.process.terminate()
    assert health(engine.url)
    assert engine.process.poll() is None


def test_json_flags_are_read_as_json():
    parsed = make_arg_parser(argparse.ArgumentParser()).parse_args(["model", "-cc", json.dumps({"mode": 0})])
    assert parsed.compilation_config == {"mode": 0}
