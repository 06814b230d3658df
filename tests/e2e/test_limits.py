"""Throughput at the largest concurrency within the limits, over the fake engine: tune, prove and bench."""

import json
import sys

import pytest
from command import make_bench

from dyno.testing.fake_engine import write_site

WORKLOAD = "{input_len: 512, output_len: 4}"
FLAGS = "--max-model-len 2048 --load-format dummy --max-num-seqs"
SLOW = {"FAKE_TTFT_MS": "40"}
PROVE = ("--shared-host", "--input-len", "512", "--output-len", "4", "--limit", "ttft_p50=60 ms")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A folder in which an engine serves as many requests at a time as it is told, each prefilled in 40 ms."""
    home, site = tmp_path_factory.mktemp("home"), write_site(tmp_path_factory.mktemp("site"))
    made = make_bench(tmp_path_factory.mktemp("limits"), home, tpot_ms=2)
    made.env.update(SLOW)
    made.run("env", "adopt", "--name", "fake", "--python", sys.executable, "--pythonpath", str(site))
    return made


def test_tune_recommends_what_serves_the_most_clients_within_the_limits_and_says_how_many(bench):
    spec = bench.spec(
        workload=WORKLOAD,
        limits="{ttft_p50: 60 ms}",
        tests="[throughput]",
        baseline=f"vllm serve model {FLAGS} 3",
        candidates="{fast: FAKE_FAST=1}",
    )
    done = bench.run("tune", spec, "--study", "tuned", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    first = told["rows"][0]["capacity"]
    assert 2.5 <= first["concurrency"] <= 5
    assert first["told"].endswith("within ttft_p50 <= 60 ms")
    steps = [json.loads(line).get("step") for line in (bench.cwd / "tuned/journal.jsonl").read_text().splitlines()]
    probes = [step["figures"]["probes"] for step in steps if step and step["scenario"] == "throughput"]
    assert max(probes[1:]) <= 4  # later launches begin where the first one ended
    shown = bench.run("report", "--study", "tuned", "--format", "markdown").stdout
    assert "as many at a time as keep ttft" in shown


def test_nothing_is_recommended_where_one_client_is_too_many(bench):
    spec = bench.spec(
        "none.yaml",
        workload=WORKLOAD,
        limits="{ttft_p50: 10 ms}",
        tests="[throughput]",
        baseline=f"vllm serve model {FLAGS} 3",
        candidates="{eager: --enforce-eager}",
    )
    done = bench.run("tune", spec, "--study", "none", "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["recommended"] is None
    assert [row["capacity"]["concurrency"] for row in told["rows"]] == [0, 0]


def test_a_workload_that_names_its_clients_is_measured_with_these(bench):
    spec = bench.spec(
        "named.yaml",
        limits="{ttft_p50: 60 ms}",
        tests="[throughput]",
        candidates="{}",
        baseline=f"vllm serve model {FLAGS} 3",
        workload="{input_len: 512, output_len: 4, concurrency: 2, num_requests: 8}",
    )
    told = json.loads(bench.run("tune", spec, "--study", "named", "--json").stdout)
    assert "capacity" not in told["rows"][0]
    assert told["rows"][0]["metrics"]["throughput"]["completed"] == 8


def test_a_proof_at_the_limits_compares_throughputs_at_different_numbers_of_clients(bench):
    done = bench.run(
        "prove",
        "model",
        "--a",
        f"{FLAGS} 2",
        "--b",
        f"{FLAGS} 4",
        *PROVE,
        "--max-pairs",
        "4",
        "--study",
        "proven",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    (verdict,) = json.loads(done.stdout)
    assert (verdict["answer"], verdict["within"]) == ("better", "ttft_p50 <= 60 ms")
    assert verdict["ratio"] > 1.5


def test_a_side_that_keeps_the_limits_with_no_client_ends_the_proof_with_1(bench):
    done = bench.run(
        "prove",
        "model",
        "--a",
        f"{FLAGS} 2",
        "--b",
        f"FAKE_TTFT_MS=90 {FLAGS} 2",
        *PROVE,
        "--max-pairs",
        "4",
        "--study",
        "broken",
        "--json",
    )
    assert done.returncode == 1, done.stderr
    (verdict,) = json.loads(done.stdout)
    assert verdict["answer"] == "inconclusive"
    assert verdict["note"] == "B kept the limits with not even one client in 1 of 1 launches"


def test_latencies_and_limits_on_them_cannot_both_be_asked_for_without_a_number_of_clients(bench):
    refused = bench.run(
        "prove", "model", "--a", f"{FLAGS} 2", *PROVE, "--metric", "output_throughput", "--metric", "ttft_p95"
    )
    assert refused.returncode == 2
    assert "say how many there are (--concurrency)" in refused.stderr
