"""`.env` files: one variable a line."""

import re

from dyno.lint.source import UNKNOWN, Configuration, Item, Source, expand

_LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=[ \t]*("[^"\n]*"|'[^'\n]*'|[^\n#]*?)[ \t\r]*(?:\#[^\n]*)?$""",
    re.MULTILINE,
)


def read_env(source: Source) -> list[Configuration]:
    """Its variables, as one configuration."""
    items = []
    for match in _LINE.finditer(source.text):
        first, last = match.span(2)
        quoted = source.text[first:last][:1] in ("'", '"')
        word = expand(source.cut(first + quoted, last - quoted), source.at[first], source.at[last])
        items.append(Item("variable", match[1], match[1], UNKNOWN if word.open else word.text,
                          ((source.at[match.start(1)], source.at[last]),), "env"))  # fmt: skip
    return [Configuration("variables", "env", items[0].start, items[-1].end, (), tuple(items))] if items else []
