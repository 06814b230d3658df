"""What one vLLM release knows, told by its sources: flags, keys of JSON flags, variables, lists of values."""

import argparse
import ast
import dataclasses
import json
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from checked import kept
from declared import Class, Field, FieldCall, Function, Member, Unknown
from evaluate import Scope, Sources

from dyno.engine.catalog import Bound, Catalog, Flag, Kind, Variable, VariableKind
from dyno.engine.inspect_engine import PARSER_CLASSES, PARSER_MAKERS, flag_of

_ORIGIN = "the field that a flag stands for"
_BOUNDS: tuple[Bound, ...] = ("gt", "ge", "lt", "le")
# What the release on a CUDA machine takes; the sources ask the machine they run on.
_MACHINE = {"vllm.platforms.current_platform.device_type": "cuda"}
# Where the values stand that no parser checks: module, name, what takes them.
_LISTS = (
    ("vllm.v1.attention.backends.registry", "AttentionBackendEnum", "attention_backend"),
    ("vllm.attention.backends.registry", "AttentionBackendEnum", "attention_backend"),
    ("vllm.attention.backends.registry", "_Backend", "attention_backend"),
    ("vllm.platforms.interface", "_Backend", "attention_backend"),
    ("vllm.attention.selector", "_Backend", "attention_backend"),
    ("vllm.model_executor.layers.quantization", "QuantizationMethods", "quantization"),
    ("vllm.model_executor.layers.quantization", "QUANTIZATION_METHODS", "quantization"),
    ("vllm.config.cache", "CacheDType", "kv_cache_dtype"),
    ("vllm.config", "CacheDType", "kv_cache_dtype"),
    ("vllm.model_executor.model_loader", "LoadFormats", "load_format"),
    ("vllm.config.load", "LoadFormat", "load_format"),
    ("vllm.config", "LoadFormat", "load_format"),
    ("vllm.config.speculative", "SpeculativeMethod", "speculative_config.method"),
    ("vllm.config", "SpeculativeMethod", "speculative_config.method"),
    ("vllm.tool_parsers", "_TOOL_PARSERS_TO_REGISTER", "tool_call_parser"),
    ("vllm.entrypoints.openai.tool_parsers", "_TOOL_PARSERS_TO_REGISTER", "tool_call_parser"),
    ("vllm.reasoning", "_REASONING_PARSERS_TO_REGISTER", "reasoning_parser"),
)
# Releases that register by decorators have no table: the folders where the decorated classes stand.
_REGISTRIES = {
    "tool_call_parser": ("vllm/entrypoints/openai/tool_parsers/", "ToolParserManager"),
    "reasoning_parser": ("vllm/reasoning/", "ReasoningParserManager"),
}
# Flags that take the JSON of a class whose name is not the flag's.
_CLASSES = {"eplb_config": "EPLBConfig", "speculative_config": "SpeculativeConfig"}


@dataclasses.dataclass(frozen=True)
class Tree:
    """The files of a release: `read` gives one by its path, None where there is none; `paths` are all."""

    read: Callable[[str], str | None]
    paths: tuple[str, ...]


def catalog_of(version: str, tree: Tree) -> Catalog:
    """The catalog of the release whose files these are."""
    release = _Release(tree)
    lists = release.lists()
    flags = tuple(dataclasses.replace(flag, choices=lists[flag.name]) if flag.name in release.parser.registered
                  and flag.name in lists else flag for flag in release.flags())  # fmt: skip
    checked = {flag.name for flag in flags if flag.choices}
    return Catalog(version, flags, release.keys(), release.variables(), release.keywords(),
                   {taker: words for taker, words in lists.items() if taker not in checked})  # fmt: skip


class _Json:
    """Pydantic's reader of a class, as far as a parser can tell: whether the text is JSON."""

    def __init__(self, of: object) -> None:
        self.of = of

    def validate_json(self, text: str) -> object:
        return json.loads(text)

    def validate_python(self, value: object) -> object:
        return value


