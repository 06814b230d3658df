"""What of Python itself an evaluation may use: plain types and functions that reach nothing outside."""

import argparse
import builtins
import dataclasses
import enum
import itertools
import json
import re
import typing
from collections.abc import Iterable, Iterator, Mapping

from declared import Class, Field, FieldCall, Unknown, attribute, listed


def _isinstance(value: object, kinds: object) -> bool:
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    if isinstance(value, Class):
        return _type_of in wanted
    return any(isinstance(kind, type) and isinstance(value, kind) for kind in wanted)


def _issubclass(value: object, kinds: object) -> bool:
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    names = [str(getattr(kind, "__name__", kind)) for kind in wanted]
    if isinstance(value, Class):
        return any(value.name == name or value.inherits(name) for name in names)
    return isinstance(value, type) and any(isinstance(kind, type) and issubclass(value, kind) for kind in wanted)


def _getattr(holder: object, name: str, *default: object) -> object:
    value = attribute(holder, name)
    return default[0] if default and isinstance(value, Unknown) else value


def _next(items: object, *default: object) -> object:
    return next(iter(listed(items)), *default)


def _fields(cls: object) -> list[Field]:
    return (
        [each for each in cls.fields.values() if str(each.type) != "dataclasses.InitVar"]
        if isinstance(cls, Class)
        else []
    )


def _field(*args: object, **given: object) -> FieldCall:
    return FieldCall({**({"default": args[0]} if args else {}), **given})


def _type_of(value: object) -> object:
    return Class if isinstance(value, Class) else type(value)


class Ordered(set[object]):
    """A set that is gone through in the order in which it was filled, so that the same sources tell the same always."""

    def __init__(self, items: Iterable[object] = ()) -> None:
        self.order = dict.fromkeys(items)
        super().__init__(self.order)

    def add(self, item: object) -> None:
        self.update([item])

    def update(self, *others: Iterable[object]) -> None:
        for items in others:
            self.order |= dict.fromkeys(items)
        super().update(self.order)

    def __iter__(self) -> Iterator[object]:
        return (item for item in self.order if item in self)


_PLAIN = ("int", "str", "float", "bool", "dict", "list", "tuple", "frozenset", "bytes", "object", "len", "any",
          "all", "sorted", "range", "enumerate", "zip", "min", "max", "sum", "repr", "abs", "round", "reversed",
          "callable", "Exception", "ValueError", "TypeError", "KeyError", "AttributeError", "RuntimeError",
          "NotImplementedError", "ImportError", "StopIteration", "None", "True", "False")  # fmt: skip
BUILTINS: Mapping[str, object] = {
    **{name: getattr(builtins, name, None) for name in _PLAIN},
    "set": Ordered,
    "isinstance": _isinstance, "issubclass": _issubclass, "getattr": _getattr, "next": _next, "type": _type_of,
    "hasattr": lambda holder, name: not isinstance(attribute(holder, name), Unknown),
    "print": lambda *_a, **_k: None,
    "iter": listed,
    "__name__": "?",
}  # fmt: skip
ERRORS = (ValueError, TypeError, KeyError, AttributeError, RuntimeError, NotImplementedError, ImportError,
           StopIteration, IndexError, argparse.ArgumentTypeError, argparse.ArgumentError)  # fmt: skip


class _Itself:
    """A hint that stands for what it holds."""

    def __getitem__(self, hint: object) -> object:
        return hint


class _Argv:
    """`sys` as a server's start sees it."""

    argv: typing.ClassVar = ["vllm", "serve"]
    version_info = (3, 12, 0)
    modules: typing.ClassVar[dict[str, object]] = {}
    platform = "linux"


def _typing_names() -> dict[str, object]:
    names = ("Literal", "Optional", "Union", "Annotated", "Any", "get_args", "get_origin", "List", "Dict", "Tuple",
             "Set", "Type", "Callable", "Sequence", "Mapping", "is_typeddict")  # fmt: skip
    found = {f"{module}.{name}": getattr(typing, name) for name in names for module in ("typing", "typing_extensions")}
    return {**found, "collections.abc.Callable": typing.Callable, "collections.abc.Sequence": typing.Sequence,
            "collections.abc.Mapping": typing.Mapping}  # fmt: skip


NATIVES: dict[str, object] = {
    **_typing_names(),
    "argparse": argparse, "json": json, "json.loads": json.loads, "re": re, "regex": re, "sys": _Argv,
    "types.UnionType": typing.Union, "types.NoneType": type(None), "enum": enum,
    "typing.cast": lambda _kind, value: value,
    "dataclasses.field": _field, "dataclasses.fields": _fields, "dataclasses.MISSING": dataclasses.MISSING,
    "dataclasses.is_dataclass": lambda value: isinstance(value, Class) and value.is_dataclass,
    "dataclasses.Field": Field,
    "pydantic.Field": _field, "pydantic.fields.Field": _field, "pydantic.fields.FieldInfo": FieldCall,
    "pydantic.SkipValidation": _Itself(), "typing.SkipValidation": _Itself(),
    "copy.deepcopy": lambda value: {k: dict(v) if isinstance(v, dict) else v for k, v in value.items()},
    "itertools.permutations": itertools.permutations,
    "functools.partial": lambda function, *args, **kwargs: lambda *a, **k: function(*args, *a, **kwargs, **k),
    **{f"argparse.{name}": getattr(argparse, name) for name in
       ("Action", "ArgumentTypeError", "ArgumentError", "BooleanOptionalAction", "SUPPRESS", "Namespace")},
}  # fmt: skip
