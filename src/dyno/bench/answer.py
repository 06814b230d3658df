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
from dyno.workload import MOST_TOKENS

CONTENT_FIELDS = ("text", "content", "reasoning_content", "reasoning", "refusal", "tool_calls")
_CONTENT = re.compile(rb'"(?:text|content|reasoning_content|reasoning)"\s*:\s*"(?=[^"])')
_TEXT = re.compile(rb'(?:[^"\\\n]|\\.)*')
_LONGEST_DETAIL = 300
_CUT_SHORT = "no end of stream"  # as by a proxy that ends the answer of a server that has died


@dataclass(slots=True)
class Transcript:
    """What the timed path writes down about one request. Times in ns of the monotonic clock.

    `stamps[i]` is when the bytes up to `ends[i]` of `raw` had arrived. `alike_ns` are the stamps of chunks that are not
    in `raw`, each one more event that differs from one in `raw` in nothing but its text (`Alike`).
    """

    index: int
    intended_ns: int
    sent_ns: int = 0
    raw: bytearray = field(default_factory=bytearray)
    stamps: "array[int]" = field(default_factory=lambda: array("q"))
    ends: "array[int]" = field(default_factory=lambda: array("q"))
    failure: str = ""
    alike_ns: "array[int]" = field(default_factory=lambda: array("q"))
    alike_bytes: int = 0  # of the chunks that are left out, about
    came_ns: int | None = None  # when the kernel had the first content, where it tells
    came_in: int = 0  # the place of that content's stamp

    @property
    def late_ns(self) -> int | None:
        """How much later than the kernel had it the first content was stamped; None where the kernel does not tell."""
        return None if self.came_ns is None else max(0, self.stamps[self.came_in] - self.came_ns)

    @property
    def heard_ns(self) -> int | None:
        """When the last bytes arrived; None when none did."""
        return max(self.stamps[-1], self.alike_ns[-1] if self.alike_ns else 0) if self.stamps else None


QUOTE = ord('"')
LINES = 4  # of a chunk that is one event: its size, its data, the end of the event, the end of the chunk


@dataclass(slots=True)
class Alike:
    """Chunks of one stream that are each one event with content and differ in nothing but its text."""

    begin: bytes  # of the event, up to its text
    tail: bytes  # after the text, up to the end of the chunk
    begins: dict[int, bytes] = field(default_factory=dict)  # of the chunk, its size first, by its length

    def count(self, data: bytes) -> int:
        """How many whole chunks of this kind the data is; 0 when one byte of it is anything else."""
        heads = data.split(self.tail)
        if heads.pop() or data.count(b"\n") != LINES * len(heads):
            return 0
        for head in heads:
            length = len(head) + len(self.tail)
            begin = self.begins.get(length) or self._begin(length)
            if not head.startswith(begin) or head[len(begin)] == QUOTE:
                return 0
        return len(heads)

    def _begin(self, length: int) -> bytes:
        begin = b"\0"  # there is none as short
        for digits in range(1, 8):
            size = b"%x" % max(0, length - digits - len(b"\r\n\r\n"))
            if len(size) == digits and length > digits + len(b"\r\n") + len(self.begin) + len(self.tail):
                begin = b"%b\r\n%b" % (size, self.begin)
        self.begins[length] = begin
        return begin


def alike_to(chunk: bytes) -> Alike | None:
    """How chunks like this one look; None when it is not one event of one line with text and nothing else to tell."""
    size, _, event = chunk.partition(b"\r\n")
    line = event.removesuffix(b"\n\n\r\n")
    if not line.startswith(b"data:") or len(event) - len(line) != 4 or size != b"%x" % (len(event) - 2):
        return None
    events, match = Events(), _CONTENT.search(line)
    if match is None or not events.take(_data_of(line)) or events.usage or events.ended or events.error:
        return None
    return None if b"\n" in line else Alike(line[: match.end()], event[_end_of_text(line, match.end()) :])


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
    ended: bool = False  # [DONE], a finish reason or the usage of the whole was seen

    def take(self, payload: bytes, failing: bool = False) -> bool:
        """Takes the data of one event, `failing` when it is named `error`, and tells whether it carried content."""
        if payload == b"[DONE]":
            self.ended = True
            return False
        try:
            return self._take(json.loads(payload.decode()), failing)
        except (ValueError, TypeError, AttributeError, RecursionError):
            self.error, self.detail = "garbled event", payload[:_LONGEST_DETAIL].decode(errors="replace")
            return False

    def _take(self, event: dict[str, Any], failing: bool) -> bool:
        if failing or event.get("error") or event.get("object") == "error":
            self.error, self.detail = "error event", error_message(event)
        if isinstance(event.get("usage"), dict):
            self.usage = event["usage"]
        choices = event.get("choices") or ()
        self.ended |= any(choice.get("finish_reason") for choice in choices) or not (choices or self.usage is None)
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
    if not events.error and not events.ended:
        return _failed(_CUT_SHORT if reader.complete else "closed mid-stream")
    return _answer(events, body_ends, transcript.stamps, transcript.alike_ns)


