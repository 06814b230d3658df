"""Python by its syntax tree, never run: calls of LLM and EngineArgs, dicts of their keywords, `os.environ`, argv."""

import ast
import re
import warnings
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from dyno.lint.command import find_server
from dyno.lint.engine_yaml import looks_like_keywords
from dyno.lint.source import UNKNOWN, Configuration, Entry, Item, Source, Value, Word

_CALLS: dict[str, Entry] = {"LLM": "LLM", "EngineArgs": "EngineArgs", "AsyncEngineArgs": "AsyncEngineArgs"}
# Ways into the engine that people use and that no release has ever offered.
_ATTRIBUTES = re.compile(r"\b\w+\.(get_memory_usage)\s*\(|\.llm_engine\.scheduler\.(attn_backend)\b")


def read_python(source: Source, known: Collection[str]) -> list[Configuration]:
    """Every such piece; `known` are the names of flags of all releases. SyntaxError for what is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes and the like: not what is asked here
            tree = ast.parse(source.text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error)) from error
    reader = _Reader(source, known, _foreign(tree))
    found: list[Configuration] = []
    inner: set[int] = set()  # a dict within a call is a value of that
    for node in ast.walk(tree):
        if id(node) not in inner and (configuration := reader.read(node)):
            found.append(configuration)
            inner |= {id(each) for each in ast.walk(node)}
    if environ := [item for node in ast.walk(tree) if (item := reader.environ(node))]:
        found.append(Configuration("variables", "python", environ[0].start, environ[-1].end, (), tuple(environ)))
    if attributes := reader.attributes():
        found.append(Configuration("mention", "python", attributes[0].start, attributes[-1].end, (), attributes))
    return found


def _foreign(tree: ast.Module) -> set[str]:
    """Names of ours that this file takes from another package."""
    return {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
            for alias in node.names if not (node.module or "").startswith("vllm")} & set(_CALLS)  # fmt: skip


class _Reader:
    """Nodes as items; offsets in the file for what the tree gives in lines and bytes."""

    def __init__(self, source: Source, known: Collection[str], foreign: set[str]) -> None:
        self.source, self.known, self.foreign = source, known, foreign
        self.lines = re.split(r"(?<=\n)", source.text)
        self.starts = [0]
        self.ends: dict[int, list[int]] = {}  # of the letters of a line, in bytes
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def _offset(self, line: int, column: int) -> int:
        text = self.lines[line - 1]
        if text.isascii():
            return self.starts[line - 1] + column
        if line not in self.ends:
            self.ends[line] = list(accumulate(len(letter.encode()) for letter in text))
        return self.starts[line - 1] + bisect_right(self.ends[line], column)

    def _place(self, node: ast.expr | ast.keyword) -> tuple[int, int]:
        start = self._offset(node.lineno, node.col_offset)
        end = self._offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
        return self.source.at[start], self.source.at[max(end, start + 1) - 1] + 1

    def read(self, node: ast.AST) -> Configuration | None:
        """A call, a dict or a list of words that configures an engine."""
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Dict):
            return self._dict(node)
        return self._argv(node) if isinstance(node, ast.List) else None

    def _call(self, node: ast.Call) -> Configuration | None:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        items = [self._keyword(keyword) for keyword in node.keywords if keyword.arg]
        spread = any(keyword.arg is None for keyword in node.keywords)
        if name == "dict" and looks_like_keywords([item.name for item in items], self.known):
            return self._configuration("mapping", node, items, spread)
        if name not in _CALLS or name in self.foreign:
            return None
        if node.args and not isinstance(node.args[0], ast.Starred):
            model = node.args[0]
            items.insert(
                0, Item("positional", _written(model), "model", _value(model), (self._place(model),), "python")
            )
        return self._configuration(_CALLS[name], node, items, spread)

    def _configuration(self, entry: Entry, node: ast.expr, items: Sequence[Item], spread: bool) -> Configuration:
        start, end = self._place(node)
        return Configuration(entry, "python", start, end, (), tuple(items), None, spread)

    def _keyword(self, keyword: ast.keyword) -> Item:
        start, name = self._place(keyword)[0], str(keyword.arg)
        parts = ((start, start + len(name)), self._place(keyword.value))
        return Item("keyword", name, name, _value(keyword.value), parts, "python")

    def _dict(self, node: ast.Dict) -> Configuration | None:
        items = []
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                parts = (self._place(key), self._place(value))
                items.append(Item("keyword", key.value, key.value, _value(value), parts, "python"))
        if not looks_like_keywords([item.name for item in items], self.known):
            return None
        return self._configuration("mapping", node, items, None in node.keys)

    def _argv(self, node: ast.List) -> Configuration | None:
        if not node.elts or not all(isinstance(each, ast.expr) for each in node.elts):
            return None
        words = [self._word(each) for each in node.elts]
        server = find_server(words)
        if server is None:
            return None
        start, end = self._place(node)
        return replace(server, form="flow", start=start, end=end)

    def _word(self, node: ast.expr) -> Word:
        start, end = self._place(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return Word(Source(node.value, [start] * (len(node.value) + 1)), start, end)
        return Word(Source("${}", [start] * 4), start, end, open=True)

    def environ(self, node: ast.AST) -> Item | None:
        """`os.environ["NAME"] = value`."""
        if not isinstance(node, ast.Assign) or not isinstance(target := node.targets[0], ast.Subscript):
            return None
        name = target.slice.value if isinstance(target.slice, ast.Constant) else None
        if not isinstance(name, str) or getattr(target.value, "attr", "") != "environ":
            return None
        start, end = self._place(target)[0], self._place(node.value)[1]
        return Item("variable", name, name, _value(node.value), ((start, end),), "python")

    def attributes(self) -> tuple[Item, ...]:
        """Uses of what no release offers."""
        return tuple(
            Item("attribute", name, name, None, (self._span(*match.span(i)),), "python")
            for match in _ATTRIBUTES.finditer(self.source.text)
            for i, name in enumerate(match.groups(), 1)
            if name
        )

    def _span(self, start: int, end: int) -> tuple[int, int]:
        return self.source.at[start], self.source.at[end - 1] + 1


def _written(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else "model"


def _value(node: ast.expr) -> Value:
    try:
        return _plain(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN


def _plain(value: object) -> Value:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return tuple(_plain(each) for each in value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return UNKNOWN
