"""PyTorch's caching allocator on CUDA, replayed: what blocks are counted as, and what stays reserved.

c10/cuda/CUDACachingAllocator.cpp of PyTorch 2.11: `get_allocation_size`, `get_free_block` and `should_split`.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from math import ceil

from dyno.predict.constants import MIB

_BLOCK, _SMALL, _LARGE, _BUFFER, _ROUND = 512, MIB, 10 * MIB, 20 * MIB, 2 * MIB

Block = tuple[int, int, int]  # size, segment, offset; segment 0 stands for all that hold small blocks


@dataclass(slots=True)
class Allocator:
    """Above 1 MiB the smallest free block that fits, split, and merged again with its neighbours.

    `max_split` is max_split_size_mb in bytes: blocks of that size are not split, and serve nothing that is smaller.
    """

    max_split: int | None = None
    allocated_bytes: int = 0
    small_bytes: int = 0
    segments: list[int] = field(default_factory=lambda: [0])
    free: list[Block] = field(default_factory=list)  # by size

    @property
    def reserved_bytes(self) -> int:
        """What the card has given away."""
        return sum(self.segments) + _ROUND * ceil(self.small_bytes / _ROUND)

    @property
    def stranded_bytes(self) -> int:
        """What is free in segments that cannot be given back, as something still lies in them."""
        return sum(size for size, segment, _ in self.free if size < self.segments[segment])

    def take(self, nbytes: float) -> Block:
        """A block of so many bytes, of a new segment where none that is free will do."""
        size = _BLOCK * ceil(nbytes / _BLOCK)
        if size <= _SMALL:
            self.allocated_bytes += size
            self.small_bytes += size
            return size, 0, 0
        there, segment, offset = self._found(size) or self._new(size)
        if there - size > _SMALL and (self.max_split is None or size < self.max_split):
            insort(self.free, (there - size, segment, offset + size))
            there = size
        self.allocated_bytes += there
        return there, segment, offset

    def give(self, *blocks: Block) -> None:
        """Blocks that are free again, together with what is free beside them."""
        for size, segment, start in blocks:
            self.allocated_bytes -= size
            if not segment:
                self.small_bytes -= size
                continue
            end = start + size
            parts = [each for each in self.free if each[1] == segment] if size < self.segments[segment] else []
            for other in parts:
                if other[2] + other[0] == start or other[2] == end:
                    self.free.remove(other)
                    start, end = min(start, other[2]), max(end, other[2] + other[0])
            insort(self.free, (end - start, segment, start))

    def _found(self, size: int) -> Block | None:
        at = bisect_left(self.free, (size, 0, 0))
        if at == len(self.free):
            return None
        there, limit = self.free[at][0], self.max_split
        if limit is not None and there >= (limit if size < limit else size + _BUFFER):
            return None
        return self.free.pop(at)

    def _new(self, size: int) -> Block:
        self.segments.append(_BUFFER if size < _LARGE else _ROUND * ceil(size / _ROUND))
        return self.segments[-1], len(self.segments) - 1, 0
