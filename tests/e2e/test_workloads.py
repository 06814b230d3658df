"""Several workloads in one launch, two candidates in the same rounds, and launches that only warm."""

import json
import tarfile
from pathlib import Path

import pytest
from command import make_bench
from outside import MARK, marked

LOADS = ("{chat: {input_len: 32, output_len: 8, concurrency: 4, num_requests: 16}, "
         "prompts: {input_len: 96, output_len: 4, concurrency: 2, num_requests: 8}}")  # fmt: skip
CANDIDATES = "{fast: FAKE_FAST=1, eager: --enforce-eager, fp8-kv: FAKE_FAST=1 --kv-cache-dtype fp8}"


def steps(bench, folder="spec"):
    lines = (bench.cwd / "studies" / folder / "journal.jsonl").read_text().splitlines()
    return [line["step"] for line in map(json.loads, lines) if line["kind"] == "step"]


@pytest.fixture
def study(bench):
    """A study of two workloads, warmed, confirmed in three rounds, as it is printed; and its steps."""
    spec = bench.spec(workload="", workloads=LOADS, candidates=CANDIDATES, tests="[throughput]", pairs="3", warm="3")
    done = bench.run("tune", spec, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), steps(bench)


def test_every_launch_measures_all_workloads_and_both_kinds_of_candidates_are_confirmed_in_the_same_rounds(study):
    printed, made = study
    measured = {launch: [step["scenario"] for step in made if step["launch"] == launch and step["phase"] == "confirm"]
                for launch in {step["launch"] for step in made if step["phase"] == "confirm"}}  # fmt: skip
    assert len(measured) == 9
    assert all(tests == ["startup", "throughput", "throughput@prompts"] for tests in measured.values())
    rounds = [[step["candidate"] for step in made if step["pair"] == number and step["scenario"] == "startup"]
              for number in range(3)]  # fmt: skip
    assert rounds == [["baseline", "fast", "fp8-kv"], ["fast", "fp8-kv", "baseline"], ["fp8-kv", "baseline", "fast"]]
    told = [(each["candidate"], each["metric"], each["launches"]) for each in printed["confirmed"]]
    means = [(name, "output_throughput", 6) for name in ("fast", "fp8-kv")]
    assert told == means + [
        (name, f"output_throughput@{load}", 6) for name in ("fast", "fp8-kv") for load in ("chat", "prompts")
    ]
    assert printed["recommended"]["name"] != "fp8-kv"


def test_a_launch_that_warms_comes_once_for_each_compiled_code_and_enters_no_figure(study):
    printed, made = study
    warm = [step for step in made if step["phase"] == "warm"]
    assert sorted(step["launch"] for step in warm) == [-3, -2, -1]
    assert {step["scenario"] for step in warm} == {"startup"}
    assert all(step["candidate"] != "eager" for step in warm)  # which compiles nothing
    assert made[0]["phase"] == made[2]["phase"] == "warm"
    assert printed["notes"] == []
    rows = {row["name"]: row["launches"] for row in printed["rows"]}
    assert rows == {"baseline": 5, "fast": 4, "eager": 1, "fp8-kv": 4}


def test_a_warming_that_is_interrupted_leaves_no_engine_and_is_gone_on_with(bench):
    spec = bench.spec(candidates="{fast: FAKE_FAST=1}", tests="[throughput]", pairs="0", warm="2")
    process = bench.start("tune", spec, FAKE_READY_S="60", **{MARK: "warming"})
    seen = ""
    while "warm 2/2" not in seen:
        seen += process.stderr.readline()
    process.send_signal(2)
    assert process.wait(timeout=60) == 130
    process.communicate()
    assert not marked("warming")
    assert not steps(bench)
    done = bench.run("tune", "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert {step["candidate"] for step in steps(bench) if step["phase"] == "warm"} == {"baseline", "fast"}


def test_a_candidate_that_is_not_ready_in_its_own_time_is_an_honest_row(bench):
    late = "{slow: {args: FAKE_READY_S=60, timeout: 2 s}, other: {args: FAKE_FAST=1, against: half}, half: FAKE_FAST=0}"
    done = bench.run("tune", bench.spec(candidates=late, tests="[throughput]", pairs="0", warm="1"), "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["rows"]}
    assert (rows["slow"]["state"], rows["slow"]["cause"]) == ("failed", "not ready in time")
    assert len([step for step in steps(bench) if step["candidate"] == "slow"]) == 1
    assert rows["other"]["ratio"] > 0
    assert rows["other"]["against"] == "half"


def test_a_study_goes_on_from_one_packed_file_on_another_host_in_a_block_with_its_own_baseline(bench, tmp_path):
    process = bench.start("tune", bench.spec(pairs="2", tests="[throughput]"), "--study", "first")
    journal = bench.cwd / "first" / "journal.jsonl"
    while "2/4" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(2)
    process.communicate()
    here = next(
        line["machine_id"] for line in map(json.loads, journal.read_text().splitlines()) if "machine_id" in line
    )
    journal.write_text(journal.read_text().replace(here, "another machine"))
    assert bench.run("report", "--study", "first", "--pack", "packed.tar.gz").returncode == 0
    with tarfile.open(bench.cwd / "packed.tar.gz") as packed:
        texts = [packed.extractfile(each).read() for each in packed if each.name.endswith((".jsonl", ".json", ".log"))]
    assert not [text for text in texts if str(bench.cwd / "model").encode() in text]
    elsewhere = make_bench(tmp_path / "elsewhere", Path(bench.env["DYNO_HOME"]), 2)
    (bench.cwd / "packed.tar.gz").rename(elsewhere.cwd / "packed.tar.gz")
    (bench.cwd / "model").rename(bench.cwd / "gone")
    done = elsewhere.run("tune", "--resume", "--study", "packed.tar.gz", "--json")
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, (elsewhere.cwd / "packed" / "journal.jsonl").read_text().splitlines())
    taken = [line["step"] for line in lines if line["kind"] == "step" and line["step"]["scenario"] == "throughput"]
    second = [step["candidate"] for step in taken if step["block"] == 2 and step["phase"] == "screen"]
    assert second[0] == second[-1] == "baseline"
    assert set(second[1:-1]) == {"fast", "eager"}
    assert {step["candidate"] for step in taken if step["block"] == 1} >= {"baseline"}
    assert {step["block"] for step in taken if step["phase"] == "confirm"} == {2}
