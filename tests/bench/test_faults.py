"""`dyno bench --url` against servers that fail: each kind is counted, no latency has it, the run ends, and with 1."""

import json
import time
from itertools import count

import pytest
from tests.bench.scripted import HEAD, Request, chunked, completion, playing, refusal, token

from dyno.cli.main import run

WORDS = ["--model", "m", "--concurrency", "2", "--requests", "12", "--input-len", "16", "--output-len", "4", "--json",
         "--shared-host"]  # fmt: skip
SLOW_S = 0.5  # of every answer that fails: it would be seen in a latency


def failing(pieces, every: int = 4):
    """A script that answers well but for every so many requests; what fails takes its time first."""
    numbers = count()

    def script(request: Request) -> list:
        if request.method == "GET":
            return completion(request)
        number = next(numbers)  # 0 is the warm-up
        if not number or number % every:
            return completion(request)
        time.sleep(SLOW_S)
        return pieces

    return script


def bench(script, capsys, *more: str):
    """Exit code and result of a run."""
    with playing(script) as server:
        code = run(["bench", "--url", server.url, *WORDS, *more])
    return code, json.loads(capsys.readouterr().out)["result"]


@pytest.mark.parametrize(("pieces", "kind"), [
    ([HEAD, "reset"], "connection reset"),
    ([chunked(token(" a"), token(" b"))[:-9], "reset"], "connection reset"),
    ([chunked(token(" a"), token(" b"))[:-9], "close"], "closed mid-stream"),
    ([b"garbage, and not HTTP\r\n\r\n", "close"], "not HTTP"),
    ([chunked(b'data: {"choices": [{"te\n\n')], "garbled event"),
    ([chunked(b": ping\n\n")], "empty answer"),
    (refusal(429, "slow down"), "HTTP 429"),
    (refusal(503, "busy"), "HTTP 503"),
    ([HEAD + b"transfer-encoding: chunked\r\n\r\n", "hang"], "silent for 1 s"),
], ids=["reset", "reset mid-stream", "closed mid-stream", "garbage", "garbled event", "empty", "429", "503",
        "silence"])  # fmt: skip
def test_a_fault_is_counted_by_its_kind_and_enters_no_latency(pieces, kind, capsys):
    code, result = bench(failing(pieces), capsys, "--silence", "1 s")
    assert (code, result["completed"], result["failed"]) == (1, 9, 3)
    assert result["errors"] == {kind: 3}
    assert result["void"][0].startswith(f"3 of 12 requests failed: {kind} (3)")
    assert result["e2el_ms"]["p99"] < 1000 * SLOW_S


def test_a_connection_that_is_closed_between_requests_is_no_fault(capsys):
    def script(request: Request) -> list:
        return [*completion(request), "close"] if request.method == "POST" else completion(request)

    code, result = bench(script, capsys)
    assert (code, result["completed"], result["errors"]) == (0, 12, {})


def test_a_server_that_goes_silent_is_given_up_and_the_run_ends(capsys):
    answered = []

    def script(request: Request) -> list:
        answered.append(request)
        return completion(request) if request.method == "GET" or len(answered) < 7 else ["hang"]

    code, result = bench(script, capsys, "--silence", "0.2 s")
    assert code == 1
    assert set(result["errors"]) == {"silent for 0.2 s", "not sent, as the server was silent"}
    assert result["completed"] + result["failed"] == 12


def test_a_server_that_is_killed_mid_stream_ends_the_run(engine, capsys):
    url = engine(FAKE_FAIL="dies_mid_stream", FAKE_FAIL_AFTER="6")
    assert run(["bench", "--url", url, *WORDS]) == 1
    result = json.loads(capsys.readouterr().out)["result"]
    assert result["completed"] >= 4
    assert result["failed"] == 12 - result["completed"]
    assert set(result["errors"]) <= {"closed mid-stream", "connection reset", "connection refused",
                                     "closed without an answer"}  # fmt: skip


@pytest.mark.parametrize("silence", ["0 s", "long"])
def test_a_silence_that_is_no_time_is_refused(silence, capsys):
    assert run(["bench", "--url", "http://h", "--silence", silence]) == 2
    assert "--silence" in capsys.readouterr().err
