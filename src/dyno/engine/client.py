"""Short questions to a running server. No answer is an answer: nothing here raises when the server does not."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit


def fetch(url: str, timeout_s: float, body: object = None) -> bytes | None:
    """The body of a 200 answer, None for anything else. GET, or POST of `body` as JSON. Goes through no proxy."""
    headers = {"Content-Type": "application/json"}
    try:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=timeout_s)
    except (ValueError, http.client.HTTPException):
        return None
    try:
        if body is None:
            connection.request("GET", parts.path)
        else:
            connection.request("POST", parts.path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.read() if answer.status == 200 else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _fetch_object(url: str, timeout_s: float, body: object = None) -> dict[str, Any]:
    try:
        answer = json.loads(fetch(url, timeout_s, body) or b"{}")
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


def canary(url: str, model: str, timeout_s: float) -> bool:
    """Whether the server completes one token: the only proof that the engine behind it works."""
    body = {"model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0, "ignore_eos": True}
    choices = _fetch_object(f"{url}/v1/completions", timeout_s, body).get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(choice, dict) and isinstance(choice.get("text"), str)
