"""YAML as nodes with their places: what ruamel.yaml's composer gives, and its scalars as text and as values."""

import re
import warnings
from collections.abc import Iterator
from typing import Any

from dyno.lint.source import UNKNOWN, Source, Value

_MOST_DIGITS = 300  # of a number; Python refuses to print those with some thousands
_TRUE, _FALSE = {"true", "yes", "on"}, {"false", "no", "off"}
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*)?\.[0-9_]*([eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+][0-9]+")


def documents(text: str) -> list[Any]:
    """The root node of each document. Raises ruamel's YAMLError for what is not YAML."""
    from ruamel.yaml import YAML

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an anchor used twice: not what is asked here
        return list(YAML(typ="rt", pure=True).compose_all(text))


def walk(node: Any) -> Iterator[Any]:  # noqa: ANN401  (ruamel's nodes are untyped)
    """The node and all below it; an alias is walked where it is defined."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if node.id == "mapping":
            waiting += [part for pair in reversed(node.value) for part in reversed(pair)]
        elif node.id == "sequence":
            waiting += reversed(node.value)


def pairs(node: Any) -> dict[str, tuple[Any, Any]]:  # noqa: ANN401
    """Key and value nodes of a mapping by the key's text."""
    if node is None or node.id != "mapping":
        return {}
    merged = [each for key, value in node.value if key.value == "<<" and value is not node
              for each in (value.value if value.id == "sequence" else [value]) if each.id == "mapping"]  # fmt: skip
    inherited = {
        key.value: (key, value) for each in reversed(merged) for key, value in each.value if key.id == "scalar"
    }
    own = {key.value: (key, value) for key, value in node.value if key.id == "scalar" and key.value != "<<"}
    return inherited | own


def value_of(node: Any) -> Value:  # noqa: ANN401
    """What YAML 1.1, which vLLM reads, makes of a node. What an alias repeats is UNKNOWN: it may repeat itself."""
    return _value(node, set())


def _value(node: Any, seen: set[int]) -> Value:  # noqa: ANN401
    if node.id == "scalar":
        return _scalar_value(node)
    if id(node) in seen:
        return UNKNOWN
    seen.add(id(node))
    if node.id == "sequence":
        return tuple(_value(each, seen) for each in node.value)
    return {str(key.value): _value(each, seen) for key, each in node.value}


def _scalar_value(node: Any) -> Value:  # noqa: ANN401
    text: str = node.value
    if node.style is not None:
        return text
    lower = text.lower()
    if lower in ("", "~", "null"):
        return None
    if lower in _TRUE or lower in _FALSE:
        return lower in _TRUE
    if _INT.fullmatch(text) and len(text) < _MOST_DIGITS:
        return int(text.replace("_", ""))
    return float(text.replace("_", "")) if _FLOAT.fullmatch(text) and text != "." else text


def place(source: Source, node: Any) -> tuple[int, int]:  # noqa: ANN401
    """Where a node stands in the file, without the blanks behind a block."""
    start, end = node.start_mark.index, node.end_mark.index
    end = start + len(source.text[start:end].rstrip())
    return source.at[start], source.at[max(end, start + 1) - 1] + 1


def scalar(source: Source, node: Any) -> Source:  # noqa: ANN401
    """A scalar's own letters; the line ends and indents within it are blanks, as folding makes them."""
    start, end = node.start_mark.index, node.end_mark.index
    raw = source.cut(start, end)
    if node.style in ("|", ">"):
        header = raw.text.find("\n") + 1
        return raw.cut(header, len(raw.text)) if node.style == "|" else _folded(raw.cut(header, len(raw.text)))
    if node.style == "'":
        return _without(raw.cut(1, len(raw.text) - 1), re.compile("'(?=')"))
    if node.style == '"':
        return _without(raw.cut(1, len(raw.text) - 1), re.compile(r"\\(?=[\"\\/]|\n)"))
    return _folded(raw)


def _without(source: Source, escapes: re.Pattern[str]) -> Source:
    gone: set[int] = set()
    for match in escapes.finditer(source.text):
        if match.start() - 1 not in gone:
            gone.add(match.start())
    kept = [i for i in range(len(source.text)) if i not in gone]
    return _folded(Source("".join(source.text[i] for i in kept), [*(source.at[i] for i in kept), source.at[-1]]))


def _folded(source: Source) -> Source:
    return Source(source.text.replace("\n", " "), source.at)
