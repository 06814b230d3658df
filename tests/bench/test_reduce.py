"""What a run's answers come to is the same beside it and after it."""

import numpy as np
import pytest
from tests.bench.scripted import DONE, chunked, refusal, token, usage
from tests.bench.test_answer import transcript_of

from dyno.bench.load import gather
from dyno.bench.reduce import Reducer, helpers_cpu_s, reduce_one
from dyno.bench.stats import figures
from dyno.errors import DynoError

ANSWER = chunked(token(" a"), token(" b"), token(" c"), usage(7, 3), DONE)
TRANSCRIPTS = [transcript_of(index, ANSWER if index % 3 else refusal(503, "busy")[0]) for index in range(20)]


def test_answers_handed_to_a_helper_read_as_those_kept() -> None:
    before = helpers_cpu_s()
    with Reducer(kept_bytes=2 * len(ANSWER), batch_bytes=len(ANSWER)) as reducer:
        for transcript in reversed(TRANSCRIPTS):
            reducer.take(transcript)
        beside = gather(reducer.finish())
    after = gather([reduce_one(transcript) for transcript in TRANSCRIPTS])
    assert figures(beside) == figures(after)
    assert beside.outcomes == after.outcomes
    assert np.array_equal(beside.content_ns, after.content_ns)
    assert helpers_cpu_s() > before


def test_a_short_run_starts_no_helper() -> None:
    before = helpers_cpu_s()
    with Reducer() as reducer:
        for transcript in TRANSCRIPTS:
            reducer.take(transcript)
        assert [one.index for one in reducer.finish()] == list(range(20))
    assert helpers_cpu_s() == before


def test_a_helper_that_is_killed_ends_the_run() -> None:
    with Reducer(kept_bytes=0, batch_bytes=0) as reducer:
        reducer.take(Deadly(0, 0, raw=bytearray(b"x")))
        with pytest.raises(DynoError, match="was killed"):
            reducer.finish()


class Deadly(type(TRANSCRIPTS[0])):
    """A transcript that ends the process that unpacks it."""

    def __reduce__(self):
        import os

        return os._exit, (1,)
