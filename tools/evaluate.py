"""Reads Python sources by evaluating their syntax trees: nothing is imported and nothing outside is reached.

Only what building a parser and a table takes is understood: names, literals, calls of functions that stand in the same
sources, comprehensions, if, for, try. Whatever else turns up is an `Unknown`, which every operation leaves unknown.
"""

import argparse
import ast
import builtins
import dataclasses
import enum
import json
import operator
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any


class Unknown:
    """What cannot be told from the sources; it is false, empty, equal to nothing, and so is all that comes of it."""

    def __init__(self, name: str, sources: "Sources | None" = None) -> None:
        self.name, self.sources = name, sources

    def attribute(self, name: str) -> object:
        whole = f"{self.name}.{name}"
        return self.sources.outside(whole) if self.sources else Unknown(whole)

    def __call__(self, *_args: object, **_kwargs: object) -> "Unknown":
        return self

    def __bool__(self) -> bool:
        return False

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __contains__(self, _item: object) -> bool:
        return False

    def __repr__(self) -> str:
        return self.name


class Raised(Exception):
    """An exception of a class that only the sources know."""


class _Return(Exception):
    def __init__(self, value: object) -> None:
        self.value = value


@dataclasses.dataclass(frozen=True)
class Member:
    """A member of an enumeration."""

    name: str
    value: object


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a dataclass: `default` is MISSING where it has none, `limits` is what `Field(ge=...)` says."""

    name: str
    type: object
    default: object
    default_factory: object
    limits: Mapping[str, object]
    doc: str
    init: bool = True


@dataclasses.dataclass(frozen=True)
class FieldCall:
    """What `field(...)` or pydantic's `Field(...)` made."""

    given: Mapping[str, object]

    @property
    def default(self) -> object:
        return self.given.get("default", dataclasses.MISSING)

    @property
    def default_factory(self) -> object:
        return self.given.get("default_factory", dataclasses.MISSING)


@dataclasses.dataclass(eq=False)
class Function:
    """A function of the sources; called, its body is evaluated."""

    node: ast.FunctionDef | ast.Lambda
    scope: "Scope"
    bound: tuple[object, ...] = ()
    owner: "Class | None" = None

    def __call__(self, *args: object, **kwargs: object) -> object:
        inner = Scope(self.scope.module, self.scope, owner=self.owner)
        positional = [*self.bound, *args]
        spec = self.node.args
        names = [arg.arg for arg in (*spec.posonlyargs, *spec.args)]
        defaults = dict(zip(reversed(names), reversed(spec.defaults), strict=False))
        defaults |= {arg.arg: node for arg, node in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if node}
        given = dict(zip(names, positional, strict=False)) | kwargs
        for name in (*names, *(arg.arg for arg in spec.kwonlyargs)):
            if name in given:
                inner.names[name] = given[name]
            elif name in defaults:
                inner.names[name] = self.scope.value(defaults[name])
            else:
                inner.names[name] = Unknown(name)
        if spec.vararg:
            inner.names[spec.vararg.arg] = tuple(positional[len(names) :])
        if spec.kwarg:
            inner.names[spec.kwarg.arg] = {k: v for k, v in kwargs.items() if k not in inner.names}
        inner.first = inner.names.get(names[0]) if names else None
        if isinstance(self.node, ast.Lambda):
            return inner.value(self.node.body)
        try:
            inner.run(self.node.body)
        except _Return as done:
            return done.value
        return inner.yielded


