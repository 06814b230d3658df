"""A configuration confirmed against itself, on a real engine, again and again: how often is it called different?

    python benchmarks/same_against_same.py 5 6 DIR    # 5 studies of 6 pairs each, kept under DIR

Prints one line a study and writes every launch's output_throughput, in order, to DIR/launches.json. Needs an engine
environment; the model is the small synthetic one, started without compilation, as the start is most of the cost.
"""

import json
import subprocess
import sys
from pathlib import Path

from dyno.model.synthetic import SHAPES, write_model
from dyno.study.outcome import objective_of
from dyno.study.store import load_outcome

SPEC = """
model: {model}
workload: {{input_len: 128, output_len: 64, concurrency: 8, num_requests: 64}}
baseline: VLLM_CPU_KVCACHE_SPACE=1 vllm serve {model} --max-model-len 1024 --load-format dummy --enforce-eager
candidates: {{same: ""}}
tests: [throughput]
pairs: {pairs}
seed: {seed}
"""


def main(studies: int, pairs: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model = write_model(folder / "model", SHAPES["demo"])
    series, wrong = [], 0
    for seed in range(studies):
        spec, study = folder / f"{seed}.yaml", folder / f"study-{seed}"
        spec.write_text(SPEC.format(model=model, pairs=pairs, seed=seed))
        words = ["--resume"] if study.exists() else [str(spec)]
        subprocess.run([sys.executable, "-m", "dyno", "tune", *words, "--study", str(study), "--json"],
                       check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        outcome = load_outcome(study)
        verdict = outcome.verdict
        wrong += verdict.answer in ("better", "worse")
        print(f"study {seed}: {verdict.answer}, x{verdict.ratio:.3f} [{verdict.low:.3f}, {verdict.high:.3f}], "
              f"{verdict.pairs} pairs", flush=True)  # fmt: skip
        figures = [objective_of(step, outcome.objective) for step in outcome.steps if step.scenario == "throughput"]
        series.append({"what": f"same configuration, study {seed}, {outcome.engine}, {outcome.machine.kind}",
                       "output_throughput": [round(figure, 1) for figure in figures if figure]})  # fmt: skip
        (folder / "launches.json").write_text(json.dumps(series, indent=1) + "\n")
    print(f"called different: {wrong} of {studies}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]).absolute())
