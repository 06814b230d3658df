"""A server on loopback that plays bytes from a script, and answers made by hand."""

import json
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

Piece = bytes | str  # bytes are sent; "close", "reset" or "hang" end the connection or wait


@dataclass
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict
    connection: int


Script = Callable[[Request], Sequence[Piece]]


class ScriptedServer(socketserver.ThreadingTCPServer):
    """Plays `script(request)`; keeps every request. One thread a connection."""

    request_queue_size = 64

    def __init__(self, script: Script, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.script = script
        self.requests: list[Request] = []
        self.connections, self.counting = 0, threading.Lock()
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.server_address[1]}"

    @property
    def posts(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]


class Conversation(socketserver.StreamRequestHandler):
    """One connection."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        with self.server.counting:
            self.server.connections += 1
            number = self.server.connections
        with suppress(ConnectionError):
            while (request := self.read(number)) and self.play(request):
                pass

    def read(self, number: int) -> Request | None:
        if not (first := self.rfile.readline().decode()):
            return None
        lines = [line.decode().strip() for line in iter(self.rfile.readline, b"\r\n")]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = json.loads(self.rfile.read(int(headers.get("content-length", 0))) or b"{}")
        request = Request(*first.split(" ")[:2], headers, body, number)
        self.server.requests.append(request)
        return request

    def play(self, request: Request) -> bool:
        for piece in self.server.script(request):
            if piece == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif piece == "hang":
                self.rfile.read(1)  # until the client leaves
            if isinstance(piece, str):
                return False
            self.wfile.write(piece)
        return True

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self.connection.close()  # with SO_LINGER 0 a reset, which shutdown would forestall


@contextmanager
def playing(script: Script, certificate: Path | None = None) -> Iterator[ScriptedServer]:
    """A server for as long as the block lasts, over TLS when it has a certificate."""
    with ScriptedServer(script, certificate) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"


def chunked(*bodies: bytes, head: bytes = HEAD) -> bytes:
    """A chunked response, one chunk per body."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in bodies)
    return head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def event(content: object, newline: bytes = b"\n") -> bytes:
    """One server-sent event of JSON."""
    return b"data: " + json.dumps(content, separators=(",", ":")).encode() + newline * 2


def token(text: str, **more: object) -> bytes:
    return event({"id": "cmpl-1", "choices": [{"index": 0, "text": text, "finish_reason": None}], **more})


def usage(prompt: int, completion: int) -> bytes:
    return event({"id": "cmpl-1", "choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}})


DONE = b"data: [DONE]\n\n"


def prompt_tokens(request: Request) -> int:
    prompt = request.body["prompt"] if "prompt" in request.body else request.body["messages"][0]["content"]
    return len(prompt.split()) if isinstance(prompt, str) else len(prompt)


def completion(request: Request) -> list[bytes]:
    """As many tokens as were asked for, at once, with usage when that was asked for; 404 to a GET."""
    if request.method == "GET":
        return refusal(404, "no such page")
    number = request.body["max_tokens"]
    told = usage(prompt_tokens(request), number) if request.body.get("stream_options") else b""
    return [chunked(*(token(f" {index}") for index in range(number)), *filter(None, [told]), DONE)]


def refusal(status: int, message: str) -> list[bytes]:
    body = json.dumps({"error": {"message": message, "code": status}}).encode()
    return [
        b"HTTP/1.1 %d No\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
    ]
