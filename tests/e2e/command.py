"""The command line as a process, in a folder of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dyno.model.synthetic import SHAPES, write_model

DYNO = (sys.executable, "-m", "dyno")


@dataclass(frozen=True)
class Bench:
    """A folder to work in, with an engine environment and a model."""

    cwd: Path
    env: dict[str, str]

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*DYNO, *words], cwd=self.cwd, env=self.env | env, capture_output=True, text=True, timeout=300
        )

    def start(self, *words: str, **env: str) -> "subprocess.Popen[str]":
        return subprocess.Popen([*DYNO, *words], cwd=self.cwd, env=self.env | env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    def spec(self, name: str = "spec.yaml", **keys: str) -> str:
        """A spec of a small quick study, with keys changed or added; its name."""
        lines = {"model": "model", "workload": "{input_len: 32, output_len: 8, concurrency: 4, num_requests: 8}",
                 "tests": "[ttft]", "baseline": "vllm serve model --max-model-len 512 --load-format dummy",
                 "candidates": "{fast: FAKE_FAST=1, eager: --enforce-eager}", "pairs": "2",
                 "shared_host": "true"} | keys  # fmt: skip
        (self.cwd / name).write_text("".join(f"{key}: {value}\n" for key, value in lines.items() if value))
        return name


def make_bench(cwd: Path, home: Path, tpot_ms: int) -> Bench:
    """A folder with a model, over the fake engine of this $DYNO_HOME."""
    write_model(cwd / "model", SHAPES["demo"])
    return Bench(cwd, os.environ | {"DYNO_HOME": str(home), "FAKE_TPOT_MS": str(tpot_ms), "COLUMNS": "200"})
