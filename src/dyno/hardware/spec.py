"""What a machine is: frozen facts, None where the machine would not say."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """Somebody on a card."""

    pid: int
    name: str
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA card as NVML tells it. Any field but the first three may be unsupported (None)."""

    index: int
    uuid: str
    name: str
    capability: tuple[int, int] | None = None
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    memory_used_bytes: int | None = None
    processes: tuple[GpuProcess, ...] = ()
    power_limit_w: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    throttle_reasons: tuple[str, ...] | None = None
    display_attached: bool | None = None


@dataclass(frozen=True, slots=True)
class Cpu:
    """The host's processor; `cores` are those this process may use."""

    name: str
    cores: int
    isa: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hardware:
    """A machine, as far as Dyno reads it."""

    cpu: Cpu
    ram_total_bytes: int
    ram_available_bytes: int
    shm_free_bytes: int | None
    disk_free_bytes: int
    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda_driver: str | None = None
    gpu_error: str | None = None  # why NVML, which is there, does not tell of a card
    wsl2: bool = False
    on_battery: bool | None = None
    compiler: str | None = None
    python_headers: bool = False
    python: str = ""

    @property
    def kind(self) -> str:
        """What must be the same for two blocks of one study: the cards, or the processor when there is none."""
        if self.gpus:
            return " + ".join(gpu.name for gpu in self.gpus)
        return f"{self.cpu.name} x{self.cpu.cores}"