@dataclasses.dataclass(eq=False)
class Class:
    """A class of the sources."""

    node: ast.ClassDef
    module: "Module"

    @property
    def name(self) -> str:
        return self.node.name

    @cached_property
    def scope(self) -> "Scope":
        """Its body's names, before the module's."""
        inner = Scope(self.module, self.module.scope)
        inner.body_of = self
        return inner

    @cached_property
    def bases(self) -> list[object]:
        return [self.module.scope.value(base) for base in self.node.bases]

    @cached_property
    def line(self) -> "list[Class]":
        """Itself and all classes above it, nearest first."""
        above = [each for base in self.bases if isinstance(base, Class) for each in base.line]
        return [self, *dict.fromkeys(above)]

    def inherits(self, name: str) -> bool:
        """Whether a class of this name is among those above it, also one outside the sources."""
        outside = (base for each in self.line for base in each.bases if not isinstance(base, Class))
        return any(name == str(getattr(base, "__name__", base)).rpartition(".")[2] for base in outside) or any(
            each.name == name for each in self.line[1:]
        )

    @cached_property
    def is_enum(self) -> bool:
        return any(self.inherits(name) for name in ("Enum", "IntEnum", "StrEnum"))

    @cached_property
    def is_dataclass(self) -> bool:
        names = {str(n.attr if isinstance(n, ast.Attribute) else getattr(n, "id", ""))
                 for each in self.line for d in each.node.decorator_list
                 for n in [d.func if isinstance(d, ast.Call) else d]}  # fmt: skip
        return bool(names & {"dataclass", "config"})

    @cached_property
    def members(self) -> dict[str, Member]:
        found = {}
        for node in self.node.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                value = self.scope.value(node.value)
                found[name] = Member(name, name.lower() if isinstance(value, Unknown) else value)
        return {name: member for name, member in found.items() if not name.startswith("_")}

    @cached_property
    def fields(self) -> dict[str, Field]:
        found: dict[str, Field] = {}
        for each in reversed(self.line):
            body = each.node.body
            for node, after in zip(body, [*body[1:], None], strict=True):
                is_field = isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation)
                if is_field and isinstance(node.target, ast.Name):
                    found[node.target.id] = each.field(node, after)
        return found

    def field(self, node: ast.AnnAssign, after: ast.stmt | None) -> Field:
        assert isinstance(node.target, ast.Name)
        is_doc = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        doc = str(after.value.value) if is_doc else ""  # type: ignore[union-attr]
        given = self.scope.value(node.value) if node.value else dataclasses.MISSING
        hint = self.scope.hint(node.annotation)
        limits: Mapping[str, object] = {}
        default, factory, init = given, dataclasses.MISSING, True
        if isinstance(given, FieldCall):
            limits, init = given.given, given.given.get("init") is not False
            default, factory = given.default, given.default_factory
        elif isinstance(given, Field):
            default, factory, limits = given.default, given.default_factory, given.limits
        return Field(node.target.id, hint, default, factory, limits, doc, init)

    def attribute(self, name: str) -> object:
        if name in ("__name__", "__qualname__"):
            return self.name
        if name == "__doc__":
            return ast.get_docstring(self.node) or ""
        if name == "__module__":
            return self.module.name
        if name == "__members__":
            return self.members
        if self.is_enum and name in self.members:
            return self.members[name]
        return next((v for each in self.line for v in [each.own(name, self)] if v is not _ABSENT), Unknown(name))

    def own(self, name: str, bound: "Class") -> object:
        """What the class itself has under a name."""
        for node in self.node.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                kinds = {getattr(each, "id", "") for each in node.decorator_list}
                return Function(node, self.module.scope, (bound,) if "classmethod" in kinds else (), self)
        return self.value_of(name)

    def value_of(self, name: str) -> object:
        """What its body assigns to a name."""
        for node in self.node.body:
            if isinstance(node, ast.Assign) and name in [getattr(t, "id", "") for t in node.targets]:
                return self.scope.value(node.value)
            if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == name and node.value:
                value = self.scope.value(node.value)
                return value.default if isinstance(value, FieldCall) else value
        return _ABSENT

    def __call__(self, *_args: object, **_kwargs: object) -> Unknown:
        return Unknown(f"{self.name}()")

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values() if self.is_enum else ())

    def __repr__(self) -> str:
        return self.name


_ABSENT = Unknown("absent")


@dataclasses.dataclass(frozen=True)
class _Super:
    owner: Class
    first: object

    def attribute(self, name: str) -> object:
        bound = self.first if isinstance(self.first, Class) else self.owner
        above = self.owner.line[1:]
        return next((v for each in above for v in [each.own(name, bound)] if v is not _ABSENT), Unknown(name))


