"""The command line as its users run it, over the fake engine."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from dyno.model.synthetic import SHAPES, write_model
from dyno.testing.fake_engine import write_site

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
                 "candidates": "{fast: FAKE_FAST=1, eager: --enforce-eager}", "pairs": "2"} | keys  # fmt: skip
        (self.cwd / name).write_text("".join(f"{key}: {value}\n" for key, value in lines.items() if value))
        return name


@pytest.fixture(scope="session")
def fake_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A $DYNO_HOME whose one engine environment is the fake engine."""
    home = tmp_path_factory.mktemp("home")
    site = write_site(tmp_path_factory.mktemp("site"))
    subprocess.run([*DYNO, "env", "adopt", "--name", "fake", "--python", sys.executable, "--pythonpath", str(site)],
                   env=os.environ | {"DYNO_HOME": str(home)}, check=True, capture_output=True)  # fmt: skip
    return home


@pytest.fixture
def bench(tmp_path: Path, fake_home: Path) -> Bench:
    write_model(tmp_path / "model", SHAPES["demo"])
    return Bench(tmp_path, os.environ | {"DYNO_HOME": str(fake_home), "FAKE_TPOT_MS": "2", "COLUMNS": "200"})
