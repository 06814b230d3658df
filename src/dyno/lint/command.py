"""Shell commands as configurations: `vllm serve`, `python -m vllm...`, `docker run`, exports and `pip install`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import PurePath

from dyno.lint.shell import Command, Redirect, read_shell
from dyno.lint.source import UNKNOWN, Configuration, Entry, Form, Item, Source, Word

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=")
_MODULES: dict[str, Entry] = {"vllm.entrypoints.openai.api_server": "api_server", "vllm.entrypoints.cli.main": "serve",
                              "vllm.scripts": "serve"}  # fmt: skip
_TALK = {"echo", "printf", "grep", "pgrep", "pkill", "which", "man", "ps", "tail", "cat", "alias", "git", "kill"}
_SHELLS = {"sh", "bash", "zsh", "dash"}
_INSTALLERS = {("pip", "install"), ("pip3", "install"), ("uv", "add"), ("poetry", "add"), ("pipx", "install")}
_IMAGE = re.compile(r"(?:[\w.:-]+/)*[\w.-]*vllm[\w.-]*(?:[:@][\w.:-]+)?")
_MOST_LETTERS = 512  # of an image's name; longer words are none
_TAG = re.compile(r":v?(\d+\.\d+\.\d+(?:\.post\d+)?)")
_REQUIREMENT = re.compile(r"vllm(?:\[[\w,\s-]*\])?(.*)")
_PINNED = re.compile(r"==\s*(\d+\.\d+\.\d+(?:\.post\d+)?)\s*$")
_UNIT = re.compile(r"Exec\w+=[-@:+!|]*|Environment=")  # before a command, and before variables, in a systemd unit
_PYTHON = re.compile(r"python[\d.]*")


@dataclass(slots=True)
class _Script:
    """What one text has said so far."""

    form: Form = "shell"
    exported: list[Item] = field(default_factory=list)
    stray: list[Item] = field(default_factory=list)
    flags: list[Word] = field(default_factory=list)
    release: str | None = None
    after_server: bool = False  # whether the line before started one
    found: list[Configuration] = field(default_factory=list)
    python: list[Source] = field(default_factory=list)


def read_commands(source: Source) -> tuple[list[Configuration], list[Source]]:
    """The configurations of a shell text, and the Python that it hands to `python -c`."""
    script = _Script()
    _read(source, script)
    if script.flags and not any(c.entry in ("serve", "api_server") for c in script.found):
        start, end = script.flags[0].start, script.flags[-1].end
        script.found.append(Configuration("fragment", "shell", start, end, tuple(script.flags),
                                          tuple(script.exported), script.release))  # fmt: skip
        script.exported = []
    if script.exported or script.stray:
        items = sorted((*script.exported, *script.stray), key=lambda item: item.start)
        script.found.append(Configuration("variables", "shell", items[0].start, items[-1].end, (), tuple(items),
                                          script.release))  # fmt: skip
    return script.found, script.python


def _read(source: Source, script: _Script) -> None:
    for command in read_shell(source):
        _read_command(command, script)


def _read_command(command: Command, script: _Script) -> None:
    words = _without_prompt(command.words)
    count = next((i for i, word in enumerate(words) if not _ASSIGNMENT.match(word.text)), len(words))
    variables = [variable(word, script.form) for word in words[:count]]
    rest = words[count:]
    program = PurePath(rest[0].text).name if rest else ""
    if program in _TALK:
        return
    if not rest or program in ("export", "set", "setx"):
        script.exported += variables + [variable(w, script.form) for w in rest[1:] if _ASSIGNMENT.match(w.text)]
    elif rest[0].text.startswith("--"):
        script.flags += rest
        if script.after_server and command.starts_line:
            script.stray.append(_item("shell", rest[0], "line", rest[:1]))
        return
    else:
        servers = len(script.found)
        _read_program(rest, variables, command, script)
        script.after_server = len(script.found) > servers
        return
    script.after_server = False


def _read_program(words: list[Word], variables: list[Item], command: Command, script: _Script) -> None:
    texts = [word.text for word in words]
    if _installs(texts):
        _read_requirements(words, command.redirects, script)
    elif nested := _nested(words):
        _read(nested, script) if PurePath(texts[0]).name in _SHELLS or "bash" in texts else script.python.append(nested)
    else:
        server = find_server(words)
        if server is None:
            return
        marks = [_item("shell", words[-1], "backslash", ((at, at + 1),)) for at in command.blank_after_backslash]
        given = [*server.items, *variables, *marks]
        script.found.append(replace(server, items=(*script.exported, *given), start=min(words[0].start, server.start),
                                    release=server.release or script.release))  # fmt: skip
        script.exported = []


def find_server(words: Sequence[Word]) -> Configuration | None:
    """The server that these words of one command line start, wrappers and `docker run` before it included."""
    texts = [word.text for word in words]
    begin, entry = _entry(texts)
    image = _image_at(texts[:begin])
    if begin is None:
        if image is None:
            return None
        begin, entry = image + 1, "api_server"
    before = words[:begin]
    items = [variable(word, "shell") for i, word in enumerate(before)
             if _ASSIGNMENT.match(word.text) and (image is None or texts[i - 1] in ("-e", "--env"))]  # fmt: skip
    facts = _container_facts(texts[:begin]) if image is not None else None
    if image is not None:
        items.append(_item("image", words[image], words[image].text, (words[image],)))
    release = tag_release(texts[image]) if image is not None else None
    return Configuration(entry, "shell", words[0].start, words[-1].end, tuple(words[begin:]), tuple(items), release,
                         facts=facts)  # fmt: skip


def _entry(texts: Sequence[str]) -> tuple[int | None, Entry]:
    """Where the arguments of vLLM's server begin, and which of its doors this is."""
    for i, text in enumerate(texts):
        if PurePath(text).name == "vllm" and texts[i + 1 : i + 2] == ["serve"]:
            return i + 2, "serve"
        if text == "-m" and texts[i + 1 : i + 2] and texts[i + 1] in _MODULES:
            entry = _MODULES[texts[i + 1]]
            return i + 2 + (entry == "serve" and texts[i + 2 : i + 3] == ["serve"]), entry
        if text.endswith("vllm/entrypoints/openai/api_server.py"):
            return i + 1, "api_server"
    return None, "serve"


