"""What NVML says of the cards. Nothing here changes a setting.

Every function takes the library as its last argument, `pynvml` by default, so that a recorded one can stand in.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import PurePath
from types import ModuleType
from typing import Protocol, TypeVar

from dyno.hardware.spec import Gpu, GpuProcess

T = TypeVar("T")
_TRANSFERS_A_CLOCK = 2  # as NVML tells the clock of every kind of memory

# Bits of NVML's clocks event reasons. Idle (bit 0) slows nothing down that is asked for, and has no word.
THROTTLE_REASONS: Mapping[int, str] = {
    0x002: "application clocks",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "power brake",
    0x100: "display clocks",
}


@dataclass(frozen=True, slots=True)
class Cards:
    """The cards of a machine, their driver, and what NVML refused to tell although it is there."""

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda_driver: str | None = None
    error: str | None = None


def read_cards(library: ModuleType | None = None) -> Cards:
    """Every card with what it supports. No library or no card is no error: there are no cards then."""
    error: str | None = None
    if library is None:
        library, error = _pynvml()
        if library is None:
            return Cards(error=error)
    ask = partial(_ask, library)
    gpus: list[Gpu] = []
    for index in range(ask(library.nvmlDeviceGetCount) or 0):
        try:
            gpus.append(_read_gpu(library, index))
        except library.NVMLError as lost:
            error = f"GPU {index}: {lost}"
    cuda = ask(library.nvmlSystemGetCudaDriverVersion_v2)
    return Cards(
        gpus=tuple(gpus),
        driver=ask(library.nvmlSystemGetDriverVersion),
        cuda_driver=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
        error=error,
    )


def gpu_memory_used(uuid: str, library: ModuleType | None = None) -> int | None:
    """Bytes in use on the card by everybody, as nvidia-smi shows them. None when the card does not say."""
    card = _find(uuid, library)
    memory = _memory(*card) if card else None
    return memory.used if memory else None


def gpu_temperature(uuid: str, library: ModuleType | None = None) -> float | None:
    """The card's temperature in degrees C. None when the card does not say."""
    card = _find(uuid, library)
    return _temperature(*card) if card else None


def gpu_bandwidth(uuid: str, library: ModuleType | None = None) -> float | None:
    """Bytes a second between the card and its memory, at its highest memory clock. None when the card does not say."""
    card = _find(uuid, library)
    if card is None:
        return None
    library, handle = card
    bits = _ask(library, library.nvmlDeviceGetMemoryBusWidth, handle)
    mhz = _ask(library, library.nvmlDeviceGetMaxClockInfo, handle, library.NVML_CLOCK_MEM)
    return None if not bits or not mhz else bits / 8 * mhz * 1e6 * _TRANSFERS_A_CLOCK


class CardReader:
    """Asks one card again and again, cheaply: what it refuses at first it is not asked any more."""

    def __init__(self, library: ModuleType, handle: object) -> None:
        self._library, self._handle = library, handle
        ask = partial(_ask, library)
        questions: Mapping[str, Callable[[], float | None]] = {
            "temperature_c": partial(_temperature, library, handle),
            "power_w": lambda: _thousandth(ask(library.nvmlDeviceGetPowerUsage, handle)),
            "power_limit_w": lambda: _thousandth(ask(library.nvmlDeviceGetEnforcedPowerLimit, handle)),
            "sm_clock_mhz": lambda: ask(library.nvmlDeviceGetClockInfo, handle, library.NVML_CLOCK_SM),
            "memory_clock_mhz": lambda: ask(library.nvmlDeviceGetClockInfo, handle, library.NVML_CLOCK_MEM),
            "clock_reasons": lambda: ask(library.nvmlDeviceGetCurrentClocksEventReasons, handle),
            "memory_used_bytes": lambda: getattr(_memory(library, handle), "used", None),
            "energy_j": lambda: _thousandth(ask(library.nvmlDeviceGetTotalEnergyConsumption, handle)),
            "busy_percent": lambda: getattr(ask(library.nvmlDeviceGetUtilizationRates, handle), "gpu", None),
            "power_capped_s": lambda: self._slowed_s(library.NVML_PERF_POLICY_POWER),
            "too_hot_s": lambda: self._slowed_s(library.NVML_PERF_POLICY_THERMAL),
        }
        self._questions = {name: question for name, question in questions.items() if question() is not None}

    def read(self, own: Collection[int]) -> dict[str, float]:
        """What the card tells now, by column; `own` are the processes whose memory is not somebody else's.

        `clock_reasons` is NVML's mask; `..._s` and `energy_j` are counters.
        """
        told = {name: question() for name, question in self._questions.items()}
        told["others_bytes"] = self._others_bytes(own)
        return {name: float(value) for name, value in told.items() if value is not None}

    def _slowed_s(self, policy: int) -> float | None:
        violation = _ask(self._library, self._library.nvmlDeviceGetViolationStatus, self._handle, policy)
        return None if violation is None else violation.violationTime / 1e9

    def _others_bytes(self, own: Collection[int]) -> float | None:
        """None when none of the processes is known to be ours: a container's process ids are not the card's."""
        found = {process.pid: process.usedGpuMemory or 0 for process in _running(self._library, self._handle)}
        if found.keys().isdisjoint(own):
            return None
        return sum(used for pid, used in found.items() if pid not in own)