class _Parser:
    """Stands for vLLM's parser while the functions that fill it are evaluated."""

    def __init__(self, inverses: Mapping[str, str]) -> None:
        self.real = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
        self.inverses = inverses
        self.origins: dict[str, tuple[Class, Field]] = {}
        self.deprecated: set[str] = set()
        self.groups: dict[str, str] = {}
        self.registered: set[str] = set()  # flags whose choices are filled when vLLM is imported

    def add_argument_group(self, title: object = "", **_kwargs: object) -> "_Group":
        return _Group(self, str(title or ""))

    def add_argument(self, *names: str, **given: Any) -> argparse.Action:
        origin, action, text = given.pop(_ORIGIN, None), given.get("action"), str(given.get("help", ""))
        made = self.real.add_argument(*names, **_plain(given))
        if given.get("choices") is not None and not made.choices:
            self.registered.add(made.dest)
        if origin:
            self.origins[made.dest] = origin
            text = text or origin[1].doc
        if given.get("deprecated") or "deprecated" in f"{action} {text.partition('. ')[0]}".lower():
            self.deprecated.add(made.dest)
        return made

    def flags(self) -> Iterator[tuple[Flag, argparse.Action]]:
        for action in self.real._actions:
            if action.option_strings:
                yield self._flag(action), action

    def _flag(self, action: argparse.Action) -> Flag:
        told: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in flag_of(action).items()}
        heads = [(option, head) for option in told["options"] for head in self.inverses if option.startswith(head)]
        inverses = sorted(self.inverses[h] + option.removeprefix(h) for option, h in heads if told["negatable"])
        told |= {"inverses": tuple(inverses), "group": self.groups.get(action.dest, "")}
        return Flag(**told, default=_default(action.default), deprecated=action.dest in self.deprecated)


