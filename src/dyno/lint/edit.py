"""Changes as edits of a text that leave everything else, layout and comments, as it stands."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dyno.lint.case import Change, Setting
from dyno.lint.source import Item, Value

_BETWEEN = re.compile(r"[\s\\,]*")
_REST_OF_LINE = re.compile(r"[ \t]*(\\?)[ \t]*(?:#[^\n]*)?\r?(?=\n|\Z)")
_OPTION = re.compile(r"(?<![\w-])(?:-e|--env)(?:[ \t]|\\\r?\n)+\Z")  # of docker run, before a variable
_OPTION_LETTERS = 200
_LONE_PREFIX = re.compile(r"[ \t]*(?:-|(?:export|ENV)(?=[ \t])|Environment=)?[ \t]*")


@dataclass(frozen=True, slots=True)
class Edit:
    """`text[start:end]` becomes `new`."""

    start: int
    end: int
    new: str = ""


def edits(text: str, changes: Iterable[tuple[Change, Sequence[Item]]]) -> list[Edit]:
    """What the changes do to the text. With each come the words of its configuration, for where more of them go."""
    dropped: list[Item] = []
    found: list[Edit] = []
    for change, words in changes:
        old = change.old
        moved = [new for new in change.new if old.kind == "variable" and new.kind != "variable"]
        if moved:
            found += [_added(text, words, new, old) for new in moved]
            dropped.append(old)
        elif change.new:
            found.append(_replaced(text, old, change.new))
        else:
            dropped.append(old)
    return found + _dropped(text, sorted(dropped, key=lambda item: item.start))


def apply(text: str, changed: Sequence[Edit]) -> str:
    """The text after all edits. Edits at one place follow each other in their order; they must not overlap."""
    parts, position = [], 0
    for edit in sorted(changed, key=lambda each: (each.start, each.end)):
        if edit.start < position:
            raise ValueError(f"edits overlap at {edit.start}")
        parts += [text[position : edit.start], edit.new]
        position = edit.end
    return "".join([*parts, text[position:]])


def can_add(words: Sequence[Item]) -> bool:
    """Whether there is a command, a list or a call for more flags to go to."""
    return bool(words)


def _dropped(text: str, items: Sequence[Item]) -> list[Edit]:
    """Items that stand side by side go together, so that their lines go, too."""
    spans: list[tuple[int, int, Item]] = []
    for item in items:
        start = _with_option(text, item)
        if spans and spans[-1][2].form == item.form and _BETWEEN.fullmatch(text, spans[-1][1], start):
            spans[-1] = (spans[-1][0], item.end, item)
        else:
            spans.append((start, item.end, item))
    return [_cut(text, start, end, item) for start, end, item in spans]


def _cut(text: str, start: int, end: int, item: Item) -> Edit:
    line = text.rfind("\n", 0, start) + 1
    if item.form == "flow" or (item.form == "python" and item.kind == "keyword"):
        start, end = _with_comma(text, start, end, alone=item.form == "python" and not text[line:start].strip())
        line = text.rfind("\n", 0, start) + 1
    rest = _REST_OF_LINE.match(text, end)
    if rest and _LONE_PREFIX.fullmatch(text, line, start) and not (rest[1] and text[line:start].strip()):
        if not rest[1] and (continued := _continued_before(text, line)) is not None:
            return Edit(continued, rest.end())
        return Edit(line, min(rest.end() + 1, len(text)))
    if after := re.compile(r"[ \t]+").match(text, end):
        before = text[line:start].strip() == "" or item.kind == "variable"
        return Edit(start, after.end()) if before else Edit(_blank_before(text, start), end)
    return Edit(_blank_before(text, start), end)


def _with_option(text: str, item: Item) -> int:
    """Where an item begins, with the `-e` or `--env` that hands a variable to a container."""
    start = max(0, item.start - _OPTION_LETTERS)
    option = _OPTION.search(text[start : item.start]) if item.kind == "variable" and item.form == "shell" else None
    return start + option.start() if option else item.start


def _continued_before(text: str, line: int) -> int | None:
    """Where the backslash stands, blanks before it included, that continues the line before this one."""
    start = text.rfind("\n", 0, max(line - 1, 0)) + 1
    before = text[start:line].rstrip()
    return start + len(before[:-1].rstrip(" \t")) if before.endswith("\\") else None


def _blank_before(text: str, start: int, blanks: str = " \t") -> int:
    while start and text[start - 1] in blanks:
        start -= 1
    return start


def _with_comma(text: str, start: int, end: int, *, alone: bool) -> tuple[int, int]:
    """With the comma behind, else the one before; in Python the last of its lines may leave one before it."""
    if after := re.compile(r"\s*,").match(text, end):
        return start, after.end()
    if alone and _REST_OF_LINE.match(text, end):
        return start, end
    before = _blank_before(text, start, " \t\r\n\\")
    return (before - 1, end) if text[before - 1 : before] == "," else (start, end)


def _replaced(text: str, old: Item, new: Sequence[Setting]) -> Edit:
    first, *more = new
    same = old.written.lstrip("-").replace("-", "_") == first.name
    if same and not more and len(old.parts) == 2 and not isinstance(first.value, bool):
        return Edit(*old.parts[1], _value(text, old, first))
    return Edit(old.start, old.end, _joint(text, old).join(_spelt(text, old, setting) for setting in new))


def _added(text: str, words: Sequence[Item], new: Setting, old: Item) -> Edit:
    last = words[-1]
    written = "--" + new.name.replace("_", "-")
    moved = Item("flag", written, new.name, old.value, ((old.start, old.end),), last.form)
    return Edit(last.end, last.end, _separator(text, words) + _spelt(text, moved, new))


def _separator(text: str, words: Sequence[Item]) -> str:
    """What stands between the last two items, so that one more stands as they do."""
    last = words[-1]
    default = {"flow": ", ", "block": "\n" + _indent(text, last.start) + "- "}.get(last.form, " ")
    if len(words) < 2:
        return default
    between = text[words[-2].end : last.start]
    return between if re.fullmatch(r"[\s\\,-]*[\n\\,][\s\\,-]*", between) else default


def _indent(text: str, position: int) -> str:
    line = text.rfind("\n", 0, position) + 1
    return re.compile(r"[ \t]*").match(text, line)[0]  # type: ignore[index]


def _joint(text: str, old: Item) -> str:
    return {"flow": ", ", "block": "\n" + _indent(text, old.start) + "- ", "python": ", ",
            "yaml": "\n" + _indent(text, old.start)}.get(old.form, " ")  # fmt: skip


def _spelt(text: str, old: Item, new: Setting) -> str:
    """A setting as it is written where `old` stands."""
    if new.kind == "variable":
        return f"{new.name}: {_value(text, old, new)}" if old.form == "yaml" else f"{new.name}={_value(text, old, new)}"
    if old.kind == "keyword":
        quote = text[old.start] if text[old.start] in "\"'" else ""
        return f"{quote}{new.name}{quote}{': ' if quote else '='}{_value(text, old, new)}"
    name = new.name if "_" in old.written else new.name.replace("_", "-")
    if old.kind == "key":
        return f"{name}: {_value(text, old, new)}"
    return _flag(text, old, new, name)


def _flag(text: str, old: Item, new: Setting, name: str) -> str:
    if isinstance(new.value, Mapping) and len(new.value) == 1:  # dotted, as several of them add up so
        ((key, inner),) = new.value.items()
        return _flag(
            text, old, Setting(new.name, inner if isinstance(inner, str) else json.dumps(inner)), f"{name}.{key}"
        )
    if isinstance(new.value, bool):
        return _quoted(old, ("--" if new.value else "--no-") + name)
    value = _value(text, old, new)
    written = text[old.parts[0][0] : old.parts[0][1]]
    if written.startswith("-") and "=" in written and old.form == "shell":
        return f"--{name}={value}"
    return f"{_quoted(old, '--' + name)}{_joint(text, old)}{value}"


def _value(text: str, old: Item, new: Setting) -> str:
    """The value as text of its place; as it was written where it stays the same."""
    if new.value == old.value and (raw := _raw(text, old)):
        return raw if old.form != "flow" or raw.startswith(('"', "'")) else json.dumps(raw)
    if old.form == "python":
        return repr(list(new.value)) if isinstance(new.value, tuple) else repr(new.value)
    if old.form == "yaml":
        return (
            json.dumps(new.value) if not isinstance(new.value, str) or old.kind == "variable" else _yaml_text(new.value)
        )
    words = new.value if isinstance(new.value, tuple) else (new.value,)
    return _joint(text, old).join(_quoted(old, _words(word)) for word in words)


def _raw(text: str, old: Item) -> str:
    if len(old.parts) > 1:
        return text[old.parts[1][0] : old.parts[-1][1]]
    written = text[old.start : old.end].strip("\"'") if old.form in ("flow", "block") else text[old.start : old.end]
    return re.split(r"=|:[ \t]+", written, maxsplit=1)[-1] if re.search(r"=|:[ \t]", written) else ""


def _words(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(old: Item, word: str) -> str:
    if old.form == "flow":
        return json.dumps(word)
    return _yaml_text(word) if old.form == "block" else shlex.quote(word)


def _yaml_text(text: str) -> str:
    plain = re.fullmatch(r"[\w./@+-][\w ./@+=-]*", text) and not re.fullmatch(
        r"[\d.eE+-]+|true|false|yes|no|on|off|null", text
    )
    return text if plain else json.dumps(text)