def _image_at(texts: Sequence[str]) -> int | None:
    """Where `docker run` names an image of vLLM."""
    run = next((at for at, text in enumerate(texts) if text in ("run", "create")), len(texts))
    return next((at for at in range(run + 1, len(texts)) if "/" in texts[at] and is_image(texts[at])), None)


def is_image(text: str) -> bool:
    """Whether this names a container image of vLLM."""
    return len(text) <= _MOST_LETTERS and bool(_IMAGE.fullmatch(text)) and not text.startswith(("/", ".", "~"))


def tag_release(image: str) -> str | None:
    """The release that an image's tag names."""
    found = _TAG.search(image)
    return found[1] if found else None


def _container_facts(texts: Sequence[str]) -> dict[str, str]:
    facts = {}
    for i, text in enumerate(texts):
        for option, name in (("--ipc", "ipc"), ("--shm-size", "shm_size")):
            if text.startswith(option):
                facts[name] = text.partition("=")[2] or "".join(texts[i + 1 : i + 2])
    return facts


def variable(word: Word, form: Form) -> Item:
    """`NAME=value` as an item."""
    name, _, value = word.text.partition("=")
    return Item("variable", name, name, UNKNOWN if word.open else value, ((word.start, word.end),), form)


def _item(kind: str, word: Word, name: str, parts: Iterable[Word | tuple[int, int]]) -> Item:
    places = tuple((part.start, part.end) if isinstance(part, Word) else part for part in parts)
    return Item(kind, word.text, name, UNKNOWN if word.open else word.text, places, "shell")  # type: ignore[arg-type]


def _without_prompt(words: list[Word]) -> list[Word]:
    if words and (key := _UNIT.match(words[0].text)):
        text, source = words[0].text, words[0].source
        first = replace(words[0], source=source.cut(key.end(), len(text)), start=source.at[key.end()])
        return [first, *words[1:]] if first.text else words[1:]
    return words[1:] if words and words[0].text in ("$", "%", "!") else words


def _nested(words: Sequence[Word]) -> Source | None:
    """The text after `-c` of a shell or of Python."""
    for before, word, text in zip(words, words[1:], words[2:], strict=False):
        name = PurePath(before.text).name
        if re.fullmatch(r"-[a-z]*c", word.text) and (name in _SHELLS or _PYTHON.fullmatch(name)):
            return text.source
    return None


def _installs(texts: Sequence[str]) -> bool:
    return any(pair in _INSTALLERS for pair in pairwise(texts))


def _read_requirements(words: Sequence[Word], redirects: Sequence[Redirect], script: _Script) -> None:
    for word in words:
        if not (found := _REQUIREMENT.fullmatch(word.text)):
            continue
        lost = next((r for r in redirects if r.glued and r.start == word.end and r.operator in "<>"), None)
        script.stray.append(_item("package", word, word.text, (word,)))
        if lost:
            whole = replace(word, end=lost.end)
            script.stray.append(
                replace(_item("shell", whole, "redirect", (whole,)), written=word.text + ">" + lost.target)
            )
        if pinned := _PINNED.search(found[1]):
            script.release = pinned[1]
