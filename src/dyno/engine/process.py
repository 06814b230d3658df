"""Starts one engine, waits until it is really ready, and ends it with everything it made."""

import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from dyno.engine import client, metrics, watchdog
from dyno.engine.args import EngineArgs
from dyno.engine.client import Canary
from dyno.engine.environment import Environment
from dyno.engine.facts import StartFacts, read_facts
from dyno.engine.failures import Cause, Failure, diagnose
from dyno.engine.launcher import Command, build_command
from dyno.errors import EngineFailed, EnvironmentBroken
from dyno.hardware.nvml import gpu_memory_used, read_cards
from dyno.units import format_bytes

POLL_S = 0.2
CANARY_S = 60.0  # a first token may compile something
GRACE_S = 15.0  # from TERM to KILL
START_GRACE_S = 2.0  # the same while it starts: there is nothing to finish
MEMORY_BACK_S = 10.0  # a driver takes a moment to give memory back
MEMORY_NOISE_BYTES = 256 << 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_PHASES = (
    ("Initializing a V1 LLM engine", "starting the engine core"),
    ("Starting to load model", "loading weights"),
    ("Warming up model for the compilation", "compiling"),
    ("Dynamo bytecode transform time", "compiling"),
    ("Compiling a graph", "compiling"),
    ("Capturing CUDA graph", "capturing graphs"),
    ("init engine (profile, create kv cache, warmup model)", "waiting for /health"),
)


class EngineProcess:
    """One engine on a free port of the loopback, ended at the latest when the context is left or Dyno is gone."""

    def __init__(
        self,
        environment: Environment,
        args: EngineArgs,
        log_path: Path,
        device_uuid: str | None = None,
        ready_timeout_s: float = 1200,
        *,
        alone: bool = True,
    ) -> None:
        self.environment, self.args, self.log_path = environment, args, log_path
        self.device_uuid, self.ready_timeout_s = device_uuid, ready_timeout_s
        self.url = self.model_name = ""
        self._alone = alone  # on the card, so that memory which is not given back is its own
        self._nonce = ""
        self._memory_before: int | None = None
        self._leash: Leash | None = None  # while there is an engine
        self._failure: Failure | None = None  # of the last start
        self._left: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self, on_progress: Callable[[str], None] | None = None) -> StartFacts:
        """Blocks until the engine is ready. EngineFailed, with everything ended, when it does not get there."""
        try:
            return self._start(on_progress)
        except EngineFailed as error:
            if error.failure.cause is not Cause.PORT_IN_USE:
                raise
        return self._start(on_progress)  # somebody took the free port in between

    def stop(self, grace_s: float = GRACE_S) -> tuple[str, ...]:
        """Ends the engine: TERM, `grace_s`, KILL of its tree. Idempotent.

        Returns what the engine left for others to remove; what could not be removed says "still".
        """
        if self._leash is not None:
            left = self._leash.end(grace_s)
            self._leash = None
            self._left = (*left, *self._port_left(), *self._memory_left())
        return self._left

    def died(self) -> Failure | None:
        """Why the engine ended although nobody stopped it; None while it runs."""
        if self._leash and self._leash.has_ended():
            self._fail(timed_out=False)
        return self._failure

    @property
    def pid(self) -> int | None:
        """The first of the engine's processes, None when there is none."""
        leash = self._leash  # another thread may take it away meanwhile
        return leash.engine if leash else None

    def rss_bytes(self) -> int | None:
        """Resident memory of the engine's processes together; pages they share count once for each."""
        leash = self._leash
        return leash.rss_bytes() if leash else None

    def _start(self, on_progress: Callable[[str], None] | None) -> StartFacts:
        self._nonce, self._failure, self._left = f"dyno-{secrets.token_hex(8)}", None, ()
        command = build_command(self.environment, self.args, _free_port(), self._nonce, self._device(), os.environ)
        self.url, self.model_name = command.url, command.model_name
        self._memory_before = self._memory_used()
        began = time.monotonic()
        with ExitStack() as unless_ready:
            self._leash = Leash(command, self.log_path)
            unless_ready.callback(self.stop, START_GRACE_S)
            self._wait_until_ready(self._leash, began + self.ready_timeout_s, on_progress)
            facts = self._facts(time.monotonic() - began)
            unless_ready.pop_all()
        return facts

    def _wait_until_ready(self, leash: "Leash", deadline: float, on_progress: Callable[[str], None] | None) -> None:
        told = None
        while not (canary := self._canary(deadline - time.monotonic())).answered:
            leash.listen(POLL_S)
            if leash.error:
                raise EnvironmentBroken(f"{self.environment.python} cannot be run: {leash.error}; see `dyno env list`")
            if canary.refusal or leash.has_ended() or time.monotonic() > deadline:
                failure = self._fail(timed_out=not leash.has_ended(), refusal=canary.refusal)
                message = f"{failure.cause}: {failure.detail}\n{failure.remedy} Log: {self.log_path}"
                raise EngineFailed(message, failure)
            if on_progress and (phase := newest_phase(self._log())) != told:
                on_progress(phase)
                told = phase

    def _canary(self, seconds_left: float) -> Canary:
        """Only our own child counts: an orphan of an earlier run can answer on the same port."""
        if not client.health(self.url) or self._nonce not in (client.served_models(self.url) or ()):
            return Canary(answered=False)
        made = client.canary(self.url, self.model_name, max(POLL_S, min(CANARY_S, seconds_left)))
        lives = self._leash is not None and not self._leash.has_ended()
        return made if lives else Canary(answered=False)

    def _facts(self, ready_s: float) -> StartFacts:
        scraped = metrics.scrape(self.url)
        labels = scraped.labels("vllm:cache_config_info") if scraped else None
        return read_facts(self._log(), labels, ready_s, self._memory_used(), self.rss_bytes())

    def _fail(self, timed_out: bool, refusal: str | None = None) -> Failure:
        exit_code = self._leash.exit_code if self._leash else None
        self.stop(grace_s=START_GRACE_S)
        neighbours = [process for gpu in read_cards().gpus if gpu.uuid == self.device_uuid for process in gpu.processes]
        self._failure = diagnose(self._log(), exit_code, timed_out, neighbours, refusal)
        return self._failure

    def _log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def _device(self) -> str | None:
        """The card for CUDA: by index, as older vLLM takes nothing else there; a MIG instance has only its UUID."""
        indices = {gpu.uuid: str(gpu.index) for gpu in read_cards().gpus} if self.device_uuid else {}
        return indices.get(self.device_uuid or "", self.device_uuid)

    def _memory_used(self) -> int | None:
        return gpu_memory_used(self.device_uuid) if self.device_uuid else None

    def _port_left(self) -> list[str]:
        port = urlsplit(self.url).port
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return []
        return [f"port {port} still in use"]

    def _memory_left(self) -> list[str]:
        if self._memory_before is None or not self._alone:
            return []
        give_up = time.monotonic() + MEMORY_BACK_S
        while (more := (self._memory_used() or 0) - self._memory_before) > MEMORY_NOISE_BYTES:
            if time.monotonic() > give_up:
                return [f"{format_bytes(more)} on card {self.device_uuid} still in use"]
            time.sleep(POLL_S)
        return []


