"""A configuration proven against itself, on a real engine, again and again: how often is it called different?

    python benchmarks/prove_against_itself.py 10 DIR [PAIRS [OPTIONS]]    # 10 proofs of at most 4 pairs each

Everything is kept under DIR; the options, such as --shared-host, are those of `dyno prove`.

Prints a table, a line a proof, and writes every launch's output_throughput, in order, to DIR/launches.json. Needs an
engine environment for the CPU; the model is the smallest synthetic one, started without compilation, as the start is
most of the cost. A proof that was interrupted is gone on with, and one that is finished is only told again.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from dyno.model.synthetic import SHAPES, write_model
from dyno.study.pairs import objective_of
from dyno.study.store import load_outcome

FLAGS = "VLLM_CPU_KVCACHE_SPACE=1 --max-model-len 1024 --load-format dummy --enforce-eager"
LOAD = ("--input-len", "128", "--output-len", "64", "--concurrency", "8", "--requests", "64")
ROW = "| {:>5} | {:<12} | {:>6} | {:>16} | {:>5} | {:>7} |"


def prove(model: Path, study: Path, seed: int, asked: list[str]) -> None:
    """One proof, or what is left of it."""
    new = [str(model), "--a", FLAGS, "--b", FLAGS, *LOAD, "--seed", str(seed), *asked]
    words = ["--resume"] if study.exists() else new
    done = subprocess.run([sys.executable, "-m", "dyno", "prove", *words, "--study", str(study), "--json"],
                          stdout=subprocess.DEVNULL)  # fmt: skip
    if done.returncode not in (0, 1, 4):
        raise SystemExit(f"proof {seed} could not be made: dyno prove ended with {done.returncode}")


def main(proofs: int, folder: Path, pairs: str = "4", *options: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model = write_model(folder / "model", SHAPES["demo"])
    series, different = [], 0
    print(ROW.format("proof", "answer", "ratio", "95 % interval", "pairs", "min"))
    print("|---|---|---|---|---|---|")
    for seed in range(proofs):
        study, began = folder / f"proof-{seed}", time.monotonic()
        prove(model, study, seed, ["--max-pairs", pairs, *options])
        outcome = load_outcome(study)
        (verdict,) = outcome.verdicts
        different += verdict.answer in ("better", "worse")
        interval = "-" if verdict.low is None else f"{verdict.low:.3f} to {verdict.high:.3f}"
        ratio = "-" if verdict.ratio is None else f"{verdict.ratio:.3f}"
        minutes = f"{(time.monotonic() - began) / 60:.1f}"
        print(ROW.format(seed, verdict.answer, ratio, interval, verdict.pairs, minutes), flush=True)
        figures = [objective_of(step, outcome.objective) for step in outcome.steps if step.scenario == "throughput"]
        series.append({"what": f"same configuration, proof {seed}, {outcome.engine}, {outcome.machine.kind}",
                       "output_throughput": [round(figure, 1) for figure in figures if figure]})  # fmt: skip
        (folder / "launches.json").write_text(json.dumps(series, indent=1) + "\n")
    print(f"\ncalled different: {different} of {proofs}")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).absolute(), *sys.argv[3:])
