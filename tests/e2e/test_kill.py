"""kill -9 at any moment: nothing of the engine stays, nothing finished is lost, nothing is done twice."""

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