class Leash:
    """Dyno's end of a watchdog and the engine it holds."""

    def __init__(self, command: Command, log_path: Path) -> None:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("wb") as log:
            self._process = subprocess.Popen([sys.executable, "-I", "-S", watchdog.__file__], bufsize=0,
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                             start_new_session=True)  # fmt: skip
        self.pid = self._process.pid
        self.engine: int | None = None
        self.exit_code: int | None = None
        self.error = ""
        self._ended = False
        self._left: tuple[str, ...] | None = None
        self._tree: tuple[int, ...] = ()
        self._data = b""
        self._tell(json.dumps({"argv": command.argv, "env": command.env}))

    def has_ended(self) -> bool:
        """Whether the engine's first process, or the watchdog, is no more."""
        self.listen(0)
        return self._ended

    def listen(self, wait_s: float) -> None:
        """Takes in what the watchdog says within `wait_s`."""
        output = self._process.stdout
        assert output is not None
        if output.closed:
            return  # the watchdog is no more
        poller = select.poll()
        poller.register(output, select.POLLIN)
        if not poller.poll(wait_s * 1000):
            return
        data = os.read(output.fileno(), 65536)
        if not data:
            output.close()
            self._ended = True
        *lines, self._data = (self._data + data).split(b"\n")
        for line in lines:
            self._hear(**json.loads(line))

    def _hear(self, event: str, pid: int | None = None, code: int | None = None, error: str = "",
              left: tuple[str, ...] = ()) -> None:  # fmt: skip
        if event == "started":
            self.engine = pid
        elif event == "failed":
            self.error = error
        elif event == "exited":
            self.exit_code, self._ended = code, True
        elif event == "stopped":
            self._left = tuple(left)

    def end(self, grace_s: float) -> tuple[str, ...]:
        """Returns when the whole tree has been ended, with what it left."""
        output = self._process.stdout
        assert output is not None
        self._tell(f"stop {grace_s}")
        give_up = time.monotonic() + grace_s + 2 * watchdog.KILL_S
        while not output.closed and time.monotonic() < give_up:
            self.listen(POLL_S)
        self._process.kill()
        self._process.wait()
        for pipe in (output, self._process.stdin):
            if pipe:
                pipe.close()
        if self._left is not None:
            return self._left
        if self.engine:
            with suppress(ProcessLookupError):
                os.killpg(self.engine, signal.SIGKILL)
        return () if self.error else ("an engine whose watchdog had been killed",)

    def rss_bytes(self) -> int | None:
        """Of the processes there were when first asked; the machine's are looked through again when one is gone.

        Asked every second by the process that stamps chunks, so it must not hold the interpreter for long.
        """
        rss = resident_bytes(self._tree)
        if not rss:
            self._tree = tuple(watchdog.tree(self.pid))
            rss = resident_bytes(self._tree)
        return rss or None

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line.encode() + b"\n")


def resident_bytes(pids: Iterable[int]) -> int | None:
    """Resident memory of these processes together, None when one of them is gone."""
    with suppress(OSError):
        return PAGE_BYTES * sum(int((watchdog.PROC / str(pid) / "statm").read_bytes().split()[1]) for pid in pids)
    return None


def newest_phase(log: str) -> str:
    """What the engine is busy with, by the last telling line of its log."""
    place, phase = max((log.rfind(text), phase) for text, phase in _PHASES)
    return phase if place >= 0 else "starting"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
