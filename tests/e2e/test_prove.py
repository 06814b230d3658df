"""`dyno prove` and `dyno compare` over the fake engine."""

import json
import os
import random
import re
import sys
import time

import pytest
from command import make_bench
from outside import GONE_WITHIN_S, MARK, at_line, finished, marked, wait_until

from dyno.testing.fake_engine import write_site

FLAGS = "--max-model-len 512 --load-format dummy"
SMALL = ("--shared-host", "--input-len", "32", "--output-len", "8", "--concurrency", "4", "--requests", "8")


def looks(folder):
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [(line["pairs"], line["goes_on"]) for line in lines if line["kind"] == "look"]


@pytest.fixture(scope="module")
def proof(tmp_path_factory):
    """A proof that B, in an environment of its own, is faster; as JSON, and the folder it ran in."""
    home, site = tmp_path_factory.mktemp("home"), write_site(tmp_path_factory.mktemp("site"))
    bench = make_bench(tmp_path_factory.mktemp("prove"), home, tpot_ms=5)
    for name in ("fake", "other"):
        bench.run("env", "adopt", "--name", name, "--python", sys.executable, "--pythonpath", str(site))
    done = bench.run("prove", "model", "--a", FLAGS, "--b", f"FAKE_FAST=1 {FLAGS}", "--env-a", "fake",
                     "--env-b", "other", "--metric", "output_throughput", "--metric", "tpot_p50", "--max-pairs", "6",
                     *SMALL, "--study", "first", "--json")  # fmt: skip
    return done, bench


def test_a_planted_gain_is_proven_in_every_metric_and_ends_the_proof(proof):
    done, bench = proof
    assert done.returncode == 0, done.stderr
    verdicts = json.loads(done.stdout)
    assert [(each["metric"], each["answer"]) for each in verdicts] == [
        ("output_throughput", "better"), ("tpot_p50", "better")]  # fmt: skip
    written = looks(bench.cwd / "first")
    assert written in ([(4, False)], [(4, True), (6, False)])
    launches = {launch for _, _, launch, _, _ in finished(bench.cwd / "first")}
    assert len(launches) == 2 * written[-1][0]


def test_launches_alternate_with_the_same_prompts_on_both_sides_each_in_its_own_environment(proof):
    folder = proof[1].cwd / "first"
    launches = [step for step in finished(folder) if step[1] == "throughput"]
    assert "".join(step[0] for step in launches)[:8] == "ABBAABBA"
    assert all(first[3] == second[3] for first, second in zip(launches[::2], launches[1::2], strict=True))
    head = json.loads((folder / "journal.jsonl").read_text().splitlines()[0])
    assert [each["name"] for each in (head["engine"], *head["engines"])] == ["fake", "other"]
    assert [each["engine"] for each in head["candidates"]] == [None, "other"]


def test_a_finished_proof_resumes_to_nothing_and_reports_every_verdict(proof):
    bench = proof[1]
    before = finished(bench.cwd / "first")
    assert bench.run("prove", "--resume", "--study", "first").returncode == 0
    assert finished(bench.cwd / "first") == before
    shown = bench.run("report", "--study", "first", "--format", "markdown").stdout
    assert "B is better than A: output\\_throughput" in shown or "B is better than A: output_throughput" in shown
    assert "tpot_p50" in shown


def test_a_worse_b_ends_with_1_and_a_budget_that_is_spent_ends_with_4(proof):
    bench = proof[1]
    slower = bench.run("prove", "model", "--a", f"FAKE_FAST=1 {FLAGS}", "--b", FLAGS, "--env-a", "fake",
                       "--max-pairs", "4", *SMALL, "--study", "worse")  # fmt: skip
    assert slower.returncode == 1, slower.stderr
    assert "B is worse than A" in slower.stdout
    open_ended = bench.run("prove", "model", "--a", FLAGS, "--b", FLAGS, "--env-a", "fake", "--budget", "1 ms",
                           *SMALL, "--study", "open", "--json")  # fmt: skip
    assert open_ended.returncode == 4, open_ended.stderr
    assert json.loads(open_ended.stdout)[0]["answer"] == "inconclusive"
    assert "The budget is spent after" in open_ended.stderr


def test_an_engine_that_does_not_start_ends_with_3(proof):
    broken = proof[1].run("prove", "model", "--a", FLAGS, "--b", f"FAKE_FAIL=oom_load {FLAGS}", "--env-a", "fake",
                          *SMALL, "--study", "broken", "--json")  # fmt: skip
    assert broken.returncode == 3, broken.stderr
    (verdict,) = json.loads(broken.stdout)
    assert verdict["answer"] == "inconclusive"
    assert verdict["note"] == "1 of 1 launches of B failed: out of memory while loading weights"


