"""dyno lint against vLLM itself: combinations of flags drawn for a release, what vLLM said of them, what Dyno says.

    python tools/lint_differential.py record --python ENGINE/bin/python --folder WORK --seed 2 [RELEASE ...]
    python tools/lint_differential.py judge [RELEASE ...]

`record` draws 500 combinations for each release and keeps vLLM's answers in tests/data/lint/differential/RELEASE.json.
`judge` tells where Dyno's errors and vLLM's refusals differ. The draw knows flags by the catalog, but nothing of Dyno's
rules; rules are mended by one seed and scored by another.
"""

import argparse
import json
import random
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lint_truth import MODEL, RELEASES, Case, Truth, engine_options

from dyno.engine.catalog import Catalog, Flag
from dyno.engine.catalog_releases import flag_history, release
from dyno.lint.case import ModelFacts
from dyno.lint.check import Judge, Text
from dyno.lint.knowledge import known_release
from dyno.lint.read import read
from dyno.lint.rules import RULES

DATA = Path(__file__).parent.parent / "tests" / "data" / "lint" / "differential"
EXPLAINED = DATA / "explained.json"
COUNT = 500
LIMIT = 0.02  # of false accepts, and of false rejects
_FACTS = ModelFacts(MODEL, "Qwen3ForCausalLM", 40960, None, 16, 0)  # the shape that vLLM is asked with
# Not drawn, and why: there the answer hangs on more than the command and the kind of model.
LEFT_OUT: Mapping[str, str] = {
    "model": "every case has one",
    "config": "names a file of flags; tests of readers have such files",
    "log_config_file": "newer releases look for it on the disk",
    "numa_bind": "asks the machine for its nodes",
    "mm_processor_device": "takes the devices of the machine that is asked",
    "spec_model": "what it needs beside it stands in the draft's own config",
    "engram_config": "wants a model with such embeddings",
    "use_replayssm": "wants a model with a state space",
}
PACKAGE_OF_0_10 = "block_size"  # the CPU engine of 0.10 wants a package of Intel's for it
LISTED = {"attention_backend", "load_format", "tool_call_parser", "reasoning_parser"}
# Words for what not any word will do.
WORDS: Mapping[str, tuple[str, ...]] = {
    "show_hidden_metrics_for_version": ("0.9.0",), "otlp_traces_endpoint": ("http://127.0.0.1:4317",),
    "tokenizer": (MODEL,), "hf_config_path": (MODEL,), "speculative_model": (MODEL,),
    "numa_bind_cpus": ("0-3",), "device_ids": ("0",),
    "lora_modules": ("one=/adapter", "two=/adapter"), "prompt_adapters": ("one=/adapter",), "swap_space": ("1", "0"),
    "distributed_executor_backend": ("mp", "uni"), "chat_template": ("{{ messages }}",), "device": ("auto", "cpu"),
    "allowed_local_media_path": ("/tmp",), "quantization": ("fp8", "awq", "gptq", "bitsandbytes"),
}  # fmt: skip
Draw = random.Random


def draw(version: str, seed: int, count: int = COUNT) -> list[Case]:
    """The combinations for one release: the same ones for the same seed."""
    dice = random.Random(f"dyno lint {seed} {version}")
    catalog = release(version)
    flags = _drawn(catalog)
    return [_combination(dice, catalog, flags) for _ in range(count)]


def _drawn(catalog: Catalog) -> list[Flag]:
    left_out = {*LEFT_OUT, *([PACKAGE_OF_0_10] if catalog.version.startswith("0.10.") else [])}
    return [flag for flag in catalog.flags if flag.name not in left_out]


def _combination(dice: Draw, catalog: Catalog, flags: Sequence[Flag]) -> Case:
    chosen = dice.sample(flags, dice.choice((1, 2, 3, 4)))
    parts = [_written(dice, flag, _value(dice, catalog, flag)) for flag in chosen]
    if dice.random() < 0.5:
        fault = dice.choice(FAULTS)
        parts.insert(dice.randrange(len(parts) + 1), fault(dice, catalog, dice.choice(flags)))
    case: Case = {"argv": [MODEL, *(word for part in parts for word in part)]}
    if dice.random() < 0.1:
        case["env"] = dict([dice.choice(VARIABLES)])
    return case


