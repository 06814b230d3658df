"""Launch configurations as they stand in public repositories: what vLLM says of them and what dyno lint finds.

    python tools/lint_public.py record --python ENGINE/bin/python --folder WORK [RELEASE ...]
    python tools/lint_public.py judge

tests/data/lint/public.json holds where each stands, its words, and what is known of its model; `values` are for what is
a shell variable there. `record` asks vLLM and keeps its answers by release, `judge` counts what Dyno found of them.
"""

import argparse
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lint_truth import RELEASES, Case, Truth, engine_options
from stand_ins import stand_in

from dyno.lint.case import ModelFacts
from dyno.lint.check import Finding, Judge, Text
from dyno.lint.knowledge import known_release
from dyno.lint.read import read
from dyno.lint.rules import RULES

DATA = Path(__file__).parent.parent / "tests" / "data" / "lint" / "public.json"
_UNRECOGNIZED = "unrecognized arguments: "
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Count:
    """Over all configurations and releases: the errors that vLLM named, those of them that Dyno missed, the clean
    configurations, and those of them in which Dyno reports an error."""

    errors: int
    missed: tuple[str, ...]
    clean: int
    accused: tuple[str, ...]


def rows() -> list[Row]:
    """What is kept."""
    told: list[Row] = json.loads(DATA.read_text(encoding="utf-8"))
    return told


def facts(row: Row) -> ModelFacts:
    """What is known of a configuration's model."""
    model = row["model"]
    return ModelFacts(model["name"], model.get("architecture"), model.get("length"), model.get("quantization"),
                      model.get("heads"), model.get("experts"))  # fmt: skip


def asked(folder: Path, row: Row) -> Case:
    """A configuration as vLLM is asked it: with a stand-in for its model and with an empty file for its template."""
    template = folder / "template.jinja"
    template.write_text("{{ messages }}", encoding="utf-8")
    model = str(stand_in(folder / "models", facts(row)))
    name, values = row["model"]["name"], row.get("values", {})
    words = [model if word == name else re.sub(r"\$\{?(\w+)\}?", lambda found: values[found[1]], word)
             for word in row["argv"]]  # fmt: skip
    return {"env": row["environment"], "argv": [str(template) if word.endswith(".jinja") else word for word in words]}


def record(truth: Truth, releases: Sequence[str]) -> None:
    """Asks each release and keeps what it says, None where it takes a configuration."""
    kept = rows()
    for release in releases:
        answers = truth.answers(release, [asked(truth.folder, row) for row in kept])
        for row, answer in zip(kept, answers, strict=True):
            row.setdefault("refused", {})[release] = answer.refused
    DATA.write_text("[\n" + ",\n".join(json.dumps(row) for row in kept) + "\n]\n", encoding="utf-8")


def findings(row: Row, release: str) -> list[Finding]:
    """Dyno's errors in a configuration, as a command that the release would be started with."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in row["environment"].items()]
    words = [word if "$" in word else shlex.quote(word) for word in row["argv"]]
    line = " ".join([*variables, "vllm serve", *words])
    known = known_release(release)
    judge = Judge(lambda _: known, RULES, facts_for=lambda _: facts(row), platform="cpu")
    text = Text("<argument>", line, read("<argument>", line, known.names, "command"))
    return [each for each in judge.findings(text) if each.severity == "error"]


def count() -> Count:
    """What vLLM named beside what Dyno found."""
    missed, accused, errors, clean = [], [], 0, 0
    for row in rows():
        for release, refused in row["refused"].items():
            found = findings(row, release)
            where = f"{row['repository']}/{row['path']} for {release}"
            if refused is None:
                clean += 1
                accused += [f"{where}: {each.code} {each.item}" for each in found]
            else:
                named = list(_errors(refused))
                errors += len(named)
                missed += [f"{where}: {error}" for error in named if not _is_found(error, found)]
    return Count(errors, tuple(missed), clean, tuple(accused))


def _errors(refused: str) -> Iterator[str]:
    """The errors in one refusal: the parser names all unknown flags at once."""
    if refused.startswith(_UNRECOGNIZED):
        yield from (word for word in refused.removeprefix(_UNRECOGNIZED).split() if word.startswith("--"))
    else:
        yield refused


def _is_found(error: str, found: Sequence[Finding]) -> bool:
    if error.startswith("--"):
        return any(each.item.replace("_", "-") == error.partition("=")[0] for each in found)
    return bool(found)


def told(counted: Count) -> Mapping[str, str]:
    """The count in words."""
    share = 1 - len(counted.missed) / counted.errors
    return {"errors": f"{counted.errors} named by vLLM, {share:.1%} found",
            "clean": f"{counted.clean} taken, {len(counted.accused)} errors reported in them"}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    recording = verbs.add_parser("record")
    engine_options(recording)
    recording.add_argument("release", nargs="*", default=RELEASES)
    verbs.add_parser("judge")
    args = parser.parse_args()
    if args.verb == "record":
        record(Truth(args.python, args.folder.resolve()), args.release)
    counted = count()
    print("\n".join([*(f"{name}: {text}" for name, text in told(counted).items()), *counted.missed, *counted.accused]))


if __name__ == "__main__":
    main()
