"""Servers that live as long as a test."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.bench.scripted import Script, ScriptedServer, playing

import dyno
from dyno.engine.client import health
from dyno.testing.fake_engine import write_site

SOURCE = Path(dyno.__file__).parents[1]  # of this checkout, whichever is installed


@pytest.fixture
def play() -> Iterator[Callable[[Script], ScriptedServer]]:
    """`play(script)` starts a server."""
    with ExitStack() as servers:
        yield lambda script: servers.enter_context(playing(script))


@pytest.fixture
def engine(tmp_path):
    """`engine(**variables)` starts a fake engine and returns its URL."""
    site, running = write_site(tmp_path / "site"), []

    def start(*flags: str, **variables: str) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        words = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", "m", "--port", port, *flags]
        process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": f"{site}:{SOURCE}", **variables},
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        running.append(process)
        url = f"http://127.0.0.1:{port}"
        while not health(url):
            assert process.poll() is None
        return url

    yield start
    for process in running:
        process.terminate()
        process.wait()
