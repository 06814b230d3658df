"""The timed path: raw protocol, one stamp per received chunk, nothing decoded before the run is over.

One answer's end is told from the last bytes of a chunked stream; only what looks like an end, and heads, are framed
on the clock. When to send is not decided here.
"""

import asyncio
import ssl
from collections.abc import Callable
from time import perf_counter_ns
from typing import cast

import httptools

from dyno.bench.answer import Transcript
from dyno.bench.http import ResponseReader

_UNANSWERED, _RESET = "closed without an answer", "connection reset"
STALE = (_UNANSWERED, _RESET)  # how an idle connection fails that its server had closed
_LAST_CHUNK = b"\r\n0\r\n\r\n"

Finished = Callable[["Connection", Transcript], None]


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
        at = transport.get_extra_info("socket")
        self.socket: int | None = None if at is None else at.fileno()
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
