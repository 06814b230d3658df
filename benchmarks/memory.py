"""How far `dyno plan` is off, on starts that were written down (benchmarks/boots.py): KV cache and memory in use.

    python benchmarks/memory.py [--fit] [FILE.jsonl ...]

Each start is predicted twice: with constants fitted on the starts of all other models, and with one start of another
model besides, the one that misleads most. And both once more without being told what the start was told: its
environment, and whether its compile cache was filled; the other start then is one of the same environment, and of
those that show it: dense, and not eager where the test compiles.

Starts of the same model, in whatever dtype and by whatever name, are never in training. A test whose id or whose
facts are found there, even if one was left out or altered, ends the run with an error. Prints one line a start and what
the gate asks for; exit code 1 where it is missed. A configuration that was started twice alike counts once. `--fit`
prints the constants that all starts together give, for src/dyno/predict/constants.py.
"""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

from held_out import same, shape

from dyno.engine.args import EngineArgs
from dyno.hardware.gpus import find_card
from dyno.model.config import parse_config
from dyno.plan.flags import parse_words
from dyno.plan.observed import parse_release
from dyno.predict.fit import fit
from dyno.predict.kv_cache import longest
from dyno.predict.memory import Memory, predict_memory, reasons_against
from dyno.predict.setup import resolve
from dyno.predict.terms import Boot, Facts

MIB = 2**20
BEFORE_MIB, AFTER_MIB, USED_BEFORE_MIB, USED_AFTER_MIB = 150, 30, 200, 60
COVERED = (0.70, 0.95)
ALIKE = 1e-4  # a share: facts of two starts are further apart
APART_MIB = 100  # what a start shows
DEFAULTS = {"VLLM_USE_FLASHINFER_SAMPLER": "1"}  # a start's record tells all of its environment


@dataclass(frozen=True)
class Start:
    id: str
    shape: tuple[object, ...]  # of its model, in any dtype
    boot: Boot
    compiled: bool
    small: bool  # held to a small card, which is what the gate is about
    refused: str | None

    @property
    def untold(self) -> Boot:
        """As somebody hands it over who does not know its environment."""
        return replace(self.boot, setup=replace(self.boot.setup, flashinfer_sampler=None))

    @property
    def world(self) -> tuple[object, ...]:
        """What a start of another model has to share for saying something of this one that was not told."""
        setup = self.boot.setup
        return setup.release, setup.card, setup.flashinfer_sampler

    @property
    def shows(self) -> tuple[bool, bool]:
        """Whether what it took is another with another sampler, and with the compile cache filled."""
        made = [predict_memory(replace(self.boot.setup, flashinfer_sampler=drawn)) for drawn in (True, False)]
        sampler = abs(made[0].device_used_bytes - made[1].device_used_bytes)
        told = self.boot.facts.device_used_bytes is not None and sampler > APART_MIB * MIB
        return told, made[0].warm_kv_cache_bytes - made[0].kv_cache_bytes > APART_MIB * MIB

    @property
    def configuration(self) -> tuple[object, ...]:
        setup = self.boot.setup
        return (*self.world, self.compiled, replace(setup, model=replace(setup.model, source="")))


@dataclass(frozen=True)
class Off:
    """MiB off, before and after one start of another model; None where there is none that may be asked."""

    before: float
    after: float | None


@dataclass(frozen=True)
class Score:
    start: Start
    kv: Off
    used: Off | None
    kv_untold: Off
    used_untold: Off | None
    covered: bool


def main(files: list[Path]) -> int:
    starts = [read(json.loads(line)) for file in files for line in file.read_text().splitlines()]
    scores = [score(start, starts) for start in starts if start.boot.facts.kv_cache_bytes]
    print(f"{'':24} {'KV cache':>14} {'in use':>14} | {'not told: KV':>14} {'in use':>14}")
    print(f"{'start':24}" + " ".join(f"{'before':>8}{'after':>7}" for _ in range(4)) + "  within")
    for each in scores:
        told, untold = (each.kv, each.used), (each.kv_untold, each.used_untold)
        figures = " ".join(shown(off) for off in (*told, *untold))
        print(f"{each.start.id:24}{figures}  {'yes' if each.covered else 'no'}")
    refused = [check_refused(start, starts) for start in starts if start.refused]
    once = {each.start.configuration: each for each in reversed(scores) if each.start.small}
    missed = gate(list(once.values())) + [text for text in refused if text]
    for text in missed:
        print(f"missed: {text}")
    return 1 if missed else 0


def shown(off: Off | None) -> str:
    if off is None:
        return " " * 15
    return f"{off.before:>8.0f}" + (f"{off.after:>7.0f}" if off.after is not None else f"{'-':>7}")


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
    args = EngineArgs(args.model, args.flags, tuple((DEFAULTS | line.get("env", {})).items()))
    setup = resolve(model, args, parse_release(line["engine_version"]), find_card(line["gpu"]))
    text = line.get("exact", {}).get("refused")
    return Start(line["id"], shape(model), Boot(setup, Facts(**line["facts"])), line["compiled"],
                 setup.utilization < 0.2, text)  # fmt: skip


