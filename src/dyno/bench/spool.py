"""What a load is too long to hold: requests before it and stamps after it, in files that vanish with their owner."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import overload

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

BLOCK = 1_000_000  # stamps that are held at a time
_EACH = 8  # bytes of a stamp


class Spool:
    """A file without a name where temporary files belong ($TMPDIR): nothing is left of it if its owner is killed."""

    def __init__(self) -> None:
        with TemporaryFile() as file:
            self.fd = os.dup(file.fileno())

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # when Python ends, modules end first
        close(self.fd)

    @property
    def path(self) -> Path:
        return _path(self.fd)


def _path(fd: int) -> Path:
    """How processes of the same user open a file that this one has open."""
    return Path(f"/proc/{os.getpid()}/fd/{fd}")


class Requests(Sequence[bytes]):
    """Requests ready for the wire. `head` is common to all and never reaches the disk, as it may hold an API key."""

    def __init__(self, head: bytes, path: Path, ends: Integers, picked: Integers) -> None:
        self._head, self._ends, self._picked = head, ends, picked
        self._fd = os.open(path, os.O_RDONLY)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self._fd)

    def __len__(self) -> int:
        return len(self._picked)

    @overload
    def __getitem__(self, key: int) -> bytes: ...
    @overload
    def __getitem__(self, key: slice) -> "Requests": ...
    def __getitem__(self, key: int | slice) -> "bytes | Requests":
        if isinstance(key, slice):
            return self.of(self._picked[key])
        number = int(self._picked[key])
        begin = int(self._ends[number - 1]) if number else 0
        return self._head + os.pread(self._fd, int(self._ends[number]) - begin, begin)

    def of(self, picked: Integers) -> "Requests":
        """Some of them, of the same file."""
        return Requests(self._head, _path(self._fd), self._ends, picked)

    def __reduce__(self) -> tuple[type, tuple[bytes, Path, Integers, Integers]]:
        return Requests, (self._head, _path(self._fd), self._ends, self._picked)


def spooled(head: bytes, rests: Iterable[bytes]) -> Requests:
    """Writes what follows the head of each request into a file, as they come."""
    spool = Spool()
    with spool.path.open("ab") as file:
        sizes = np.fromiter((file.write(rest) for rest in rests), np.int64)
    return Requests(head, spool.path, np.cumsum(sizes), np.arange(len(sizes)))


class Stamps:
    """Moments in a file, read as an array is: by slices, or by numbers in rising order."""

    def __init__(self, spool: Spool, number: int) -> None:
        self._spool, self._number = spool, number

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, key: "slice | Integers") -> Integers:
        if isinstance(key, slice):
            begin, end, _ = key.indices(self._number)
            return read_stamps(self._spool, begin, end - begin)
        parts = [np.empty(0, dtype=np.int64)]
        for begin in range(0, self._number, BLOCK):
            first, last = np.searchsorted(key, (begin, begin + BLOCK))
            parts.append(self[begin : begin + BLOCK][key[first:last] - begin])
        return np.concatenate(parts)


def read_stamps(spool: Spool, begin: int, number: int) -> Integers:
    """So many stamps from the begin-th on."""
    return np.frombuffer(os.pread(spool.fd, _EACH * max(0, number), _EACH * begin), dtype=np.int64)


def in_order(pieces: Iterable[tuple[Spool, int, int]], number: int) -> "Integers | Stamps":
    """Pieces (spool, begin, number) one after the other: an array, or a file when they are more than a block."""
    if number <= BLOCK:
        return np.concatenate([np.empty(0, dtype=np.int64), *(read_stamps(*piece) for piece in pieces)])
    target = Spool()
    with target.path.open("ab") as file:
        file.writelines(_blocks(pieces))
    return Stamps(target, number)


def _blocks(pieces: Iterable[tuple[Spool, int, int]]) -> Iterator[memoryview]:
    held, size = list[Integers](), 0
    for piece in pieces:
        held.append(read_stamps(*piece))
        size += len(held[-1])
        if size >= BLOCK:
            yield np.concatenate(held).data.cast("B")
            held, size = [], 0
    if held:
        yield np.concatenate(held).data.cast("B")
