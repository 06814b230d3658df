"""How long `dyno plan` takes: one candidate from the command line, and a thousand under three hundred requests.

    python benchmarks/plan_speed.py [--candidates N] [--requests N]

Median and the span of five runs of the command, start-up included; then, in this process, candidates of different
flags, each planned and simulated under a closed loop of 64 clients.
"""

import json
import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from itertools import product
from pathlib import Path
from statistics import median
from time import perf_counter

from dyno.engine.args import EngineArgs, FlagValue
from dyno.hardware.gpus import find_card
from dyno.model.config import parse_config
from dyno.model.synthetic import SHAPES
from dyno.plan.loaded import Expected, rank, with_latency
from dyno.plan.planning import Question, candidate
from dyno.predict.latency import closed_loop
from dyno.predict.rates import generic
from dyno.workload import Workload

RUNS = 5
MODEL, GPU, RELEASE = "qwen3-8b", "H200", (0, 26)
LOAD = ("--input-len", "512", "--output-len", "128", "--concurrency", "64")


def config() -> dict:
    shape = SHAPES[MODEL]
    return {
        "architectures": [shape.architecture],
        "model_type": shape.model_type,
        "torch_dtype": "bfloat16",
        **shape.fields,
    }


def command(folder: Path) -> list[float]:
    """Seconds of each run."""
    (folder / "config.json").write_text(json.dumps(config()))
    words = [sys.executable, "-m", "dyno", "plan", str(folder), "--gpu", GPU, *LOAD, "--json"]
    found = []
    for _ in range(RUNS):
        began = perf_counter()
        subprocess.run(words, check=True, capture_output=True, env={**os.environ, "DYNO_HOME": str(folder / "home")})
        found.append(perf_counter() - began)
    return found


def flags_of(number: int) -> list[tuple[tuple[str, FlagValue], ...]]:
    """So many different ways to start the model."""
    names = ("kv_cache_dtype", "quantization", "max_num_batched_tokens", "max_num_seqs", "max_model_len")
    values = product(("auto", "fp8"), (None, "fp8"), (2048, 4096, 8192, 16384, 32768), (16, 32, 64, 128, 256),
                     range(2048, 40960, 2048))  # fmt: skip
    ways = [
        tuple((name, value) for name, value in zip(names, each, strict=True) if value is not None) for each in values
    ]
    step = len(ways) / number
    return [ways[int(place * step)] for place in range(number)]


def thousand(number: int, requests: int) -> tuple[float, int]:
    """Seconds for all of them, and how many fit."""
    model = parse_config(config(), MODEL, where=MODEL, path=None, has_weights=False)
    card = find_card(GPU)
    question = Question(model, EngineArgs(MODEL), RELEASE, card)
    expected = Expected(closed_loop(Workload("load", 512, 128, 64, requests)), generic(card))
    ways = flags_of(number)
    began = perf_counter()
    made = [candidate(question, str(place), EngineArgs(MODEL, flags)) for place, flags in enumerate(ways)]
    ranked = rank(with_latency(each, expected, {}) for each in made)
    return perf_counter() - began, sum(not each.rejected for each in ranked)


def main() -> None:
    parser = ArgumentParser(description="How long dyno plan takes.")
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=300)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = command(Path(folder))
    print(f"one candidate, start-up included: {median(runs) * 1e3:.0f} ms ({min(runs) * 1e3:.0f} to "
          f"{max(runs) * 1e3:.0f} in {RUNS} runs)")  # fmt: skip
    seconds, fit = thousand(asked.candidates, asked.requests)
    print(f"{asked.candidates} candidates under {asked.requests} requests: {seconds:.1f} s on one core, {fit} fit")


if __name__ == "__main__":
    main()