def training(test: Start, starts: list[Start]) -> list[Start]:
    """All starts of other models. SystemExit should the test be among them."""
    chosen = [start for start in starts if start.shape != test.shape and start.boot.facts.kv_cache_bytes]
    if test.id in {start.id for start in chosen}:
        raise SystemExit(f"{test.id}: is among the starts it is to be predicted from")
    told = asdict(test.boot.facts)
    if alike := [start.id for start in chosen if same(told, asdict(start.boot.facts), ALIKE)]:
        raise SystemExit(f"{test.id}: tells what {alike[0]} told, which it is to be predicted from")
    return chosen


def score(test: Start, starts: list[Start]) -> Score:
    chosen = training(test, starts)
    constants = fit([(start.id, start.boot) for start in chosen])
    if test.id in constants.fitted_on:
        raise SystemExit(f"{test.id}: is among the starts that its constants were fitted on")
    small = [start for start in chosen if start.small]
    warm = not test.compiled and not test.boot.setup.eager
    first = predict_memory(test.boot.setup, measured=constants, warm=warm)
    told = [predict_memory(test.boot.setup, [start.boot], measured=constants, warm=warm) for start in small]
    unsaid = predict_memory(test.untold.setup, measured=constants)
    seen = [predict_memory(test.untold.setup, [start.untold], measured=constants, warm=None)
            for start in small if start.world == test.world and alike(start, test)]  # fmt: skip
    return Score(
        test, off(test, kv_off, first, told), off(test, used_off, first, told), off(test, kv_off, unsaid, seen),
        off(test, used_off, unsaid, seen),
        first.low_bytes <= (test.boot.facts.kv_cache_bytes or 0) <= first.high_bytes,
    )  # fmt: skip


def alike(seen: Start, test: Start) -> bool:
    """Whether a start shows what was not told of a test: its sampler, and its compile cache where that matters."""
    sampler, cache = seen.shows
    return sampler and (test.boot.setup.eager or (cache and seen.compiled == test.compiled))


def off(test: Start, by: Callable[[Start, Memory], float | None], first: Memory, after: list[Memory]) -> Off | None:
    """Before, and the worst of those after; None where the start does not tell."""
    if by(test, first) is None:
        return None
    return Off(by(test, first), max((by(test, each) for each in after), key=abs, default=None))


def kv_off(test: Start, memory: Memory) -> float:
    return (memory.kv_cache_bytes - (test.boot.facts.kv_cache_bytes or 0)) / MIB


def used_off(test: Start, memory: Memory) -> float | None:
    """What is in use, with the KV cache that was predicted for it."""
    told = test.boot.facts.device_used_bytes
    return None if told is None else (memory.device_used_bytes - told) / MIB


def check_refused(test: Start, starts: list[Start]) -> str | None:
    """What is wrong with the answer to a configuration that vLLM refused."""
    constants = fit([(start.id, start.boot) for start in training(test, starts)])
    memory = predict_memory(test.boot.setup, measured=constants)
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
    kv, kv_untold = [each.kv for each in scores], [each.kv_untold for each in scores]
    used, used_untold = ([off for off in offs if off] for offs in (
        [each.used for each in scores], [each.used_untold for each in scores]))  # fmt: skip
    limits = [
        ("KV cache before", BEFORE_MIB, [each.before for each in kv]),
        ("KV cache after one start", AFTER_MIB, [each.after for each in kv]),
        ("in use before", USED_BEFORE_MIB, [each.before for each in used]),
        ("in use after one start", USED_AFTER_MIB, [each.after for each in used]),
        ("not told: in use before", None, [each.before for each in used_untold]),
        ("not told: KV cache after", AFTER_MIB, [each.after for each in kv_untold]),
        ("not told: in use after", USED_AFTER_MIB, [each.after for each in used_untold]),
    ]
    missed = []
    for name, limit, told in limits:
        offs = [abs(off) for off in told if off is not None]
        most = max(offs, default=0.0)
        allowed = "which nothing could tell" if limit is None else f"{limit} allowed"
        print(f"{name}: {fmean(offs or [0]):.0f} MiB off on average, {most:.0f} at most, {allowed}, {len(offs)} starts")
        missed += [f"{name}: {most:.0f} MiB off"] if limit is not None and most > limit else []
    covered = fmean(each.covered for each in scores)
    print(f"within low and high: {covered:.0%} of {len(scores)}")
    if not COVERED[0] <= covered <= COVERED[1]:
        missed.append(f"low and high hold {covered:.0%}, not {COVERED[0]:.0%} to {COVERED[1]:.0%}")
    return missed


if __name__ == "__main__":
    named = [Path(word) for word in sys.argv[1:] if word != "--fit"]
    recorded = named or sorted((Path(__file__).parent / "boots").glob("*.jsonl"))
    sys.exit(print_fitted(recorded) if "--fit" in sys.argv else main(recorded))
