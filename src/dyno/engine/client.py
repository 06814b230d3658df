"""Short questions to a running server. No answer is an answer: nothing here raises when the server does not."""

import http.client
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

# A request that is wrong as it is, and a server that has no such endpoint: asking again gets the same.
_LASTING = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


def fetch(url: str, timeout_s: float, body: object = None) -> bytes | None:
    """The body of a 200 answer, None for anything else. GET, or POST of `body` as JSON. Goes through no proxy."""
    status, answer = _exchange(url, timeout_s, body)
    return answer if status == HTTPStatus.OK else None


def _exchange(url: str, timeout_s: float, body: object) -> tuple[int, bytes]:
    """Status and body of an answer; status 0 when there is none."""
    headers = {"Content-Type": "application/json"}
    try:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=timeout_s)
    except (ValueError, http.client.HTTPException):
        return 0, b""
    try:
        if body is None:
            connection.request("GET", parts.path)
        else:
            connection.request("POST", parts.path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, ValueError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def _fetch_object(url: str, timeout_s: float, body: object = None) -> dict[str, Any]:
    return _object(fetch(url, timeout_s, body) or b"{}")


def _object(text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def health(url: str, timeout_s: float = 2) -> bool:
    """Whether `/health` says 200. vLLM says so even when its engine no longer answers: see canary."""
    return fetch(f"{url}/health", timeout_s) is not None


def served_models(url: str, timeout_s: float = 5) -> tuple[str, ...] | None:
    """The names under `/v1/models`, None when the server does not tell."""
    cards = _fetch_object(f"{url}/v1/models", timeout_s).get("data")
    if not isinstance(cards, list):
        return None
    return tuple(card["id"] for card in cards if isinstance(card, dict) and isinstance(card.get("id"), str))


@dataclass(frozen=True, slots=True)
class Canary:
    """What became of a request for one token. `refusal` is what the server said that will say the same again."""

    answered: bool
    refusal: str | None = None


def canary(url: str, model: str, timeout_s: float) -> Canary:
    """Asks for one token: the only proof that the engine behind a server works."""
    body = {"model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0, "ignore_eos": True}
    status, text = _exchange(f"{url}/v1/completions", timeout_s, body)
    said = _object(text)
    if status in _LASTING:
        return Canary(False, _refusal(HTTPStatus(status), said))
    choices = said.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return Canary(status == HTTPStatus.OK and isinstance(choice, dict) and isinstance(choice.get("text"), str))


def _refusal(status: HTTPStatus, said: dict[str, Any]) -> str:
    told = error.get("message") if isinstance(error := said.get("error"), dict) else said.get("message")
    return f"{status} {status.phrase}" + (f": {told}" if isinstance(told, str) else "")
