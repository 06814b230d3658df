"""kill -9 at any moment: nothing of the engine stays, nothing finished is lost, nothing is done twice."""

import json
import os
import random
import time

import pytest
from outside import (
    GONE_WITHIN_S,
    MARK,
    at_growth,
    at_line,
    finished,
    listening,
    marked,
    orphaned_memory,
    still_open,
    wait_until,
)

from dyno.study.journal import read_journal

LOADS = ("{chat: {input_len: 32, output_len: 8, concurrency: 4, num_requests: 16}, "
         "prompts: {input_len: 96, output_len: 4, concurrency: 2, num_requests: 8}}")  # fmt: skip
SPEC = {"tests": "[ttft, throughput]", "candidates": "{fast: FAKE_FAST=1, eager: --enforce-eager}", "pairs": "2"}


@pytest.mark.parametrize("seed", [1])
def test_a_killed_tune_resumes_to_the_same_steps_and_leaves_nothing_behind(bench, seed):
    spec = bench.spec(**SPEC)
    assert bench.run("tune", spec, "--study", "undisturbed").returncode == 0
    want = finished(bench.cwd / "undisturbed")

    mark, rng, folder = f"mark-{os.getpid()}-{seed}", random.Random(seed), bench.cwd / "disturbed"
    before = orphaned_memory()
    journal = folder / "journal.jsonl"
    moments = {
        "during a start": lambda process: (at_line(process, "screen "), time.sleep(rng.uniform(0.05, 0.4))),
        "during a test": lambda process: (at_line(process, "startup:"), time.sleep(rng.uniform(0.0, 0.05))),
        "around an fsync": lambda process: at_growth(process, journal),
        "during a stop": lambda process: at_line(process, "memory:"),
        "somewhere": lambda _: time.sleep(rng.uniform(0.3, 2.5)),
    }
    order = [*moments, *moments]
    rng.shuffle(order)
    for moment in order:
        words = ("--resume", "--study", "disturbed") if journal.exists() else (spec, "--study", "disturbed")
        process = bench.start("tune", *words, **{MARK: mark})
        moments[moment](process)
        ports = listening(mark)
        process.kill()
        process.communicate()
        assert wait_until(lambda: not marked(mark), GONE_WITHIN_S), f"{moment}: {marked(mark)}"
        assert wait_until(lambda: orphaned_memory() <= before, GONE_WITHIN_S), f"{moment}: {orphaned_memory() - before}"
        assert not still_open(ports), moment
    done = bench.run("tune", "--resume", "--study", "disturbed")
    assert done.returncode == 0, done.stderr
    assert finished(folder) == want


def test_a_launch_that_was_killed_between_its_loads_is_named_and_takes_all_of_them_again(bench):
    spec = bench.spec(workload="", workloads=LOADS, candidates="{fast: FAKE_FAST=1}", tests="[throughput]", pairs="0",
                      warm="false")  # fmt: skip
    folder = bench.cwd / "cut"
    process = bench.start("tune", spec, "--study", "cut", FAKE_TTFT_MS="4000")  # seconds for the second load
    at_line(process, " throughput: ")
    process.kill()
    process.communicate()
    done = bench.run("tune", "--resume", "--study", "cut")
    assert done.returncode == 0, done.stderr
    first = [(step.scenario, step.state) for step in read_journal(folder).steps if step.launch == 0]
    cut, taken = (("throughput", "interrupted"), ("throughput@prompts", "interrupted")), ("startup", "complete")
    assert first == [taken, *cut, *((test, "complete") for test in ("throughput", "throughput@prompts", "memory"))]
    slow, fast = (step.figures["output_throughput"] for step in read_journal(folder).steps
                  if step.launch == 0 and step.scenario == "throughput")  # fmt: skip
    rows = {row["name"]: row for row in json.loads(bench.run("report", "--json", "--study", "cut").stdout)["rows"]}
    assert rows["baseline"]["state"] == "complete"
    assert rows["baseline"]["metrics"]["throughput"]["output_throughput"] > (slow + fast) / 2
    assert "interrupted in throughput@prompts; complete" in (folder / "report.html").read_text()
