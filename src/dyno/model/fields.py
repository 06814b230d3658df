"""Numbers of a config.json by name, each checked to be one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dyno.errors import shown

MOST = 2**31  # nothing in a config counts more


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a language model's config; what was asked for and is wrong or lacking is collected."""

    values: Mapping[str, Any]
    problems: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)

    def count(self, *names: str, default: int | None = None, least: int = 1) -> int:
        """A whole number of at least `least`, by the first name that is set. A problem when there is none."""
        for name in names:
            value = self.values.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST:
                self.problems.append(f"{name} is {shown(value)}: it must be a whole number from {least} to {MOST}")
                return max(1, least)
            return value
        if default is None:
            self.lacking.append(names[0])
        return default if default is not None else max(1, least)

    def flag(self, name: str, default: bool) -> bool:
        """A truth value. Other things are a problem."""
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            self.problems.append(f"{name} is {shown(value)}: it must be true or false")
            return default
        return value

    def text(self, name: str, default: str) -> str:
        """Text. Other things are a problem."""
        value = self.values.get(name, default)
        if not isinstance(value, str):
            self.problems.append(f"{name} is {shown(value)}: it must be text")
            return default
        return value

    def numbers(self, name: str) -> frozenset[int]:
        """A list of layers' numbers, none where it is not set. Other things are a problem."""
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(type(number) is int for number in value):
            self.problems.append(f"{name} is {shown(value)}: it must be a list of whole numbers")
            return frozenset()
        return frozenset(value)

    def words(self, name: str, length: int | None = None) -> tuple[str, ...] | None:
        """A list of words, one a layer where `length` says so; None when it is not set."""
        value = self.values.get(name)
        if value is None:
            return None
        if (
            not isinstance(value, Sequence)
            or isinstance(value, str)
            or not all(isinstance(word, str) for word in value)
        ):
            self.problems.append(f"{name} must be a list of words")
            return None
        if length is not None and len(value) < length:
            self.problems.append(f"{name} has {len(value)} entries for {length} layers")
            return None
        return tuple(value[:length])
