"""Asks vLLM itself whether it takes commands, for many releases in one environment with vLLM's dependencies.

    python tools/lint_truth.py --python ENGINE/bin/python --folder WORK --release 0.32.0 0.10.2 CASES.json

ENGINE is a CPU engine (`dyno env install --vllm cpu`). Of every release only the Python sources are unpacked below WORK
and put in front of ENGINE's own vLLM; they say that they are the CPU build, so that the platform is the CPU. The
answers, null or the message of the refusal, are printed by release as JSON.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog import wheel_tree

from dyno.model.synthetic import SHAPES, write_model

# What older releases import and a newer engine does not bring. gguf is imported and never used for a configuration.
EXTRAS = ("gguf", "diskcache", "orjson", "cbor2", "setproctitle", "py-cpuinfo", "blake3")
Case = dict[str, Any]  # {"env": {...}, "argv": [...]}; MODEL stands for the model


@dataclass(frozen=True, slots=True)
class Truth:
    """Where vLLM is asked: an engine's interpreter, and a folder for sources, extras and the model.

    With `is_own` the engine's own vLLM is asked, whatever the release.
    """

    python: str
    folder: Path
    is_own: bool = False

    def answers(self, release: str, cases: Sequence[Case]) -> list[str | None]:
        """For each case None when the release takes it, else what it says."""
        model = write_model(self.folder / "model", SHAPES["demo"])
        script = Path(__file__).with_name("lint_answer.py")
        with tempfile.TemporaryDirectory() as scratch:
            told, out = Path(scratch, "cases.json"), Path(scratch, "answers.json")
            told.write_text(json.dumps(list(cases)))
            command = [self.python, str(script), str(told), str(model), str(out)]
            done = subprocess.run(command, cwd=scratch, env=self._variables(release), capture_output=True, text=True,
                                  check=False)  # fmt: skip
            if done.returncode:
                raise SystemExit(f"vLLM {release} cannot be asked:\n{done.stderr[-3000:]}")
            return [answer and _plain(answer) for answer in json.loads(out.read_text())]

    def _variables(self, release: str) -> dict[str, str]:
        paths = [] if self.is_own else [self.sources(release), self.extras()]
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
                (draft / path).write_text(text)
            draft.rename(folder)
        return folder

    def extras(self) -> Path:
        """Packages that older releases import."""
        folder = self.folder / "extras"
        if not folder.exists():
            command = [self.python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *EXTRAS]
            subprocess.run(command, check=True)
        return folder


def _plain(answer: str) -> str:
    """A refusal in one line, without what differs from run to run."""
    return re.sub(r" \[type=.*?(?= \d+ validation error|$)", "", " ".join(answer.split()))[:200]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="interpreter of a CPU engine environment")
    parser.add_argument("--folder", type=Path, required=True, help="where sources are unpacked")
    parser.add_argument("--release", nargs="+", required=True)
    parser.add_argument("cases", type=Path)
    args = parser.parse_args()
    cases = json.loads(args.cases.read_text())
    truth = Truth(args.python, args.folder)
    json.dump({release: truth.answers(release, cases) for release in args.release}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
