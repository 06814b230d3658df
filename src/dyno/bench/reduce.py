"""Answers understood beside the run, so that its memory stays small however long it is.

A short run's answers are kept as they came and understood after it. Once they are more than `kept_bytes` a helper
process gets them in small batches. Stamps go into a spool; of a request one row of numbers comes back.
"""

import ctypes
import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from dyno.bench.answer import Transcript, read_answer
from dyno.bench.spool import Integers, Spool, in_order
from dyno.bench.stats import UNKNOWN, Records
from dyno.errors import DynoError

_PARENT_DEATH_SIGNAL = 1  # Linux's PR_SET_PDEATHSIG
_KEPT_BYTES = 64 << 20
_STAMP_BYTES = 8
_BATCH_BYTES = 1 << 20  # pickled in a quarter of a millisecond, in which nothing is stamped
# A row: the index of a request, and its columns of Records.
_COLUMNS = ("intended_ns", "sent_ns", "first_byte_ns", "last_byte_ns", "prompt_tokens", "output_tokens",
            "content_counts")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reduced:
    """Requests without their bytes: a row each, in any order, and why the failed ones did, with the server's words.

    Their stamps lie in a spool, one request after the other in the order of the rows.
    """

    rows: Integers
    failed: dict[int, tuple[str, str]]

    def of(self, indices: Integers) -> "Reduced":
        """The same as a part of a larger load, in which these requests have these indices."""
        rows = self.rows.copy()
        rows[:, 0] = indices[rows[:, 0]]
        return Reduced(rows, {int(indices[index]): why for index, why in self.failed.items()})


def reduce_all(transcripts: Sequence[Transcript], stamps_fd: int) -> Reduced:
    """Understands answers; the stamps of their content are appended to a file."""
    rows, stamps, failed = [], [np.empty(0, dtype=np.int64)], dict[int, tuple[str, str]]()
    for one in transcripts:
        answer, known = read_answer(one), (one.stamps[0] if one.stamps else None, one.heard_ns)
        told = (UNKNOWN if value is None else value for value in (*known, answer.prompt_tokens, answer.output_tokens))
        rows.append((one.index, one.intended_ns, one.sent_ns, *told, len(answer.content_ns)))
        if answer.outcome:
            failed[one.index] = (answer.outcome, answer.detail)
        stamps.append(answer.content_ns)
    with os.fdopen(stamps_fd, "ab", closefd=False) as file:
        file.write(np.concatenate(stamps).data)
    return Reduced(np.array(rows, dtype=np.int64).reshape(-1, 1 + len(_COLUMNS)), failed)


def joined(parts: Sequence[Reduced]) -> Reduced:
    """One after the other."""
    return Reduced(
        np.concatenate([part.rows for part in parts]), {k: v for part in parts for k, v in part.failed.items()}
    )


def records_of(parts: Sequence[tuple[Reduced, Spool]]) -> Records:
    """All requests in the order of sending, their stamps as an array or, when they are many, in a file."""
    rows = np.concatenate([part.rows for part, _ in parts])
    begins = np.concatenate([np.cumsum(part.rows[:, -1]) - part.rows[:, -1] for part, _ in parts])
    of_part = np.repeat(np.arange(len(parts)), [len(part.rows) for part, _ in parts])
    order = np.argsort(rows[:, 0])
    rows, failed = rows[order], {index: why for part, _ in parts for index, why in part.failed.items()}
    pieces = ((parts[part][1], begin, number) for part, begin, number in
              zip(of_part[order].tolist(), begins[order].tolist(), rows[:, -1].tolist(), strict=True))  # fmt: skip
    return Records(
        **{name: rows[:, 1 + place] for place, name in enumerate(_COLUMNS)},
        content_ns=in_order(pieces, int(rows[:, -1].sum())),
        outcomes=tuple(failed[index][0] if index in failed else "" for index in rows[:, 0].tolist()),
    )


class Reducer:
    """Takes transcripts as they end; `finish` gives all of them, reduced. Their stamps go to the spool at `path`."""

    def __init__(self, path: Path, kept_bytes: int = _KEPT_BYTES, batch_bytes: int = _BATCH_BYTES) -> None:
        self._path = path
        self._kept_bytes, self._batch_bytes = kept_bytes, batch_bytes
        self._batch: list[Transcript] = []
        self._waiting: list[list[Transcript]] = []  # full batches, as long as there is no helper
        self._bytes = self._waiting_bytes = 0
        self._helper: ProcessPoolExecutor | None = None
        self._reduced: list[Future[tuple[Reduced, float]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        if self._helper is not None:
            self._helper.shutdown(cancel_futures=True)

    def take(self, transcript: Transcript) -> None:
        """Takes one; on the clock, so it only counts bytes and at times hands a batch over."""
        self._batch.append(transcript)
        self._bytes += len(transcript.raw) + _STAMP_BYTES * len(transcript.alike_ns)
        if self._bytes <= self._batch_bytes:
            return
        self._waiting.append(self._batch)
        self._waiting_bytes += self._bytes
        self._batch, self._bytes = [], 0
        if self._helper is None and self._waiting_bytes > self._kept_bytes:
            self._helper = ProcessPoolExecutor(1, get_context("spawn"), _begin, (self._path,))
        if self._helper is not None:
            self._hand_over(self._helper)

    def _hand_over(self, helper: ProcessPoolExecutor) -> None:
        try:
            self._reduced += [helper.submit(_reduce, batch) for batch in self._waiting]
        except BrokenProcessPool as error:
            raise DynoError(_HELPER_ENDED) from error
        self._waiting = []

    def finish(self) -> Reduced:
        """Blocks until all are reduced. DynoError when the helper process was killed."""
        done, cpu_s = list[Reduced](), 0.0
        try:
            for future in self._reduced:
                batch, cpu_s = future.result()
                done.append(batch)
        except BrokenProcessPool as error:
            raise DynoError(_HELPER_ENDED) from error
        count_helper(cpu_s)
        with self._path.open("ab") as stamps:
            done += [reduce_all(batch, stamps.fileno()) for batch in (*self._waiting, self._batch)]
        self._batch, self._waiting, self._reduced = [], [], []
        return joined(done)


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


_stamps_fd: list[int] = []


def _begin(path: Path) -> None:
    begin_helper()
    _stamps_fd[:] = [os.open(path, os.O_WRONLY | os.O_APPEND)]


def _reduce(batch: Sequence[Transcript]) -> tuple[Reduced, float]:
    """In the helper: the batch and the helper's own CPU time so far."""
    return reduce_all(batch, _stamps_fd[0]), time.process_time()
