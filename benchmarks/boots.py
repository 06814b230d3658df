"""Starts engines one after another and writes down what each start told, for `dyno plan --observed` and memory.py.

    python benchmarks/boots.py LIST OUT.jsonl [--engine NAME] [--gpu INDEX] [--seconds 570]

LIST is a JSON list of {"id", "shape", "args", "env"}: a synthetic shape, the words after `vllm serve MODEL`, variables.
What stands in OUT already is not started again; no start is begun after `--seconds`. One at a time, on an idle card:
what others take of its memory would be counted in.
"""

import argparse
import json
import re
import time
from pathlib import Path

from dyno.engine.args import EngineArgs
from dyno.engine.catalog import parse_changes
from dyno.engine.environment import Environment, current_environment, load_catalog
from dyno.engine.process import EngineProcess
from dyno.errors import EngineFailed
from dyno.hardware.probe import gpu_memory_used, read_hardware
from dyno.hardware.spec import Gpu
from dyno.home import dyno_home
from dyno.model.synthetic import SHAPES, write_model

READY_S = 200
FACTS = ("weights_bytes", "kv_cache_bytes", "kv_cache_tokens", "graph_bytes", "device_used_bytes")
# What vLLM says to the byte, and what it says of its parts.
EXACT = {
    "to_requested_bytes": r"--kv-cache-memory=(\d+)` \([\d.]+ GiB\) to fit",
    "to_card_bytes": r"--kv-cache-memory=(\d+)` \([\d.]+ GiB\) to fully",
    "free_gib": r"Free memory on device \(([\d.]+)/",
    "activation_gib": r"([\d.]+) GiB for peak activation",
    "non_torch_gib": r"([\d.]+) GiB for non-torch memory",
    "estimated_graph_gib": r"CUDA graph pool memory: [\d.]+ GiB \(actual\), ([\d.]+) GiB",
    "refused": r"(To serve at least one request[^\n]*|No available memory for the cache blocks)",
}


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    read.add_argument("list", type=Path)
    read.add_argument("out", type=Path)
    read.add_argument("--engine", default=None)
    read.add_argument("--gpu", type=int, default=0)
    read.add_argument("--seconds", type=float, default=float("inf"))
    asked = read.parse_args()
    began = time.monotonic()
    engine, gpus = current_environment(asked.engine), read_hardware(dyno_home()).gpus
    card = gpus[asked.gpu] if gpus else None
    done = {json.loads(line)["id"] for line in asked.out.read_text().splitlines()} if asked.out.exists() else set()
    for boot in json.loads(asked.list.read_text()):
        if boot["id"] in done or time.monotonic() - began > asked.seconds:
            continue
        line = start(boot, engine, card, asked.out.parent)
        with asked.out.open("a") as lines:
            lines.write(json.dumps(line) + "\n")
        print(boot["id"], line["facts"] or line["exact"].get("refused") or line["failure"], flush=True)


def start(boot: dict, engine: Environment, card: Gpu | None, folder: Path) -> dict:
    shape = SHAPES[boot["shape"]]
    model = write_model(folder / "models" / shape.name, shape)
    words = ["--load-format", "dummy", *boot["args"]]
    args = parse_changes(words, load_catalog(engine), str(model))
    args = EngineArgs(args.model, args.flags, tuple(boot.get("env", {}).items()))
    log = folder / "logs" / f"{boot['id']}.log"
    log.parent.mkdir(exist_ok=True)
    before = gpu_memory_used(card.uuid) if card else None
    facts, failure = None, None
    with EngineProcess(engine, args, log, card.uuid if card else None, READY_S) as process:
        try:
            facts = process.start()
        except EngineFailed as error:
            failure = str(error)[:2000]
    text = log.read_text(errors="replace")
    return {
        "id": boot["id"],
        "model": json.loads((model / "config.json").read_text()),
        "gpu": card.name if card else None,
        "engine_version": engine.version,
        "args": words,
        "env": boot.get("env", {}),
        "facts": {name: getattr(facts, name) for name in FACTS} if facts else {},
        "points": [],
        "compiled": "Compiling a graph for" in text and "Directly load AOT compilation" not in text,
        "used_before_bytes": before,
        "ready_s": facts.ready_s if facts else None,
        "max_model_len": facts.max_model_len if facts else None,
        "max_concurrency": facts.max_concurrency if facts else None,
        "exact": {name: found[1] for name, pattern in EXACT.items() if (found := re.search(pattern, text))},
        "failure": failure,
    }


if __name__ == "__main__":
    main()
