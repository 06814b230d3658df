"""Answers are understood the same however their bytes were cut."""

import json
from array import array

import pytest
from tests.bench.scripted import DONE, HEAD, chunked, event, refusal, token, usage

from dyno.bench.answer import Answer, Transcript, read_answer

TOKENS = (" one", " 日本", " 🙂", ' "text": "quoted" \\', " four")
STREAM = b"".join(map(token, TOKENS)) + usage(7, 5) + DONE


def heard(raw: bytes, size: int | None = None, failure: str = "") -> Answer:
    """The bytes as they arrive in reads of `size`, one every microsecond from 1000 ns on."""
    return read_answer(transcript_of(0, raw, size, failure))


def transcript_of(index: int, raw: bytes, size: int | None = None, failure: str = "") -> Transcript:
    """One request, answered with these bytes."""
    ends = [*range(size or len(raw), len(raw), size or len(raw)), len(raw)]
    stamps = array("q", [1000 * (number + 1) for number in range(len(ends))])
    return Transcript(index, 0, 0, bytearray(raw), stamps, array("q", ends), failure)


def chat(**delta: object) -> bytes:
    return event({"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


class TestFraming:
    @pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 97, 4096])
    @pytest.mark.parametrize("form", ["chunks", "cut chunks", "length", "until close"])
    def test_any_framing_in_any_pieces_reads_the_same(self, form, size) -> None:
        raw = {
            "chunks": chunked(*map(token, TOKENS), usage(7, 5), DONE),
            "cut chunks": chunked(*(STREAM[i : i + 11] for i in range(0, len(STREAM), 11))),
            "length": HEAD + b"content-length: %d\r\n\r\n" % len(STREAM) + STREAM,
            "until close": HEAD + b"connection: close\r\n\r\n" + STREAM,
        }[form]
        answer = heard(raw, size)
        assert (answer.outcome, answer.prompt_tokens, answer.output_tokens) == ("", 7, 5)
        assert len(answer.content_ns) == 5

    def test_an_interim_response_comes_first(self) -> None:
        assert heard(b"HTTP/1.1 100 Continue\r\n\r\n" + chunked(STREAM)).output_tokens == 5

    def test_a_stream_that_stops_before_its_last_chunk_has_failed(self) -> None:
        assert heard(chunked(token(" a"))[:-5]).outcome == "closed mid-stream"

    def test_what_ends_by_closing_has_failed_unless_it_said_it_was_done(self) -> None:
        assert heard(HEAD + b"\r\n" + token(" a")).outcome == "closed mid-stream"
        assert heard(HEAD + b"\r\n" + token(" a") + DONE).outcome == ""

    def test_bytes_that_are_not_http_are_a_failure(self) -> None:
        assert heard(b"SSH-2.0-OpenSSH_9.6\r\n").outcome == "not HTTP"

    @pytest.mark.parametrize("body", [
        {"error": {"message": "too long", "code": 400}}, {"object": "error", "message": "too long"},
        {"error": "too long"}, {"detail": "too long"},
    ])  # fmt: skip
    def test_a_refusal_is_its_status_and_the_servers_words(self, body) -> None:
        payload = json.dumps(body).encode()
        answer = heard(b"HTTP/1.1 400 No\r\ncontent-length: %d\r\n\r\n%b" % (len(payload), payload))
        assert (answer.outcome, answer.detail) == ("HTTP 400", "too long")

    def test_a_status_outweighs_the_close_that_follows(self) -> None:
        assert heard(refusal(503, "busy")[0], failure="connection reset").outcome == "HTTP 503"

    def test_an_answer_in_one_piece_has_tokens_but_no_times(self) -> None:
        body = json.dumps(
            {"choices": [{"text": "abc"}], "usage": {"prompt_tokens": 2, "completion_tokens": 3}}
        ).encode()
        answer = heard(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                       % (len(body), body))  # fmt: skip
        assert (answer.outcome, answer.output_tokens, len(answer.content_ns)) == ("", 3, 0)


