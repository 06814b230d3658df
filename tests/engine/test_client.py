"""Short questions to a server that answers, answers nonsense, or is not there."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dyno.engine.client import canary, fetch, health, served_models

COMPLETION = {"id": "cmpl-1", "choices": [{"index": 0, "text": " kume", "finish_reason": "length"}]}
MODELS = {"object": "list", "data": [{"id": "m"}, {"id": "nonce"}]}
GARBAGE = [b"", b"<html>", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"data": 3, "choices": 3}', b"[" * 100_000,
           b'{"data": null, "choices": []}', b'{"data": {}, "choices": [{}]}',
           b'{"choices": [{"text": null}]}']  # fmt: skip


class Server(ThreadingHTTPServer):
    """Answers every request with the bytes it was given and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.body, self.raw, self.asked = 200, b"", b"", []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, asked))
        if self.server.raw:
            self.wfile.write(self.server.raw)
            return
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_server_in_order_is_healthy_names_its_models_and_completes(server):
    assert health(server.url)
    server.body = json.dumps(MODELS).encode()
    assert served_models(server.url) == ("m", "nonce")
    server.body = json.dumps(COMPLETION).encode()
    assert canary(server.url, "nonce", timeout_s=5).answered


def test_the_canary_asks_for_one_token_of_the_named_model(server):
    canary(server.url, "nonce", timeout_s=5)
    command, path, asked = server.asked[0]
    assert (command, path) == ("POST", "/v1/completions")
    assert (json.loads(asked)["model"], json.loads(asked)["max_tokens"]) == ("nonce", 1)


@pytest.mark.parametrize(("status", "body", "told"), [
    (400, b'{"error": {"message": "no prompt"}}', "400 Bad Request: no prompt"),
    (422, b'{"message": "no prompt"}', "422 Unprocessable"),
    (404, b"<html>", "404 Not Found"),
])  # fmt: skip
def test_a_refusal_that_lasts_is_told_with_the_servers_words(server, status, body, told):
    server.status, server.body = status, body
    assert (canary(server.url, "m", timeout_s=5).refusal or "").startswith(told)


@pytest.mark.parametrize("status", [200, 401, 429, 500, 503])
def test_what_may_pass_is_no_refusal(server, status):
    server.status = status
    assert canary(server.url, "m", timeout_s=5).refusal is None


@pytest.mark.parametrize("body", GARBAGE, ids=lambda body: body[:30])
def test_garbage_is_neither_models_nor_a_canary(server, body):
    server.body = body
    assert not served_models(server.url)
    assert not canary(server.url, "m", timeout_s=5).answered


@pytest.mark.parametrize("status", [404, 500, 503])
def test_an_error_is_not_an_answer(server, status):
    server.status, server.body = status, json.dumps(COMPLETION).encode()
    assert not health(server.url)
    assert served_models(server.url) is None
    assert not canary(server.url, "m", timeout_s=5).answered


@pytest.mark.parametrize(
    "raw", [b"\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]
)
def test_what_is_not_http_is_not_an_answer(server, raw):
    server.raw = raw
    assert not health(server.url)
    assert served_models(server.url) is None


def test_nobody_there_is_not_an_answer():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert not health(url)
        assert served_models(url) is None
        assert not canary(url, "m", timeout_s=1).answered


def test_a_server_that_accepts_and_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not health(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.05)


@pytest.mark.parametrize("url", ["", "nonsense", "http://", "http://127.0.0.1:port", "http://[::1", "http://a b/"])
def test_what_is_no_url_is_not_an_answer(url):
    assert fetch(url, timeout_s=0.05) is None


def test_a_proxy_in_the_environment_is_not_asked(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert health(server.url)
