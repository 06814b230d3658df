"""What is wrong with a machine for vLLM, and what to do about it. Pure rules, each with its threshold beside it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dyno.engine.environment import Environment
from dyno.engine.install import requirement_for
from dyno.hardware.spec import Gpu, Hardware
from dyno.units import format_bytes

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`error`: nothing will run. `warning`: it fails or misleads sooner or later. `note`: good to know."""

    level: Level
    what: str
    remedy: str


def find(hardware: Hardware, environments: Sequence[Environment]) -> tuple[Finding, ...]:
    """Everything that Dyno knows to be wrong, errors first."""
    found = [
        *_engines(hardware, environments),
        *_driver(hardware, environments),
        *(finding for gpu in hardware.gpus for finding in _card(gpu)),
        *_processor(hardware),
        *_memory(hardware),
        *_compilers(hardware),
        *_surroundings(hardware),
    ]
    order = ("error", "warning", "note")
    return tuple(sorted(found, key=lambda finding: order.index(finding.level)))


# The Pythons that vLLM's releases have wheels for.
_PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def _engines(hardware: Hardware, environments: Sequence[Environment]) -> Iterator[Finding]:
    platforms = {environment.platform for environment in environments}
    if environments:
        if hardware.gpus and "cuda" not in platforms:
            yield Finding("warning", "there is a card, and no engine environment that uses it",
                          "`dyno env install --vllm cuda`")  # fmt: skip
        return
    yield Finding("warning", "no engine environment", "`dyno env install`")
    needed = requirement_for(None, hardware).needed_bytes
    if hardware.disk_free_bytes < needed:
        yield Finding("error", f"{format_bytes(hardware.disk_free_bytes)} of disk free; the engine takes "
                      f"{format_bytes(needed)}", "free some, or point DYNO_HOME at a larger disk")  # fmt: skip
    if ".".join(hardware.python.split(".")[:2]) not in _PYTHONS:
        yield Finding("error", f"Python {hardware.python}: vLLM has no release for it",
                      f"install Dyno with Python {_PYTHONS[0]} to {_PYTHONS[-1]}")  # fmt: skip


def _driver(hardware: Hardware, environments: Sequence[Environment]) -> Iterator[Finding]:
    """A driver runs every CUDA release of its own major number and all older ones."""
    if hardware.gpu_error:
        yield Finding("warning", f"NVML does not tell of a card: {hardware.gpu_error}",
                      "after a driver update reboot; without a card ignore this")  # fmt: skip
    if not hardware.gpus:
        if not hardware.gpu_error:
            yield Finding("note", "no NVIDIA card", "none needed: the CPU engine is used")
        return
    installed = hardware.cuda_driver and int(hardware.cuda_driver.split(".")[0])
    builds = [environment for environment in environments if environment.platform == "cuda"]
    for who, needed in [(each.name, _cuda_major(each)) for each in builds] or [("the CUDA engine", _CUDA_MAJOR)]:
        if installed and needed and installed < needed:
            yield Finding("error", f"driver {hardware.driver} runs CUDA {hardware.cuda_driver}; {who} is built for "
                          f"CUDA {needed}", f"install a newer driver (CUDA 13 needs 580 or later) or an engine "
                          f"for CUDA {installed}")  # fmt: skip


_CUDA_MAJOR = 13  # of the vLLM that `dyno env install` takes


def _cuda_major(environment: Environment) -> int | None:
    """13 of torch `2.11.0+cu130`; None when the build does not say."""
    match = re.search(r"\+cu(\d+)\d$", environment.torch_version)
    return int(match[1]) if match else None


_OLDEST_CAPABILITY = (7, 5)  # CUDA 13 has no older target
_MEMORY_SHARE = 0.92  # vLLM's default gpu_memory_utilization: it refuses to start when less than this is free
_TAKEN_BYTES = 256 * 2**20
_HOT_C = 80.0
_SLOWED = ("hardware slowdown", "software thermal slowdown", "hardware thermal slowdown", "power brake")
_SET = ("application clocks", "sync boost", "display clocks")


