"""The timed path: raw protocol, one stamp per received chunk, nothing decoded before the run is over.

One answer's end is told from the last bytes of a chunked stream; only what looks like an end, and heads, are framed
on the clock. `ClosedLoop` decides when a connection sends next; the connection knows nothing of that rule.
"""

import asyncio
import contextlib
import gc
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import cast

import httptools
import uvloop

from dyno.bench.answer import Transcript
from dyno.bench.http import Endpoint, ResponseReader
from dyno.errors import DynoError

_UNANSWERED, _RESET = "closed without an answer", "connection reset"
_STALE = (_UNANSWERED, _RESET)
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_CONNECT_S = 10.0
_TICK_S = 1.0  # each look at /metrics costs the server a page made in its event loop
SILENCE_S = 300.0

Finished = Callable[["Connection", Transcript], None]
Progress = Callable[[int, int], None]  # so many of so many requests are done


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went over the wire, in the order of sending; `pages` are the samples of the probe."""

    transcripts: tuple[Transcript, ...]
    pages: tuple[Transcript, ...] = ()


class Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, finished: Finished) -> None:
        self._finished = finished
        self._request = b""
        self._transport: asyncio.Transport
        self.alive = False
        self.transcript: Transcript | None = None
        self.reused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self.alive = True

    def send(self, request: bytes, transcript: Transcript) -> None:
        """Sends a request; what comes back is written into the transcript, which `finished` gets at the end."""
        self.transcript = transcript
        self._raw, self._ends, self._stamps = transcript.raw, transcript.ends, transcript.stamps
        self._reader, self._framed_bytes, self._streaming = ResponseReader(), 0, False
        transcript.sent_ns = perf_counter_ns()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        stamp = perf_counter_ns()
        if self.transcript is None:
            return  # nobody asked
        self._raw += data
        self._stamps.append(stamp)
        self._ends.append(len(self._raw))
        # An end may be cut: its last three bytes can come alone.
        if self._streaming and len(data) > 3 and not data.endswith(b"\r\n\r\n"):
            return
        self._look_for_end()

    def _look_for_end(self) -> None:
        if self._streaming and self._raw.endswith(_LAST_CHUNK):
            return self.finish("")
        try:
            self._reader.feed(bytes(self._raw[self._framed_bytes :]))
        except httptools.HttpParserError:
            return self.finish("not HTTP")
        self._framed_bytes = len(self._raw)
        if self._reader.complete:
            return self.finish("")
        self._streaming = self._reader.head_read and self._reader.streamed

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        if self.transcript is not None:
            ended = exc is None and self._reader.head_read and not self._reader.framed
            cut = "closed mid-stream" if self._raw else _UNANSWERED
            self.finish("" if ended else failure_kind(exc) if exc else cut)

    def finish(self, failure: str) -> None:
        """Ends the request under way. A connection that failed, or was to be the last, is closed."""
        transcript, self.transcript = self.transcript, None
        if transcript is None:
            return
        transcript.failure = failure
        if failure or not self._reader.keep_alive or not self._reader.framed:
            self.close()
        self._reader.release()
        self._finished(self, transcript)

    def close(self) -> None:
        """Closes the connection; idempotent."""
        if self.alive:
            self.alive = False
            self._transport.abort()


class ClosedLoop:
    """`clients` connections, each sending the next request the moment it is free."""

    def __init__(self, endpoint: Endpoint, requests: Sequence[bytes], clients: int, silence_s: float) -> None:
        self._endpoint, self._requests, self._silence_ns = endpoint, requests, int(silence_s * 1e9)
        if not 1 <= clients <= len(requests):
            raise ValueError(f"{clients} clients cannot share {len(requests)} requests")
        self._clients = clients
        self._tls = ssl.create_default_context() if endpoint.tls else None
        self._sent = 0
        self._free = 0
        self._connections: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self.transcripts: list[Transcript] = []
        self.pages: list[Transcript] = []

    async def run(self, probe: bytes | None, on_progress: Progress | None) -> None:
        """Sends everything. DynoError when the server cannot be reached at all."""
        self._done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(self._broken)
        try:
            connections = await asyncio.gather(*(self._open(self._answered) for _ in range(self._clients)))
        except OSError as error:
            raise DynoError(f"{self._endpoint.url}: {failure_kind(error)}; is the server running?") from error
        ticking = asyncio.create_task(self._tick(probe, on_progress))
        started = perf_counter_ns()
        try:
            for connection in connections:
                self._send_next(connection, started)
                await asyncio.sleep(0)  # the first answers are read while the last requests go out
            await asyncio.wait({self._done, ticking}, return_when=asyncio.FIRST_COMPLETED)
            await (self._done if self._done.done() else ticking)
            if on_progress is not None:
                on_progress(len(self.transcripts), len(self._requests))
        finally:
            ticking.cancel()
            for connection in self._connections:
                connection.close()
            await asyncio.sleep(0)  # transports end in the next turn of the loop

    async def _open(self, finished: Finished) -> Connection:
        host, port = self._endpoint.host, self._endpoint.port
        opening = asyncio.get_running_loop().create_connection(lambda: Connection(finished), host, port, ssl=self._tls)
        _, connection = await asyncio.wait_for(opening, _CONNECT_S)
        self._connections.add(connection)
        return connection

    def _answered(self, connection: Connection, transcript: Transcript) -> None:
        if connection.reused and not transcript.stamps and transcript.failure in _STALE:
            self._spawn(transcript)  # the server had closed an idle connection: not an answer
            return
        self.transcripts.append(transcript)
        connection.reused = True
        self._send_next(connection, transcript.stamps[-1] if transcript.stamps else perf_counter_ns())

    def _send_next(self, connection: Connection | None, intended_ns: int) -> None:
        if self._sent == len(self._requests):
            self._free += 1
            if self._free == self._clients and not self._done.done():
                self._done.set_result(None)
            return
        transcript = Transcript(self._sent, intended_ns)
        self._sent += 1
        if connection is not None and connection.alive:
            connection.send(self._requests[transcript.index], transcript)
        else:
            self._spawn(transcript)

    def _spawn(self, transcript: Transcript) -> None:
        task = asyncio.get_running_loop().create_task(self._send_on_new(transcript))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _send_on_new(self, transcript: Transcript) -> None:
        self._connections = {connection for connection in self._connections if connection.alive}
        try:
            connection = await self._open(self._answered)
        except OSError as error:
            transcript.failure, transcript.sent_ns = failure_kind(error), perf_counter_ns()
            self.transcripts.append(transcript)
            self._send_next(None, perf_counter_ns())
        else:
            connection.send(self._requests[transcript.index], transcript)

    async def _tick(self, probe: bytes | None, on_progress: Progress | None) -> None:
        """Once a second: progress, streams that fell silent, and the probe, whose answers are only kept."""
        prober = None
        if probe is not None:
            with contextlib.suppress(OSError):
                prober = await self._open(lambda _, page: self.pages.append(page))
        while True:
            if on_progress is not None:
                on_progress(len(self.transcripts), len(self._requests))
            if prober is not None and probe is not None and prober.alive and prober.transcript is None:
                prober.send(probe, Transcript(len(self.pages), perf_counter_ns()))
            await asyncio.sleep(_TICK_S)
            self._end_silent(perf_counter_ns())

    def _end_silent(self, now: int) -> None:
        for connection in tuple(self._connections):
            if (transcript := connection.transcript) is not None:
                heard = transcript.stamps[-1] if transcript.stamps else transcript.sent_ns
                if now - heard > self._silence_ns:
                    connection.finish(f"silent for {self._silence_ns / 1e9:g} s")

    def _broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """An error in a callback would leave the run waiting for ever."""
        error = context.get("exception")
        if isinstance(error, Exception) and not self._done.done():
            self._done.set_exception(error)
        else:
            loop.default_exception_handler(context)


def drive(endpoint: Endpoint, requests: Sequence[bytes], clients: int, probe: bytes | None = None,
          on_progress: Progress | None = None, silence_s: float = SILENCE_S) -> Traffic:  # fmt: skip
    """Runs one closed loop to its end in this thread. `probe` is a request sent once a second beside it.

    DynoError when the server cannot be reached; whatever goes wrong later is a transcript's `failure`.
    """
    loop = ClosedLoop(endpoint, requests, clients, silence_s)
    collecting = gc.isenabled()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(loop.run(probe, on_progress))
    finally:
        if collecting:
            gc.enable()
    return Traffic(tuple(sorted(loop.transcripts, key=lambda transcript: transcript.index)), tuple(loop.pages))


def failure_kind(error: Exception) -> str:
    """A few words for why a connection failed, the same for equal causes."""
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectionResetError() | BrokenPipeError():
            return _RESET
        case TimeoutError():
            return "no connection in time"
        case ssl.SSLError():
            return f"TLS failed ({error.reason or error})"
        case OSError(strerror=str(reason)):
            return reason
        case _:
            return str(error) or type(error).__name__