class TestEvents:
    @pytest.mark.parametrize("stream", [
        STREAM.replace(b"\n", b"\r\n"),
        STREAM.replace(b"\n", b"\r"),
        STREAM.replace(b"data: ", b"data:"),
        STREAM.replace(b"data: ", b": a comment, data: {}\nid: 4\nevent: message\ndata: "),
        b": ping\n\n" + STREAM.replace(b"\n\n", b"\n\n: ping\n\n"),
        STREAM.replace(b'"choices"', b'\ndata:  "choices"'),
        STREAM[:-2],
    ], ids=["crlf", "cr", "no space", "other fields", "pings", "several data lines", "no last newline"])  # fmt: skip
    def test_every_way_of_writing_events_reads_the_same(self, stream) -> None:
        answer = heard(chunked(stream), 5)
        assert (answer.outcome, answer.output_tokens, len(answer.content_ns)) == ("", 5, 5)

    def test_an_event_has_the_stamp_of_the_read_that_completed_it(self) -> None:
        raw = chunked(token(" a"), token(" b") + token(" c"), token(" d"), DONE)
        cuts = [raw.index(b" a"), raw.index(b" b"), raw.index(b" d"), len(raw)]
        stamps = array("q", [10, 20, 30, 40])
        answer = read_answer(Transcript(0, 0, 0, bytearray(raw), stamps, array("q", cuts)))
        assert answer.content_ns.tolist() == [20, 30, 30, 40]

    def test_role_usage_and_empty_events_are_no_content(self) -> None:
        stream = chat(role="assistant", content="") + chat(content="Hi") + chat() + usage(3, 1) + DONE
        answer = heard(chunked(stream))
        assert (answer.outcome, len(answer.content_ns)) == ("", 1)

    @pytest.mark.parametrize("field", ["content", "reasoning_content", "reasoning", "refusal"])
    def test_thinking_aloud_is_content(self, field) -> None:
        answer = heard(chunked(chat(role="assistant"), chat(**{field: "a"}), chat(**{field: "b"}), DONE))
        assert len(answer.content_ns) == 2

    def test_a_tool_call_is_content(self) -> None:
        called = chat(tool_calls=[{"index": 0, "function": {"arguments": "{"}}])
        assert len(heard(chunked(called, DONE)).content_ns) == 1

    def test_text_that_looks_like_fields_is_only_text(self) -> None:
        stream = chat(content='"text":"x"') + chat(role='"content":"y"', content="") + DONE
        assert len(heard(chunked(stream)).content_ns) == 1

    def test_usage_may_ride_on_the_last_token(self) -> None:
        last = token(" c", usage={"prompt_tokens": 4, "completion_tokens": 3})
        assert heard(chunked(token(" a"), token(" b"), last, DONE)).output_tokens == 3

    @pytest.mark.parametrize("told", [b"", event({"usage": 1}), event({"usage": {"prompt_tokens": "many"}})])
    def test_without_readable_usage_tokens_are_unknown(self, told) -> None:
        answer = heard(chunked(token(" a"), told or DONE, DONE))
        assert (answer.outcome, answer.prompt_tokens, answer.output_tokens) == ("", None, None)

    @pytest.mark.parametrize("written", [
        event({"error": {"message": "engine died", "code": 500}}),
        b"event: error\ndata: {\"object\": \"error\", \"message\": \"engine died\"}\n\n",
        b"event: error\ndata: {\"message\": \"engine died\", \"code\": 500}\n\n",
    ])  # fmt: skip
    def test_an_error_inside_a_200_is_a_failure(self, written) -> None:
        answer = heard(chunked(token(" a"), written, DONE))
        assert (answer.outcome, answer.detail) == ("error event", "engine died")

    @pytest.mark.parametrize("payload", [b'{"choices": [{"te', b"[1]", b'{"choices": 3}', b"null"])
    def test_garbled_events_are_a_failure(self, payload) -> None:
        assert heard(chunked(b"data: " + payload + b"\n\n")).outcome == "garbled event"

    def test_a_garbled_event_among_good_ones_is_a_failure(self) -> None:
        stream = token(" a") + token(" b").replace(b'b",', b'b"},') + token(" c") + DONE
        assert heard(chunked(stream)).outcome == "garbled event"

    @pytest.mark.parametrize("ending", [
        DONE, usage(1, 2), event({"choices": [{"index": 0, "text": "", "finish_reason": "length"}]}),
        event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        token(" c", usage={"prompt_tokens": 1, "completion_tokens": 3}) + DONE,
    ], ids=["done", "usage", "completion's reason", "chat's reason", "usage on a token"])  # fmt: skip
    @pytest.mark.parametrize("event_of", [token, lambda text: chat(content=text)], ids=["completion", "chat"])
    def test_a_stream_that_does_not_say_that_it_ended_has_failed(self, event_of, ending) -> None:
        said = event_of(" a") + event_of(" b")
        assert heard(chunked(said + ending)).outcome == ""
        assert heard(chunked(said)).outcome == "no end of stream", "however well its bytes were framed"

    def test_usage_told_with_every_token_ends_nothing(self) -> None:
        told = [token(text, usage={"prompt_tokens": 4, "completion_tokens": 1}) for text in (" a", " b")]
        assert heard(chunked(*told)).outcome == "no end of stream"

    @pytest.mark.parametrize("stream", [b"", DONE, b": ping\n\n"])
    def test_a_stream_that_says_nothing_is_a_failure(self, stream) -> None:
        assert heard(chunked(*filter(None, [stream]))).outcome == "empty answer"
