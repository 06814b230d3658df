"""Dockerfiles: ENV, CMD and ENTRYPOINT in both forms, and what RUN installs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from dyno.lint.command import find_server, is_image, read_commands, tag_release, variable
from dyno.lint.shell import read_shell
from dyno.lint.source import Configuration, Item, Source, Word

_INSTRUCTION = re.compile(r"^[ \t]*(FROM|ENV|CMD|ENTRYPOINT|RUN)[ \t]+", re.IGNORECASE | re.MULTILINE)
_END = re.compile(r"(?<!\\)\r?\n(?![ \t]*#)|\Z")
_CONTINUED = re.compile(r"\\[ \t]*\r?\n(?:[ \t]*#[^\n]*\n|[ \t]*\r?\n)*")
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')


@dataclass(slots=True)
class _Stage:
    """One image in the making."""

    image: Item | None = None
    variables: list[Item] = field(default_factory=list)
    entrypoint: Configuration | None = None
    command: Configuration | None = None


def read_dockerfile(source: Source) -> tuple[list[Configuration], list[Source]]:
    """The server that each stage starts, and what else its RUN lines say; then the Python that they run."""
    found, python = [], []
    stage = _Stage()
    for name, body in _instructions(source):
        if name == "FROM":
            found += _close(stage)
            stage = _Stage(_image(body))
        elif name == "ENV":
            stage.variables += _variables(body)
        elif name == "RUN":
            commands, scripts = read_commands(body)
            found += commands
            python += scripts
        elif name == "CMD":
            stage.command = _arguments(body)
        else:
            stage.entrypoint, stage.command = _arguments(body), None
    return found + _close(stage), python


def _instructions(source: Source) -> Iterator[tuple[str, Source]]:
    position = 0
    while match := _INSTRUCTION.search(source.text, position):
        position = match.end()
        ends = _END.finditer(source.text, match.end() - 1)
        end = next((e.start() for e in ends if not _ends_continued(source.text, e.start())), len(source.text))
        yield match[1].upper(), _joined(source.cut(match.end(), end))
        position = max(position, end)


def _ends_continued(text: str, end: int) -> bool:
    line = text[text.rfind("\n", 0, end) + 1 : end].strip()
    return line.endswith("\\") or line.startswith("#")


def _joined(source: Source) -> Source:
    """Without the continued line ends and the comments between them."""
    letters, at, position = [], [], 0
    for match in _CONTINUED.finditer(source.text):
        letters.append(source.text[position : match.start()] + " ")
        at += [*source.at[position : match.start()], source.at[match.start()]]
        position = match.end()
    return Source("".join(letters) + source.text[position:], [*at, *source.at[position:]])


def _image(body: Source) -> Item | None:
    words = [word for command in read_shell(body) for word in command.words if not word.text.startswith("--")]
    if not words or not is_image(words[0].text):
        return None
    word = words[0]
    return Item("image", word.text, word.text, word.text, ((word.start, word.end),), "shell")


def _variables(body: Source) -> list[Item]:
    words = [word for command in read_shell(body) for word in command.words]
    if words and "=" not in words[0].text:  # ENV NAME value
        if len(words) < 2:
            return []
        name, value = words[0], words[1]
        return [Item("variable", name.text, name.text, value.text, ((name.start, words[-1].end),), "shell")]
    return [variable(word, "shell") for word in words if "=" in word.text]


def _arguments(body: Source) -> Configuration | None:
    """The words of CMD or ENTRYPOINT, as a configuration whose entry is not known yet."""
    if not body.text.lstrip().startswith("["):
        commands = [command for command in read_shell(body) if command.words]
        words = tuple(commands[0].words) if commands else ()
        return Configuration("serve", "shell", words[0].start, words[-1].end, words) if words else None
    words = tuple(_string(body, match) for match in _STRING.finditer(body.text))
    return (
        Configuration("serve", "flow", body.at[0], body.at[len(body.text.rstrip()) - 1] + 1, words) if words else None
    )


def _string(body: Source, match: re.Match[str]) -> Word:
    """One element of a JSON list."""
    inner = body.cut(match.start(1), match.end(1))
    if "\\" in inner.text:
        kept = [i for i, letter in enumerate(inner.text) if letter != "\\" or inner.text[i - 1 : i] == "\\"]
        inner = Source("".join(inner.text[i] for i in kept), [*(inner.at[i] for i in kept), inner.at[-1]])
    return Word(inner, body.at[match.start()], body.at[match.end() - 1] + 1)


def _close(stage: _Stage) -> list[Configuration]:
    parts = [part for part in (stage.entrypoint, stage.command) if part]
    given = (*([stage.image] if stage.image else []), *stage.variables)
    release = tag_release(stage.image.name) if stage.image else None
    words = [word for part in parts for word in part.words]
    server = find_server(words) if words else None
    arguments = bool(words) and stage.entrypoint is None and words[0].text.startswith("-")
    if server is None and words and (arguments or (stage.image and stage.entrypoint is None)):
        server = Configuration("api_server", parts[-1].form, words[0].start, words[-1].end, tuple(words))
    if server is None:
        ends = [item.end for item in given]
        return [Configuration("variables", "shell", given[0].start, max(ends), (), given, release)] if given else []
    return [replace(server, form=parts[-1].form, items=(*given, *server.items), release=release,
                    start=parts[0].start, end=parts[-1].end)]  # fmt: skip
