"""Addresses and requests."""

import json

import pytest

from dyno.bench.http import encode_get, encode_post, parse_url
from dyno.errors import InputError


@pytest.mark.parametrize(("url", "base", "authority"), [
    ("http://127.0.0.1:8000", "http://127.0.0.1:8000", "127.0.0.1:8000"),
    ("http://127.0.0.1:8000/", "http://127.0.0.1:8000", "127.0.0.1:8000"),
    ("http://host:8000/v1/", "http://host:8000", "host:8000"),
    ("https://host/prefix", "https://host/prefix", "host"),
    ("https://host:443/a/b/v1", "https://host/a/b", "host"),
    ("http://[::1]:9", "http://[::1]:9", "[::1]:9"),
])  # fmt: skip
def test_an_address_is_read_with_or_without_its_v1(url, base, authority) -> None:
    endpoint = parse_url(url)
    assert (endpoint.url, endpoint.authority) == (base, authority)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "localhost", "ftp://host", "http://", "http://host:port",
                                 "http://host:99999", "http://a b", "http://user:secret@host"])  # fmt: skip
def test_what_is_no_address_is_refused_by_name(url) -> None:
    with pytest.raises(InputError, match="--url") as refused:
        parse_url(url)
    assert "secret" not in str(refused.value)


def test_a_post_is_complete_and_carries_the_key_as_a_header() -> None:
    request = encode_post(parse_url("http://h:1/p/v1"), "/v1/completions", {"prompt": "é"}, "key")
    head, _, body = request.partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    assert first == "POST /p/v1/completions HTTP/1.1"
    assert {"Host: h:1", "Authorization: Bearer key", f"Content-Length: {len(body)}"} <= set(headers)
    assert json.loads(body) == {"prompt": "é"}


def test_a_get_ends_after_its_head() -> None:
    assert encode_get(parse_url("http://h:1"), "/metrics") == b"GET /metrics HTTP/1.1\r\nHost: h:1\r\n\r\n"
