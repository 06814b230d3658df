"""What people wrote, with the place of every letter of it: text, words, items and whole configurations."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

Kind = Literal["flag", "variable", "keyword", "key", "positional", "image", "package", "attribute", "shell"]
Entry = Literal["serve", "api_server", "LLM", "EngineArgs", "AsyncEngineArgs", "yaml", "mapping", "fragment", "mention",
                "variables"]  # fmt: skip
Form = Literal["shell", "flow", "block", "python", "yaml", "env"]

_REFERENCE = re.compile(r"\$\{(\w+):?-([^{}]*)\}|\$\{?\w+[^{}]*\}?|\$\(")


class Unknown(Enum):
    """The value of what is only known when it runs: `${NAME}`, a Python expression."""

    UNKNOWN = "unknown"


UNKNOWN = Unknown.UNKNOWN
Value = str | int | float | bool | None | tuple["Value", ...] | Mapping[str, "Value"] | Unknown


@dataclass(frozen=True, slots=True)
class Source:
    """Text, and the offset in the file of each of its letters and of its end."""

    text: str
    at: Sequence[int]

    @staticmethod
    def whole(text: str) -> "Source":
        """A file's text."""
        return Source(text, range(len(text) + 1))

    def cut(self, start: int, end: int) -> "Source":
        """A part of it, by positions in `text`."""
        return Source(self.text[start:end], self.at[start : end + 1])


@dataclass(frozen=True, slots=True)
class Word:
    """One word as a program receives it. `start` and `end` are its place in the file, quotes included."""

    source: Source
    start: int
    end: int
    open: bool = False  # holds an expansion that nobody can know before it runs

    @property
    def text(self) -> str:
        return self.source.text


@dataclass(frozen=True, slots=True)
class Item:
    """One flag, variable, keyword or key as somebody wrote it, with its value.

    `parts` are the places in the file of its name and of its value's words, or one place of all.
    """

    kind: Kind
    written: str
    name: str
    value: Value
    parts: tuple[tuple[int, int], ...]
    form: Form
    given: bool = True  # whether a value is written at all

    @property
    def start(self) -> int:
        return self.parts[0][0]

    @property
    def end(self) -> int:
        return self.parts[-1][1]

    @property
    def known(self) -> bool:
        """Whether the value can be judged before it runs."""
        return self.value is not UNKNOWN and not (isinstance(self.value, tuple) and UNKNOWN in self.value)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What starts one engine, or a part of that. `words` follow the entry point and are paired by a release's flags."""

    entry: Entry
    form: Form
    start: int
    end: int
    words: tuple[Word, ...] = ()
    items: tuple[Item, ...] = ()
    release: str | None = None  # where an image's tag or a requirement names it
    open: bool = False  # more may be there when it runs: `$ARGS`, `**kwargs`
    facts: Mapping[str, str] | None = None  # of the container: "ipc", "shm_size"


def expand(source: Source, start: int, end: int) -> Word:
    """A scalar whose `${NAME:-default}` stand for their defaults; `$$` is a dollar."""
    letters: list[str] = []
    at: list[int] = []
    position, opened = 0, False
    for match in _REFERENCE.finditer(source.text):
        if match.start() < position or source.text[match.start() - 1 : match.start()] == "$":
            continue
        letters.append(source.text[position : match.start()])
        at += source.at[position : match.start()]
        if match[1]:
            letters.append(match[2])
            at += source.at[match.start(2) : match.end(2)]
        else:
            letters.append(match[0])
            at += source.at[match.start() : match.end()]
            opened = True
        position = match.end()
    letters.append(source.text[position:])
    at += source.at[position:]
    return Word(Source("".join(letters), at), start, end, opened)
