"""Runs that nothing disturbs, on a real engine: how many does the audit void all the same, and for which reasons?

    python benchmarks/clean_runs.py 20 DIR                    # 20 runs, kept under DIR, a new engine for every 5
    python benchmarks/clean_runs.py 20 DIR --engine NAME      # in another engine environment than the one in use

Each run is the test `throughput` as a study takes it, the audit of client, server, card and host included. Nothing is
taken again. Prints a table in markdown. The model is the small synthetic one, started without compilation.
"""

import argparse
import sys
import time
from pathlib import Path

from dyno.cli.study import read_host, say
from dyno.engine.process import EngineProcess
from dyno.model.synthetic import SHAPES, write_model
from dyno.study.journal import read_journal
from dyno.study.launch import Launch, Session
from dyno.study.prepare import fetch, prepare
from dyno.study.schedule import LaunchPlan
from dyno.study.store import create_study, enter_block, make_folder
from dyno.study.trial import Candidate

RUNS_OF_AN_ENGINE = 5
BASELINE = "VLLM_CPU_KVCACHE_SPACE=1 vllm serve {model} --max-model-len 1024 --load-format dummy --enforce-eager"
WORKLOAD = {"input_len": 128, "output_len": 64, "concurrency": 8, "num_requests": 64}


def begin(folder: Path, engine: str | None) -> tuple[Session, Candidate]:
    """A study in `folder`, and its baseline."""
    model, host = write_model(folder.parent / f"{folder.name}-model", SHAPES["demo"]), read_host()
    asked = {"model": str(model), "workload": WORKLOAD, "baseline": BASELINE.format(model=model), "candidates": {},
             "pairs": 0, "tests": ["throughput"]} | ({"engine": engine} if engine else {})  # fmt: skip
    prepared = fetch(prepare(asked, host.hardware, host.visible_devices, say), say)
    make_folder(folder)
    create_study(folder, prepared, host.hardware)
    block = enter_block(folder, host.hardware)
    session = Session(folder, prepared.spec, prepared.environment, prepared.model.vocab_size, block,
                      prepared.device_uuid)  # fmt: skip
    return session, prepared.candidates[0]


def main(runs: int, folder: Path, engine: str | None) -> None:
    session, candidate = begin(folder, engine)
    began, launches, ran_s = time.monotonic(), 0, 0.0
    for first in range(0, runs, RUNS_OF_AN_ENGINE):
        log = folder / "logs" / f"{launches:03d}.log"
        with EngineProcess(session.environment, candidate.args, log, session.device_uuid) as process:
            facts = process.start(lambda _: None)
            for run in range(first, min(first + RUNS_OF_AN_ENGINE, runs)):
                plan = LaunchPlan(run, session.block, "screen", run, candidate.name, ("throughput",), run + 1, runs)
                at = time.monotonic()
                launch = Launch(session, plan, candidate, lambda *_: None)
                launch.write(launch.attempt(process, facts, "throughput", 0))
                ran_s += time.monotonic() - at
        launches += 1
    steps = read_journal(folder).steps
    void = [step for step in steps if step.state != "complete"]
    print(f"{len(void)} of {len(steps)} runs void; {launches} engines, {ran_s / len(steps):.1f} s a run, "
          f"{time.monotonic() - began:.0f} s in all\n")  # fmt: skip
    print("| run | output tokens/s | void |\n|---|---|---|")
    for step in steps:
        throughput = step.figures.get("output_throughput")
        print(f"| {step.launch + 1} | {throughput or 0:,.0f} | {'; '.join(step.void) or '-'} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=int, nargs="?", default=20)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("clean-runs"))
    parser.add_argument("--engine")
    told = parser.parse_args(sys.argv[1:])
    main(told.runs, told.folder.absolute(), told.engine)