VARIABLES = (("VLLM_USE_V1", "1"), ("VLLM_LOGGING_LEVEL", "DEBUG"), ("VLLM_CPU_KVCACHE_SPACE", "4"),
             ("VLLM_QUANTIZATION", "fp8"), ("VLLM_HOST_IP", "127.0.0.1"), ("VLLM_NO_USAGE_STATS", "1"))  # fmt: skip


def _written(dice: Draw, flag: Flag, words: Sequence[str] | None) -> list[str]:
    """A flag as people write it. None: switched off."""
    option = dice.choice(flag.options if words is not None else flag.negations)
    if dice.random() < 0.2 and option.startswith("--"):
        option = "--" + option[2:].replace("-", "_")
    if words and len(words) == 1 and dice.random() < 0.3 and option.startswith("--"):
        return [f"{option}={words[0]}"]
    return [option, *(words or ())]


def _value(dice: Draw, catalog: Catalog, flag: Flag) -> list[str] | None:
    """Words of the right kind; None for a switch that is switched off."""
    if flag.kind == "switch":
        return None if flag.negatable and dice.random() < 0.5 else []
    if flag.nargs == "?" and dice.random() < 0.5:
        return []
    count = dice.choice((1, 2)) if flag.nargs in ("+", "*") else 1
    return [_word(dice, catalog, flag) for _ in range(count)]


def _word(dice: Draw, catalog: Catalog, flag: Flag) -> str:
    if flag.name in WORDS:
        return dice.choice(WORDS[flag.name])
    if flag.choices:
        return dice.choice([word for word in flag.choices if word != "None"])
    if flag.name in LISTED and flag.name in catalog.lists:
        return dice.choice(catalog.lists[flag.name])
    if flag.kind == "json":
        return _object(dice, catalog, flag)
    if flag.kind == "str" or flag.kind == "folded":
        return str(flag.default or "some")
    return _number(dice, flag)


def _number(dice: Draw, flag: Flag) -> str:
    usual = flag.default if isinstance(flag.default, int | float) and not isinstance(flag.default, bool) else None
    if flag.kind == "float":
        return str(dice.choice([usual or 0.5, 0.25, 0.75]))
    small = [int(value) + (bound == "gt") for bound, value in flag.bounds if bound in ("gt", "ge")]
    found = dice.choice([int(usual or 4), max([4, *small]), max([16, *small]), max([1, *small])])
    return str(found) if flag.kind == "int" or dice.random() < 0.6 else dice.choice(("2k", "4K", "8192"))


def _object(dice: Draw, catalog: Catalog, flag: Flag) -> str:
    keys = [key for key in catalog.keys if key.name.rpartition(".")[0] == flag.name
            and key.kind in ("int", "float", "switch")]  # fmt: skip
    if not keys or dice.random() < 0.3:
        return "{}"
    key = dice.choice(keys)
    value = dice.random() < 0.5 if key.kind == "switch" else json.loads(_number(dice, key))
    return json.dumps({key.name.rpartition(".")[2]: value})


# Faults: each makes words that the release probably refuses.


def _of_other_release(dice: Draw, catalog: Catalog, _flag: Flag) -> list[str]:
    known = {flag.name for flag in catalog.flags}
    others = [spans[-1].record for name, spans in sorted(flag_history().items()) if name not in {*known, *LEFT_OUT}]
    flag = dice.choice(others)
    return [flag.options[0], *(_value(dice, catalog, flag) or ())]


def _misspelt(dice: Draw, catalog: Catalog, flag: Flag) -> list[str]:
    option = next(option for option in flag.options if option.startswith("--"))
    at = dice.randrange(3, len(option))
    return [dice.choice((option[:at] + option[at + 1 :], option[:at] + "x" + option[at:], option + "s")),
            *(_value(dice, catalog, flag) or ())]  # fmt: skip


def _wrong_kind(dice: Draw, catalog: Catalog, _flag: Flag) -> list[str]:
    flag = _one(dice, catalog, lambda flag: flag.kind in ("int", "float", "size"))
    wrong = ["many", "1,5", "0x10", ""] + ["1.5"] * (flag.kind == "int")
    return [flag.options[0], dice.choice(wrong)]


def _no_choice(dice: Draw, catalog: Catalog, _flag: Flag) -> list[str]:
    flag = _one(dice, catalog, lambda flag: bool(flag.choices) and flag.kind in ("str", "int"))
    return [flag.options[0], "9999" if flag.kind == "int" else dice.choice((flag.choices[0] + "x", "best"))]


