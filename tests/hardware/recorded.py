"""NVML as three machines answered it: what a card does not support raises, as in the library."""

from dataclasses import dataclass, field
from types import SimpleNamespace


class NVMLError(Exception):
    """The library's own base of errors."""


@dataclass
class Card:
    """Answers by NVML's names without their `nvmlDeviceGet`; a name that is absent is not supported."""

    answers: dict[str, object]
    compute: list[tuple[int, int | None]] = field(default_factory=list)
    graphics: list[tuple[int, int | None]] = field(default_factory=list)


@dataclass
class Library:
    """What dyno asks of pynvml, answered from a record."""

    driver: str
    cuda: int
    cards: list[Card]
    process_names: dict[int, str] = field(default_factory=dict)
    memory_version_2: bool = True

    NVMLError = NVMLError
    NVMLError_LibraryNotFound = KeyError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    nvmlMemory_v2 = 0x02000028

    def nvmlInit(self):
        pass

    def nvmlSystemGetDriverVersion(self):
        return self.driver

    def nvmlSystemGetCudaDriverVersion_v2(self):
        return self.cuda

    def nvmlSystemGetProcessName(self, pid):
        return _answer(self.process_names, pid)

    def nvmlDeviceGetCount(self):
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index):
        if not self.cards[index].answers:
            raise NVMLError("GPU is lost")
        return self.cards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return _answer({card.answers.get("UUID"): card for card in self.cards}, uuid)

    def nvmlDeviceGetMemoryInfo(self, card, version=None):
        if version and not self.memory_version_2:
            raise NVMLError("Function Not Found")
        total, used, reserved = _answer(card.answers, "MemoryInfo")
        free = total - used - reserved
        return SimpleNamespace(total=total, free=free, used=used if version else used + reserved)

    def nvmlDeviceGetComputeRunningProcesses(self, card):
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in card.compute]

    def nvmlDeviceGetGraphicsRunningProcesses(self, card):
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in card.graphics]

    def nvmlDeviceGetMemoryBusWidth(self, card):
        return _answer(card.answers, "MemoryBusWidth")

    def nvmlDeviceGetMaxClockInfo(self, card, clock):
        return _answer(card.answers, ("MaxClockInfo", clock))

    def nvmlDeviceGetClockInfo(self, card, clock):
        return _answer(card.answers, ("ClockInfo", clock))

    def nvmlDeviceGetTemperature(self, card, _sensor):
        return _answer(card.answers, "Temperature")

    def __getattr__(self, name):
        if not name.startswith("nvmlDeviceGet"):
            raise AttributeError(name)
        return lambda card: _answer(card.answers, name.removeprefix("nvmlDeviceGet"))


def _answer(answers, name):
    if name not in answers:
        raise NVMLError("Not Supported")
    return answers[name]


MIB = 2**20

H200 = Library(
    driver="580.95.05",
    cuda=13000,
    cards=[
        Card(
            {
                "UUID": "GPU-0a1b2c3d-0000-1111-2222-333344445555",
                "Name": "NVIDIA H200",
                "CudaComputeCapability": (9, 0),
                "MemoryInfo": (143771 * MIB, 4 * MIB, 603 * MIB),
                "EnforcedPowerLimit": 700_000,
                "PowerUsage": 79_412,
                "Temperature": 36,
                ("ClockInfo", 1): 345,
                ("ClockInfo", 2): 3201,
                ("MaxClockInfo", 2): 3201,
                "MemoryBusWidth": 6016,
                "CurrentClocksEventReasons": 0x1,
                "DisplayActive": 0,
            }
        )
    ],
)

LAPTOP_4090 = Library(
    driver="570.133.07",
    cuda=12080,
    cards=[
        Card(
            {
                "UUID": "GPU-laptop",
                "Name": "NVIDIA GeForce RTX 4090 Laptop GPU",
                "CudaComputeCapability": (8, 9),
                "MemoryInfo": (16376 * MIB, 2100 * MIB, 456 * MIB),
                "Temperature": 84,
                ("ClockInfo", 1): 1230,
                "CurrentClocksEventReasons": 0x24,
                "DisplayActive": 1,
            },
            compute=[(4242, 1500 * MIB)],
            graphics=[(1717, 600 * MIB), (4242, 1500 * MIB)],
        )
    ],
    process_names={1717: "/usr/lib/xorg/Xorg", 4242: "python3 -m something"},
)

WSL2 = Library(
    driver="580.97",
    cuda=13000,
    memory_version_2=False,
    cards=[
        Card(
            {
                "UUID": "GPU-wsl",
                "Name": "NVIDIA GeForce RTX 5070",
                "CudaComputeCapability": (12, 0),
                "MemoryInfo": (12227 * MIB, 900 * MIB, 300 * MIB),
                "Temperature": 41,
            },
            compute=[(2**22 + 1, None)],
        )
    ],
)