def test_a_start_that_others_spoiled_is_tried_once_more_and_the_proof_goes_on(proof):
    bench = proof[1]
    once = f"FAKE_FAIL=memory_taken FAKE_FAIL_ONCE={bench.cwd / 'once'} FAKE_FAST=1 {FLAGS}"
    done = bench.run("prove", "model", "--a", FLAGS, "--b", once, "--env-a", "fake", "--max-pairs", "4", *SMALL,
                     "--study", "again", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["answer"] == "better"
    journal = (bench.cwd / "again" / "journal.jsonl").read_text()
    assert "Launch 1: the card's memory is taken by others; started again." in journal
    assert (bench.cwd / "again" / "logs" / "001-again.log").exists()


def test_the_default_is_proven_against_an_attention_backend_by_its_name(proof):
    bench = proof[1]
    done = bench.run("prove", "model", "--a", FLAGS, "--backends", "cpu_attn", "--env-a", "fake", "--max-pairs", "4",
                     "--margin", "50 %", *SMALL, "--study", "backend", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (verdict,) = json.loads(done.stdout)
    assert (verdict["candidate"], verdict["answer"]) == ("CPU_ATTN", "equivalent")
    head = json.loads((bench.cwd / "backend-CPU_ATTN" / "journal.jsonl").read_text().splitlines()[0])
    assert ["attention_backend", "CPU_ATTN"] in head["candidates"][1]["args"]["flags"]
    nothing = bench.run("prove", "model", "--a", FLAGS, "--backends", "all", "--env-a", "fake")
    assert nothing.returncode == 2
    assert "has one attention backend, CPU_ATTN, which is its default" in nothing.stderr


def test_a_killed_proof_resumes_to_the_same_launches_and_leaves_nothing_behind(proof):
    bench, rng, mark = proof[1], random.Random(3), f"prove-{os.getpid()}"
    ask = ("model", "--a", FLAGS, "--b", f"FAKE_FAST=1 {FLAGS}", "--env-a", "fake", "--max-pairs", "6", *SMALL)
    for _ in range(4):
        begun = (bench.cwd / "killed" / "journal.jsonl").exists()
        process = bench.start("prove", *(("--resume",) if begun else ask), "--study", "killed", **{MARK: mark})
        at_line(process, "confirm ")
        time.sleep(rng.uniform(0.1, 1.5))
        process.kill()
        process.communicate()
        assert wait_until(lambda: not marked(mark), GONE_WITHIN_S), marked(mark)
    done = bench.run("prove", "--resume", "--study", "killed", "--json")
    assert done.returncode == 0, done.stderr
    assert finished(bench.cwd / "killed")[:16] == finished(bench.cwd / "first")[:16]  # 4 pairs of launches
    assert looks(bench.cwd / "killed") in ([(4, False)], [(4, True), (6, False)])


def test_two_proofs_of_the_same_two_configurations_are_compared_by_their_ratios(proof):
    bench = proof[1]
    done = bench.run("compare", "first", "killed", "--margin", "50 %", "--json")
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    assert [each["candidate"] for each in told["compared"]] == ["B"]
    assert any("Figures themselves" in line for line in told["not_compared"])
    assert re.search(r"compared: B: .* of first", bench.run("compare", "first", "killed").stdout)


def test_studies_that_did_not_ask_the_same_are_refused_with_the_reason(proof):
    bench = proof[1]
    refused = bench.run("compare", "first", "worse")
    assert refused.returncode == 2
    assert "nothing may be compared, as the baseline's flags differs" in refused.stderr


def test_everything_wrong_with_either_side_is_said_before_anything_starts(proof):
    bench = proof[1]
    wrong = bench.run("prove", "model", "--a", "--max-num-seq 4", "--b", "--nonsense", "--env-a", "fake")
    assert wrong.returncode == 2
    assert [line.split(":")[1] for line in wrong.stderr.splitlines()] == [" A", " B"]
    bare = bench.run("prove", "model", "--a", FLAGS, "--b", "--max-model-len 512", "--env-a", "fake")
    assert bare.returncode == 2
    assert "holds no weights" in bare.stderr
    assert bench.run("prove", "model", "--env-b", "nosuch").returncode == 3
    assert not (bench.cwd / "studies").exists()
