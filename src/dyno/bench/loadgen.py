"""When requests go out: a closed loop's the moment a client is free, an open loop's at their own deadlines."""

import asyncio
import contextlib
import gc
import resource
import ssl
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns

import uvloop

from dyno.bench.answer import Transcript
from dyno.bench.connection import NO_MORE_FILES, STALE, Connection, failure_kind
from dyno.bench.cost import NOT_LOOKED_AT, ClientCost, Meter
from dyno.bench.http import Endpoint
from dyno.bench.pace import Timer
from dyno.bench.record import SILENCE_S
from dyno.errors import DynoError

_CONNECT_S = 10.0
_WATCHED = 200  # requests, about, of which the kernel is asked when their first token came: enough for a mean
_TICK_S = 1.0  # each look at /metrics costs the server a page made in its event loop

Progress = Callable[[int, int], None]  # so many of so many requests are done
Take = Callable[[Transcript], None]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went over the wire, in the order of sending; `pages` are the samples of the probe.

    There are no transcripts where something else took them.
    """

    transcripts: tuple[Transcript, ...]
    pages: tuple[Transcript, ...] = ()
    cost: ClientCost = NOT_LOOKED_AT


@dataclass(frozen=True, slots=True)
class Pace:
    """How requests go out. Without `offsets_ns` `clients` connections each send the next the moment they are free.

    With them request i goes out that long after the first, on any free connection of the `clients` opened beforehand
    or, when there is none, on a new one. A connection is given up when it is silent for `silence_s`. `enough` is asked
    once a second: when it says so nothing more is sent, and what was sent is waited for.
    """

    clients: int
    offsets_ns: Sequence[int] | None = None
    silence_s: float = SILENCE_S
    enough: Callable[[], bool] | None = None


class Loop:
    """Sends all requests at their pace over connections that it keeps."""

    def __init__(self, endpoint: Endpoint, requests: Sequence[bytes], pace: Pace, take: Take,
                 ready: Callable[[], object] | None) -> None:  # fmt: skip
        self._endpoint, self._requests, self._pace = endpoint, requests, pace
        self._take, self._ready = take, ready
        if not 1 <= pace.clients <= len(requests):
            raise ValueError(f"{pace.clients} clients cannot share {len(requests)} requests")
        if pace.offsets_ns is not None and len(pace.offsets_ns) != len(requests):
            raise ValueError(f"{len(pace.offsets_ns)} deadlines are not those of {len(requests)} requests")
        self._tls = ssl.create_default_context() if endpoint.tls else None
        self._sent = self._over = self._received_bytes = 0
        self._heard_ns = self._silent_since_ns = 0
        self._first_late_ms = array("f")
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self.pages: list[Transcript] = []
        self.cost = NOT_LOOKED_AT

    async def run(self, probe: bytes | None, on_progress: Progress | None) -> None:
        """Sends everything. DynoError when the server cannot be reached at all."""
        self._done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(self._broken)
        try:
            connections = await asyncio.gather(*(self._open() for _ in range(self._pace.clients)))
        except OSError as error:
            kind = failure_kind(error)
            advice = "" if kind == NO_MORE_FILES else "; is the server running?"
            raise DynoError(f"{self._endpoint.url}: {kind}{advice}") from error
        prober = None
        if probe is not None:
            with contextlib.suppress(OSError):
                prober = await self._open(Connection(self._keep_page))
        if self._ready is not None:
            self._ready()
        ticking = asyncio.create_task(self._tick(prober, probe or b"", on_progress))
        try:
            meter = Meter(self._sockets)
            with contextlib.ExitStack() as until_done:
                until_done.callback(self._stop, meter)
                await self._begin(connections, until_done)
                await asyncio.wait({self._done, ticking}, return_when=asyncio.FIRST_COMPLETED)
            await (self._done if self._done.done() else ticking)
            if on_progress is not None:
                on_progress(self._over, len(self._requests))
        finally:
            ticking.cancel()
            for connection in self._connections:
                connection.close()
            await asyncio.sleep(0)  # transports end in the next turn of the loop

    def _sockets(self) -> list[int]:
        """Connections that a kernel holds bytes of, as file numbers."""
        numbers = (connection.socket for connection in self._connections if connection.alive)
        return [number for number in numbers if number is not None]

    def _stop(self, meter: Meter) -> None:
        self.cost = meter.stop(self._received_bytes, self._first_late_ms)

    async def _begin(self, connections: Sequence[Connection], until_done: contextlib.ExitStack) -> None:
        self._started = perf_counter_ns()
        if self._pace.offsets_ns is not None:
            self._idle.extend(connections)
            self._timer = Timer(self._send_due)
            until_done.callback(self._timer.close)
            self._timer.set(self._started)
            return
        self._sent = len(connections)  # however soon one is answered, none takes the first request of another
        for index, connection in enumerate(connections):
            self._send(connection, Transcript(index, self._started))
            await asyncio.sleep(0)  # the first answers are read while the last requests go out

    async def _open(self, connection: Connection | None = None) -> Connection:
        connection = connection or Connection(self._answered, _WATCHED / len(self._requests))
        host, port = self._endpoint.host, self._endpoint.port
        opening = asyncio.get_running_loop().create_connection(lambda: connection, host, port, ssl=self._tls)
        await asyncio.wait_for(opening, _CONNECT_S)
        self._connections.add(connection)
        return connection

    def _send_due(self) -> None:
        """An open loop's turn: everything whose deadline has come goes out."""
        deadlines = self._pace.offsets_ns or ()
        while self._sent < len(deadlines):
            intended_ns = self._started + deadlines[self._sent]
            if intended_ns > perf_counter_ns():
                self._timer.set(intended_ns)
                return
            self._send_next(self._idle.pop() if self._idle else None, intended_ns)

    def _answered(self, connection: Connection, transcript: Transcript) -> None:
        if connection.reused and not transcript.stamps and transcript.failure in STALE:
            self._connections.discard(connection)
            self._spawn(transcript)  # the server had closed an idle connection: not an answer
            return
        connection.reused = True
        self._ended(connection, transcript, transcript.heard_ns or perf_counter_ns())

    def _ended(self, connection: Connection | None, transcript: Transcript, moment_ns: int) -> None:
        self._received_bytes += len(transcript.raw) + transcript.alike_bytes
        if transcript.late_ns is not None:
            self._first_late_ms.append(transcript.late_ns / 1e6)
        self._take(transcript)
        self._over += 1
        if transcript.stamps:
            self._heard_ns = moment_ns
        if self._over == len(self._requests):
            if not self._done.done():
                self._done.set_result(None)
        elif self._pace.offsets_ns is None:
            self._send_next(connection, moment_ns)
        elif connection is not None and connection.alive:
            self._idle.append(connection)

    def _send_next(self, connection: Connection | None, intended_ns: int) -> None:
        if self._sent == len(self._requests):
            return
        self._sent += 1
        self._send(connection, Transcript(self._sent - 1, intended_ns))

    def _send(self, connection: Connection | None, transcript: Transcript) -> None:
        if connection is not None and connection.alive:
            connection.send(self._requests[transcript.index], transcript)
            return
        if connection is not None:
            self._connections.discard(connection)
        self._spawn(transcript)

    def _spawn(self, transcript: Transcript) -> None:
        task = asyncio.get_running_loop().create_task(self._send_on_new(transcript))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _send_on_new(self, transcript: Transcript) -> None:
        try:
            connection = await self._open()
        except OSError as error:
            transcript.failure, transcript.sent_ns = failure_kind(error), perf_counter_ns()
            self._ended(None, transcript, transcript.sent_ns)
        else:
            connection.send(self._requests[transcript.index], transcript)

    async def _tick(self, prober: Connection | None, probe: bytes, on_progress: Progress | None) -> None:
        """Once a second: progress, streams that fell silent, and the probe, whose answers are only kept."""
        while True:
            if on_progress is not None:
                on_progress(self._over, len(self._requests))
            if prober is not None and prober.alive and prober.transcript is None:
                prober.send(probe, Transcript(len(self.pages), perf_counter_ns()))
            await asyncio.sleep(_TICK_S)
            self._end_silent(perf_counter_ns())
            if self._pace.enough is not None and self._over and self._pace.enough():
                self._requests = self._requests[: self._sent]

    def _keep_page(self, _: Connection, page: Transcript) -> None:
        if not page.failure:  # the run's end cuts one short
            self.pages.append(page)

    def _end_silent(self, now: int) -> None:
        """Ends requests that hear nothing. When those after them hear nothing either, the rest is not sent."""
        patience_ns = int(self._pace.silence_s * 1e9)
        waiting = [
            (connection, each) for connection in self._connections if (each := connection.transcript) is not None
        ]
        silent = [connection for connection, each in waiting
                  if now - (each.heard_ns or each.sent_ns) > patience_ns]  # fmt: skip
        self._heard_ns = max(self._heard_ns, *(each.heard_ns or 0 for _, each in waiting), self._started)
        if silent and self._heard_ns == self._silent_since_ns and now - self._heard_ns > 2 * patience_ns:
            for index in range(self._sent, len(self._requests)):
                self._take(Transcript(index, now, now, failure="not sent, as the server was silent"))
                self._over += 1
            self._sent = len(self._requests)
        if silent:
            self._silent_since_ns = self._heard_ns
        for connection in silent:
            connection.finish(f"silent for {self._pace.silence_s:g} s")

    def _broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """An error in a callback would leave the run waiting for ever."""
        error = context.get("exception")
        if isinstance(error, Exception) and not self._done.done():
            self._done.set_exception(error)
        else:
            loop.default_exception_handler(context)


def drive(endpoint: Endpoint, requests: Sequence[bytes], pace: Pace, probe: bytes | None = None,
          on_progress: Progress | None = None, take: Take | None = None,
          ready: Callable[[], object] | None = None) -> Traffic:  # fmt: skip
    """Runs one load to its end in this thread. `probe` is a request sent once a second beside it.

    `take` gets every transcript the moment it ends; `ready` may block once the connections are open.

    DynoError when the server cannot be reached; whatever goes wrong later is a transcript's `failure`.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (most, most)
    )  # 1024, the usual first limit, is fewer than some loads need
    kept: list[Transcript] = []
    loop = Loop(endpoint, requests, pace, take or kept.append, ready)
    collecting = gc.isenabled()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(loop.run(probe, on_progress))
    finally:
        if collecting:
            gc.enable()
    return Traffic(tuple(sorted(kept, key=lambda transcript: transcript.index)), tuple(loop.pages), loop.cost)
