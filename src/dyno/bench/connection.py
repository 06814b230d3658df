"""The timed path: raw protocol, one stamp per received chunk, taken before the chunk is looked at.

A chunk that differs from an earlier one of its answer in nothing but its text leaves only its stamp: a few comparisons
are cheaper than keeping it, and there is nothing to read in it later. All others are framed at once, which tells where
an answer ends, and kept to be read when there is time. When to send is not decided here.
"""

import asyncio
import errno
import ssl
from collections.abc import Callable
from random import random
from time import perf_counter_ns
from typing import cast

import httptools

from dyno.bench.answer import LINES, QUOTE, Alike, Transcript, alike_to
from dyno.bench.arrival import FirstRead
from dyno.bench.http import ResponseReader

_UNANSWERED, _RESET = "closed without an answer", "connection reset"
NO_MORE_FILES = "too many open files in the load generator; ask for fewer connections, or raise `ulimit -n`"
STALE = (_UNANSWERED, _RESET)  # how an idle connection fails that its server had closed
_NONE: dict[int, bytes] = {}

Finished = Callable[["Connection", Transcript], None]


class Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, finished: Finished, watched: float = 0.0) -> None:
        """Of a share `watched` of its requests the kernel is asked when their first content came."""
        self._finished, self._watched = finished, watched
        self._request = b""
        self._transport: asyncio.Transport
        self._alike: Alike | None = None
        self._begins, self._tail = _NONE, b""
        self.alive = False
        self.transcript: Transcript | None = None
        self.reused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        at = transport.get_extra_info("socket")
        self.socket: int | None = None if at is None else at.fileno()
        self._first = None if self.socket is None or not self._watched else self._first_read(self.socket)
        self.alive = True

    def _first_read(self, number: int) -> FirstRead | None:
        """None where the kernel holds other bytes than are read, or keeps no times."""
        if self._transport.get_extra_info("sslcontext") is not None:
            return None
        try:
            return FirstRead(self._transport, number, self, self._came)
        except OSError:
            return None

    def _came(self, came_ns: int) -> None:
        if self.transcript is not None:
            self.transcript.came_ns, self.transcript.came_in = came_ns, len(self._stamps)

    def send(self, request: bytes, transcript: Transcript) -> None:
        """Sends a request; what comes back is written into the transcript, which `finished` gets at the end."""
        self.transcript = transcript
        self._raw, self._ends, self._stamps = transcript.raw, transcript.ends, transcript.stamps
        self._reader, self._alike_ns, self._stamp_alike = (
            ResponseReader(),
            transcript.alike_ns,
            transcript.alike_ns.append,
        )
        if self._first is not None and random() < self._watched:
            self._first.await_content()
        transcript.sent_ns = perf_counter_ns()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        stamp = perf_counter_ns()
        begin = self._begins.get(len(data))
        if (begin is not None and data.startswith(begin) and data.endswith(self._tail) and data[len(begin)] != QUOTE
                and data.count(b"\n") == LINES):  # fmt: skip
            self._stamp_alike(stamp)
        elif self.transcript is not None:  # else nobody asked
            self._take(data, stamp)

    def _take(self, data: bytes, stamp: int) -> None:
        """Takes bytes that are not one chunk of a length and a kind that was seen before."""
        alike, reader = self._alike, self._reader
        whole = reader.between
        if alike is not None and whole and (chunks := alike.count(data)):
            self._alike_ns.extend([stamp] * chunks)
            return
        self._raw += data
        self._stamps.append(stamp)
        self._ends.append(len(self._raw))
        try:
            reader.feed(data)
        except httptools.HttpParserError:
            return self.finish("not HTTP")
        if reader.complete:
            return self.finish("")
        if alike is None and whole and reader.between and (alike := alike_to(data)) is not None:
            self._alike, self._tail = alike, alike.tail
        self._begins = alike.begins if alike is not None and reader.between else _NONE

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive, self._first = False, None
        if self.transcript is not None:
            ended = exc is None and self._reader.head_read and not self._reader.framed
            cut = "closed mid-stream" if self._raw else _UNANSWERED
            self.finish("" if ended else failure_kind(exc) if exc else cut)

    def finish(self, failure: str) -> None:
        """Ends the request under way. A connection that failed, or was to be the last, is closed."""
        transcript, self.transcript = self.transcript, None
        alike, self._alike, self._begins = self._alike, None, _NONE
        if transcript is None:
            return
        if alike is not None:
            transcript.alike_bytes = len(transcript.alike_ns) * (len(alike.begin) + len(alike.tail))
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
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return NO_MORE_FILES
        case OSError(strerror=str(reason)):
            return reason
        case _:
            return str(error) or type(error).__name__
