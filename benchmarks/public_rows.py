"""How far `dyno plan` is off on measurements that nobody here made, and how far aiconfigurator is on the same rows.

    python benchmarks/public_rows.py [--aiconfigurator PYTHON] [--each]

The rows are vLLM's of systems/silicon_sample.csv in aiconfigurator 0.12.0's wheel, which pip fetches: models, cards and
loads, each with TTFT and TPOT. They are split by (model, card): each in its turn is predicted with the constants that
Dyno comes with ("uncalibrated") and with at most twelve rows of other models on the same card besides ("calibrated").
With the interpreter of an environment that has aiconfigurator 0.12.0 the rows that both answer are shown side by side.
"""

import csv
import json
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path
from random import Random
from statistics import fmean, median

from latency import Measured, checked, dtype_of

from dyno.engine.args import EngineArgs
from dyno.errors import InputError
from dyno.hardware.gpus import find_card
from dyno.model.config import parse_config
from dyno.plan.observed import parse_release
from dyno.predict.calibrate import Point, calibrate
from dyno.predict.demand import Asked, Demand
from dyno.predict.latency import Run, reasons_unserved, simulated
from dyno.predict.memory import predict_memory, reasons_against
from dyno.predict.rates import generic
from dyno.predict.setup import resolve

WHEEL = "aiconfigurator-core==0.12.0"
PACKAGE = "aiconfigurator_core"
CARDS = {"h100_sxm": "H100 SXM", "h200_sxm": "H200", "b200_sxm": "B200"}
# The wheel's own description of models that the rows name otherwise.
CONFIGS = {"meta-llama/Llama-3.1-70B": "meta-llama--Meta-Llama-3.1-70B",
           "nvidia/Llama-3.1-8B-Instruct-FP8": "meta-llama--Meta-Llama-3.1-8B"}  # fmt: skip
QUANTIZED = {"fp8": {"quant_method": "modelopt"}, "fp4": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}
ASSUMED = "0.18"  # where a row names no release
SHORTEST = 0.8
FEW_CLIENTS = 32
REQUESTS, MOST_REQUESTS, MOST_CALIBRATING = 10, 1280, 12
ASK = Path(__file__).with_name("ask_aiconfigurator.py")


def fetch(folder: Path) -> zipfile.ZipFile:
    """The wheel, from the package index that pip is set up for."""
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), WHEEL], check=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def rows_of(wheel: zipfile.ZipFile) -> list[dict[str, str]]:
    with wheel.open(f"{PACKAGE}/systems/silicon_sample.csv") as file:
        rows = list(csv.DictReader(TextIOWrapper(file, "utf-8")))
    return [row for row in rows if row["backend"] == "vllm" and row["mode"] == "agg"]


def measured(row: dict[str, str], wheel: zipfile.ZipFile) -> Measured | None:
    """The row as a point; None where Dyno has no answer: a model or card it does not know, or more than one engine."""
    if row["system"] not in CARDS or row["attention_dp_size"] not in ("", "1") or int(row["moe_ep_size"] or 1) > 1:
        return None
    name = CONFIGS.get(row["model_path"], row["model_path"].replace("/", "--"))
    fields = json.loads(wheel.read(f"{PACKAGE}/model_configs/{name}_config.json"))
    if row["precision"] in QUANTIZED and "quantization_config" not in fields:
        fields["quantization_config"] = QUANTIZED[row["precision"]]
    number = int(row["batch_size"])
    length = int(row["isl"]) + int(row["osl"])
    try:
        model = parse_config(fields, row["model_path"], where=name, path=None, has_weights=False)
        if not model.caches:
            return None
        flags = (("tensor_parallel_size", int(row["tp_size"])), ("max_model_len", max(length, 2048)))
        version = row["backend_version"] if row["backend_version"][:2] == "0." else ASSUMED
        setup = resolve(model, EngineArgs(name, flags), parse_release(version), find_card(CARDS[row["system"]]))
        memory = predict_memory(setup)
    except InputError:
        return None
    demand = load_of(int(row["isl"]), int(row["osl"]), number)
    if reasons_against(setup, memory) or reasons_unserved(setup, memory.blocks, demand):
        return None
    told = {"ttft": float(row["silicon_ttft_ms"]), "tpot": float(row["silicon_tpot_ms"])}
    group = (row["model_path"], CARDS[row["system"]])
    config, load = f"{dtype_of(setup)} x{row['tp_size']}", f"{row['isl']}+{row['osl']}x{number}"
    return Measured(Point(row["id"], Run(setup, memory.blocks, demand), told), group, config, load)