def _not_listed(dice: Draw, catalog: Catalog, _flag: Flag) -> list[str]:
    names = ("attention_backend", "quantization", "reasoning_parser")
    flag = dice.choice([flag for flag in catalog.flags if flag.name in names])
    return [flag.options[0], "nothing-like-it"]


def _out_of_bounds(dice: Draw, catalog: Catalog, _flag: Flag) -> list[str]:
    flag = _one(dice, catalog, lambda flag: bool(flag.bounds))
    bound, limit = dice.choice(flag.bounds)
    step = 1 if flag.kind in ("int", "size") else 0.5
    value = limit + {"gt": 0, "ge": -step, "lt": 0, "le": step}[bound]
    return [f"{flag.options[0]}={int(value) if step == 1 else value}"]


def _without_value(dice: Draw, catalog: Catalog, _flag: Flag) -> list[str]:
    flag = _one(dice, catalog, lambda flag: flag.kind != "switch" and flag.nargs in (None, "+"))
    return [flag.options[0], "--enforce-eager"]


def _switch_with_value(dice: Draw, catalog: Catalog, _flag: Flag) -> list[str]:
    flag = _one(dice, catalog, lambda flag: flag.kind == "switch")
    return dice.choice(([f"{flag.options[0]}=true"], [flag.options[0], "true"]))


def _wrongly_negated(dice: Draw, catalog: Catalog, _flag: Flag) -> list[str]:
    flag = _one(dice, catalog, lambda flag: not flag.negatable)
    return ["--no-" + flag.name.replace("_", "-")]


def _broken_json(dice: Draw, catalog: Catalog, _flag: Flag) -> list[str]:
    flag = _one(dice, catalog, lambda flag: flag.kind == "json")
    return [flag.options[0], dice.choice(('{"a": }', "{'a': 1}", '{"a": 1', "level=3"))]


def _unknown_key(dice: Draw, catalog: Catalog, flag: Flag) -> list[str]:
    owners = {key.name.partition(".")[0] for key in catalog.keys}
    if not owners:
        return _broken_json(dice, catalog, flag)
    found = _one(dice, catalog, lambda flag: flag.kind == "json" and flag.name in owners)
    if dice.random() < 0.5:
        return [f"{found.options[0]}.no_such_key", "1"]
    return [found.options[0], '{"no_such_key": 1}']


def _shortened(dice: Draw, _catalog: Catalog, flag: Flag) -> list[str]:
    option = flag.options[0]
    words = [] if flag.kind == "switch" else [str(flag.default or 1)]
    return [option[: max(4, len(option) - dice.choice((1, 3, 6)))], *words]


def _conflict(dice: Draw, _catalog: Catalog, _flag: Flag) -> list[str]:
    return shlex.split(dice.choice(CONFLICTS))


CONFLICTS = (
    "--max-num-seqs 512 --max-num-batched-tokens 128",
    "--max-model-len 9999999",
    "--enable-auto-tool-choice",
    "--tensor-parallel-size 3",
    "--speculative-config '{\"num_speculative_tokens\": 3}'",
    '--kv-transfer-config \'{"kv_role": "kv_both"}\'',
    "--data-parallel-hybrid-lb",
    "--collect-detailed-traces all",
    "--no-enable-chunked-prefill --max-num-batched-tokens 512 --max-model-len 2048",
    "--enable-expert-parallel",
    "--ray-workers-use-nsight",
    "--data-parallel-size-local 4",
    "extra-argument",
)


def _one(dice: Draw, catalog: Catalog, fits: Callable[[Flag], bool]) -> Flag:
    found = [flag for flag in _drawn(catalog) if fits(flag)]
    return dice.choice(found or [flag for flag in catalog.flags if fits(flag)] or list(catalog.flags))


