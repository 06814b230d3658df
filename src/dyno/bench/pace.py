"""A timer that goes off at moments of the monotonic clock: the event loop's own knows only whole milliseconds."""

import asyncio
import ctypes
import os
from collections.abc import Callable

_MONOTONIC, _NONBLOCK, _CLOEXEC, _ABSOLUTE = 1, 0o4000, 0o2000000, 1


class _Itimerspec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns")]


class Timer:
    """Calls `due` in the running event loop some 60 us after each moment it was set to. Linux's timerfd."""

    def __init__(self, due: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.timerfd_create(_MONOTONIC, _NONBLOCK | _CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._due = due
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._file, self._expired)

    def set(self, moment_ns: int) -> None:
        """Sets the one moment, of perf_counter_ns; at once when it has passed."""
        spec = _Itimerspec(0, 0, *divmod(max(moment_ns, 1), 1_000_000_000))
        self._libc.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(spec), None)

    def _expired(self) -> None:
        os.read(self._file, 8)
        self._due()

    def close(self) -> None:
        """Sets the timer off for good."""
        self._loop.remove_reader(self._file)
        os.close(self._file)
