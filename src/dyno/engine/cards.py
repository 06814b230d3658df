"""Which card an engine gets: one, named by UUID, so that CUDA and NVML mean the same one."""

from dyno.errors import InputError
from dyno.hardware.spec import Gpu, Hardware


def choose_card(hardware: Hardware, device: str | None, visible_devices: str | None) -> str | None:
    """UUID of the card: `--device`, else the first of CUDA_VISIBLE_DEVICES, else the machine's first; None without any.

    Both texts may be an index (NVML's order, by PCI bus), a UUID or its beginning. A MIG UUID is kept as it is.
    InputError when the text names no card or several.
    """
    if device is not None:
        return _find(hardware, device.strip(), "--device")
    if visible_devices is not None:
        first = visible_devices.partition(",")[0].strip()
        return _find(hardware, first, "CUDA_VISIBLE_DEVICES") if first not in ("", "-1") else None
    return hardware.gpus[0].uuid if hardware.gpus else None


def _find(hardware: Hardware, text: str, source: str) -> str:
    if text.startswith("MIG-"):
        return text
    matches = [gpu for gpu in hardware.gpus if _is(gpu, text)]
    if len(matches) == 1:
        return matches[0].uuid
    cards = ", ".join(f"{gpu.index} = {gpu.uuid} ({gpu.name})" for gpu in hardware.gpus)
    problem = "names several cards" if matches else "names no card"
    raise InputError(f"{source}: {text!r} {problem}; " + (f"there are {cards}" if cards else "no NVIDIA card is here"))


def _is(gpu: Gpu, text: str) -> bool:
    if text.isdigit():
        return gpu.index == int(text)
    return bool(text) and gpu.uuid.lower().removeprefix("gpu-").startswith(text.lower().removeprefix("gpu-"))