def open_card(uuid: str, library: ModuleType | None = None) -> CardReader | None:
    """The card with this UUID, None when there is none."""
    card = _find(uuid, library)
    return CardReader(*card) if card else None


@cache
def _pynvml() -> tuple[ModuleType | None, str | None]:
    """The library, initialised once in this process, or why a machine that has it cannot use it."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return None, None
    except pynvml.NVMLError as error:
        return None, str(error)
    return pynvml, None


def _ask(library: ModuleType, question: Callable[..., T], *arguments: object) -> T | None:
    try:
        return question(*arguments)
    except library.NVMLError:
        return None


def _find(uuid: str, library: ModuleType | None) -> tuple[ModuleType, object] | None:
    library = library or _pynvml()[0]
    handle: object = None if library is None else _ask(library, library.nvmlDeviceGetHandleByUUID, uuid)
    return None if library is None or handle is None else (library, handle)


def _read_gpu(library: ModuleType, index: int) -> Gpu:
    handle = library.nvmlDeviceGetHandleByIndex(index)
    ask = partial(_ask, library)
    memory = _memory(library, handle)
    return Gpu(
        index=index,
        uuid=library.nvmlDeviceGetUUID(handle),
        name=library.nvmlDeviceGetName(handle),
        capability=ask(library.nvmlDeviceGetCudaComputeCapability, handle),
        memory_total_bytes=None if memory is None else memory.total,
        memory_free_bytes=None if memory is None else memory.free,
        memory_used_bytes=None if memory is None else memory.used,
        processes=_processes(library, handle),
        power_limit_w=_thousandth(ask(library.nvmlDeviceGetEnforcedPowerLimit, handle)),
        power_w=_thousandth(ask(library.nvmlDeviceGetPowerUsage, handle)),
        temperature_c=_temperature(library, handle),
        sm_clock_mhz=ask(library.nvmlDeviceGetClockInfo, handle, library.NVML_CLOCK_SM),
        memory_clock_mhz=ask(library.nvmlDeviceGetClockInfo, handle, library.NVML_CLOCK_MEM),
        throttle_reasons=_throttle_reasons(ask(library.nvmlDeviceGetCurrentClocksEventReasons, handle)),
        # Not the display mode: an H200 that can have none says "enabled" there.
        display_attached=_truth(ask(library.nvmlDeviceGetDisplayActive, handle)),
    )  # fmt: skip


class _Memory(Protocol):
    total: int
    free: int
    used: int


def _memory(library: ModuleType, handle: object) -> _Memory | None:
    """Version 2 counts as used what is used; version 1, of older drivers, adds what the driver reserves."""
    return (_ask(library, library.nvmlDeviceGetMemoryInfo, handle, library.nvmlMemory_v2)
            or _ask(library, library.nvmlDeviceGetMemoryInfo, handle))  # fmt: skip


def _temperature(library: ModuleType, handle: object) -> float | None:
    degrees = _ask(library, library.nvmlDeviceGetTemperature, handle, library.NVML_TEMPERATURE_GPU)
    return None if degrees is None else float(degrees)


def _processes(library: ModuleType, handle: object) -> tuple[GpuProcess, ...]:
    found: dict[int, GpuProcess] = {}
    for process in _running(library, handle):
        found[process.pid] = GpuProcess(process.pid, _process_name(library, process.pid), process.usedGpuMemory)
    return tuple(found[pid] for pid in sorted(found))


class _Running(Protocol):
    pid: int
    usedGpuMemory: int | None


def _running(library: ModuleType, handle: object) -> list[_Running]:
    """Those that compute and those that draw; who does both is there twice."""
    compute = _ask(library, library.nvmlDeviceGetComputeRunningProcesses, handle)
    return [*(compute or ()), *(_ask(library, library.nvmlDeviceGetGraphicsRunningProcesses, handle) or ())]


def _process_name(library: ModuleType, pid: int) -> str:
    """NVML's own name first: in a container its process ids are not ours."""
    import psutil

    if command := _ask(library, library.nvmlSystemGetProcessName, pid):
        return PurePath(command.split(" ")[0]).name
    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return "?"


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000


def _throttle_reasons(mask: int | None) -> tuple[str, ...] | None:
    return None if mask is None else tuple(word for bit, word in THROTTLE_REASONS.items() if mask & bit)


def _truth(value: int | None) -> bool | None:
    return None if value is None else bool(value)
