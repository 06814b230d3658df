"""Answers understood beside the run, so that its memory stays small however long it is.

A short run's answers are kept as they came and understood after it. Once they are more than `kept_bytes` a helper
process gets them in small batches; only stamps and counts come back.
"""

import ctypes
import signal
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType
from typing import Self

from dyno.bench.answer import Answer, Transcript, read_answer
from dyno.errors import DynoError

_PARENT_DEATH_SIGNAL = 1  # Linux's PR_SET_PDEATHSIG
_KEPT_BYTES = 64 << 20
_BATCH_BYTES = 1 << 20  # pickled in a quarter of a millisecond, in which nothing is stamped


@dataclass(frozen=True, slots=True)
class Done:
    """One request without its bytes. Times in ns, None where nothing came back."""

    index: int
    intended_ns: int
    sent_ns: int
    first_byte_ns: int | None
    last_byte_ns: int | None
    answer: Answer


def reduce_one(transcript: Transcript) -> Done:
    """What is left of a transcript once it is understood."""
    first = transcript.stamps[0] if transcript.stamps else None
    return Done(transcript.index, transcript.intended_ns, transcript.sent_ns, first, transcript.heard_ns,
                read_answer(transcript))  # fmt: skip


class Reducer:
    """Takes transcripts as they end; `finish` gives all of them, reduced, in the order of sending."""

    def __init__(self, kept_bytes: int = _KEPT_BYTES, batch_bytes: int = _BATCH_BYTES) -> None:
        self._kept_bytes, self._batch_bytes = kept_bytes, batch_bytes
        self._batch: list[Transcript] = []
        self._waiting: list[list[Transcript]] = []  # full batches, as long as there is no helper
        self._bytes = self._waiting_bytes = 0
        self._helper: ProcessPoolExecutor | None = None
        self._reduced: list[Future[tuple[list[Done], float]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        if self._helper is not None:
            self._helper.shutdown(cancel_futures=True)

    def take(self, transcript: Transcript) -> None:
        """Takes one; on the clock, so it only counts bytes and at times hands a batch over."""
        self._batch.append(transcript)
        self._bytes += len(transcript.raw)
        if self._bytes <= self._batch_bytes:
            return
        self._waiting.append(self._batch)
        self._waiting_bytes += self._bytes
        self._batch, self._bytes = [], 0
        if self._helper is None and self._waiting_bytes > self._kept_bytes:
            self._helper = ProcessPoolExecutor(1, get_context("spawn"), begin_helper)
        if self._helper is not None:
            self._hand_over(self._helper)

    def _hand_over(self, helper: ProcessPoolExecutor) -> None:
        try:
            self._reduced += [helper.submit(_reduce, batch) for batch in self._waiting]
        except BrokenProcessPool as error:
            raise DynoError(_HELPER_ENDED) from error
        self._waiting = []

    def finish(self) -> list[Done]:
        """Blocks until all are reduced. DynoError when the helper process was killed."""
        done = [reduce_one(transcript) for batch in (*self._waiting, self._batch) for transcript in batch]
        cpu_s = 0.0
        try:
            for future in self._reduced:
                batch, cpu_s = future.result()
                done += batch
        except BrokenProcessPool as error:
            raise DynoError(_HELPER_ENDED) from error
        count_helper(cpu_s)
        self._batch, self._waiting, self._reduced = [], [], []
        return sorted(done, key=lambda one: one.index)


def begin_helper() -> None:
    """Begins a helper process: an interrupt is its owner's to handle, and it never outlives its owner."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def count_helper(cpu_s: float) -> None:
    """Notes the CPU time of a helper that has done its work."""
    _helpers.cpu_s += cpu_s


def helpers_cpu_s() -> float:
    """User and system time of all helper processes so far."""
    return _helpers.cpu_s


@dataclass(slots=True)
class _Helpers:
    cpu_s: float = 0.0


_helpers = _Helpers()
_HELPER_ENDED = "the process that reads answers beside the run was killed, as when memory runs out; ask for less load"


def _reduce(batch: Sequence[Transcript]) -> tuple[list[Done], float]:
    """In the helper: the batch and the helper's own CPU time so far."""
    return [reduce_one(transcript) for transcript in batch], time.process_time()
