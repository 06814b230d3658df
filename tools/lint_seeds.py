"""The seeds' own configurations, repaired by dyno lint for a release and given to that release's parser and checks.

    python tools/lint_seeds.py --python ENGINE/bin/python --folder WORK [RELEASE ...]

Keeps in tests/data/lint/seeds.json what each became and what vLLM said of it. Ends with an error when vLLM reads out of
a repaired configuration anything but what stood in the old one and what the findings changed.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lint_truth import MODEL, RELEASES, Answer, Case, Truth, engine_options
from stand_ins import stand_in

from dyno.lint.argv import items_of
from dyno.lint.case import SETTINGS, ModelFacts
from dyno.lint.case import Case as Judged
from dyno.lint.check import Judge, Text
from dyno.lint.fix import Fixed, fix
from dyno.lint.knowledge import known_release
from dyno.lint.known import Known
from dyno.lint.markdown import fences
from dyno.lint.read import read
from dyno.lint.rules import RULES
from dyno.lint.source import UNKNOWN, Configuration, Source

ROOT = Path(__file__).parent.parent
SEEDS = ROOT / "tests" / "data" / "seeds"
DATA = ROOT / "tests" / "data" / "lint" / "seeds.json"
# What the config.json of the seeds' models says. 002 takes any model; its own default is an FP8 checkpoint.
FACTS = {facts.name: facts for facts in (
    ModelFacts("Qwen/Qwen3-4B-Instruct-2507-FP8", "Qwen3ForCausalLM", 262144, "fp8", 32, 0),
    ModelFacts("Qwen/Qwen2.5-7B-Instruct", "Qwen2ForCausalLM", 32768, None, 28, 0),
    ModelFacts("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen2ForCausalLM", 32768, "awq", 28, 0),
    ModelFacts("Qwen/Qwen2.5-4B-Instruct-AWQ", "Qwen2ForCausalLM", 32768, "awq", 16, 0),
    ModelFacts("microsoft/DialoGPT-medium", "GPT2LMHeadModel", 1024, None, 16, 0),
    ModelFacts("/app/models/hf/DeepSeek-R1-0528-Qwen3-8b", "Qwen3ForCausalLM", 131072, None, 32, 0),
)}  # fmt: skip
_ANY_MODEL = "Qwen/Qwen3-4B-Instruct-2507-FP8"
_OTHERS = ("DYN701", "DYN711")  # a lost requirement, a call of what LLM does not have: not the configuration's
_NOT_ARGUMENTS = {"model", "model_tag", "config", "subparser", "dispatch_function"}


@dataclass(frozen=True, slots=True)
class Repaired:
    """One configuration of a seed as it became, with the codes of what was mended in it."""

    release: str
    seed: str
    block: int  # the fenced block, from 1
    codes: tuple[str, ...]
    case: Case


@dataclass(frozen=True, slots=True)
class _Piece:
    """A repaired configuration, and by name what vLLM has to read out of it."""

    repaired: Repaired
    expected: Mapping[str, Any]


def repaired(release: str) -> list[Repaired]:
    """Every configuration of the seeds, repaired for a release."""
    return [piece.repaired for piece in _pieces(release)]


def _pieces(release: str) -> Iterator[_Piece]:
    known = known_release(release)
    judge = Judge(lambda _: known, RULES, facts_for=FACTS.get)
    for path in sorted(SEEDS.glob("*.md")):
        content = path.read_text(encoding="utf-8")
        for block, (language, source) in enumerate(fences(Source.whole(content)), 1):
            fenced = f"```{language}\n{source.text}```\n"
            done = fix(Text(path.name, fenced, read(path.name, fenced, known.names)), judge)
            if errors := [each.message for each in done.left if each.severity == "error" and each.code not in _OTHERS]:
                raise SystemExit(f"{path.name}, block {block}, for {release}: {'; '.join(errors)}")
            codes = tuple(sorted({each.code for each in done.repaired}))
            starts = [each for each in done.before.read.configurations if _starts(each)]
            ends = [each for each in done.after.read.configurations if _starts(each)]
            for at, after in enumerate(ends):
                before = starts[at] if len(starts) == len(ends) else after
                yield _Piece(Repaired(release, path.stem, block, codes, _case(after, known)),
                             _expected(before, after, done, known))  # fmt: skip


def _starts(configuration: Configuration) -> bool:
    return configuration.entry != "mention" and (configuration.entry != "variables" or _variables(configuration) != {})


def _variables(configuration: Configuration) -> dict[str, str]:
    """The variables that vLLM is asked with: its own, but none that the release would not read anyway."""
    return {item.name: str(item.value) for item in configuration.items
            if item.kind == "variable" and item.name.startswith("VLLM_") and item.known}  # fmt: skip


def _case(configuration: Configuration, known: Known) -> Case:
    """A configuration as vLLM is asked it."""
    if configuration.entry in ("LLM", "EngineArgs", "AsyncEngineArgs", "mapping"):
        keywords = {item.name: item.value for item in items_of(configuration, known)
                    if item.kind in ("keyword", "key", "positional") and item.value is not UNKNOWN}  # fmt: skip
        return {"keywords": {"model": _ANY_MODEL, **keywords}}
    words = [word.text for word in configuration.words if not word.open]
    has_model = configuration.entry in ("serve", "api_server")
    door = "api_server" if configuration.entry == "api_server" else "serve"
    return {"door": door, "env": _variables(configuration), "argv": words if has_model else [MODEL, *words]}


def _expected(before: Configuration, after: Configuration, done: Fixed, known: Known) -> dict[str, Any]:
    """What stood there, without what was mended, and what took its place."""
    changes = [each.change for each in done.repaired if each.change]
    gone = {change.old.name for change in changes}
    values = {name: value for name, value in _values(before, known).items() if name not in gone}
    for change in changes:
        values |= {new.name: new.value for new in change.new if new.name in _values(after, known)}
    return values


def _values(configuration: Configuration, known: Known) -> dict[str, Any]:
    judged = Judged(configuration, items_of(configuration, known), known)
    return {item.name: judged.typed(item) for item in judged.items
            if item.kind in SETTINGS and item.name not in _NOT_ARGUMENTS}  # fmt: skip


def _difference(piece: _Piece, answer: Answer, plain: Mapping[str, Any]) -> list[str]:
    """What vLLM reads otherwise than it should. `plain` is what it reads where nothing but a model is given."""
    usual = {} if "keywords" in piece.repaired.case else plain
    read = {name: value for name, value in answer.values.items()
            if name not in _NOT_ARGUMENTS and (name in piece.expected or value != usual.get(name))}  # fmt: skip
    names = sorted(read.keys() | piece.expected.keys())
    return [f"{name}: {read.get(name)!r}, not {piece.expected.get(name)!r}" for name in names
            if not _same(read.get(name), piece.expected.get(name))]  # fmt: skip


def _same(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return str(one).lower() == str(other).lower()


def record(truth: Truth, releases: Sequence[str]) -> None:
    """Asks each release and keeps what it says."""
    rows: list[dict[str, Any]] = []
    for release in releases:
        pieces = list(_pieces(release))
        cases = [asked(truth.folder, piece.repaired.case) for piece in pieces]
        plain, *answers = truth.answers(release, [{"argv": [MODEL]}, *cases])
        for piece, answer in zip(pieces, answers, strict=True):
            where = f"{piece.repaired.seed}.md, block {piece.repaired.block}, for {release}"
            if answer.refused is None and (wrong := _difference(piece, answer, plain.values)):
                raise SystemExit(f"{where}: {'; '.join(wrong)}")
            print(f"{where}: {answer.refused or 'taken'}")
            rows.append({**as_row(piece.repaired), "refused": answer.refused})
    DATA.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")


def asked(folder: Path, case: Case) -> Case:
    """A case with stand-ins for its models."""
    paths = {name: str(stand_in(folder / "models", facts)) for name, facts in FACTS.items()}
    if "keywords" in case:
        return {"keywords": {**case["keywords"], "model": paths[case["keywords"]["model"]]}}
    return {**case, "argv": [paths.get(word, word) for word in case["argv"]]}


def as_row(each: Repaired) -> dict[str, Any]:
    """As it is kept."""
    return asdict(each)


def recorded() -> list[dict[str, Any]]:
    """What was kept, one row for each configuration and release."""
    rows: list[dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engine_options(parser)
    parser.add_argument("release", nargs="*", default=RELEASES)
    args = parser.parse_args()
    record(Truth(args.python, args.folder.resolve()), args.release)


if __name__ == "__main__":
    main()