@dataclasses.dataclass(frozen=True)
class _Group:
    """Flags under one title: the config class that takes them."""

    parser: _Parser
    title: str

    def add_argument(self, *names: str, **given: Any) -> argparse.Action:
        made = self.parser.add_argument(*names, **given)
        self.parser.groups[made.dest] = self.title
        return made


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of add_argument that decide how words are read, as argparse itself takes them."""
    kept = {name: value for name, value in given.items() if name in ("action", "type", "default", "choices", "nargs",
                                                                     "dest", "const", "required")}  # fmt: skip
    action = kept.get("action")
    if isinstance(action, Class) and action.inherits("BooleanOptionalAction"):
        kept["action"] = argparse.BooleanOptionalAction
    elif isinstance(action, Class | Unknown):
        kept.pop("action")
    if isinstance(kept.get("type"), Unknown | Class):
        kept.pop("type")
    if kept.get("choices") is not None:
        kept["choices"] = [each.value if isinstance(each, Member) else each for each in kept["choices"]]
    if kept.get("action") in ("store_true", "store_false", argparse.BooleanOptionalAction):
        kept = {name: value for name, value in kept.items() if name in ("action", "default", "dest")}
    return kept


def _default(value: object) -> bool | int | float | str | None:
    if isinstance(value, Member):
        return _default(value.value)
    if isinstance(value, bool | int | float | str):
        return None if value == argparse.SUPPRESS else value
    try:
        return None if value is None else json.dumps(value)
    except TypeError:
        return None


class _Release:
    """The sources of one release, with its parser filled."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        natives = {**_MACHINE, "pydantic.TypeAdapter": _Json, "pydantic.ValidationError": ValueError}
        self.sources = Sources(tree.read, natives,
                               {"get_attr_docs": lambda _: _docs, "get_kwargs": _with_origins})  # fmt: skip
        module = next(name for name in PARSER_MAKERS if self.sources.module(name))
        self.parser = _Parser(self._inverses())
        self.sources.get(module, "make_arg_parser")(self.parser)  # type: ignore[operator]
        self.made = list(self.parser.flags())
        # Classes with flags of their own stand in other classes only as what a start fills in.
        self.owners = {cls for cls, _ in self.parser.origins.values()} | set(self._named("VllmConfig"))
        self._validated: dict[Class, dict[str, list[tuple[Bound, float]]]] = {}

    def _inverses(self) -> Mapping[str, str]:
        """`--enable-` to `--disable-` and back, in releases whose switches have both."""
        found = (self.sources.get(name, "EnableDisableAction") for name in PARSER_CLASSES)
        pairs = next((each.attribute("_inverse_prefixes") for each in found if isinstance(each, Class)), {})
        return pairs if isinstance(pairs, dict) else {}

    def flags(self) -> tuple[Flag, ...]:
        return tuple(
            self._bounded(flag, *self.parser.origins.get(action.dest, (None, None))) for flag, action in self.made
        )

    def _bounded(self, flag: Flag, cls: Class | None, field: Field | None) -> Flag:
        if flag.kind not in ("int", "size", "float"):
            return flag
        if cls and field:
            bounds = _limits(field) or tuple(self.validated(cls).get(field.name, ()))
        else:
            bounds = next((tuple(found[flag.name]) for cls in self.configs()
                           for found in [self.validated(cls)] if flag.name in found), ())  # fmt: skip
        return dataclasses.replace(flag, bounds=bounds)

    def configs(self) -> Iterator[Class]:
        """The config classes, for releases whose flags do not say which they belong to."""
        module = self.sources.module("vllm.config")
        for name in module.bindings if module else ():
            if name.endswith("Config") and isinstance(cls := self.sources.get("vllm.config", name), Class):
                yield cls

    def _named(self, name: str) -> Iterator[Class]:
        return (cls for cls in self.configs() if cls.name == name)

    def validated(self, cls: Class) -> dict[str, list[tuple[Bound, float]]]:
        """The bounds that a class's own checks keep: `if self.x < 1: raise ...`."""
        if cls not in self._validated:
            found: dict[str, list[tuple[Bound, float]]] = {}
            for name, bound, value in kept(cls.node):
                if bound not in dict(found.get(name, ())):
                    found.setdefault(name, []).append((bound, value))
            self._validated[cls] = found
        return self._validated[cls]

    def keys(self) -> tuple[Flag, ...]:
        """The keys of every flag that takes the JSON of a config class."""
        return tuple(key for flag, action in self.made for cls in [self._class_of(flag.name, action)] if cls
                     for key in self._keys(flag.name, cls))  # fmt: skip

    def _class_of(self, name: str, action: argparse.Action) -> Class | None:
        if cls := _parsed_class(action.type):
            return cls
        wanted = _CLASSES.get(name, name.replace("_", ""))
        found = [cls for cls in self.configs() if cls.name.lower() == wanted.lower()] if name.endswith("config") else []
        return found[0] if found and found[0].is_dataclass else None

    def _keys(self, prefix: str, cls: Class, is_inner: bool = False) -> Iterator[Flag]:
        for field in cls.fields.values():
            if field.init and not field.name.startswith("_"):
                key, inner = _key(f"{prefix}.{field.name}", field)
                yield self._bounded(key, cls, field)
                if inner and not is_inner and inner not in self.owners:
                    yield from self._keys(key.name, inner, is_inner=True)

    def keywords(self) -> tuple[str, ...]:
        classes = [self.sources.get("vllm.engine.arg_utils", name) for name in ("EngineArgs", "AsyncEngineArgs")]
        return tuple(dict.fromkeys(name for cls in classes if isinstance(cls, Class)
                                   for name, field in cls.fields.items() if field.init))  # fmt: skip

    def variables(self) -> tuple[Variable, ...]:
        module = self.sources.module("vllm.envs")
        names = module.get("environment_variables") if module else None
        if not module or not isinstance(names, dict):
            return ()
        told = {node.target.id: node for node in ast.walk(module.tree)
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}  # fmt: skip
        return tuple(_variable(name, told.get(name), module.scope) for name in sorted(names))

    def lists(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for module, name, taker in _LISTS:
            if taker not in found and self.sources.module(module) and (words := _words(self.sources.get(module, name))):
                found[taker] = words
        for taker, (folder, manager) in _REGISTRIES.items():
            if taker not in found and (words := self._registered(folder, manager)):
                found[taker] = words
        return found

    def _registered(self, folder: str, manager: str) -> tuple[str, ...]:
        words: set[str] = set()
        for path in self.tree.paths:
            if path.startswith(folder) and path.endswith(".py"):
                for names in re.findall(rf"@{manager}\.register_module\(([^)]*)\)", self.tree.read(path) or ""):
                    words |= set(re.findall(r"[\"']([\w.-]+)[\"']", names))
        return tuple(sorted(words))


def _key(name: str, field: Field) -> tuple[Flag, Class | None]:
    """A key of a JSON object by its hint, and the class of an object under it."""
    parts = list(_parts(field.type))
    hints = set(parts)
    literals = [each for each in parts if typing.get_origin(each) is typing.Literal]
    inner = next((each for each in parts if isinstance(each, Class) and each.is_dataclass), None)
    kind: Kind = "str"
    if inner or any(typing.get_origin(each) or each in (dict, list, set, tuple) for each in hints - set(literals)):
        kind = "json"
    elif not hints & {str} and not any(isinstance(each, Unknown | Class) for each in hints):
        kind = "switch" if bool in hints else "float" if float in hints else "int" if int in hints else "str"
    choices = tuple(str(word) for each in literals for word in typing.get_args(each)) if kind == "str" else ()
    is_open = bool(hints - set(literals) - {type(None)})
    is_deprecated = "deprecated" in field.doc.partition(". ")[0].lower()
    is_required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    flag = Flag(name, (), kind, () if is_open else choices, ("None",) if type(None) in hints else (),
                default=_default(field.default), deprecated=is_deprecated, required=is_required)  # fmt: skip
    return flag, inner


def _parts(hint: object) -> Iterator[Any]:
    """The hints that a union is made of."""
    if typing.get_origin(hint) is typing.Annotated:
        yield from _parts(typing.get_args(hint)[0])
    elif typing.get_origin(hint) is typing.Union:
        for part in typing.get_args(hint):
            yield from _parts(part)
    else:
        yield hint


def _docs(cls: object) -> dict[str, str]:
    return {name: field.doc for name, field in cls.fields.items()} if isinstance(cls, Class) else {}


def _with_origins(get_kwargs: Callable[..., object]) -> Callable[..., object]:
    """get_kwargs, with what it gives telling which field each flag stands for."""

    def marked(cls: object) -> object:
        told = get_kwargs(cls)
        if isinstance(told, dict) and isinstance(cls, Class):
            for name in told.keys() & cls.fields.keys():
                told[name] = {**told[name], _ORIGIN: (cls, cls.fields[name])}
        return told

    return marked


def _parsed_class(read: object) -> Class | None:
    """The class whose JSON a flag's type reads, through `optional_type` too."""
    for _ in range(3):
        if not isinstance(read, Function):
            return None
        names = {**(read.scope.outer.names if read.scope.outer else {}), **read.scope.names}
        if isinstance(cls := names.get("cls"), Class) and cls.is_dataclass:
            return cls
        read = names.get("return_type")
    return None


def _limits(field: Field) -> tuple[tuple[Bound, float], ...]:
    told: dict[str, object] = dict(field.limits)
    for part in typing.get_args(field.type) if typing.get_origin(field.type) is typing.Annotated else ():
        told |= part.given if isinstance(part, FieldCall) else {}
    return tuple((bound, float(value)) for bound in _BOUNDS
                 for value in [told.get(bound)] if isinstance(value, int | float))  # fmt: skip


def _variable(name: str, told: ast.AnnAssign | None, scope: Scope) -> Variable:
    if told is None:
        return Variable(name, "str")
    default = scope.value(told.value) if told.value else None
    hints = set(_parts(scope.hint(told.annotation)))
    literal = next((each for each in hints if typing.get_origin(each) is typing.Literal), None)
    choices = tuple(str(word) for word in typing.get_args(literal))
    kind: VariableKind = "str"
    if not literal:
        kind = "switch" if bool in hints else "int" if int in hints else "float" if float in hints else "str"
    written = {True: "1", False: "0"}[default] if isinstance(default, bool) else _default(default)
    return Variable(name, kind, None if written is None else str(written), choices)


def _words(value: object) -> tuple[str, ...]:
    """The words of a Literal, an enumeration or the keys of a table."""
    if isinstance(value, Class):
        names = tuple(value.members)
        is_values = value.name == "LoadFormat"
        return tuple(str(member.value) for member in value.members.values()) if is_values else names
    if isinstance(value, dict | list):
        return tuple(str(each) for each in value)
    return tuple(str(each) for each in typing.get_args(value) if isinstance(each, str))
