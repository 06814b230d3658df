"""What a run's answers come to is the same beside it and after it."""

from collections.abc import Iterable

import numpy as np
import pytest
from tests.bench.scripted import DONE, chunked, refusal, token, usage
from tests.bench.test_answer import transcript_of

from dyno.bench import spool
from dyno.bench.answer import Transcript
from dyno.bench.raw import load_raw, save_raw
from dyno.bench.reduce import Reducer, helpers_cpu_s, records_of
from dyno.bench.spool import Spool
from dyno.bench.stats import Records, figures
from dyno.errors import DynoError

ANSWER = chunked(token(" a"), token(" b"), token(" c"), usage(7, 3), DONE)
TRANSCRIPTS = [transcript_of(index, ANSWER if index % 3 else refusal(503, "busy")[0]) for index in range(20)]


def gathered(transcripts: Iterable[Transcript], **options: int) -> Records:
    """Records of these requests, which ended in this order."""
    stamps = Spool()
    with Reducer(stamps.path, **options) as reducer:
        for transcript in transcripts:
            reducer.take(transcript)
        return records_of([(reducer.finish(), stamps)])


def test_answers_handed_to_a_helper_read_as_those_kept() -> None:
    before = helpers_cpu_s()
    beside = gathered(reversed(TRANSCRIPTS), kept_bytes=2 * len(ANSWER), batch_bytes=len(ANSWER))
    assert helpers_cpu_s() > before
    after = gathered(TRANSCRIPTS)
    assert figures(beside) == figures(after)
    assert beside.outcomes == after.outcomes
    assert np.array_equal(beside.content_ns, after.content_ns)
    assert (after.completed.sum(), after.errors, len(after.content_ns)) == (13, {"HTTP 503": 7}, 39)


def test_a_short_run_starts_no_helper() -> None:
    before = helpers_cpu_s()
    assert gathered(TRANSCRIPTS).sent_ns.tolist() == [one.sent_ns for one in TRANSCRIPTS]
    assert helpers_cpu_s() == before


def test_stamps_that_are_too_many_to_hold_make_the_same_figures(monkeypatch, tmp_path) -> None:
    held = gathered(reversed(TRANSCRIPTS))
    monkeypatch.setattr(spool, "BLOCK", 4)
    filed = gathered(reversed(TRANSCRIPTS))
    assert isinstance(filed.content_ns, spool.Stamps)
    assert np.array_equal(filed.content_ns[:], held.content_ns)
    assert figures(filed) == figures(held)
    save_raw(tmp_path / "load.npz", filed, {})
    assert figures(load_raw(tmp_path / "load.npz")[0]) == figures(held)


def test_a_helper_that_is_killed_ends_the_run() -> None:
    with Reducer(Spool().path, kept_bytes=0, batch_bytes=0) as reducer:
        reducer.take(Deadly(0, 0, raw=bytearray(b"x")))
        with pytest.raises(DynoError, match="was killed"):
            reducer.finish()


class Deadly(type(TRANSCRIPTS[0])):
    """A transcript that ends the process that unpacks it."""

    def __reduce__(self):
        import os

        return os._exit, (1,)
