"""Words after `vllm serve` as items, paired with their values as this release's own parser pairs them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dyno.engine.catalog import Flag
from dyno.lint.known import Known
from dyno.lint.source import UNKNOWN, Configuration, Form, Item, Value, Word

_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")
_LEVEL = re.compile(r"-O=?(\w+)")


@dataclass(slots=True)
class _Pairing:
    known: Known
    words: Sequence[Word]
    form: Form
    position: int = 0
    items: list[Item] = field(default_factory=list)

    def run(self) -> list[Item]:
        while self.position < len(self.words):
            word = self.words[self.position]
            self.position += 1
            if self._is_option(word):
                self.items.append(self._option(word))
            else:
                self.items.append(Item("positional", word.text, word.text, UNKNOWN if word.open else word.text,
                                       ((word.start, word.end),), self.form))  # fmt: skip
        return self.items

    def _is_option(self, word: Word) -> bool:
        """argparse's own test: a blank inside, or a negative number, makes it a value."""
        text = word.text
        if not text.startswith("-") or text in ("-", "--") or _NEGATIVE.fullmatch(text):
            return False
        return " " not in text.partition("=")[0]

    def _option(self, word: Word) -> Item:
        written, equals, rest = word.text.partition("=")
        if (level := _LEVEL.fullmatch(word.text)) and (known := self.known.find(word.text)):
            return self._item(word, word.text, known.flag.name, (), level[1])
        match = self.known.find(written)
        name = match.flag.name if match else written.lstrip("-").partition(".")[0].replace("-", "_")
        path = match.path if match else written.partition(".")[2]
        if equals:
            value: Value = UNKNOWN if word.open else rest
            return self._item(word, written, name, (), {path: value} if path else value)
        flag = self.known.other_flag(name) if match is None else match.flag
        taken = self._values(flag, path=bool(path))
        texts: list[Value] = [UNKNOWN if each.open else each.text for each in taken]
        several = flag is not None and flag.nargs in ("+", "*") and not path
        value = tuple(texts) if several else texts[0] if texts else None
        return self._item(word, written, name, taken, {path: value} if path else value, given=bool(taken))

    def _item(
        self, word: Word, written: str, name: str, taken: Sequence[Word], value: Value, *, given: bool = True
    ) -> Item:
        parts = ((word.start, word.end), *((each.start, each.end) for each in taken))
        return Item("flag", written, name, value, parts, self.form, given)

    def _values(self, flag: Flag | None, *, path: bool) -> list[Word]:
        """The words that belong to it. What no release knows takes the next word, as most flags have one."""
        most = 1 if flag is None or path else _MOST.get(flag.nargs or "", 1)
        if flag is not None and flag.kind == "switch" and not path and flag.nargs is None:
            most = int(self.position < len(self.words) and self.words[self.position].text.lower() in _TRUTH)
        taken: list[Word] = []
        while len(taken) < most and self.position < len(self.words) and not self._is_option(self.words[self.position]):
            taken.append(self.words[self.position])
            self.position += 1
        return taken


_TRUTH = ("true", "false")  # what people write after a switch, and argparse takes for a word of its own
_MOST = {"+": 10**6, "*": 10**6, "?": 1}


def items_of(configuration: Configuration, known: Known) -> tuple[Item, ...]:
    """All items of a configuration in the order they stand in the file, the words paired for this release."""
    paired = _Pairing(known, configuration.words, configuration.form).run()
    return tuple(sorted((*configuration.items, *paired), key=lambda item: item.start))
