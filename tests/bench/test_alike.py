"""Chunks that leave only their stamps: what may be left out, and that an answer says the same with and without."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from tests.bench.scripted import DONE, chunked, event, token, usage

from dyno.bench import connection as timed
from dyno.bench.answer import Transcript, alike_to, read_answer

TAIL = {"logprobs": None, "finish_reason": None}
FIRST = event({"id": "1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, **TAIL}]})


def said(text: str, **more: object) -> bytes:
    return event({"id": "1", "choices": [{"index": 0, "delta": {"content": text}, **TAIL}], **more})


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


TEXTS = [" a", " b", " longer", ' "quoted" \\', "日", "x" * 240, "{}", "\\n"]
LAST = event({"id": "1", "choices": [{"index": 0, "delta": {"content": ""}, **TAIL, "finish_reason": "length"}]})
RAW = chunked(FIRST, *map(said, TEXTS), LAST, usage(7, 8), DONE)


@dataclass
class Wire:
    """A transport that writes nowhere."""

    written: list[bytes] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None: ...

    def get_extra_info(self, _: str) -> None: ...


def heard(raw: bytes, cuts: list[int], monkeypatch) -> Transcript:
    """What one connection writes down, the reads ending at `cuts` and stamped 10, 20, 30 ..."""
    finished: list[Transcript] = []
    ticks = iter(range(0, 10 * len(raw) + 100, 10))
    monkeypatch.setattr(timed, "perf_counter_ns", lambda: next(ticks))
    connection = timed.Connection(lambda _, transcript: finished.append(transcript))
    connection.connection_made(Wire())
    connection.send(b"", Transcript(0, 0))
    for begin, end in pairwise([0, *cuts, len(raw)]):
        connection.data_received(raw[begin:end])
    return finished[0]


def chunk_ends(raw: bytes) -> list[int]:
    ends = [raw.index(b"\r\n\r\n") + 4]
    while (at := raw.find(b"\n\n\r\n", ends[-1])) >= 0:
        ends.append(at + 4)
    return ends


def test_chunks_that_differ_in_their_text_alone_leave_only_stamps(monkeypatch) -> None:
    transcript = heard(RAW, chunk_ends(RAW), monkeypatch)
    assert transcript.alike_ns.tolist() == [10 * (3 + number) for number in range(1, len(TEXTS))]
    assert b"longer" not in transcript.raw
    answer = read_answer(transcript)
    assert (answer.outcome, answer.prompt_tokens, answer.output_tokens) == ("", 7, 8)
    assert answer.content_ns.tolist() == [10 * (3 + number) for number in range(len(TEXTS))]
    assert transcript.heard_ns == 10 * (len(chunk_ends(RAW)) + 1)


def test_several_in_one_read_have_its_stamp(monkeypatch) -> None:
    ends = chunk_ends(RAW)
    transcript = heard(RAW, [ends[0], ends[1], ends[2], ends[5], ends[6]], monkeypatch)
    assert transcript.alike_ns.tolist() == [40, 40, 40, 50]
    assert read_answer(transcript).content_ns.tolist() == [30, 40, 40, 40, 50, 60, 60, 60]


@pytest.mark.parametrize("offset", range(1, 12))
def test_wherever_reads_are_cut_the_answer_says_the_same(offset, monkeypatch) -> None:
    """Reads of every size from the offset on, and around every chunk's end."""
    for cuts in ([*range(offset, len(RAW), 97)], [end - offset for end in chunk_ends(RAW)],
                 [end + offset for end in chunk_ends(RAW)[:-1]]):  # fmt: skip
        answer = read_answer(heard(RAW, cuts, monkeypatch))
        assert (answer.outcome, answer.output_tokens, len(answer.content_ns)) == ("", 8, len(TEXTS))
        arrivals = [10 * (1 + sum(cut < end - 3 for cut in cuts)) for end in chunk_ends(RAW)[2:10]]
        assert answer.content_ns.tolist() == arrivals


@pytest.mark.parametrize("odd", [
    chunk(LAST), chunk(usage(7, 8)), chunk(DONE), chunk(said("")), chunk(FIRST), chunk(said(" a", error="died")),
    chunk(said(" a").replace(b'"1"', b'"2"')), chunk(said(" a")[:-1]), chunk(said(" a") + b": ping\n\n"),
    chunk(said(" a").replace(b'" a"', b'"","role":"x"')), chunk(said("\n").replace(b"\\n", b"\n")),
    chunk(said(" a"))[:-1], b"0" + chunk(said(" a")), chunk(said(" a")) + b"0\r\n\r\n", chunk(token(" a")), b"",
], ids=["finish", "usage", "done", "empty text", "role", "error", "other id", "half an event", "ping", "other field",
        "bare line feed", "cut", "leading zero", "end", "other shape", "nothing"])  # fmt: skip
def test_anything_else_is_kept(odd) -> None:
    alike = alike_to(chunk(said(" one")))
    assert alike is not None
    assert [alike.count(chunk(said(text))) for text in TEXTS] == [1] * len(TEXTS)
    assert (alike.count(odd), alike.count(chunk(said(" a")) + odd)) == (0, 1 if not odd else 0)


@pytest.mark.parametrize("chunks", [
    chunk(FIRST), chunk(LAST), chunk(DONE), chunk(usage(1, 1)), chunk(said("a", usage={"prompt_tokens": 1})),
    chunk(said("a") + said("b")), chunk(said("a"))[:-2], b"5" + chunk(said("a")), chunk(b": ping\n\n"), said("a"),
    chunk(b"data: {\n\n"),
])  # fmt: skip
def test_only_a_whole_chunk_of_one_event_with_text_shows_what_others_look_like(chunks) -> None:
    assert alike_to(chunks) is None


def test_usage_on_the_last_token_is_read(monkeypatch) -> None:
    raw = chunked(FIRST, said(" a"), said(" b"), said(" c", usage={"prompt_tokens": 4, "completion_tokens": 3}), DONE)
    answer = read_answer(heard(raw, chunk_ends(raw), monkeypatch))
    assert (answer.output_tokens, len(answer.content_ns)) == (3, 3)


def test_a_stream_that_breaks_off_has_failed_whatever_was_left_out(monkeypatch) -> None:
    raw = chunked(FIRST, *map(said, TEXTS))[:-5]
    transcript = heard(raw + b"z", chunk_ends(raw), monkeypatch)
    assert (read_answer(transcript).outcome, len(transcript.alike_ns)) == ("not HTTP", len(TEXTS) - 1)
