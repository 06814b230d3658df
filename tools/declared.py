"""What Python sources declare: modules, classes with their fields, enumerations, functions, and what cannot be told."""

import ast
import dataclasses
import typing
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluate import Scope, Sources


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


class Return(Exception):
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
        inner = type(self.scope)(self.scope.module, self.scope, owner=self.owner)
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
        except Return as done:
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
        inner = type(self.module.scope)(self.module, self.module.scope)
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
                if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                    continue
                if "ClassVar" not in ast.unparse(node.annotation):
                    found[node.target.id] = each.field(node, after)
        return found

    def field(self, node: ast.AnnAssign, after: ast.stmt | None) -> Field:
        assert isinstance(node.target, ast.Name)
        is_doc = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        doc = str(after.value.value) if is_doc else ""  # type: ignore[union-attr]
        given = self.scope.value(node.value) if node.value else dataclasses.MISSING
        hint = self.scope.hint(node.annotation)
        limits: Mapping[str, object] = {}
        default: object
        factory: object
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
        return next((v for each in self.line for v in [each.own(name, self)] if v is not ABSENT), Unknown(name))

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
        return ABSENT

    def __call__(self, *_args: object, **_kwargs: object) -> Unknown:
        return Unknown(f"{self.name}()")

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values() if self.is_enum else ())

    def __repr__(self) -> str:
        return self.name


ABSENT = Unknown("absent")


@dataclasses.dataclass(frozen=True)
class Super:
    owner: Class
    first: object

    def attribute(self, name: str) -> object:
        bound = self.first if isinstance(self.first, Class) else self.owner
        above = self.owner.line[1:]
        return next((v for each in above for v in [each.own(name, bound)] if v is not ABSENT), Unknown(name))


class Module:
    """One file of the sources; what its names stand for is evaluated when asked."""

    def __init__(self, name: str, is_package: bool, text: str, sources: "Sources") -> None:
        self.name, self.is_package, self.sources = name, is_package, sources
        self.tree = ast.parse(text)
        self.scope: Scope = sources.scope(self)
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
        """What a name of the module stands for, `ABSENT` when it has no such name."""
        if name in self.values:
            return self.values[name]
        node = self.bindings.get(name)
        if node is None:
            inner = self.sources.module(f"{self.name}.{name}") if self.is_package else None
            return inner or next((v for each in self.starred() for v in [each.get(name)] if v is not ABSENT), ABSENT)
        self.values[name] = Unknown(name)  # a name that stands for itself
        self.values[name] = self._evaluate(name, node)
        return self.values[name]

    def starred(self) -> "Iterator[Module]":
        """The modules of which it imports every name."""
        stars = [n for n in self.tree.body if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"]
        return filter(None, (self.sources.module(self.origin(node)) for node in stars))

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
                return dict(zip([getattr(e, "id", "") for e in target.elts], value, strict=False)).get(name, ABSENT)
            return value
        return self.scope.value(node.value) if isinstance(node, ast.AnnAssign) and node.value else Unknown(name)

    def imported(self, name: str, node: ast.Import | ast.ImportFrom) -> object:
        if isinstance(node, ast.Import):
            alias = next(each for each in node.names if (each.asname or each.name.partition(".")[0]) == name)
            return self.sources.outside(alias.name if alias.asname else name)
        alias = next(each for each in node.names if (each.asname or each.name) == name)
        origin = self.origin(node)
        if found := self.sources.module(origin):
            value = found.get(alias.name)
            if value is not ABSENT:
                return value
        return self.sources.outside(f"{origin}.{alias.name}")

    def origin(self, node: ast.ImportFrom) -> str:
        """The full name of the module that an import takes from."""
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        for _ in range(node.level - 1):
            package = package.rpartition(".")[0]
        return ".".join(filter(None, [package, node.module])) if node.level else node.module or ""


def attribute(holder: object, name: str) -> object:
    """An attribute of whatever it is. Of plain values only what has no underscores, so that none leads outside."""
    if isinstance(holder, Class | Super | Unknown):
        return holder.attribute(name)
    if isinstance(holder, Module):
        value = holder.get(name)
        return Unknown(f"{holder.name}.{name}") if value is ABSENT else value
    if name.startswith("_") and name not in ("__module__", "__name__"):
        return Unknown(name)
    return getattr(holder, name, Unknown(name))


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


def listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, typing.Iterable) else []
