"""`dyno plan` under a load, as it is typed."""

import json
import random

import pytest
from models import QWEN3_4B

from dyno.cli.main import run
from dyno.plan.calibration import kept_file

H200 = ["--gpu", "H200", "--vllm", "0.26.0", "--set", "max_model_len=40960"]
LOAD = ["--input-len", "512", "--output-len", "128", "--concurrency", "8"]


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(QWEN3_4B))
    return str(folder)


def plan(capsys, *words, code=0):
    assert run(["plan", *words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def points_file(folder, tpot_ms, gpu="NVIDIA H200"):
    file = folder / "seen.json"
    file.write_text(json.dumps([{
        "model": QWEN3_4B, "gpu": gpu, "engine_version": "0.26.0", "args": ["--max-model-len", "40960"],
        "points": [{"input_len": 64, "output_len": 64, "concurrency": 1, "tpot_ms": tpot_ms, "ttft_ms": 20.0}],
    }]))  # fmt: skip
    return str(file)


def test_json_has_the_stable_fields(model, capsys):
    told = plan(capsys, model, *H200, *LOAD)
    for name in ("ttft_ms", "tpot_ms", "e2el_ms"):
        assert set(told["latency"][name]) >= {"p50", "p90", "p99", "low", "high"}
    assert told["latency"]["output_throughput"] > 0
    assert (told["latency"]["calibrated"], told["latency"]["fitted_on"]) == (False, [])
    assert any("no point of this machine was measured yet" in note for note in told["notes"])


def test_candidates_stand_in_the_order_of_their_predictions(model, capsys):
    told = plan(capsys, model, *H200, *LOAD)
    speeds = [each["latency"]["output_throughput"] for each in told["candidates"] if each["latency"]]
    assert speeds == sorted(speeds, reverse=True)
    names = [each["name"] for each in told["candidates"]]
    assert names.index("fp8 weights") < names.index("eager")


def test_more_api_servers_shorten_the_wait(model, capsys):
    one, four = (plan(capsys, model, *H200, *LOAD, "--set", f"api_server_count={number}") for number in (1, 4))
    assert four["latency"]["ttft_ms"]["mean"] < one["latency"]["ttft_ms"]["mean"]
    assert four["memory"] == one["memory"]


def test_points_that_were_seen_correct_one_call(model, tmp_path, capsys):
    before = plan(capsys, model, *H200, *LOAD)["latency"]
    after = plan(capsys, model, *H200, *LOAD, "--observed", points_file(tmp_path, 9.0))["latency"]
    assert after["tpot_ms"]["p50"] > 1.2 * before["tpot_ms"]["p50"]
    assert after["fitted_on"] == [f"{tmp_path}/seen.json[0].points[0]"]
    assert not kept_file().exists()
    assert plan(capsys, model, *H200, *LOAD)["latency"] == before


def test_points_of_another_card_say_nothing(model, tmp_path, capsys):
    told = plan(capsys, model, *H200, *LOAD, "--observed", points_file(tmp_path, 9.0, gpu="RTX 4090"))
    assert told["latency"]["fitted_on"] == []


def test_the_cpu_engine_is_not_guessed(model, capsys):
    told = plan(capsys, model, "--gpu", "cpu", "--vllm", "0.32", "--set", "VLLM_CPU_KVCACHE_SPACE=8", "--set",
                "max_model_len=4096", *LOAD)  # fmt: skip
    assert told["latency"] is None
    assert any("no latency: vLLM's CPU engine was not measured yet" in note for note in told["notes"])


def test_a_request_that_cannot_be_answered_rejects(model, capsys):
    told = plan(capsys, model, "--gpu", "H200", "--set", "max_model_len=600", *LOAD, code=1)
    assert told["latency"] is None
    assert "is longer than max_model_len 600" in told["rejected"][0]
    assert told["largest"]["max_model_len"] == 40960


@pytest.mark.parametrize(
    ("limit", "missed"),
    [("ttft_p95=1 ms", True), ("ttft_p95=60 s", False), ("output_throughput=1000000", True), ("e2el_mean=1 h", False),
     ("ttft@8K=1 ms", True), ("tpot_p99=1 s", False), ("request_throughput=0.1", False)],
)  # fmt: skip
def test_limits_on_speed_hold_or_reject(model, capsys, limit, missed):
    told = plan(capsys, model, *H200, *LOAD, "--limits", limit, code=int(missed))
    assert bool(told["rejected"]) == missed
    assert told["latency"] is not None


def test_limits_on_speed_without_a_load_are_said_to_be_unchecked(model, capsys):
    told = plan(capsys, model, *H200, "--limits", "ttft_p95=1 ms")
    assert any("not checked: ttft_p95; name a load" in note for note in told["notes"])


def test_a_limit_that_only_a_launch_can_tell_of_is_said_to_be_unchecked(model, capsys):
    limits = ["--limits", "temperature=80 C,itl_p99=1 s,ttft@64K=1 ms", "--limits", "vram=140 GiB"]
    told = plan(capsys, model, *H200, *LOAD, *limits)
    unchecked = "not checked: temperature, itl_p99, ttft@65536; nothing is predicted of it here"
    assert any(unchecked in note for note in told["notes"])


def test_a_workload_file_may_have_a_rate_and_a_shared_beginning(model, tmp_path, capsys):
    file = tmp_path / "load.yaml"
    file.write_text("{input_len: 2048, output_len: 32, prefix_len: 1536, num_requests: 40, rate: 4}")
    told = plan(capsys, model, *H200, "--workload", str(file))["latency"]
    assert told["request_throughput"] == pytest.approx(4, rel=0.5)
    assert told["ttft_ms"]["p50"] < 60


def test_the_table_tells_speed_and_where_it_comes_from(model, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "180")
    assert run(["plan", model, *H200, *LOAD]) == 0
    text = capsys.readouterr().out
    assert "32 requests of 512 in, 128 out, 8 at once:" in text
    assert "generic rates" in text
    assert "tokens/s" in text
    assert "e+" not in text


STRANGE = ("0", "-1", "x", "1e99", "null", "[]", "{}", "true", "1.5", ".inf", "99999999999")


def test_no_load_ends_in_anything_but_an_answer_or_one_message(model, tmp_path, capsys):
    """Every field of a workload set to strange things, and points with them."""
    drawn, file = random.Random(6), tmp_path / "load.yaml"
    for name in ("input_len", "output_len", "concurrency", "num_requests", "prefix_len", "prefixes", "rate", "preset"):
        for value in STRANGE:
            more = "rate_: 1\n" if drawn.random() < 0.1 else ""
            file.write_text(f"input_len: 64\noutput_len: 8\nconcurrency: 2\n{name}: {value}\n{more}")
            assert run(["plan", model, *H200, "--workload", str(file), "--json"]) in (0, 1, 2)
            assert json.loads(capsys.readouterr().out)
    for name in ("input_len", "output_len", "concurrency", "tpot_ms", "ttft_ms", "output_throughput", "num_requests"):
        for value in (0, -1, "x", 1e300, None, [], True, 10**9, 1e-300):
            point = {"input_len": 64, "output_len": 8, "concurrency": 2, "tpot_ms": 4.0, name: value}
            seen = tmp_path / "seen.json"
            entry = {"model": QWEN3_4B, "gpu": "H200", "engine_version": "0.26", "points": [point]}
            seen.write_text(json.dumps([entry]))
            assert run(["plan", model, *H200, *LOAD, "--json", "--observed", str(seen)]) in (0, 1, 2)
            assert json.loads(capsys.readouterr().out)