class Module:
    """One file of the sources; what its names stand for is evaluated when asked."""

    def __init__(self, name: str, is_package: bool, text: str, sources: "Sources") -> None:
        self.name, self.is_package, self.sources = name, is_package, sources
        self.tree = ast.parse(text)
        self.scope = Scope(self)
        self.bindings: dict[str, ast.stmt] = {}
        self.values: dict[str, object] = {}
        self._index(self.tree.body)

    def _index(self, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.If):
                if not _is_typing_only(node.test):
                    self._index(node.body)
                self._index(node.orelse)
            elif isinstance(node, ast.Try):
                for handler in node.handlers:
                    self._index(handler.body)
                self._index(node.body)
            else:
                self.bindings |= dict.fromkeys(_bound_names(node), node)

    def get(self, name: str) -> object:
        """What a name of the module stands for, `_ABSENT` when it has no such name."""
        if name in self.values:
            return self.values[name]
        node = self.bindings.get(name)
        if node is None:
            inner = self.sources.module(f"{self.name}.{name}") if self.is_package else None
            return inner if inner else _ABSENT
        self.values[name] = Unknown(name)  # a name that stands for itself
        self.values[name] = self._evaluate(name, node)
        return self.values[name]

    def _evaluate(self, name: str, node: ast.stmt) -> object:
        if isinstance(node, ast.FunctionDef):
            return self.sources.wrapped(Function(node, self.scope))
        if isinstance(node, ast.ClassDef):
            return Class(node, self)
        if isinstance(node, ast.Import | ast.ImportFrom):
            return self.imported(name, node)
        if isinstance(node, ast.Assign):
            target = node.targets[0]
            value = self.scope.value(node.value)
            if isinstance(target, ast.Tuple) and isinstance(value, tuple | list):
                return dict(zip([getattr(e, "id", "") for e in target.elts], value, strict=False)).get(name, _ABSENT)
            return value
        return self.scope.value(node.value) if isinstance(node, ast.AnnAssign) and node.value else Unknown(name)

    def imported(self, name: str, node: ast.Import | ast.ImportFrom) -> object:
        if isinstance(node, ast.Import):
            alias = next(each for each in node.names if (each.asname or each.name.partition(".")[0]) == name)
            return self.sources.outside(alias.name if alias.asname else name)
        alias = next(each for each in node.names if (each.asname or each.name) == name)
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        for _ in range(node.level - 1):
            package = package.rpartition(".")[0]
        origin = ".".join(filter(None, [package, node.module])) if node.level else node.module or ""
        if found := self.sources.module(origin):
            value = found.get(alias.name)
            if value is not _ABSENT:
                return value
        return self.sources.outside(f"{origin}.{alias.name}")


class Sources:
    """The Python files of one release, by path inside it (`vllm/envs.py`)."""

    def __init__(self, read: Callable[[str], str | None], natives: Mapping[str, object] | None = None,
                 wrapped: Mapping[str, Callable[[Any], object]] | None = None) -> None:  # fmt: skip
        self._read = read
        self._natives = NATIVES | dict(natives or {})
        self._wrapped = dict(wrapped or {})  # by the name of a function: what to put in its place
        self._modules: dict[str, Module | None] = {}

    def module(self, name: str) -> Module | None:
        """The module of this name, None when the sources have none."""
        if name not in self._modules:
            self._modules[name] = None
            path = PurePosixPath(*name.split("."))
            for file, is_package in ((f"{path}.py", False), (f"{path}/__init__.py", True)):
                text = self._read(file)
                if text is not None:
                    self._modules[name] = Module(name, is_package, text, self)
                    break
        return self._modules[name]

    def get(self, module: str, name: str) -> object:
        """A name of a module; Unknown when either is not there."""
        found = self.module(module)
        value = found.get(name) if found else _ABSENT
        return Unknown(f"{module}.{name}") if value is _ABSENT else value

    def wrapped(self, function: Function) -> object:
        """The function, or what the caller wants in its place."""
        wrap = self._wrapped.get(getattr(function.node, "name", ""))
        return wrap(function) if wrap else function

    def outside(self, name: str) -> object:
        """What stands for something outside the sources."""
        return self._natives.get(name) or self.module(name) or Unknown(name, self)


