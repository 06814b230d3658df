"""One study on real vLLM, end to end, killed twice on the way."""

import json
import os
import subprocess
import sys
import time

import pytest
from outside import GONE_WITHIN_S, MARK, at_line, finished, listening, marked, orphaned_memory, still_open, wait_until

from dyno.engine.environment import list_environments
from dyno.model.synthetic import SHAPES, write_model
from dyno.study.schedule import Order, next_confirm, next_screen
from dyno.study.trial import Step

TESTS = ("startup", "throughput", "memory")
SPEC = """
model: model
workload: {input_len: 64, output_len: 16, concurrency: 4, num_requests: 12}
baseline: VLLM_CPU_KVCACHE_SPACE=1 vllm serve model --max-model-len 1024 --load-format dummy --enforce-eager
candidates: {all-cores: VLLM_CPU_NUM_OF_RESERVED_CPU=0}
tests: [throughput]
shared_host: true
pairs: 2
"""


def planned() -> list[tuple]:
    """The steps that an undisturbed study of SPEC makes, by the schedule itself."""
    steps: list[Step] = []
    order = Order(("all-cores",), TESTS, seed=0)
    while plan := next_screen(order, steps, 1) or next_confirm(("baseline", "all-cores"), 2, steps, 1):
        steps += [Step(1, plan.launch, plan.phase, plan.pair, plan.candidate, test, plan.seed(0, test), "complete")
                  for test in plan.tests]  # fmt: skip
    return [(step.candidate, step.scenario, step.launch, step.seed, step.pair) for step in steps]


@pytest.mark.real
def test_a_study_of_real_vllm_survives_kills_and_ends_with_a_verdict(tmp_path):
    engine = next((each.name for each in list_environments() if each.kind == "venv" and each.platform == "cpu"), None)
    assert engine, "no CPU engine: `make test` installs it, or `dyno env install --vllm cpu`"
    write_model(tmp_path / "model", SHAPES["demo"])
    (tmp_path / "spec.yaml").write_text(SPEC + f"engine: {engine}\n")
    dyno = [sys.executable, "-m", "dyno", "tune"]
    mark, before = f"real-{os.getpid()}", orphaned_memory()

    def start(*words):
        return subprocess.Popen([*dyno, *words], cwd=tmp_path, env=os.environ | {MARK: mark}, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    resume = ("--resume", "--study", "study")
    for words, line, pause_s in ((("spec.yaml", "--study", "study"), "screen 1/3", 9.0), (resume, "startup:", 1.0)):
        process = start(*words)
        at_line(process, line)
        time.sleep(pause_s)  # into the start, or into the measurement
        ports = listening(mark)
        process.kill()
        process.communicate()
        assert wait_until(lambda: not marked(mark), GONE_WITHIN_S), marked(mark)
        assert wait_until(lambda: orphaned_memory() <= before, GONE_WITHIN_S), orphaned_memory() - before
        assert not still_open(ports)

    done = subprocess.run([*dyno, *resume, "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert finished(tmp_path / "study") == planned()
    assert [row["state"] for row in outcome["rows"]] == ["complete", "complete"]
    assert outcome["verdict"]["answer"] in ("better", "worse", "equivalent", "inconclusive")
    assert outcome["verdict"]["launches"] == 4
    assert outcome["recommended"]["argv"][:2] == ["vllm", "serve"]
    assert (tmp_path / "study" / "report.html").stat().st_size > 1_000_000