FAULTS: tuple[Callable[[Draw, Catalog, Flag], list[str]], ...] = (
    _of_other_release, _of_other_release, _misspelt, _wrong_kind, _no_choice, _not_listed, _out_of_bounds,
    _without_value, _switch_with_value, _wrongly_negated, _broken_json, _unknown_key, _shortened, _conflict, _conflict,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One combination and why vLLM refused it, None when it took it."""

    command: str
    refused: str | None


@dataclass(frozen=True, slots=True)
class Score:
    """How Dyno does on one release: how many cases vLLM was asked, how many it refused, where Dyno says otherwise."""

    version: str
    asked: int
    refused: int
    accepts: tuple[Row, ...]  # vLLM refuses, Dyno finds no error
    rejects: tuple[tuple[Row, str], ...]  # vLLM takes it, and Dyno's errors

    @property
    def is_good(self) -> bool:
        return max(len(self.accepts), len(self.rejects)) <= LIMIT * self.asked and self.refused >= 0.4 * self.asked

    def __str__(self) -> str:
        takes, refuses = len(self.accepts) / self.asked, len(self.rejects) / self.asked
        return (
            f"{self.version}: {self.refused / self.asked:.0%} of {self.asked} refused by vLLM; "
            f"false accepts {takes:.1%}, false rejects {refuses:.1%}"
        )


def command_of(case: Case) -> str:
    """A case as one line: its variables, then the words after the model."""
    variables = [f"{name}={value}" for name, value in case.get("env", {}).items()]
    return shlex.join([*variables, *case["argv"][1:]])


def case_of(command: str) -> Case:
    """The case of such a line."""
    words = shlex.split(command)
    count = next((at for at, word in enumerate(words) if not re.match(r"[A-Z]\w*=", word)), len(words))
    env = dict(word.split("=", 1) for word in words[:count])
    return {"env": env, "argv": [MODEL, *words[count:]]}


def record(truth: Truth, versions: Sequence[str], seed: int) -> None:
    """Writes the combinations of each release with vLLM's answers."""
    DATA.mkdir(parents=True, exist_ok=True)
    for version in versions:
        cases = draw(version, seed)
        answers = truth.answers(version, cases)
        rows = [json.dumps([command_of(case), answer.refused]) for case, answer in zip(cases, answers, strict=True)]
        text = f'{{"seed": {seed}, "cases": [\n' + ",\n".join(rows) + "\n]}\n"
        (DATA / f"{version}.json").write_text(text, encoding="utf-8")
        print(f"{version}: {sum(bool(each.refused) for each in answers)} of {len(answers)} refused", file=sys.stderr)


def rows_of(version: str) -> list[Row]:
    """What was recorded for a release."""
    told = json.loads((DATA / f"{version}.json").read_text(encoding="utf-8"))
    return [Row(command, refused) for command, refused in told["cases"]]


def score(version: str) -> Score:
    """Dyno's findings beside vLLM's recorded answers."""
    rows = rows_of(version)
    judged = [(row, ", ".join(_errors(version, row.command))) for row in rows]
    return Score(version, len(rows), sum(row.refused is not None for row in rows),
                 tuple(row for row, errors in judged if row.refused and not errors),
                 tuple((row, errors) for row, errors in judged if errors and not row.refused))  # fmt: skip


def _errors(version: str, command: str) -> Iterator[str]:
    case = case_of(command)
    variables = (f"{name}={shlex.quote(value)}" for name, value in case["env"].items())
    line = " ".join([*variables, shlex.join(["vllm", "serve", *case["argv"]])])
    known = known_release(version)
    judge = Judge(lambda _: known, RULES, model=_FACTS, platform="cpu")
    for finding in judge.findings(Text("<argument>", line, read("<argument>", line, frozenset(), "command"))):
        if finding.severity == "error":
            yield f"{finding.code} {finding.item}"


def judge(versions: Sequence[str]) -> bool:
    """Prints the differences, with their explanations; whether all releases keep the limits."""
    explained = json.loads(EXPLAINED.read_text(encoding="utf-8")) if EXPLAINED.exists() else {}
    scores = [score(version) for version in versions]
    for each in scores:
        print(each)
        reasons = explained.get(each.version, {})
        for row in each.accepts:
            print(f"  takes    {row.command}\n           vLLM: {row.refused}")
            print(f"           {reasons.get(row.command, '?')}")
        for row, errors in each.rejects:
            print(f"  refuses  {row.command}\n           Dyno: {errors}\n           {reasons.get(row.command, '?')}")
    return all(each.is_good for each in scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recording, judging = verbs.add_parser("record"), verbs.add_parser("judge")
    engine_options(recording)
    recording.add_argument("--seed", type=int, required=True)
    for each in (recording, judging):
        each.add_argument("release", nargs="*", default=RELEASES)
    args = parser.parse_args()
    if args.verb == "record":
        record(Truth(args.python, args.folder.resolve()), args.release, args.seed)
    elif not judge(args.release):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