class Scope:
    """The names of a running function, or of a module."""

    def __init__(self, module: Module, outer: "Scope | None" = None, owner: Class | None = None) -> None:
        self.module, self.outer = module, outer
        self.owner = owner or (outer.owner if outer else None)
        self.names: dict[str, object] = {}
        self.first: object = outer.first if outer else None
        self.yielded: list[object] | None = None
        self.body_of: Class | None = None

    def lookup(self, name: str) -> object:
        scope: Scope | None = self
        while scope:
            if name in scope.names:
                return scope.names[name]
            if scope.body_of and (own := scope.body_of.value_of(name)) is not _ABSENT:
                return own
            scope = scope.outer
        value = self.module.get(name)
        if value is not _ABSENT:
            return value
        return _BUILTINS.get(name, Unknown(name))

    def hint(self, node: ast.expr) -> object:
        """An annotation, also one in quotes."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self.hint(ast.parse(node.value, mode="eval").body)
        return self.value(node)

    # statements

    def run(self, body: list[ast.stmt]) -> None:
        for node in body:
            getattr(self, f"_run_{type(node).__name__.lower()}", self._pass)(node)

    def _pass(self, _node: ast.stmt) -> None:
        """A statement that is not understood changes nothing."""

    def _run_expr(self, node: ast.Expr) -> None:
        self.value(node.value)

    def _run_return(self, node: ast.Return) -> None:
        raise _Return(self.value(node.value) if node.value else None)

    def _run_raise(self, node: ast.Raise) -> None:
        error = self.value(node.exc) if node.exc else None
        if isinstance(error, type) and issubclass(error, Exception):
            raise error()
        raise error if isinstance(error, Exception) else Raised(str(error))

    def _run_assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self._bind(target, value)

    def _run_annassign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self._bind(node.target, self.value(node.value))

    def _run_augassign(self, node: ast.AugAssign) -> None:
        old = self.value(typing.cast("ast.expr", _loaded(node.target)))
        self._bind(node.target, _operate(type(node.op), old, self.value(node.value)))

    def _bind(self, target: ast.expr, value: object) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            parts = [*value] if isinstance(value, tuple | list) else []
            for each, part in zip(target.elts, [*parts, *[Unknown("?")] * len(target.elts)], strict=False):
                self._bind(each, part)
        elif isinstance(target, ast.Subscript):
            holder = self.value(target.value)
            if isinstance(holder, dict | list):
                holder[self.value(target.slice)] = value  # type: ignore[index]

    def _run_delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Subscript) and isinstance(holder := self.value(target.value), dict):
                holder.pop(self.value(target.slice), None)

    def _run_if(self, node: ast.If) -> None:
        self.run(node.body if self.value(node.test) else node.orelse)

    def _run_for(self, node: ast.For) -> None:
        for item in _listed(self.value(node.iter)):
            self._bind(node.target, item)
            self.run(node.body)

    def _run_with(self, node: ast.With) -> None:
        self.run(node.body)

    def _run_try(self, node: ast.Try) -> None:
        try:
            self.run(node.body)
        except (Raised, *_ERRORS) as error:
            for handler in node.handlers:
                if self._handles(handler, error):
                    self.run(handler.body)
                    return
            raise

    def _handles(self, handler: ast.ExceptHandler, error: Exception) -> bool:
        kinds = self.value(handler.type) if handler.type else Exception
        found = [kind for kind in (kinds if isinstance(kinds, tuple) else (kinds,)) if isinstance(kind, type)]
        return isinstance(error, (*found, Raised))

    def _run_functiondef(self, node: ast.FunctionDef) -> None:
        defaults = self.names  # a closure's defaults are taken now: `def parse(val, cls=cls)`
        taken = Scope(self.module, self)
        taken.names = {
            arg.arg: self.value(default)
            for arg, default in zip(reversed(node.args.args), reversed(node.args.defaults), strict=False)
        }
        defaults[node.name] = self.module.sources.wrapped(Function(node, taken))

    def _run_import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self.names[name] = self.module.imported(name, node)

    def _run_importfrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            name = alias.asname or alias.name
            self.names[name] = self.module.imported(name, node)

    # expressions

    def value(self, node: ast.expr) -> Any:
        return getattr(self, f"_of_{type(node).__name__.lower()}", self._unknown)(node)

    def _unknown(self, node: ast.expr) -> Unknown:
        return Unknown(type(node).__name__)

    def _of_constant(self, node: ast.Constant) -> object:
        return node.value

    def _of_name(self, node: ast.Name) -> object:
        return self.lookup(node.id)

    def _of_attribute(self, node: ast.Attribute) -> object:
        return attribute(self.value(node.value), node.attr)

    def _of_subscript(self, node: ast.Subscript) -> object:
        holder, key = self.value(node.value), self.value(node.slice)
        if isinstance(holder, Unknown):
            return holder
        try:
            return holder[key]
        except (TypeError, AttributeError):
            return Unknown("?")

    def _of_slice(self, node: ast.Slice) -> slice:
        return slice(*(self.value(part) if part else None for part in (node.lower, node.upper, node.step)))

    def _of_tuple(self, node: ast.Tuple) -> tuple[object, ...]:
        return tuple(self._elements(node.elts))

    def _of_list(self, node: ast.List) -> list[object]:
        return self._elements(node.elts)

    def _of_set(self, node: ast.Set) -> set[object]:
        return set(self._elements(node.elts))

    def _elements(self, nodes: list[ast.expr]) -> list[object]:
        found: list[object] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                found += _listed(self.value(node.value))
            else:
                found.append(self.value(node))
        return found

    def _of_dict(self, node: ast.Dict) -> dict[object, object]:
        found: dict[object, object] = {}
        for key, each in zip(node.keys, node.values, strict=True):
            value = self.value(each)
            if key is None:
                found |= value if isinstance(value, dict) else {}
            else:
                found[self.value(key)] = value
        return found

    def _of_joinedstr(self, node: ast.JoinedStr) -> str:
        return "".join(str(self.value(part)) for part in node.values)

    def _of_formattedvalue(self, node: ast.FormattedValue) -> str:
        return str(self.value(node.value))

    def _of_ifexp(self, node: ast.IfExp) -> object:
        return self.value(node.body if self.value(node.test) else node.orelse)

    def _of_boolop(self, node: ast.BoolOp) -> object:
        value: object = None
        for each in node.values:
            value = self.value(each)
            if bool(value) == isinstance(node.op, ast.Or):
                break
        return value

    def _of_unaryop(self, node: ast.UnaryOp) -> object:
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return not value
        return -value if isinstance(node.op, ast.USub) and isinstance(value, int | float) else Unknown("?")

    def _of_binop(self, node: ast.BinOp) -> object:
        return _operate(type(node.op), self.value(node.left), self.value(node.right))

    def _of_compare(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for op, each in zip(node.ops, node.comparators, strict=True):
            right = self.value(each)
            if not _compare(type(op), left, right):
                return False
            left = right
        return True

    def _of_lambda(self, node: ast.Lambda) -> Function:
        return Function(node, self)

    def _of_namedexpr(self, node: ast.NamedExpr) -> object:
        value = self.value(node.value)
        self._bind(node.target, value)
        return value

    def _of_yield(self, node: ast.Yield) -> None:
        self.yielded = [*(self.yielded or []), self.value(node.value) if node.value else None]

    def _of_listcomp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> list[object]:
        return [scope.value(node.elt) for scope in self._each(node.generators)]

    _of_generatorexp = _of_listcomp

    def _of_setcomp(self, node: ast.SetComp) -> set[object]:
        return set(self._of_listcomp(node))

    def _of_dictcomp(self, node: ast.DictComp) -> dict[object, object]:
        return {scope.value(node.key): scope.value(node.value) for scope in self._each(node.generators)}

    def _each(self, generators: list[ast.comprehension]) -> Iterator["Scope"]:
        if not generators:
            yield self
            return
        first, *rest = generators
        for item in _listed(self.value(first.iter)):
            inner = Scope(self.module, self)
            inner._bind(first.target, item)
            if all(inner.value(test) for test in first.ifs):
                yield from inner._each(rest)

    def _of_call(self, node: ast.Call) -> object:
        if isinstance(node.func, ast.Name) and node.func.id == "super" and self.owner:
            return _Super(self.owner, self.first)
        function = self.value(node.func)
        args = self._elements(node.args)
        kwargs: dict[str, Any] = {}
        for keyword in node.keywords:
            value = self.value(keyword.value)
            if keyword.arg:
                kwargs[keyword.arg] = value
            elif isinstance(value, dict):
                kwargs |= value
        if isinstance(function, Unknown):
            return Unknown(f"{function.name}()")
        if not callable(function):
            return Unknown("?")
        try:
            return function(*args, **kwargs)
        except TypeError:
            if any(isinstance(each, Unknown) for each in (*args, *kwargs.values())):
                return Unknown("?")
            raise


def attribute(holder: object, name: str) -> object:
    """An attribute of whatever it is. Of plain values only what has no underscores, so that none leads outside."""
    if isinstance(holder, Class | _Super | Unknown):
        return holder.attribute(name)
    if isinstance(holder, Module):
        value = holder.get(name)
        return Unknown(f"{holder.name}.{name}") if value is _ABSENT else value
    if name.startswith("_") and name not in ("__module__", "__name__"):
        return Unknown(name)
    return getattr(holder, name, Unknown(name))


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, typing.Iterable) else []


def _loaded(node: ast.expr) -> ast.AST:
    return ast.fix_missing_locations(ast.parse(ast.unparse(node), mode="eval").body)


def _is_typing_only(test: ast.expr) -> bool:
    return ast.unparse(test).rpartition(".")[2] == "TYPE_CHECKING"


def _bound_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [each.id for target in targets for each in getattr(target, "elts", [target]) if isinstance(each, ast.Name)]


_OPERATORS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_, ast.LShift: operator.lshift,
}  # fmt: skip
_COMPARISONS: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip


def _operate(kind: type, left: Any, right: Any) -> object:
    if kind is ast.BitOr and (_is_hint(left) or _is_hint(right)):
        return typing.Union[left, right]  # noqa: UP007
    try:
        return _OPERATORS[kind](left, right)
    except (TypeError, KeyError, ZeroDivisionError):
        return Unknown("?")


def _is_hint(value: object) -> bool:
    return value is None or isinstance(value, Class | type | Unknown) or typing.get_origin(value) is not None


def _compare(kind: type, left: Any, right: Any) -> bool:
    try:
        return bool(_COMPARISONS[kind](left, right))
    except TypeError:
        return False


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
    return next(iter(_listed(items)), *default)


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


_PLAIN = ("int", "str", "float", "bool", "dict", "list", "tuple", "set", "frozenset", "bytes", "object", "len", "any",
          "all", "sorted", "range", "enumerate", "zip", "min", "max", "sum", "repr", "abs", "round", "reversed",
          "callable", "Exception", "ValueError", "TypeError", "KeyError", "AttributeError", "RuntimeError",
          "NotImplementedError", "ImportError", "StopIteration", "None", "True", "False")  # fmt: skip
_BUILTINS: Mapping[str, object] = {
    **{name: getattr(builtins, name, None) for name in _PLAIN},
    "isinstance": _isinstance, "issubclass": _issubclass, "getattr": _getattr, "next": _next, "type": _type_of,
    "hasattr": lambda holder, name: not isinstance(attribute(holder, name), Unknown),
    "print": lambda *_a, **_k: None,
    "iter": _listed,
    "__name__": "?",
}  # fmt: skip
_ERRORS = (ValueError, TypeError, KeyError, AttributeError, RuntimeError, NotImplementedError, ImportError,
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
    "functools.partial": lambda function, *args, **kwargs: lambda *a, **k: function(*args, *a, **kwargs, **k),
    **{f"argparse.{name}": getattr(argparse, name) for name in
       ("Action", "ArgumentTypeError", "ArgumentError", "BooleanOptionalAction", "SUPPRESS", "Namespace")},
}  # fmt: skip