def _answer(events: Events, body_ends: "array[int]", stamps: "array[int]", alike_ns: "array[int]") -> Answer:
    if events.error:
        return _failed(events.error, events.detail)
    arrived = np.searchsorted(body_ends, np.array(events.ends, dtype=np.int64) - 1, side="right")
    content_ns = np.array(stamps, dtype=np.int64)[np.minimum(arrived, len(stamps) - 1)]
    content_ns = np.sort(np.concatenate([content_ns, np.array(alike_ns, dtype=np.int64)]))
    return Answer("", "", _count(events, "prompt_tokens"), _count(events, "completion_tokens"), content_ns)


def read_events(body: bytes) -> Events:
    """Reads server-sent events: LF, CRLF or CR, comments, several data lines an event, `data:` with or without a space.

    Events of one stream differ in their text alone, so JSON is decoded only where a line begins or ends otherwise.
    """
    events, pending, pending_end, position, failing = Events(), list[bytes](), 0, 0, False
    begin, tail, shortest = b"\0", b"", 1
    for line in (body if b"\n" in body else body.replace(b"\r", b"\n")).split(b"\n"):
        position += len(line) + 1
        if (line.startswith(begin) and line.endswith(tail) and len(line) > shortest
                and line[len(begin)] != QUOTE):  # fmt: skip
            events.ends.append(position)
        elif line.startswith(b"data:"):
            pending.append(line)
            pending_end = position
        elif line.startswith(b"event:"):
            failing = line.removeprefix(b"event:").strip() == b"error"
        elif pending and line in (b"", b"\r"):
            if _dispatch(events, pending, pending_end, failing) and len(pending) == 1:
                begin, tail = _around_text(pending[0]) or (begin, tail)
                shortest = len(begin) + len(tail)
            pending, failing = [], False
    if pending:
        _dispatch(events, pending, pending_end, failing)
    if not events.ends and not events.usage and not events.error:
        events.error = "empty answer"
    return events


def _around_text(line: bytes) -> tuple[bytes, bytes] | None:
    """What stands before and after the text of an event; None of one without."""
    match = _CONTENT.search(line)
    return None if match is None else (line[: match.end()], line[_end_of_text(line, match.end()) :])


def _end_of_text(line: bytes, begin: int) -> int:
    text = _TEXT.match(line, begin)
    return begin if text is None else text.end()


def _dispatch(events: Events, lines: list[bytes], end: int, failing: bool) -> bool:
    content = events.take(b"\n".join(map(_data_of, lines)), failing)
    if content:
        events.ends.append(end)
    return content


def _data_of(line: bytes) -> bytes:
    return line.removeprefix(b"data:").strip()


def _has_content(choice: Mapping[str, Any]) -> bool:
    part = choice.get("delta") or choice.get("message") or {}
    return any(map(part.get, CONTENT_FIELDS)) or any(map(choice.get, CONTENT_FIELDS))


def _whole(body: bytes) -> Events:
    """An answer in one piece: its tokens are known, the times of their arrival are not."""
    events = Events(ended=True)
    if not events.take(body) and not events.error:
        events.error = "empty answer"
    return events


def _count(events: Events, name: str) -> int | None:
    value = (events.usage or {}).get(name)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _failed(outcome: str, detail: str = "") -> Answer:
    return Answer(outcome, detail[:_LONGEST_DETAIL], None, None, np.empty(0, dtype=np.int64))


def _message_of(body: bytes) -> str:
    try:
        return error_message(json.loads(body))
    except (ValueError, RecursionError):
        return body.decode(errors="replace").strip()


def error_message(event: object) -> str:
    """The message in an error object, in any of the shapes servers use; empty when there is none."""
    while isinstance(event, dict):
        event = next((event[name] for name in ("error", "message", "detail") if name in event), "")
    return str(event)
