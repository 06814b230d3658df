"""Peak memory and temperature while something is measured, sampled once a second outside the timed path."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from dyno.hardware.probe import gpu_memory_used, gpu_temperature

PERIOD_S = 1.0


@dataclass(frozen=True, slots=True)
class Peaks:
    """Highest values seen; None where nothing could be read. Bytes and degrees C."""

    rss_peak_bytes: int | None = None
    device_peak_bytes: int | None = None
    temperature_peak_c: float | None = None

    def figures(self) -> dict[str, float | None]:
        return {"rss_peak_bytes": self.rss_peak_bytes, "device_peak_bytes": self.device_peak_bytes,
                "temperature_peak_c": self.temperature_peak_c}  # fmt: skip


class PeakSampler:
    """Samples from entry to exit; `peaks` is complete after the exit."""

    def __init__(self, rss_bytes: Callable[[], int | None], device_uuid: str | None) -> None:
        self._rss_bytes = rss_bytes
        self._device = device_uuid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="peaks", daemon=True)
        self.peaks = Peaks()

    def __enter__(self) -> "PeakSampler":
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self._sample()

    def _sample(self) -> None:
        now = (self._rss_bytes(), gpu_memory_used(self._device) if self._device else None,
               gpu_temperature(self._device) if self._device else None)  # fmt: skip
        old = (self.peaks.rss_peak_bytes, self.peaks.device_peak_bytes, self.peaks.temperature_peak_c)
        rss, device, temperature = (_higher(before, value) for before, value in zip(old, now, strict=True))
        self.peaks = Peaks(None if rss is None else int(rss), None if device is None else int(device), temperature)


def _higher(before: float | None, value: float | None) -> float | None:
    known = [each for each in (before, value) if each is not None]
    return max(known) if known else None
