"""The timed path: when an answer ends, when the next request goes out, and what becomes of failures."""

import asyncio
import errno
from itertools import pairwise

import pytest
from tests.bench.scripted import DONE, HEAD, chunked, completion, refusal, token, usage

from dyno.bench.answer import Transcript, read_answer
from dyno.bench.connection import Connection, failure_kind
from dyno.bench.http import encode_get, encode_post, parse_url
from dyno.bench.loadgen import Pace, drive
from dyno.errors import DynoError

CRLF_EVENTS = (token(" a") + token(" b") + DONE).replace(b"\n", b"\r\n")


class Wire(asyncio.Transport):
    """A transport that writes nowhere."""

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None: ...


def connected(finished: list[Transcript]) -> Connection:
    connection = Connection(lambda _, transcript: finished.append(transcript))
    connection.connection_made(Wire())
    connection.send(b"", Transcript(0, 0))
    return connection


def loop(server, number: int, clients: int, silence_s: float = 300, offsets_ns=None, **options):
    """One loop of `number` requests for 3 tokens."""
    endpoint = parse_url(server.url)
    body = {"model": "m", "prompt": [1, 2], "max_tokens": 3, "stream_options": {}}
    requests = [encode_post(endpoint, "/v1/completions", {**body, "n": index}) for index in range(number)]
    return drive(endpoint, requests, Pace(clients, offsets_ns, silence_s), **options)


def outcomes(traffic) -> list[str]:
    return [read_answer(transcript).outcome for transcript in traffic.transcripts]


class TestEndOfAnAnswer:
    @pytest.mark.parametrize("raw", [
        chunked(token(" a"), token(" b"), usage(2, 2), DONE),
        chunked(token(" a"), DONE)[:-2] + b"x-trailer: 0\r\n\r\n",
        chunked(*CRLF_EVENTS.splitlines(keepends=True)),
        chunked(token("\\r\\n0\\r\\n\\r\\n"), DONE),
        HEAD + b"content-length: %d\r\n\r\n%b" % (len(CRLF_EVENTS), CRLF_EVENTS),
        b"HTTP/1.1 100 Continue\r\n\r\n" + chunked(token(" a"), DONE),
    ], ids=["chunks", "trailer", "crlf events", "text like an end", "length", "interim"])  # fmt: skip
    def test_is_seen_at_the_last_byte_wherever_the_reads_were_cut(self, raw) -> None:
        for cut in range(1, len(raw)):
            finished: list[Transcript] = []
            connection = connected(finished)
            connection.data_received(raw[:cut])
            assert not finished
            connection.data_received(raw[cut:])
            assert [bytes(transcript.raw) for transcript in finished] == [raw]
            assert read_answer(finished[0]).outcome == ""

    def test_is_seen_byte_by_byte(self) -> None:
        finished: list[Transcript] = []
        connection = connected(finished)
        raw = chunked(token(" a"), DONE)
        for byte in raw[:-1]:
            connection.data_received(bytes([byte]))
        assert not finished
        connection.data_received(raw[-1:])
        assert len(finished[0].stamps) == len(raw)

    def test_bytes_nobody_asked_for_are_left_alone(self) -> None:
        finished: list[Transcript] = []
        connection = connected(finished)
        connection.data_received(chunked(DONE))
        connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        assert len(finished) == 1


