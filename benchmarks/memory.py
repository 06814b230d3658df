"""How far `dyno plan` is off, on starts that were written down (benchmarks/boots.py): KV cache and memory in use.

    python benchmarks/memory.py [--fit] [FILE.jsonl ...]

Each start is predicted twice: with constants fitted on the starts of all other models, and with one start of another
model besides. Starts of the same model, in whatever dtype, are never in training; a test id that is found there ends
the run with an error. Prints one line a start and what the gate asks for; exit code 1 where it is missed. `--fit`
prints the constants that all starts together give, for src/dyno/predict/constants.py.
"""

import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from dyno.engine.args import EngineArgs
from dyno.hardware.gpus import find_card
from dyno.model.config import parse_config
from dyno.plan.flags import parse_words
from dyno.plan.observed import parse_release
from dyno.predict.constants import Constants
from dyno.predict.fit import fit
from dyno.predict.kv_cache import longest
from dyno.predict.memory import Memory, predict_memory, reasons_against
from dyno.predict.setup import resolve
from dyno.predict.terms import Boot, Facts

MIB = 2**20
BEFORE_MIB, AFTER_MIB, USED_BEFORE_MIB, USED_AFTER_MIB = 150, 30, 200, 60
COVERED = (0.70, 0.95)


@dataclass(frozen=True)
class Start:
    id: str
    model: str  # of any dtype
    boot: Boot
    compiled: bool
    small: bool  # held to a small card, which is what the gate is about
    refused: str | None


@dataclass(frozen=True)
class Score:
    start: Start
    kv: tuple[float, float]  # MiB off, before and after
    used: tuple[float, float] | None
    covered: bool


def main(files: list[Path]) -> int:
    starts = [read(json.loads(line)) for file in files for line in file.read_text().splitlines()]
    scores = [score(start, starts) for start in starts if start.boot.facts.kv_cache_bytes]
    print(f"{'start':24} {'KV before':>10} {'after':>7} {'in use before':>14} {'after':>7}  within")
    for each in scores:
        used = "".join(f"{off:>{width}.0f}" for off, width in zip(each.used, (14, 8), strict=True)) if each.used else ""
        print(f"{each.start.id:24} {each.kv[0]:>10.0f} {each.kv[1]:>7.0f} {used:22}  {'yes' if each.covered else 'no'}")
    refused = [check_refused(start, starts) for start in starts if start.refused]
    missed = gate([each for each in scores if each.start.small]) + [text for text in refused if text]
    for text in missed:
        print(f"missed: {text}")
    return 1 if missed else 0


def print_fitted(files: list[Path]) -> int:
    starts = [read(json.loads(line)) for file in files for line in file.read_text().splitlines()]
    found = fit([(start.id, start.boot) for start in starts if start.boot.facts.kv_cache_bytes])
    for name, value in asdict(found).items():
        shown = f"{value / MIB:.4g} * MIB" if isinstance(value, float) and value > MIB / 100 else repr(value)
        print(f"    {name}={shown},")
    return 0


def read(line: dict) -> Start:
    model = parse_config(line["model"], line["id"], where=line["id"], path=None, has_weights=False)
    args = parse_words(line["args"], line["id"])
    args = EngineArgs(args.model, args.flags, tuple(line.get("env", {}).items()))
    setup = resolve(model, args, parse_release(line["engine_version"]), find_card(line["gpu"]))
    facts = Facts(**line["facts"])
    shape = {name: value for name, value in line["model"].items() if name not in ("torch_dtype", "quantization_config")}
    text = line.get("exact", {}).get("refused")
    return Start(line["id"], json.dumps(shape, sort_keys=True), Boot(setup, facts), line["compiled"],
                 setup.utilization < 0.2, text)  # fmt: skip


def training(test: Start, starts: list[Start]) -> list[Start]:
    """All starts of other models. SystemExit should the test be among them."""
    chosen = [start for start in starts if start.model != test.model and start.boot.facts.kv_cache_bytes]
    if test.id in {start.id for start in chosen}:
        raise SystemExit(f"{test.id}: is among the starts it is to be predicted from")
    return chosen


