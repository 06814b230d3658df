"""How late a first token was read, by the kernel's own time: what a client that was held up cannot know of itself."""

import asyncio
import socket
import threading
from time import perf_counter_ns

import pytest
import uvloop
from tests.bench.scripted import DONE, HEAD, chunked, event, playing, token, usage
from tests.bench.test_loadgen import Wire

from dyno.bench import arrival
from dyno.bench.answer import Transcript, read_answer
from dyno.bench.connection import Connection
from dyno.bench.cost import unread_bytes
from dyno.bench.http import encode_post, parse_url

HELD_MS = 60
ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
ANSWER = chunked(ROLE, token(" a"), token(" b"), usage(1, 2), DONE)


@pytest.fixture(autouse=True)
def _stamping():
    """The kernel begins to stamp some time after the first socket has asked for it, and stops after the last."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as asking:
        asking.setsockopt(socket.SOL_SOCKET, arrival.TIMESTAMPS, 1)
        peer, _ = server.accept()
        with peer:
            stamped = []
            while not stamped:
                peer.sendall(b"x")
                stamped = asking.recvmsg(1, 64)[1]
            yield


def heard(pieces, watched: float = 1.0) -> Transcript:
    """An answer that lay in the kernel for HELD_MS before the loop was let go on; pieces after the first come later."""
    may_answer = threading.Event()

    def script(_):
        may_answer.wait()
        return pieces

    async def ask(url: str) -> Transcript:
        endpoint, loop = parse_url(url), asyncio.get_running_loop()
        over: asyncio.Future[Transcript] = loop.create_future()
        connection = Connection(lambda _, transcript: over.set_result(transcript), watched)
        await loop.create_connection(lambda: connection, endpoint.host, endpoint.port)
        connection.send(encode_post(endpoint, "/v1/completions", {}), Transcript(0, 0))
        for _ in range(3):
            await asyncio.sleep(0)
        may_answer.set()
        while not unread_bytes(connection.socket):
            pass
        until = perf_counter_ns() + HELD_MS * 1_000_000
        while perf_counter_ns() < until:
            pass
        transcript = await over
        connection.close()
        await asyncio.sleep(0)
        return transcript

    with playing(script) as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(ask(server.url))


def test_a_first_token_that_lay_unread_is_as_late_as_the_kernel_says() -> None:
    transcript = heard([ANSWER])
    assert transcript.late_ns >= HELD_MS * 1_000_000
    assert len(read_answer(transcript).content_ns) == 2


def test_what_is_not_content_is_not_late() -> None:
    transcript = heard([chunked(ROLE, DONE)])
    assert (transcript.failure, transcript.late_ns) == ("", None)


def test_an_answer_that_says_nothing_for_long_is_read_on_without_a_look() -> None:
    pings = [HEAD + b"transfer-encoding: chunked\r\n\r\n", *(b"8\r\n: ping\n\n\r\n" for _ in range(40))]
    transcript = heard([*pings, ANSWER.partition(b"\r\n\r\n")[2]])
    assert len(read_answer(transcript).content_ns) == 2


def test_only_a_share_of_the_requests_is_looked_at() -> None:
    assert heard([ANSWER], watched=0.0).late_ns is None


@pytest.mark.parametrize(("pieces", "failure"), [
    ([HEAD, "reset"], "connection reset"),
    ([ANSWER[:-60], "reset"], "connection reset"),
    ([ANSWER[:-60], "close"], "closed mid-stream"),
])  # fmt: skip
def test_a_look_takes_no_fault_for_another(pieces, failure) -> None:
    assert heard(pieces).failure == failure


def test_where_the_kernel_cannot_be_asked_answers_are_read_all_the_same(tmp_path) -> None:
    with (tmp_path / "file").open("wb") as no_socket:
        heard: list[Transcript] = []
        connection = Connection(lambda _, transcript: heard.append(transcript), 1.0)
        connection.connection_made(Wire({"socket": no_socket}))
        connection.send(b"", Transcript(0, 0))
        connection.data_received(ANSWER)
        assert (len(read_answer(heard[0]).content_ns), heard[0].late_ns) == (2, None)