class TestClosedLoop:
    def test_every_request_is_sent_once_and_connections_are_kept(self, play) -> None:
        server = play(completion)
        traffic = loop(server, 20, 4)
        assert outcomes(traffic) == [""] * 20
        assert sorted(request.body["n"] for request in server.posts) == list(range(20))
        assert server.connections == 4

    def test_times_of_a_request_are_in_their_order(self, play) -> None:
        for transcript in loop(play(completion), 6, 2).transcripts:
            assert transcript.intended_ns <= transcript.sent_ns < transcript.stamps[0] <= transcript.stamps[-1]

    def test_the_next_request_is_intended_when_its_client_was_free(self, play) -> None:
        first, second = loop(play(completion), 2, 1).transcripts
        assert second.intended_ns == first.stamps[-1]

    def test_a_connection_the_server_ends_is_replaced(self, play) -> None:
        server = play(lambda _: [chunked(token(" a"), DONE, head=HEAD + b"connection: close\r\n"), "close"])
        assert outcomes(loop(server, 5, 2)) == [""] * 5
        assert server.connections == 5

    def test_an_idle_connection_that_was_closed_does_not_cost_a_request(self, play) -> None:
        def script(request):
            return ["close"] if request.connection == 1 and len(server.posts) == 2 else completion(request)

        server = play(script)
        assert outcomes(loop(server, 3, 1)) == [""] * 3

    def test_answers_without_length_end_with_their_connection(self, play) -> None:
        assert outcomes(loop(play(lambda _: [HEAD + b"\r\n", token(" a") + DONE, "close"]), 3, 1)) == [""] * 3

    def test_a_probe_runs_beside_and_is_not_counted(self, play) -> None:
        page = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nup"
        server = play(lambda request: [page] if request.method == "GET" else completion(request))
        traffic = loop(server, 64, 1, probe=encode_get(parse_url(server.url), "/metrics"))
        assert len(traffic.transcripts) == 64
        assert all(bytes(sample.raw) == page for sample in traffic.pages)

    def test_a_probe_costs_the_server_one_page_a_second(self, play) -> None:
        page = [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nup"]
        server = play(lambda request: page if request.method == "GET" else ["hang"])
        pages = loop(server, 1, 1, probe=encode_get(parse_url(server.url), "/metrics"), silence_s=1.5).pages
        assert len(pages) > 1
        gaps_s = [(later.sent_ns - sooner.sent_ns) / 1e9 for sooner, later in pairwise(pages)]
        assert min(gaps_s) > 0.99

    def test_fewer_clients_than_were_asked_for_never_run(self, play) -> None:
        server = play(completion)
        with pytest.raises(ValueError, match="8 clients cannot share 5 requests"):
            loop(server, 5, 8)
        assert server.connections == 0

    def test_progress_ends_with_all_done(self, play) -> None:
        told = []
        loop(play(completion), 3, 1, on_progress=lambda done, of: told.append((done, of)))
        assert told[-1] == (3, 3)

    def test_an_error_of_the_watcher_ends_the_run(self, play) -> None:
        def stop(done: int, _: int) -> None:
            raise KeyError(done)

        with pytest.raises(KeyError):
            loop(play(lambda _: ["hang"]), 3, 1, on_progress=stop)


class TestOpenLoop:
    def test_requests_go_out_at_their_own_deadlines(self, play) -> None:
        offsets_ns = [0, 2_000_000, 2_000_000, 9_000_000]
        traffic = loop(play(completion), 4, 2, offsets_ns=offsets_ns)
        intended = [transcript.intended_ns for transcript in traffic.transcripts]
        assert [moment - intended[0] for moment in intended] == offsets_ns
        assert all(transcript.sent_ns >= transcript.intended_ns for transcript in traffic.transcripts)
        assert outcomes(traffic) == [""] * 4

    def test_none_waits_for_the_answer_of_another(self, play) -> None:
        server = play(lambda request: ["hang"] if request.body["n"] < 3 else completion(request))
        traffic = loop(server, 6, 1, silence_s=0.1, offsets_ns=[0] * 6)
        assert outcomes(traffic) == ["silent for 0.1 s"] * 3 + [""] * 3

    def test_free_connections_are_used_again(self, play) -> None:
        server = play(completion)
        loop(server, 5, 1, offsets_ns=[number * 30_000_000 for number in range(5)])
        assert server.connections < 5

    def test_a_connection_that_the_server_ended_is_not_used_again(self, play) -> None:
        server = play(lambda _: [chunked(token(" a"), DONE, head=HEAD + b"connection: close\r\n"), "close"])
        assert outcomes(loop(server, 5, 2, offsets_ns=[number * 1_000_000 for number in range(5)])) == [""] * 5

    def test_deadlines_that_are_not_those_of_the_requests_never_run(self, play) -> None:
        with pytest.raises(ValueError, match="1 deadlines are not those of 2 requests"):
            loop(play(completion), 2, 1, offsets_ns=[0])


class TestFailures:
    def test_each_kind_is_told_apart_and_the_run_goes_on(self, play) -> None:
        played = {1: refusal(503, "busy"), 2: [HEAD, "reset"], 3: ["close"], 4: [b"nonsense\r\n\r\n"],
                  5: [chunked(token(" a"))[:-7], "close"]}  # fmt: skip
        server = play(lambda request: played.get(request.body["n"]) or completion(request))
        seen = outcomes(loop(server, 7, 1))
        assert seen == ["", "HTTP 503", "connection reset", "closed without an answer", "not HTTP",
                        "closed mid-stream", ""]  # fmt: skip

    def test_silence_ends_a_request(self, play) -> None:
        played = {1: ["hang"], 3: [HEAD, "hang"]}
        server = play(lambda request: played.get(request.body["n"]) or completion(request))
        assert outcomes(loop(server, 5, 1, silence_s=0.1)) == ["", "silent for 0.1 s", "", "silent for 0.1 s", ""]
        assert len(server.posts) == 5

    def test_a_server_that_hangs_is_given_up_after_two_waves(self, play) -> None:
        server = play(lambda request: completion(request) if request.body["n"] < 2 else ["hang"])
        seen = outcomes(loop(server, 12, 2, silence_s=0.1))
        assert seen == [""] * 2 + ["silent for 0.1 s"] * 4 + ["not sent, as the server was silent"] * 6

    def test_a_server_that_is_not_there_is_an_error_that_names_it(self) -> None:
        with pytest.raises(DynoError, match=r"http://127.0.0.1:9: connection refused"):
            drive(parse_url("http://127.0.0.1:9"), [b""], Pace(1))

    def test_a_name_nobody_knows_is_an_error(self) -> None:
        with pytest.raises(DynoError, match="is the server running"):
            drive(parse_url("http://nowhere.invalid"), [b""], Pace(1))

    def test_too_many_connections_are_named_with_the_limit_to_raise(self) -> None:
        kind = failure_kind(OSError(errno.EMFILE, "Too many open files"))
        assert kind == "too many open files in the load generator; ask for fewer connections, or raise `ulimit -n`"
