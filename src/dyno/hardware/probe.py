"""Reads the machine: cards, processor, memory, disk, and what vLLM's compilers need."""

import os
import platform
import re
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil

from dyno.hardware.nvml import gpu_bandwidth, gpu_memory_used, gpu_temperature, read_cards
from dyno.hardware.spec import Cpu, Hardware
from dyno.home import free_disk_bytes

__all__ = ["gpu_bandwidth", "gpu_memory_used", "gpu_temperature", "read_hardware"]

# The flags that choose vLLM's CPU kernels, as /proc/cpuinfo spells them on x86 and on ARM.
_ISA = ("sse4_2", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8",
        "asimd", "asimddp", "bf16", "i8mm", "sve", "sve2")  # fmt: skip


def read_hardware(disk: Path, *, root: Path = Path("/"), nvml: ModuleType | None = None) -> Hardware:
    """The machine as this process may use it; `disk` need not exist yet. Changes nothing.

    `root` and `nvml` are where a recorded machine stands in for this one.
    """
    cards = read_cards(nvml)
    total, available = _memory(root)
    return Hardware(
        cpu=_cpu(root),
        ram_total_bytes=total,
        ram_available_bytes=available,
        shm_free_bytes=free_disk_bytes(root / "dev/shm") if (root / "dev/shm").is_dir() else None,
        disk_free_bytes=free_disk_bytes(disk),
        gpus=cards.gpus,
        driver=cards.driver,
        cuda_driver=cards.cuda_driver,
        gpu_error=cards.error,
        wsl2="microsoft" in _text(root / "proc/version").lower(),
        on_battery=_on_battery(),
        compiler=shutil.which("g++"),
        python_headers=(Path(sysconfig.get_path("include")) / "Python.h").is_file(),
        python=platform.python_version(),
    )


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _on_battery() -> bool | None:
    if not hasattr(psutil, "sensors_battery") or (battery := psutil.sensors_battery()) is None:
        return None
    return None if battery.power_plugged is None else not battery.power_plugged


def _cpu(root: Path) -> Cpu:
    fields = dict(re.findall(r"^([^\t:]+?)\s*: (.*)$", _text(root / "proc/cpuinfo"), re.MULTILINE))
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    return Cpu(
        name=fields.get("model name") or platform.processor() or platform.machine(),
        cores=max(1, min(len(os.sched_getaffinity(0)), *(int(quota) for quota in _quotas(root)))),
        isa=tuple(flag for flag in _ISA if flag in flags),
    )


def _memory(root: Path) -> tuple[int, int]:
    """Total and available bytes: the host's, or less where a control group of ours allows less."""
    host = psutil.virtual_memory()
    total, available = host.total, host.available
    for limit_name, used_name in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        for group in _groups(root, "memory"):
            limit = _text(group / limit_name).strip()
            if not limit.isdecimal() or int(limit) >= host.total:
                continue
            cached = re.search(r"^inactive_file (\d+)$", _text(group / "memory.stat"), re.MULTILINE)
            used = int(_text(group / used_name) or 0) - (int(cached[1]) if cached else 0)
            total, available = min(total, int(limit)), min(available, max(0, int(limit) - used))
    return total, available


def _quotas(root: Path) -> Iterator[float]:
    """Cores that the control groups allow; at least one figure, so that a minimum can be taken."""
    yield float(os.cpu_count() or 1)
    for group in _groups(root, "cpu"):
        quota, _, period = (_text(group / "cpu.max") or _text(group / "cpu.cfs_quota_us").strip()).partition(" ")
        period = period or _text(group / "cpu.cfs_period_us")
        if quota.isdecimal() and int(period or 0) > 0:
            yield int(quota) / int(period)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """This process's control groups of versions 2 and 1, from its own up to the root that is visible here."""
    mount = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = mount / controllers if controllers else mount
        group = top / path.strip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))
