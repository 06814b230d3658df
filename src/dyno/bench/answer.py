"""From the bytes of one answer and the stamps of their arrival to what they say: pure, and never on the clock."""

import json
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httptools
import numpy as np
from numpy.typing import NDArray

from dyno.bench.http import ResponseReader

CONTENT_FIELDS = ("text", "content", "reasoning_content", "reasoning", "refusal", "tool_calls")
_CONTENT = re.compile(rb'"(?:text|content|reasoning_content|reasoning)"\s*:\s*"(?=[^"])')
_LONGEST_DETAIL = 300


@dataclass(slots=True)
class Transcript:
    """What the timed path writes down about one request. Times in ns of the monotonic clock.

    `stamps[i]` is when the bytes up to `ends[i]` of `raw` had arrived.
    """

    index: int
    intended_ns: int
    sent_ns: int = 0
    raw: bytearray = field(default_factory=bytearray)
    stamps: "array[int]" = field(default_factory=lambda: array("q"))
    ends: "array[int]" = field(default_factory=lambda: array("q"))
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as understood. `outcome` is empty when all went well, else the kind of failure.

    `content_ns` has one stamp per event that carried content; absent numbers are None.
    """

    outcome: str
    detail: str
    prompt_tokens: int | None
    output_tokens: int | None
    content_ns: NDArray[np.int64]


@dataclass(slots=True)
class Events:
    """What a stream of server-sent events said. `ends`: where in the body each event with content was complete."""

    ends: list[int] = field(default_factory=list)
    usage: Mapping[str, Any] | None = None
    error: str = ""
    detail: str = ""
    ended: bool = False  # [DONE] or a finish reason was seen

    def take(self, payload: bytes) -> bool:
        """Takes the data of one event and tells whether it carried content."""
        if payload == b"[DONE]":
            self.ended = True
            return False
        try:
            return self._take(json.loads(payload))
        except (ValueError, TypeError, AttributeError):
            self.error, self.detail = "garbled event", payload[:_LONGEST_DETAIL].decode(errors="replace")
            return False

    def _take(self, event: dict[str, Any]) -> bool:
        if event.get("error") or event.get("object") == "error":
            self.error, self.detail = "error event", error_message(event)
        if isinstance(event.get("usage"), dict):
            self.usage = event["usage"]
        choices = event.get("choices") or ()
        self.ended |= any(choice.get("finish_reason") for choice in choices)
        return any(_has_content(choice) for choice in choices)


def read_answer(transcript: Transcript) -> Answer:
    """Understands one answer, however its bytes were cut."""
    reader, body_ends, start = ResponseReader(), array("q"), 0
    view = bytes(transcript.raw)
    try:
        for end in transcript.ends:
            reader.feed(view[start:end])
            body_ends.append(len(reader.body))
            start = end
    except httptools.HttpParserError as error:
        return _failed(transcript.failure or "not HTTP", str(error))
    body = bytes(reader.body)
    if reader.head_read and not 200 <= reader.status < 300:
        return _failed(f"HTTP {reader.status}", _message_of(body))
    if transcript.failure:
        return _failed(transcript.failure)
    events = read_events(body) if "json" not in reader.content_type else _whole(body)
    if not events.error and not (reader.complete or events.ended):
        return _failed("closed mid-stream")
    return _answer(events, body_ends, transcript.stamps)


def _answer(events: Events, body_ends: "array[int]", stamps: "array[int]") -> Answer:
    if events.error:
        return _failed(events.error, events.detail)
    arrived = np.searchsorted(body_ends, np.array(events.ends, dtype=np.int64) - 1, side="right")
    content_ns = np.array(stamps, dtype=np.int64)[np.minimum(arrived, len(stamps) - 1)]
    return Answer("", "", _count(events, "prompt_tokens"), _count(events, "completion_tokens"), content_ns)


def read_events(body: bytes) -> Events:
    """Reads server-sent events: LF or CRLF, comments, several data lines an event, `data:` with or without a space.

    Events of one stream begin alike up to their text, so JSON is decoded only where a line begins otherwise.
    """
    events, pending, pending_end, position = Events(), list[bytes](), 0, 0
    alike, edge, last = b"\0", 1, b""
    for line in body.split(b"\n"):
        position += len(line) + 1
        if line.startswith(alike) and line[edge : edge + 1] != b'"':
            events.ends.append(position)
            last = line
        elif line.startswith(b"data:"):
            pending.append(line)
            pending_end = position
        elif pending and line in (b"", b"\r"):
            if _dispatch(events, pending, pending_end) and len(pending) == 1 and (match := _CONTENT.search(pending[0])):
                alike, edge = pending[0][: match.end()], match.end()
            pending = []
    if pending:
        _dispatch(events, pending, pending_end)
    if last:
        events.take(_data_of(last))  # usage and finish reason may ride on the last token
    if not events.ends and not events.usage and not events.error:
        events.error = "empty answer"
    return events


def _dispatch(events: Events, lines: list[bytes], end: int) -> bool:
    content = events.take(b"\n".join(map(_data_of, lines)))
    if content:
        events.ends.append(end)
    return content


def _data_of(line: bytes) -> bytes:
    return line.removeprefix(b"data:").strip()


def _has_content(choice: Mapping[str, Any]) -> bool:
    parts = {**choice, **(choice.get("delta") or choice.get("message") or {})}
    return any(parts.get(name) for name in CONTENT_FIELDS)


def _whole(body: bytes) -> Events:
    """An answer in one piece: its tokens are known, the times of their arrival are not."""
    events = Events()
    if not events.take(body) and not events.error:
        events.error = "empty answer"
    return events


def _count(events: Events, name: str) -> int | None:
    value = (events.usage or {}).get(name)
    return value if isinstance(value, int) and value >= 0 else None


def _failed(outcome: str, detail: str = "") -> Answer:
    return Answer(outcome, detail[:_LONGEST_DETAIL], None, None, np.empty(0, dtype=np.int64))


def _message_of(body: bytes) -> str:
    try:
        return error_message(json.loads(body))
    except ValueError:
        return body.decode(errors="replace").strip()


def error_message(event: object) -> str:
    """The message in an error object, in any of the shapes servers use; empty when there is none."""
    while isinstance(event, dict):
        event = next((event[name] for name in ("error", "message", "detail") if name in event), "")
    return str(event)
