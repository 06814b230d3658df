"""Markdown: its fenced blocks, each as the kind that it is, and the flags and variables that it names in `code`."""

import re
from collections.abc import Iterator

from dyno.lint.source import Configuration, Item, Source

_FENCE = re.compile(r"^([ \t>]*+)(`{3,}+|~{3,}+)[ \t]*+([\w+.-]*+)[^\n]*+\n(.*?)(?:^[ \t>]*\2[`~]*[ \t]*$|\Z)",
                    re.MULTILINE | re.DOTALL)  # fmt: skip
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_NAMED = re.compile(r"(?P<flag>--[a-z][\w-]*)(?:[= ](?P<word>[^\s`,]+))?|(?P<name>[A-Z][A-Z0-9_]+)(?:=(?P<value>\S+))?"
                    r"|(?P<keyword>[a-z]+(?:_[a-z0-9]+)+)(?:=(?P<given>\S+))?")  # fmt: skip
_PACKAGE = re.compile(r"\bvllm\[[\w,-]+\]")


def fences(source: Source) -> Iterator[tuple[str, Source]]:
    """The language and the text of each fenced block, without the indent of its fence."""
    for match in _FENCE.finditer(source.text):
        yield match[3].lower(), _dedented(source.cut(match.start(4), match.end(4)), len(match[1]))


def mentions(source: Source) -> list[Configuration]:
    """Flags, variables and extras of packages named outside the fences, each as a configuration of its own."""
    outside = _FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), source.text)
    items = []
    for code in _CODE.finditer(outside):
        if named := _NAMED.fullmatch(code[1].strip()):
            start = code.start(1) + len(code[1]) - len(code[1].lstrip())
            items.append(_item(named, source.at[start], source.at[start + len(named[0]) - 1] + 1))
    for package in _PACKAGE.finditer(outside):
        place = source.at[package.start()], source.at[package.end() - 1] + 1
        items.append(Item("package", package[0], package[0], package[0], (place,), "shell"))
    return [Configuration("mention", "shell", item.start, item.end, (), (item,)) for item in items]


def _item(named: re.Match[str], start: int, end: int) -> Item:
    places = ((start, end),)
    if flag := named["flag"]:
        value = named["word"]
        return Item("flag", flag, flag[2:].replace("-", "_"), value, places, "shell", given=value is not None)
    if name := named["name"]:
        return Item("variable", name, name, named["value"] or "", places, "shell", given=named["value"] is not None)
    keyword, value = named["keyword"], named["given"]
    return Item("keyword", keyword, keyword, value, places, "python", given=value is not None)


def _dedented(source: Source, indent: int) -> Source:
    if not indent:
        return source
    letters: list[str] = []
    at: list[int] = []
    position = 0
    for line in re.split(r"(?<=\n)", source.text):
        lead = re.match(rf"[ \t>]{{0,{indent}}}", line)
        gone = lead.end() if lead else 0
        letters.append(line[gone:])
        at += source.at[position + gone : position + len(line)]
        position += len(line)
    return Source("".join(letters), [*at, source.at[position]])