def _card(gpu: Gpu) -> Iterator[Finding]:
    card = f"GPU {gpu.index} ({gpu.name})"
    if gpu.capability and gpu.capability < _OLDEST_CAPABILITY:
        yield Finding("error", f"{card}: compute capability {gpu.capability[0]}.{gpu.capability[1]}; the CUDA engine "
                      "begins at 7.5", "use another card, or `dyno env install --vllm cpu`")  # fmt: skip
    yield from _card_memory(gpu, card)
    if gpu.display_attached:
        yield Finding("note", f"{card}: also drives a display, which takes memory and time from it",
                      "measure with the desktop idle, or with the display on another card")  # fmt: skip
    reasons = gpu.throttle_reasons or ()
    if slowed := [reason for reason in reasons if reason in _SLOWED]:
        yield Finding("warning", f"{card}: slowed down now ({', '.join(slowed)})",
                      "see to cooling and power supply before measuring")  # fmt: skip
    if fixed := [reason for reason in reasons if reason in _SET]:
        yield Finding("note", f"{card}: its clocks are held by a setting ({', '.join(fixed)})",
                      "`nvidia-smi -q -d CLOCK` shows them; Dyno changes none")  # fmt: skip
    if gpu.temperature_c is not None and gpu.temperature_c >= _HOT_C:
        yield Finding("warning", f"{card}: {gpu.temperature_c:.0f} C before any work", "let it cool down")


def _card_memory(gpu: Gpu, card: str) -> Iterator[Finding]:
    used, total = gpu.memory_used_bytes, gpu.memory_total_bytes
    if used is None or total is None or used < _TAKEN_BYTES:
        return
    who = ", ".join(f"{process.name} (pid {process.pid})" for process in gpu.processes) or "others"
    what = f"{card}: {format_bytes(used)} of {format_bytes(total)} is in use by {who}"
    free = total - used if gpu.memory_free_bytes is None else gpu.memory_free_bytes
    if free < _MEMORY_SHARE * total:
        yield Finding("warning", f"{what}; vLLM asks for {_MEMORY_SHARE:.0%} by default and would not start",
                      f"end them, or pin `-- --gpu-memory-utilization {int(free / total * 100) / 100}`")  # fmt: skip
    else:
        yield Finding("note", what, "end them before measuring")


def _processor(hardware: Hardware) -> Iterator[Finding]:
    """On x86 the CPU engine has kernels for AVX-512 and for AVX2, and dies without either."""
    cpu, x86 = hardware.cpu, "sse4_2" in hardware.cpu.isa
    level: Level = "note" if hardware.gpus else "warning"
    if cpu.cores < 2:
        yield Finding(level, "one core: engine and load generator share it, and figures suffer", "allow two or more")
    if hardware.gpus or not x86:
        return
    if "avx2" not in cpu.isa:
        yield Finding("error", f"{cpu.name} has no AVX2, which the CPU engine needs", "use another machine")
    elif "avx512f" not in cpu.isa:
        yield Finding(
            "note", f"{cpu.name} has no AVX-512: the CPU engine uses its slower AVX2 kernels", "nothing to do"
        )


_RAM_BYTES = 8 * 10**9
_SHM_BYTES = 256 * 2**20  # the message queue between an engine's processes takes 160 MiB


def _memory(hardware: Hardware) -> Iterator[Finding]:
    if hardware.ram_total_bytes < _RAM_BYTES:
        yield Finding("warning", f"{format_bytes(hardware.ram_total_bytes)} of RAM is little for an engine",
                      "take a small model, and on the CPU a small VLLM_CPU_KVCACHE_SPACE")  # fmt: skip
    if hardware.shm_free_bytes is not None and hardware.shm_free_bytes < _SHM_BYTES:
        level: Level = "note" if hardware.gpus else "error"
        who = "engines over several cards need" if hardware.gpus else "the CPU engine needs"
        yield Finding(level, f"{format_bytes(hardware.shm_free_bytes)} free in /dev/shm; {who} 160 MiB",
                      "in a container: `--shm-size 2g` or `--ipc host`")  # fmt: skip


def _compilers(hardware: Hardware) -> Iterator[Finding]:
    lacking = [what for what, there in (("g++", hardware.compiler), ("Python.h", hardware.python_headers)) if not there]
    if not lacking:
        return
    version = ".".join(hardware.python.split(".")[:2])
    then = ("Triton cannot build its launcher, and the engine may not start" if hardware.gpus
            else "the CPU engine cannot compile and runs with --enforce-eager, some 12 % slower")  # fmt: skip
    yield Finding("warning", f"no {' and no '.join(lacking)}: {then}",
                  f"install them (Debian, Ubuntu: `apt install g++ python{version}-dev`)")  # fmt: skip


def _surroundings(hardware: Hardware) -> Iterator[Finding]:
    if hardware.on_battery:
        yield Finding("warning", "on battery: clocks are held back and change", "plug it in before measuring")
    if hardware.wsl2:
        yield Finding("note", "WSL2: the card is shared with Windows and tells less (processes, throttling)",
                      "close what uses it in Windows; figures hold for WSL2")  # fmt: skip
