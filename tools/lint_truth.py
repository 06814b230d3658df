"""Asks vLLM itself whether it takes configurations, for many releases in one environment with vLLM's dependencies.

    python tools/lint_truth.py --python ENGINE/bin/python --folder WORK --release 0.32.0 0.10.2 CASES.json

ENGINE is a CPU engine (`dyno env install --vllm cpu`). Of every release only the Python sources are unpacked below WORK
and put in front of ENGINE's own vLLM; they say that they are the CPU build, so that the platform is the CPU. A release
that does not name transformers 5 gets transformers 4. The answers are printed by release as JSON.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog import wheel_tree

from dyno.model.synthetic import SHAPES, write_model

RELEASES = ("0.10.2", "0.14.1", "0.18.1", "0.22.1", "0.26.0", "0.30.0", "0.32.0", "0.33.0")
MODEL = "MODEL"  # this word of a case stands for a small Qwen3 without weights
# What older releases import and a newer engine does not bring.
EXTRAS = ("gguf", "diskcache", "orjson", "cbor2", "setproctitle", "py-cpuinfo", "blake3")
TRANSFORMERS_4 = ("transformers<5", "huggingface-hub<1", "tokenizers<0.23")
Case = dict[str, Any]  # {"env": {...}, "argv": [...]} or {"keywords": {...}}


@dataclass(frozen=True, slots=True)
class Answer:
    """Why vLLM refused a case, None when it took it, and then the value of everything it parsed."""

    refused: str | None
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Truth:
    """Where vLLM is asked: an engine's interpreter, and a folder for sources, packages and models.

    With `is_own` the engine's own vLLM is asked, whatever the release.
    """

    python: str
    folder: Path
    is_own: bool = False

    def answers(self, release: str, cases: Sequence[Case]) -> list[Answer]:
        """What the release makes of each case."""
        model = write_model(self.folder / "model", SHAPES["demo"])
        told = [{**case, "argv": [re.sub(rf"(?<![^=]){MODEL}$", str(model), word) for word in case["argv"]]}
                if "argv" in case else case for case in cases]  # fmt: skip
        with tempfile.TemporaryDirectory() as scratch:
            asked, out = Path(scratch, "cases.json"), Path(scratch, "answers.json")
            asked.write_text(json.dumps(told), encoding="utf-8")
            script = str(Path(__file__).with_name("lint_answer.py").resolve())
            command = [self.python, script, str(asked), str(model), str(out)]
            done = subprocess.run(command, cwd=scratch, env=self._variables(release), capture_output=True, text=True,
                                  check=False)  # fmt: skip
            if done.returncode:
                raise SystemExit(f"vLLM {release} cannot be asked:\n{done.stderr[-3000:]}")
            answers = json.loads(out.read_text(encoding="utf-8"))
        return [Answer(self._plain(each["refused"]), each.get("values", {})) for each in answers]

    def _plain(self, text: str | None) -> str | None:
        """A refusal in one line, without what differs from run to run."""
        if text is None:
            return None
        here = re.sub(r" at 0x[0-9a-f]+", "", text.replace(str(self.folder), "WORK"))
        return re.sub(r" \[type=.*?(?= \d+ validation error|$)", "", " ".join(here.split()))[:150]

    def _variables(self, release: str) -> dict[str, str]:
        paths = [] if self.is_own else [self.sources(release), *self.older(release), self.extras()]
        return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "VLLM_LOGGING_LEVEL": "ERROR",
                             "VLLM_PLUGINS": "", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
                             "VLLM_CACHE_ROOT": str(self.folder / "cache" / release)}  # fmt: skip

    def sources(self, release: str) -> Path:
        """The release's Python sources, unpacked once."""
        folder = self.folder / release
        if not folder.exists():
            tree, draft = wheel_tree(release), folder.with_name(f".{release}")
            kept = (path for path in tree.paths if path.endswith((".py", ".jinja", "METADATA", "entry_points.txt")))
            for path in kept:
                (draft / path).parent.mkdir(parents=True, exist_ok=True)
                text = tree.read(path) or ""
                if path.endswith("METADATA"):
                    text = re.sub(r"(?m)^Version: (.*)$", r"Version: \1+cpu", text)
                (draft / path).write_text(text, encoding="utf-8")
            draft.rename(folder)
        return folder

    def older(self, release: str) -> list[Path]:
        """transformers 4, for a release that does not name transformers 5."""
        (told,) = self.sources(release).glob("vllm-*.dist-info/METADATA")
        wanted = re.search(r"(?m)^Requires-Dist: transformers(.*)$", told.read_text(encoding="utf-8"))
        if wanted and re.search(r"(?<![\d.])5\.", wanted[1]):
            return []
        return [self._installed("transformers-4", TRANSFORMERS_4)]

    def extras(self) -> Path:
        """Packages that older releases import."""
        return self._installed("extras", EXTRAS)

    def _installed(self, name: str, packages: Sequence[str]) -> Path:
        folder = self.folder / name
        if not folder.exists():
            command = [self.python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *packages]
            subprocess.run(command, check=True)
        return folder


def engine_options(parser: argparse.ArgumentParser) -> None:
    """What a Truth is made from."""
    parser.add_argument("--python", required=True, help="interpreter of a CPU engine environment")
    parser.add_argument("--folder", type=Path, required=True, help="where sources are unpacked")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engine_options(parser)
    parser.add_argument("--release", nargs="+", default=RELEASES)
    parser.add_argument("cases", type=Path)
    args = parser.parse_args()
    cases = json.loads(args.cases.read_text(encoding="utf-8"))
    truth = Truth(args.python, args.folder.resolve())
    told = {release: [answer.refused for answer in truth.answers(release, cases)] for release in args.release}
    json.dump(told, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
