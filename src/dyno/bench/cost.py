"""What the load generator's own event loop costs a measurement, looked at from inside while it runs."""

import fcntl
import random
import struct
import termios
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns, thread_time_ns

from dyno.bench.pace import Timer

_PERIOD_NS = 50_000_000
_LOOKED_AT = 32  # connections a look, taken in turn: a few hundred system calls a second however many there are
_COINCIDENCE = 5  # looks that found something: fewer are streams that happened to speak just then
_INT = struct.Struct("i")


@dataclass(frozen=True, slots=True)
class ClientCost:
    """What the client itself did to a load; None and nothing where it was not looked at.

    `cpu_s` of `wall_s`: the work of its busiest loop. `loop_lag_ms`: how late a loop woke, at random times.
    `backlog_s`: how long bytes lay unread before they were stamped, in the mean. `first_late_ms`: how long first
    tokens lay in the kernel before they were stamped, each, by the kernel's own time.
    """

    cpu_s: float = 0.0
    wall_s: float = 0.0
    loop_lag_ms: Sequence[float] = ()
    backlog_s: float | None = None
    first_late_ms: Sequence[float] = ()

    def told(self) -> dict[str, float | None]:
        """As a raw file's header tells it: the mean of each, and of first tokens the median, too."""
        lags, firsts = (values or None for values in (self.loop_lag_ms, self.first_late_ms))
        return {
            "cpu_share": self.cpu_s / self.wall_s if self.wall_s else None,
            "loop_lag_ms": lags and _mean(lags),
            "backlog_ms": None if self.backlog_s is None else self.backlog_s * 1e3,
            "first_late_ms": firsts and _mean(firsts),
            "first_late_ms.p50": firsts and median(firsts),
        }


NOT_LOOKED_AT = ClientCost()


def worst(costs: Sequence[ClientCost]) -> ClientCost:
    """Of several loops that share a load, the busiest, the latest and the longest unread: each alone can spoil it."""
    busiest = max(costs, key=lambda cost: cost.cpu_s / cost.wall_s if cost.wall_s else 0.0)
    latest = max((cost.loop_lag_ms for cost in costs), key=_mean)
    backlogs = [cost.backlog_s for cost in costs if cost.backlog_s is not None]
    firsts = max((cost.first_late_ms for cost in costs), key=_mean)
    return ClientCost(busiest.cpu_s, busiest.wall_s, latest, max(backlogs, default=None), firsts)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / (len(values) or 1)


class Meter:
    """Looks some twenty times a second, from creation to `stop`: how late, and how much is unread.

    The moments are random, as evenly spaced ones fall in step with what disturbs the client. A look that comes late
    counts for every one that it missed, so that the mean lateness is what anything that happens at a random moment has
    to wait. `sockets` gives the file numbers of the connections.
    """

    def __init__(self, sockets: Callable[[], Sequence[int]]) -> None:
        self._sockets = sockets
        self._lag_ms = array("f")
        self._looks = self._found = self._unread_bytes = 0
        self._began_ns, self._cpu_ns = perf_counter_ns(), thread_time_ns()
        self._timer = Timer(self._look)
        self._due_ns = self._began_ns + _pause_ns()
        self._timer.set(self._due_ns)

    def _look(self) -> None:
        now_ns = perf_counter_ns()
        while self._due_ns <= now_ns:
            self._lag_ms.append((now_ns - self._due_ns) / 1e6)
            self._due_ns += _pause_ns()
        self._timer.set(self._due_ns)
        sockets = self._sockets()
        turns = -(-len(sockets) // _LOOKED_AT) or 1
        unread = sum(map(unread_bytes, sockets[self._looks % turns :: turns]))
        self._unread_bytes += turns * unread
        self._found += unread > 0
        self._looks += 1

    def stop(self, received_bytes: int, first_late_ms: Sequence[float] = ()) -> ClientCost:
        """The cost up to now. By Little's law bytes wait for the mean unread over the bytes received a second."""
        self._timer.close()
        wall_s, cpu_s = (perf_counter_ns() - self._began_ns) / 1e9, (thread_time_ns() - self._cpu_ns) / 1e9
        mean_unread = self._unread_bytes / self._looks if self._found >= _COINCIDENCE else 0.0
        backlog_s = mean_unread * wall_s / received_bytes if received_bytes else None
        return ClientCost(cpu_s, wall_s, self._lag_ms, backlog_s, first_late_ms)


def _pause_ns() -> int:
    return round(random.expovariate(1 / _PERIOD_NS))


def unread_bytes(socket: int) -> int:
    """What the kernel holds of a connection that nobody has read; 0 for one that is closed."""
    try:
        return int(_INT.unpack(fcntl.ioctl(socket, termios.FIONREAD, b"\0\0\0\0"))[0])
    except OSError:
        return 0
