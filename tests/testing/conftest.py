"""A fake engine, started as the environment's interpreter would start it."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from dyno.engine.client import health
from dyno.testing.fake_engine import write_site


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Engine:
    """One process, its log, and questions to it."""

    def __init__(self, site: Path, log: Path, words: tuple[str, ...], env: dict[str, str], port: int) -> None:
        self.port = port or free_port()
        self.url, self._log = f"http://127.0.0.1:{self.port}", log
        command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", *words, "--port", str(self.port)]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True,
                                            env={**os.environ, "PYTHONPATH": str(site), **env})  # fmt: skip
        self.family: list[psutil.Process] = []

    def wait_ready(self) -> "Engine":
        self.wait_until(lambda: health(self.url))
        self.family = psutil.Process(self.process.pid).children(recursive=True)
        return self

    def wait_until(self, happened: Callable[[], bool]) -> None:
        while not happened():
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"ended with {self.process.wait(timeout=0.01)}: {self.log}")

    @property
    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            return json.load(answer)

    def post(self, path: str, timeout_s: float = 10, **body: object) -> tuple[int, str]:
        """Status and text."""
        request = urllib.request.Request(
            f"{self.url}{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def complete(self, **body: object) -> dict[str, Any]:
        return json.loads(self.post("/v1/completions", **body)[1])

    def stream(self, path: str = "/v1/completions", **body: object) -> list[dict[str, Any]]:
        """The events of a stream, without the closing [DONE]."""
        events = self.post(path, stream=True, **body)[1].strip().split("\n\n")
        assert events.pop() == "data: [DONE]"
        return [json.loads(event.removeprefix("data: ")) for event in events]

    def running(self) -> list[psutil.Process]:
        """Its children and theirs that have not ended; a zombie has."""
        return [process for process in self.family if status(process) not in ("", psutil.STATUS_ZOMBIE)]

    def survivors(self) -> list[psutil.Process]:
        """Those that run on although they had 20 s to end."""
        patience = 400
        while (running := self.running()) and patience:
            psutil.wait_procs(running, timeout=0.05)
            patience -= 1
        return running

    def end(self) -> None:
        """Ends every process but Python's resource tracker, which removes the shared memory and then ends."""
        self.family += [process for process in psutil.process_iter() if session(process) == self.process.pid]
        for process in self.running():
            with suppress(psutil.NoSuchProcess):
                if "resource_tracker" not in " ".join(process.cmdline()):
                    process.kill()
        self.process.wait()
        assert not self.survivors()


def session(process: psutil.Process) -> int:
    with suppress(ProcessLookupError):
        return os.getsid(process.pid)
    return 0


def status(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return str(process.status())
    return ""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def start(site: Path, tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    """Starts an engine with these words after `serve` and these variables; ends it after the test."""
    engines: list[Engine] = []

    def start(*words: str, site: Path = site, port: int = 0, **env: str) -> Engine:
        engines.append(Engine(site, tmp_path / f"{len(engines)}.log", words or ("model",), env, port))
        return engines[-1]

    yield start
    for engine in engines:
        engine.end()
