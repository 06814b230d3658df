"""`dyno bench --url`, from the words of the command line to what is printed."""

import json
import subprocess
import sys

import pytest
from tests.bench.scripted import Request, completion, playing, refusal

from dyno.bench.server import cpu_us_per_token
from dyno.cli.main import run

SMALL = ["--shared-host", "--concurrency", "2", "--requests", "6", "--input-len", "16", "--output-len", "4"]
STATISTICS = {"mean", "p50", "p90", "p95", "p99"}  # stable names


def models(*names: str) -> list[bytes]:
    page = json.dumps({"data": [{"id": name, "max_model_len": 256} for name in names]}).encode()
    return [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(page), page)]


@pytest.fixture
def server():
    def script(request: Request) -> list[bytes]:
        return models("only") if request.path == "/v1/models" else completion(request)

    with playing(script) as server:
        yield server


def test_json_is_one_object_with_stable_names(server, capsys):
    assert run(["bench", "--url", server.url, "--model", "m", *SMALL, "--seed", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["url"], told["model"], told["load"]["seed"]) == (server.url, "m", 3)
    result = told["result"]
    for latency in ("ttft_ms", "tpot_ms", "itl_ms", "e2el_ms"):
        assert set(result[latency]) == STATISTICS
    assert result["client"]["cpu_us_per_token"] > 0
    assert (result["completed"], result["failed"], result["prompt_tokens"], result["output_tokens"]) == (6, 0, 96, 24)
    assert result["output_throughput"] > 0
    assert result["request_throughput"] > 0
    assert result["duration_s"] > 0
    assert (result["void"], result["errors"]) == ([], {})


def test_one_load_is_the_scenario_throughput_alone(server, capsys, tmp_path):
    words = ["bench", "--url", server.url, *SMALL, "--seed", "3", "--json"]
    plain, named = (run([*words, "--raw", str(tmp_path / "raw")]), run([*words, "--scenario", "throughput"]))
    assert (plain, named) == (0, 0)
    plain, named = map(json.loads, capsys.readouterr().out.splitlines())
    assert set(named) - set(plain) == {"scenarios"}
    assert set(named["result"]) == set(plain["result"])
    prompts = [request.body["prompt"] for request in server.posts]
    assert sorted(prompts[:7]) == sorted(prompts[7:])
    assert {file.name for file in (tmp_path / "raw").iterdir()} == {"throughput.npz", "throughput.json"}


def test_as_many_clients_run_as_were_asked_for(server, capsys):
    assert run(["bench", "--url", server.url, "--shared-host", "--concurrency", "24", "--input-len", "4",
                "--output-len", "2", "--scenario", "throughput", "--scenario", "throughput",
                "--json"]) == 0  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    assert (told["load"]["concurrency"], told["load"]["num_requests"], told["result"]["completed"]) == (24, 96, 96)
    assert len({request.connection for request in server.posts}) == 1 + 24
    assert len(server.posts) == 1 + 96  # a test that is named twice is one test


def test_the_cost_of_the_client_leaves_out_what_its_children_used():
    before = cpu_us_per_token(1)
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"], check=True)
    assert 0 < cpu_us_per_token(1) - before < 250_000
    assert cpu_us_per_token(None) is None


def test_people_get_a_table_and_a_verdict(server, capsys):
    assert run(["bench", "--url", server.url, *SMALL]) == 0
    shown = capsys.readouterr()
    assert "ttft_ms" in shown.out
    assert shown.out.splitlines()[-1].startswith("valid")
    assert shown.err == ""


def test_figures_that_only_one_test_has_are_in_its_table_too(server, capsys):
    assert run(["bench", "--url", server.url, *SMALL, "--scenario", "context"]) == 0
    assert "128.ttft_ms" in capsys.readouterr().out


def test_the_model_may_be_left_out_when_only_one_is_listed(server, capsys):
    assert run(["bench", "--url", server.url, *SMALL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "only"


def test_a_server_that_lists_its_models_to_nobody_without_a_key_says_so(capsys):
    with playing(lambda _: refusal(401, "Unauthorized")) as server:
        assert run(["bench", "--url", server.url]) == 3
    assert (
        "HTTP 401 for /v1/models; name the variable that holds the API key with --api-key-env"
        in capsys.readouterr().err
    )


def test_the_model_must_be_named_when_several_are_listed(capsys):
    with playing(lambda _: models("one", "two")) as server:
        assert run(["bench", "--url", server.url]) == 2
    assert "--model: the server lists one, two" in capsys.readouterr().err


def test_scenarios_have_figures_of_their_own_and_a_launchs_facts_are_null(server, capsys, tmp_path):
    words = ["--scenario", "ttft", "--scenario", "throughput", "--scenario", "startup", "--raw", str(tmp_path)]
    assert run(["bench", "--url", server.url, *SMALL, *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scenarios"]["startup"] is None
    assert told["scenarios"]["ttft"]["completed"] == 8
    assert told["result"]["completed"] == told["scenarios"]["throughput"]["completed"] == 6
    assert {file.name for file in tmp_path.iterdir()} == {"ttft.npz", "ttft.json", "throughput.npz", "throughput.json"}


def test_one_test_that_a_server_refuses_does_not_undo_the_others(capsys):
    def short(request: Request) -> list[bytes]:
        long = "prompt" in request.body and len(request.body["prompt"]) > 4000
        return refusal(400, "too long") if long else completion(request)

    with playing(short) as server:
        words = ["--scenario", "ttft", "--scenario", "long_context", "--json"]
        assert run(["bench", "--url", server.url, "--model", "m", *SMALL, *words]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["scenarios"]["ttft"]["void"] == []
    assert "too long" in told["scenarios"]["long_context"]["void"][0]


def test_a_failed_request_ends_with_1_and_the_json_is_printed(capsys):
    with playing(lambda request: refusal(503, "") if len(server.posts) == 3 else completion(request)) as server:
        assert run(["bench", "--url", server.url, "--model", "m", *SMALL, "--json"]) == 1
    result = json.loads(capsys.readouterr().out)["result"]
    assert (result["failed"], result["errors"]) == (1, {"HTTP 503": 1})
    assert result["void"] == ["1 of 6 requests failed: HTTP 503 (1)"]


def test_a_server_that_cannot_be_reached_ends_with_3(capsys):
    assert run(["bench", "--url", "http://127.0.0.1:9", "--model", "m"]) == 3
    assert "http://127.0.0.1:9: connection refused" in capsys.readouterr().err


def test_an_open_loop_tells_its_rates_and_latencies_from_the_intended_start(server, capsys):
    words = ["bench", "--url", server.url, *SMALL, "--rate", "500", "--arrival", "constant", "--seed", "3"]
    assert run([*words, "--goodput", "ttft:9s,tpot:9s", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["load"]["arrival"], told["load"]["rate"]) == ("constant", 500)
    assert told["load"]["slos_ms"] == {"ttft": 9000, "tpot": 9000}
    result = told["result"]
    assert result["requested_rate"] == pytest.approx(500)
    assert result["achieved_rate"] > 0
    assert result["ttft_intended_ms"]["p50"] >= result["ttft_ms"]["p50"]
    assert (result["goodput_share"], set(result["steady"])) == (
        1, {"duration_s", "output_throughput", "request_throughput"})  # fmt: skip
    assert run(words) == 0
    assert "e2el_intended_ms" in capsys.readouterr().out


def test_a_trace_brings_its_own_requests(server, capsys, tmp_path):
    trace = tmp_path / "trace.jsonl"
    rows = [(0, 8, 2), (0.01, 16, 4), (0.02, 24, 6)]
    trace.write_text("".join(json.dumps(dict(zip(("timestamp_s", "input_len", "output_len"), row, strict=True))) + "\n"
                             for row in rows))  # fmt: skip
    raw = tmp_path / "raw"
    assert run(["bench", "--url", server.url, "--shared-host", "--trace", str(trace), "--raw", str(raw), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["load"]["num_requests"], told["result"]["output_tokens"]) == (3, 12)
    assert told["result"]["requested_rate"] == pytest.approx(100)
    header = json.loads((raw / "throughput.json").read_text())
    assert (header["load"]["arrival"], header["load"]["trace"]) == ("trace", 3)


def test_prompts_begin_as_the_pool_says(server):
    words = ["--prefix-len", "8", "--prefixes", "2", "--lengths", "uniform:0.3", "--requests", "12"]
    assert run(["bench", "--url", server.url, *SMALL[:3], *SMALL[5:], *words]) == 0
    prompts = [request.body["prompt"].split() for request in server.posts[1:]]
    assert (len({tuple(prompt[:8]) for prompt in prompts}), len({tuple(prompt) for prompt in prompts})) == (2, 12)
    assert len({len(prompt) for prompt in prompts}) > 1


@pytest.mark.parametrize(("words", "message"), [
    (["--url", "http://h", "--rate", "0"], "--rate: 0 must be more than 0"),
    (["--url", "http://h", "--rate", "1e300"], "--rate: 1e+300 must be at most 1,000,000 requests a second"),
    (["--url", "http://h", "--arrival", "poison", "--rate", "2"], "'poison' is not known; did you mean 'poisson'"),
    (["--url", "http://h", "--arrival", "poisson"], "need a --rate"),
    (["--url", "http://h", "--trace", "t", "--rate", "2"], "--trace: brings its own times"),
    (["--url", "http://h", "--trace", "t", "--requests", "2"], "--trace: brings its own requests"),
    (["--url", "http://h", "--prefixes", "2"], "only with a --prefix-len"),
    (["--url", "http://h", "--lengths", "zipf:1"], "--lengths: 'zipf:1' is not fixed"),
    (["--url", "http://h", "--lengths", "uniform:2"], "a uniform width is at most 1"),
    (["--url", "http://h", "--goodput", "itl:2s,tpot:fast"], "--goodput: 'itl' is not known (ttft, tpot, e2el)"),
    (["--url", "http://h", "--rate", "2", "--scenario", "ttft"], "for throughput alone"),
    (["--url", "http://h", "--processes", "17"], "--processes 17: more than the 16 connections"),
    (["--url", "http://h", "--processes", "2", "--scenario", "ttft"], "for throughput alone"),
    (["./m", "--rate", "2"], "--rate: goes with --url only"),
    (["--url", "nowhere"], "--url nowhere: not a server's address"),
    (["--url", "http://h", "--workload", "chatt"], "'chatt' is not a preset (chat, long, decode); did you mean 'chat'"),
    (["--url", "http://h", "--scenario", "tft"], "'tft' is not known; did you mean 'ttft'"),
    (["--url", "http://h", "--scenario", "startup"], "facts of a launch"),
    (["--url", "http://h", "--requests", "0"], "num_requests: 0 must be at least 1"),
    (["--url", "http://h", "--requests", "8"], "num_requests: 8 must be at least the 16 requests under way at a time"),
    (["--url", "http://h", "--model", "m", "--api-key-env", "NO_SUCH"], "NO_SUCH is not set"),
    (["--url", "http://h", "--scenario", "ttft", "--limits", "ttft_p50=1s"], "--limits: no test that was asked for"),
    (["--url", "http://h", "--raw", "/dev/null/raw"], "--raw /dev/null/raw: cannot be written to"),
])  # fmt: skip
def test_bad_input_ends_with_2_and_says_what(words, message, capsys):
    assert run(["bench", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_limit_that_is_missed_ends_with_1_and_says_which(server, capsys):
    assert run(["bench", "--url", server.url, *SMALL, "--limits", "ttft_p95=0.0001 ms,output_throughput=1"]) == 1
    said = capsys.readouterr().err
    assert "throughput: missed: ttft_p95" in said
    assert "output_throughput" not in said


def test_the_search_for_the_capacity_takes_limits_and_a_long_test_its_duration(server, capsys):
    words = ["--scenario", "concurrency", "--scenario", "soak", "--limits", "ttft_p50=0.0001 ms", "--duration", "0.1 s"]
    assert run(["bench", "--url", server.url, *SMALL, *words, "--json"]) == 1
    told = capsys.readouterr()
    assert "concurrency: not even one client keeps the limits" in told.err
    assert json.loads(told.out)["scenarios"]["concurrency"]["capacity_concurrency"] == 0


@pytest.mark.parametrize(("words", "said"), [
    (["--limits", "vram=1 GiB"], "--limits vram: can be told of a launch only"),
    (["--limits", "ttft_p95"], "'ttft_p95' is not NAME=..."),
    (["--duration", "soon"], "--duration: 'soon' is not a duration"),
    (["--duration", "0 s"], "--duration: '0 s' must be more than 0 s"),
])  # fmt: skip
def test_limits_and_durations_that_cannot_be_used_are_named(server, capsys, words, said):
    assert run(["bench", "--url", server.url, *SMALL, *words]) == 2
    assert said in capsys.readouterr().err


def test_a_length_that_is_no_number_is_as_none_told(capsys):
    page = json.dumps({"data": [{"id": "only", "max_model_len": "long"}]}).encode()
    listed = [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(page), page)]
    with playing(lambda request: listed if request.path == "/v1/models" else completion(request)) as server:
        assert run(["bench", "--url", server.url, *SMALL, "--scenario", "prefix_reuse", "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["scenarios"]["prefix_reuse"]["completed"] == 6
