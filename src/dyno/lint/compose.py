"""Compose files, and anything in YAML that has an image, a command and an environment: Kubernetes' containers, too."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dyno.lint.command import find_server, is_image, read_commands, tag_release
from dyno.lint.shell import read_shell
from dyno.lint.source import UNKNOWN, Configuration, Form, Item, Source, Word, expand
from dyno.lint.yaml_nodes import pairs, place, scalar, walk

_ARGUMENTS = ("entrypoint", "command", "args")


@dataclass(frozen=True, slots=True)
class _Part:
    """The words of `entrypoint`, `command` or `args`, with the form to write more in."""

    words: tuple[Word, ...]
    form: Form
    start: int
    end: int


def read_compose(source: Source, roots: Sequence[Any]) -> list[Configuration]:
    """The engine that each container starts."""
    found = []
    for root in roots:
        for node in walk(root):
            keys = pairs(node)
            if {"image", *_ARGUMENTS} & set(keys):
                found += _container(source, keys)
    return found


def _container(source: Source, keys: dict[str, tuple[Any, Any]]) -> list[Configuration]:
    image = _image(source, keys)
    parts = [part for name in _ARGUMENTS if name in keys and (part := _part(source, keys[name][1]))]
    words = [word for part in parts for word in part.words]
    server = find_server(words) if words else None
    if server is None and words and (script := _script(words)):
        return _with(read_commands(script)[0], (*_image_item(image), *_environment(source, keys)), image, _facts(keys))
    if server is None and image and is_image(image.text) and "entrypoint" not in keys:
        start, end = (parts[0].start, parts[-1].end) if parts else (image.start, image.end)
        server = Configuration("api_server", "shell", start, end, tuple(words))
    if server is None:
        return []
    form = parts[-1].form if parts else "shell"
    server = replace(server, form=form, items=tuple(replace(item, form=form) for item in server.items))
    return _with([server], (*_image_item(image), *_environment(source, keys)), image, _facts(keys))


def _with(
    found: Sequence[Configuration], items: Sequence[Item], image: Word | None, facts: dict[str, str]
) -> list[Configuration]:
    release = tag_release(image.text) if image else None
    return [replace(each, items=(*items, *each.items), release=release or each.release, facts=facts) for each in found]


def _script(words: Sequence[Word]) -> Source | None:
    texts = [word.text for word in words]
    if "-c" in texts[:-1] or "-lc" in texts[:-1]:
        return words[-1].source
    return None


def _image(source: Source, keys: dict[str, tuple[Any, Any]]) -> Word | None:
    if "image" not in keys or keys["image"][1].id != "scalar":
        return None
    node = keys["image"][1]
    return expand(scalar(source, node), *place(source, node))


def _image_item(image: Word | None) -> tuple[Item, ...]:
    if image is None or not is_image(image.text):
        return ()
    return (Item("image", image.text, image.text, image.text, ((image.start, image.end),), "yaml"),)


def _part(source: Source, node: Any) -> _Part | None:  # noqa: ANN401
    if node.id == "sequence":
        words = tuple(expand(scalar(source, each), *place(source, each)) for each in node.value if each.id == "scalar")
        return _Part(words, "flow" if node.flow_style else "block", *place(source, node)) if words else None
    if node.id != "scalar" or not node.value.strip():
        return None
    text = scalar(source, node)
    if node.style == "|":
        text = Source(re.sub(r"\\\n", "  ", text.text).replace("\n", " "), text.at)
    commands = [command for command in read_shell(text) if command.words]
    words = tuple(word for command in commands for word in command.words)
    return _Part(words, "shell", *place(source, node)) if words else None


def _environment(source: Source, keys: dict[str, tuple[Any, Any]]) -> list[Item]:
    node = (keys.get("environment") or keys.get("env") or (None, None))[1]
    if node is None or node.id == "scalar":
        return []
    if node.id == "mapping":
        return [_variable(source, key, value) for key, value in node.value if value.id == "scalar"]
    items = []
    for each in node.value:
        if each.id == "scalar":
            items += _listed(source, each)
        elif {"name", "value"} <= set(named := pairs(each)):
            items.append(_variable(source, named["name"][1], named["value"][1], whole=each))
    return items


def _variable(source: Source, key: Any, value: Any, whole: Any = None) -> Item:  # noqa: ANN401
    word = expand(scalar(source, value), *place(source, value))
    start, end = (
        place(source, whole) if whole is not None else (place(source, key)[0], max(word.end, place(source, key)[1]))
    )
    return Item("variable", key.value, key.value, UNKNOWN if word.open else word.text.strip(), ((start, end),), "yaml")


def _listed(source: Source, node: Any) -> list[Item]:  # noqa: ANN401
    word = expand(scalar(source, node), *place(source, node))
    name, equals, value = word.text.partition("=")
    if not equals:
        return []
    return [Item("variable", name, name, UNKNOWN if word.open else value, ((word.start, word.end),), "block")]


def _facts(keys: dict[str, tuple[Any, Any]]) -> dict[str, str]:
    return {
        name: str(keys[name][1].value) for name in ("ipc", "shm_size") if name in keys and keys[name][1].id == "scalar"
    }