def score(test: Start, starts: list[Start]) -> Score:
    chosen = training(test, starts)
    constants = fit([(start.id, start.boot) for start in chosen])
    if test.id in constants.fitted_on:
        raise SystemExit(f"{test.id}: is among the starts that its constants were fitted on")
    first = predicted(test, constants, [])
    after = [predicted(test, constants, [start.boot]) for start in chosen if start.small] or [first]
    return Score(
        test,
        (kv_off(test, first), worst([kv_off(test, each) for each in after])),
        None if test.boot.facts.device_used_bytes is None else (
            used_off(test, first), worst([used_off(test, each) for each in after])),
        bool(low(test, first) <= (test.boot.facts.kv_cache_bytes or 0) <= high(test, first)),
    )  # fmt: skip


def predicted(test: Start, constants: Constants, boots: list[Boot]) -> Memory:
    return predict_memory(test.boot.setup, boots, measured=constants)


def kv_of(test: Start, memory: Memory) -> int:
    return memory.kv_cache_bytes if test.compiled or test.boot.setup.eager else memory.warm_kv_cache_bytes


def kv_off(test: Start, memory: Memory) -> float:
    return (kv_of(test, memory) - (test.boot.facts.kv_cache_bytes or 0)) / MIB


def used_off(test: Start, memory: Memory) -> float:
    """What is in use, had the KV cache the size it was given: its own error is counted once."""
    more = kv_of(test, memory) - memory.kv_cache_bytes
    return (memory.device_used_bytes + more - (test.boot.facts.device_used_bytes or 0)) / MIB


def low(test: Start, memory: Memory) -> int:
    return memory.low_bytes + kv_of(test, memory) - memory.kv_cache_bytes


def high(test: Start, memory: Memory) -> int:
    return memory.high_bytes + kv_of(test, memory) - memory.kv_cache_bytes


def worst(offs: list[float]) -> float:
    return max(offs, key=abs)


def check_refused(test: Start, starts: list[Start]) -> str | None:
    """What is wrong with the answer to a configuration that vLLM refused."""
    constants = fit([(start.id, start.boot) for start in training(test, starts)])
    memory = predicted(test, constants, [])
    told = re.search(r"maximum model length is (\d+)", test.refused or "")
    fits = longest(test.boot.setup, memory.kv_cache_bytes)
    print(f"{test.id:24} refused by vLLM{f', at most {told[1]}' if told else ''}; at most {fits} by Dyno")
    if not reasons_against(test.boot.setup, memory):
        return f"{test.id}: vLLM refused it, Dyno does not"
    if told and abs(fits - int(told[1])) > 0.02 * int(told[1]):
        return f"{test.id}: the longest that fits is {told[1]}, Dyno says {fits}"
    return None


def gate(scores: list[Score]) -> list[str]:
    """What is missed of the gate, over the starts held to a small card."""
    if not scores:
        return ["no start held to a small card"]
    limits = [
        ("KV cache before", BEFORE_MIB, [abs(each.kv[0]) for each in scores]),
        ("KV cache after one start", AFTER_MIB, [abs(each.kv[1]) for each in scores]),
        ("in use before", USED_BEFORE_MIB, [abs(each.used[0]) for each in scores if each.used]),
        ("in use after one start", USED_AFTER_MIB, [abs(each.used[1]) for each in scores if each.used]),
    ]
    missed = []
    for name, limit, offs in limits:
        told = f"{fmean(offs):.0f} MiB off on average, {max(offs):.0f} at most, {limit} allowed"
        print(f"{name}: {told}, {len(offs)} starts")
        missed += [f"{name}: {max(offs):.0f} MiB off"] if max(offs) > limit else []
    covered = fmean(each.covered for each in scores)
    print(f"within low and high: {covered:.0%} of {len(scores)}")
    if not COVERED[0] <= covered <= COVERED[1]:
        missed.append(f"low and high hold {covered:.0%}, not {COVERED[0]:.0%} to {COVERED[1]:.0%}")
    return missed


if __name__ == "__main__":
    named = [Path(word) for word in sys.argv[1:] if word != "--fit"]
    recorded = named or sorted((Path(__file__).parent / "boots").glob("*.jsonl"))
    sys.exit(print_fitted(recorded) if "--fit" in sys.argv else main(recorded))
