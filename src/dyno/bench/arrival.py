"""When the kernel received a first token: the one clock that a client which is late cannot delay.

Between the read before and this one a token may have come at any moment, so what a late reader costs is not to be told
from its own stamps. Linux keeps the time at which bytes came in beside them (SO_TIMESTAMPNS), and tells it to who looks
at them without taking them.
"""

import asyncio
import re
import socket
import struct
from collections.abc import Callable
from time import perf_counter_ns, time_ns

TIMESTAMPS = 35  # SO_TIMESTAMPNS: the option, and the kind of the message that brings the time
_TIME = struct.Struct("qq")
_ROOM = socket.CMSG_SPACE(_TIME.size)
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT
_READS = 8  # in which a first token comes, after the head and a role; what says nothing for longer is not looked at
_CONTENT = re.compile(rb'"(?:text|content|reasoning_content|reasoning)"\s*:\s*"[^"]')
_buffer = bytearray(1 << 18)  # of all connections, as each empties it before the next one reads
_view = memoryview(_buffer)


class _Borrowed(socket.socket):
    """A transport's socket, which is its to close."""

    def __del__(self) -> None:
        self.detach()


class FirstRead(asyncio.BufferedProtocol):
    """Stands in for the protocol of a transport until first content has come, and tells when the kernel had it.

    `came` gets the nanoseconds of the clock of stamps before the reader gets that content, once for every
    `await_content`, or nothing where the kernel does not tell.
    """

    def __init__(self, transport: asyncio.Transport, number: int, reader: asyncio.Protocol,
                 came: Callable[[int], None]) -> None:  # fmt: skip
        self._transport, self._reader, self._came = transport, reader, came
        self._socket = _Borrowed(socket.AF_INET, socket.SOCK_STREAM, 0, number)
        self._socket.setsockopt(socket.SOL_SOCKET, TIMESTAMPS, 1)
        self._reads_left, self._came_ns = 0, 0
        self._error: ConnectionError | None = None  # what a look met; the transport does not meet it again

    def await_content(self) -> None:
        """From now on."""
        if not self._reads_left:
            self._transport.set_protocol(self)
        self._reads_left = _READS

    def get_buffer(self, _: int) -> bytearray:
        self._came_ns = 0
        try:
            messages = self._socket.recvmsg(1, _ROOM, _PEEK)[1]
        except ConnectionError as error:
            self._error = error
            return _buffer
        except OSError:
            return _buffer
        for _, kind, message in messages:
            if kind == TIMESTAMPS:
                seconds, ns = _TIME.unpack(message)
                self._came_ns = seconds * 1_000_000_000 + ns
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        came_ns, data = perf_counter_ns() - (time_ns() - self._came_ns), bytes(_view[:nbytes])
        self._reads_left -= 1
        content = _CONTENT.search(data) is not None
        if content or not self._reads_left:
            self._reads_left = 0
            self._transport.set_protocol(self._reader)
        if content and self._came_ns:
            self._came(came_ns)
        self._reader.data_received(data)

    def eof_received(self) -> bool | None:
        return self._reader.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.connection_lost(exc or self._error)
