"""A machine in lines for people."""

from collections.abc import Iterator, Sequence

from dyno.engine.environment import Environment
from dyno.hardware.spec import Gpu, Hardware
from dyno.units import format_bytes


def describe(hardware: Hardware, environments: Sequence[Environment]) -> tuple[tuple[str, str], ...]:
    """What the machine is, as (name, value); what it does not say is left out."""
    cuda = f", runs CUDA {hardware.cuda_driver}" if hardware.cuda_driver else ""
    shm = "not there" if hardware.shm_free_bytes is None else f"{format_bytes(hardware.shm_free_bytes)} free"
    return (
        *((f"GPU {gpu.index}", " · ".join(_card(gpu))) for gpu in hardware.gpus),
        *([("driver", hardware.driver + cuda)] if hardware.driver else []),
        ("CPU", f"{hardware.cpu.name} · {hardware.cpu.cores} cores · {' '.join(hardware.cpu.isa)}"),
        ("RAM", f"{format_bytes(hardware.ram_total_bytes)}, {format_bytes(hardware.ram_available_bytes)} available"),
        ("/dev/shm", shm),
        ("disk", f"{format_bytes(hardware.disk_free_bytes)} free"),
        ("Python", f"{hardware.python}, Python.h {'there' if hardware.python_headers else 'missing'}"),
        ("g++", hardware.compiler or "missing"),
        *((f"engine {each.name}", _engine(each)) for each in environments),
    )


def _engine(environment: Environment) -> str:
    return f"vLLM {environment.version} for {environment.platform} · torch {environment.torch_version}"


def _card(gpu: Gpu) -> Iterator[str]:
    yield gpu.name
    if gpu.capability:
        yield f"capability {gpu.capability[0]}.{gpu.capability[1]}"
    if gpu.memory_total_bytes is not None:
        free = "" if gpu.memory_free_bytes is None else f", {format_bytes(gpu.memory_free_bytes)} free"
        yield format_bytes(gpu.memory_total_bytes) + free
    figures = (("at most {:.0f} W", gpu.power_limit_w), ("{:.0f} W now", gpu.power_w), ("{:.0f} C", gpu.temperature_c),
               ("{} MHz", gpu.sm_clock_mhz), ("memory {} MHz", gpu.memory_clock_mhz))  # fmt: skip
    yield from (text.format(figure) for text, figure in figures if figure is not None)
    if gpu.throttle_reasons:
        yield "held back by " + ", ".join(gpu.throttle_reasons)
    if gpu.display_attached:
        yield "display attached"
    yield gpu.uuid
