"""HTTP/1.1 as the load generator speaks it: requests encoded beforehand, answers framed by httptools. No sockets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

from dyno.errors import InputError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is. `base` is the path in front of `/v1`, without a slash at its end."""

    tls: bool
    host: str
    port: int
    base: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address that `/metrics` and `/v1/...` follow."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.base}"


def parse_url(url: str) -> Endpoint:
    """Reads `http://host:8000`, `https://host/prefix` or either with `/v1` at its end. InputError for anything else."""
    advice = f"--url {url}: not a server's address; write it as http://127.0.0.1:8000"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(advice) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or any(map(str.isspace, url)):
        raise InputError(advice)
    if parts.username is not None:
        raise InputError("--url: holds a user name or password, which other users of the machine can read; "
                         "put an API key into a variable and name it with --api-key-env")  # fmt: skip
    tls = parts.scheme == "https"
    base = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return Endpoint(tls, parts.hostname, port or (443 if tls else 80), base)


def encode_get(endpoint: Endpoint, path: str, key: str | None = None) -> bytes:
    """One GET, ready for the wire."""
    return _head(endpoint, "GET", path, key) + b"\r\n"


def encode_post(endpoint: Endpoint, path: str, body: Mapping[str, object], key: str | None = None) -> bytes:
    """One POST of JSON, ready for the wire."""
    return post_head(endpoint, path, key) + post_rest(body)


def post_head(endpoint: Endpoint, path: str, key: str | None = None) -> bytes:
    """What POSTs to the same path have in common; `post_rest` follows."""
    return _head(endpoint, "POST", path, key) + b"Content-Type: application/json\r\n"


def post_rest(body: Mapping[str, object]) -> bytes:
    """What each POST has of its own; nothing secret is in it."""
    payload = json.dumps(body, separators=(",", ":")).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(payload), payload)


def _head(endpoint: Endpoint, method: str, path: str, key: str | None) -> bytes:
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    return f"{method} {endpoint.base}{path} HTTP/1.1\r\nHost: {endpoint.authority}\r\n{authorization}".encode()


class ResponseReader:
    """Frames one response, fed in pieces of any size: chunked, with a length, or ended by the connection's close."""

    __slots__ = ("_parser", "between", "body", "complete", "content_type", "framed", "head_read", "keep_alive",
                 "status", "streamed")  # fmt: skip

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.body = bytearray()
        self.status = 0
        self.head_read = False
        self.streamed = False  # chunked
        self.between = False  # where a chunk of a stream would begin
        self.framed = False  # chunked or with a length
        self.complete = False
        self.keep_alive = True
        self.content_type = ""

    def feed(self, data: bytes | memoryview) -> None:
        """Takes the next bytes. httptools.HttpParserError when they are not HTTP."""
        self._parser.feed_data(data)

    def release(self) -> None:
        """Lets go of the parser, which refers back to this reader: nothing may be fed any more."""
        del self._parser

    def on_header(self, name: bytes, value: bytes) -> None:
        name, value = name.lower(), value.lower()
        if name == b"transfer-encoding":
            self.streamed = self.framed = value.endswith(b"chunked")
        elif name == b"content-length":
            self.framed = True
        elif name == b"content-type":
            self.content_type = value.decode("latin-1")
        elif name == b"connection" and value == b"close":
            self.keep_alive = False

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.head_read = self.status >= 200
        self.between = self.streamed
        self.keep_alive &= self._parser.get_http_version() == "1.1"

    def on_chunk_header(self) -> None:
        self.between = False

    def on_chunk_complete(self) -> None:
        self.between = True

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = self.status >= 200  # before it, "100 Continue" and the like
