"""The command line as its users run it, over the fake engine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import DYNO, Bench, make_bench

from dyno.testing.fake_engine import write_site


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
    return make_bench(tmp_path, fake_home, tpot_ms=2)
