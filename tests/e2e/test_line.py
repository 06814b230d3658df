"""The whole line over the fake engine: tune, report, serve, bench."""

import json
import re
import signal
import urllib.request

import psutil
import pytest
from command import make_bench

SIX = ["startup", "ttft", "throughput", "long_context", "prefix_reuse", "memory"]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, fake_home):
    """One study of the fake engine with a failing candidate, as JSON, and the folder it ran in."""
    bench = make_bench(tmp_path_factory.mktemp("line"), fake_home, tpot_ms=5)
    candidates = "{fast: FAKE_FAST=1, fp8: --kv-cache-dtype fp8, broken: FAKE_FAIL=oom_load}"
    spec = bench.spec(tests="", pairs="3", limits="{ttft_p95: 5 s}", candidates=candidates)
    done = bench.run("tune", spec, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), bench, done.stderr


def test_the_matrix_has_a_row_for_every_candidate_and_every_test_of_those_that_started(outcome):
    rows = {row["name"]: row for row in outcome[0]["rows"]}
    assert list(rows) == ["baseline", "fast", "fp8", "broken"]
    for name in ("baseline", "fast", "fp8"):
        assert list(rows[name]["metrics"]) == SIX
    assert (
        rows["baseline"]["metrics"]["memory"]["kv_cache_tokens"] * 2
        == rows["fp8"]["metrics"]["memory"]["kv_cache_tokens"]
    )
    assert rows["baseline"]["launches"] == 2 + 3


def test_a_failed_candidate_has_its_typed_cause_and_the_study_goes_on(outcome):
    broken = outcome[0]["rows"][3]
    assert (broken["state"], broken["cause"]) == ("failed", "out of memory while loading weights")


def test_a_planted_gain_is_proven_by_interleaved_launches_and_recommended(outcome):
    verdict, recommended = outcome[0]["verdict"], outcome[0]["recommended"]
    assert (verdict["candidate"], verdict["answer"], verdict["launches"]) == ("fast", "better", 6)
    assert 1 < verdict["low"] < verdict["ratio"] < verdict["high"]
    assert recommended["name"] == "fast"
    assert recommended["argv"][:2] == ["vllm", "serve"]
    assert recommended["env"]["FAKE_FAST"] == "1"


def test_progress_says_which_launch_of_how_many_which_test_and_the_last_figures(outcome):
    said = outcome[2]
    assert re.search(r"screen 2/5 \w+ .* elapsed, about .* to go", said)
    assert re.search(r"throughput: [\d,.]+ tokens/s", said)
    assert "startup: failed: out of memory while loading weights" in said


def test_the_report_lies_in_the_study_and_can_be_had_again_in_every_form(outcome):
    bench = outcome[1]
    folder = bench.cwd / "studies" / "spec"
    assert "<html" in (folder / "report.html").read_text()
    assert "| fast |" in bench.run("report", "--format", "markdown").stdout
    assert json.loads(bench.run("report", "--format", "json").stdout)["verdict"] == outcome[0]["verdict"]


def test_a_finished_study_resumes_to_nothing(outcome):
    bench = outcome[1]
    before = (bench.cwd / "studies" / "spec" / "journal.jsonl").read_text().count('"kind":"step"')
    assert bench.run("tune", "--resume").returncode == 0
    assert (bench.cwd / "studies" / "spec" / "journal.jsonl").read_text().count('"kind":"step"') == before


def test_serve_runs_what_was_recommended_and_stops_cleanly(outcome):
    bench = outcome[1]
    process = bench.start("serve", "studies/spec")
    url = process.stdout.readline().strip()
    curl = process.stdout.readline()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", url)
    body = re.search(r"-d '(.*)'", curl)[1].encode()
    asked = urllib.request.Request(f"{url}/completions", body, {"Content-Type": "application/json"})
    assert json.load(urllib.request.urlopen(asked, timeout=10))["choices"][0]["text"]
    engines = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode in (0, 130)
    assert not [engine for engine in engines if engine.is_running() and engine.status() != psutil.STATUS_ZOMBIE]


def test_bench_of_a_model_is_a_study_of_one_candidate_with_the_names_of_bench(bench):
    small = ("--shared-host", "--input-len", "16", "--output-len", "4", "--concurrency", "2", "--requests", "4")
    done = bench.run("bench", "model", *small, "--json", "--", "--load-format", "dummy", "--max-model-len", "512")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert [row["name"] for row in printed["rows"]] == ["baseline"]
    result = printed["result"]
    assert set(result["ttft_ms"]) == {"mean", "p50", "p90", "p95", "p99"}
    assert (result["completed"], result["failed"], result["void"]) == (4, 0, [])
    assert result["client"]["cpu_us_per_token"] > 0


def test_a_dry_run_says_what_would_run_and_makes_nothing(bench):
    done = bench.run("tune", bench.spec(), "--dry-run")
    assert done.returncode == 0
    assert "screen, 4 launches:" in done.stdout
    assert "confirm: 2 pairs" in done.stdout
    assert not (bench.cwd / "studies").exists()


def test_pinned_flags_and_a_users_own_command_hold_for_every_candidate(bench):
    spec = bench.spec(baseline="vllm serve model --port 8000 --host 0.0.0.0 --max-model-len 512", pairs="0")
    done = bench.run("tune", spec, "--json", "--", "--load-format", "dummy", "--tool-call-parser", "hermes")
    assert done.returncode == 0, done.stderr
    head = json.loads((bench.cwd / "studies" / "spec" / "journal.jsonl").read_text().splitlines()[0])
    flags = [dict(candidate["args"]["flags"]) for candidate in head["candidates"]]
    assert len(flags) == 3
    assert all(each["tool_call_parser"] == "hermes" and each["max_model_len"] == 512 for each in flags)
    assert not any("port" in each for each in flags)


def test_a_budget_that_is_spent_leaves_rows_pending_and_says_so(bench):
    done = bench.run("tune", bench.spec(budget="1 s"), "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert "pending" in [row["state"] for row in printed["rows"]]
    assert any("budget" in note for note in printed["notes"])


def test_the_json_schema_of_a_spec_is_printed(bench):
    assert "candidates" in json.loads(bench.run("tune", "--schema").stdout)["properties"]


def test_the_tests_that_take_long_are_taken_when_they_are_named(bench):
    spec = bench.spec(tests="[context, concurrency, sustained, soak]", duration="1.5 s", pairs="0", candidates="{}",
                      workload="{input_len: 32, output_len: 8, concurrency: 2, num_requests: 8}",
                      baseline="vllm serve model --max-model-len 2100 --load-format dummy --max-num-seqs 3",
                      limits="{ttft_p50: 50 ms}")  # fmt: skip
    done = bench.run("tune", spec, "--json", FAKE_TPOT_MS="10")
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)["rows"][0]["metrics"]
    assert list(metrics) == ["startup", "throughput", "context", "concurrency", "sustained", "soak", "memory"]
    assert metrics["context"]["2048.ttft_ms"] > 0
    assert 2 <= metrics["concurrency"]["capacity_concurrency"] <= 6
    assert metrics["soak"]["rounds"] >= 1
    assert "rss_bytes_per_h.slope" in metrics["soak"]
    assert "tokens/s sustained" in done.stderr