def load_of(input_len: int, output_len: int, clients: int) -> Demand:
    """Lengths from four fifths of what is named to all of it, as the benchmark behind the rows draws them."""
    drawn = Random(0)
    number = max(2 * clients, min(REQUESTS * clients, MOST_REQUESTS))

    def length(longest: int) -> int:
        return round(longest * drawn.uniform(SHORTEST, 1))

    return Demand(tuple(Asked(length(input_len), length(output_len)) for _ in range(number)), clients)


def calibrating(test: tuple[str, str], points: Sequence[Measured]) -> list[Measured]:
    """At most twelve rows of other models on the same card, spread over what there is by model, cards and clients.

    Those of many clients take long, to measure as to simulate.
    """
    others = [each for each in points if each.group != test and each.group[1] == test[1]
              and (each.point.run.demand.clients or 0) <= FEW_CLIENTS]  # fmt: skip
    others.sort(key=lambda each: (each.group, each.config, each.load, each.point.run.demand.clients or 0))
    if len(others) <= MOST_CALIBRATING:
        return others
    return [others[round(place * (len(others) - 1) / (MOST_CALIBRATING - 1))] for place in range(MOST_CALIBRATING)]


def only_tpot(point: Point) -> Point:
    """The rows tell means: of TPOT that is the median as well, of TTFT it is mostly the first wave."""
    return Point(point.id, point.run, {"tpot": point.told["tpot"]})


def score(points: Sequence[Measured]) -> dict[str, dict[str, dict[str, float]]]:
    """By row and figure what is predicted, for each way of knowing."""
    found: dict[str, dict[str, dict[str, float]]] = {"uncalibrated": defaultdict(dict), "calibrated": defaultdict(dict)}
    for group in sorted({each.group for each in points}):
        test = [each for each in points if each.group == group]
        known = generic(test[0].point.run.setup.card)
        fitted = calibrate([only_tpot(each.point) for each in calibrating(group, points)], known)
        for name, rates in (("uncalibrated", known), ("calibrated", fitted)):
            checked(test, rates, points)
            for each in test:
                if figures := simulated(each.point.run, rates.rates):
                    found[name][each.point.id] = {"ttft": fmean(figures.ttft_ms), "tpot": fmean(figures.tpot_ms)}
    return found


def ask(python: str, rows: Sequence[dict[str, str]]) -> dict[str, dict[str, float]]:
    """What aiconfigurator says of the rows that it answers."""
    named = [
        {**row, "model_path": CONFIGS.get(row["model_path"], row["model_path"]).replace("--", "/")} for row in rows
    ]
    answers = subprocess.run([python, str(ASK)], input=json.dumps(named), stdout=subprocess.PIPE, check=True, text=True)
    told = zip(rows, map(json.loads, answers.stdout.splitlines()), strict=True)
    return {row["id"]: {"ttft": answer[0], "tpot": answer[1]} for row, answer in told if answer}


def show(points: Sequence[Measured], ways: dict[str, dict[str, dict[str, float]]]) -> None:
    """MAPE, and median, of TPOT and TTFT on the rows that all have answered."""
    both = [each for each in points if all(each.point.id in told for told in ways.values())]
    print("| Model | Card | Rows |" + "".join(f" {name} TPOT | TTFT |" for name in ways))
    print("|---|---|---:|" + "---:|" * 2 * len(ways))
    groups = sorted({each.group for each in both})
    for group in [*groups, ("all", "")]:
        some = [each for each in both if group in (each.group, ("all", ""))]
        cells = (f" {_off(some, told, figure)} |" for told in ways.values() for figure in ("tpot", "ttft"))
        print(f"| {group[0].split('/')[-1]} | {group[1]} | {len(some)} |{''.join(cells)}")


def _off(points: Iterable[Measured], told: dict[str, dict[str, float]], figure: str) -> str:
    offs = [abs(told[each.point.id][figure] / each.point.told[figure] - 1) for each in points]
    return f"{fmean(offs):.1%} ({median(offs):.1%})"


def main(words: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        wheel = fetch(Path(folder))
        rows = rows_of(wheel)
        points = [point for row in rows if (point := measured(row, wheel))]
    print(f"{len(points)} of {len(rows)} rows have an answer; errors are means (medians)", file=sys.stderr)
    ways = score(points)
    if "--aiconfigurator" in words:
        answered = {each.point.id for each in points}
        python = words[words.index("--aiconfigurator") + 1]
        ways["aiconfigurator"] = ask(python, [row for row in rows if row["id"] in answered])
    if "--each" in words:
        for each in points:
            print(each.point.id, each.point.told, *(told.get(each.point.id) for told in ways.values()))
    show(points, ways)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
