"""Reads Python sources by evaluating their syntax trees: nothing is imported and nothing outside is reached.

Only what building a parser and a table takes is understood: names, literals, calls of functions that stand in the same
sources, comprehensions, if, for, try. Whatever else turns up is an `Unknown`, which every operation leaves unknown.
"""

import ast
import operator
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from declared import ABSENT, Class, Function, Module, Raised, Return, Super, Unknown, attribute, listed
from natives import BUILTINS, ERRORS, NATIVES, Ordered


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
        value = found.get(name) if found else ABSENT
        return Unknown(f"{module}.{name}") if value is ABSENT else value

    def wrapped(self, function: Function) -> object:
        """The function, or what the caller wants in its place."""
        wrap = self._wrapped.get(getattr(function.node, "name", ""))
        return wrap(function) if wrap else function

    def scope(self, module: Module) -> "Scope":
        """The names of a module, for its bodies to be evaluated in."""
        return Scope(module)

    def outside(self, name: str) -> object:
        """What stands for something outside the sources."""
        return self._natives.get(name) or self.module(name) or Unknown(name, self)


class Scope:
    """The names of a running function, or of a module."""

    def __init__(self, module: Module, outer: "Scope | None" = None, owner: Class | None = None) -> None:
        self.module, self.outer = module, outer
        self.owner: Class | None = owner or (outer.owner if outer else None)
        self.names: dict[str, object] = {}
        self.first: object = outer.first if outer else None
        self.yielded: list[object] | None = None
        self.body_of: Class | None = None

    def lookup(self, name: str) -> object:
        scope: Scope | None = self
        while scope:
            if name in scope.names:
                return scope.names[name]
            if scope.body_of and (own := scope.body_of.value_of(name)) is not ABSENT:
                return own
            scope = scope.outer
        value = self.module.get(name)
        if value is not ABSENT:
            return value
        return BUILTINS.get(name, Unknown(name))

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
        raise Return(self.value(node.value) if node.value else None)

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
                holder[self.value(target.slice)] = value

    def _run_delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Subscript) and isinstance(holder := self.value(target.value), dict):
                holder.pop(self.value(target.slice), None)

    def _run_if(self, node: ast.If) -> None:
        self.run(node.body if self.value(node.test) else node.orelse)

    def _run_for(self, node: ast.For) -> None:
        for item in listed(self.value(node.iter)):
            self._bind(node.target, item)
            self.run(node.body)

    def _run_with(self, node: ast.With) -> None:
        self.run(node.body)

    def _run_try(self, node: ast.Try) -> None:
        try:
            self.run(node.body)
        except (Raised, *ERRORS) as error:
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
        return Ordered(self._elements(node.elts))

    def _elements(self, nodes: list[ast.expr]) -> list[object]:
        found: list[object] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                found += listed(self.value(node.value))
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
        return Ordered(self._of_listcomp(node))

    def _of_dictcomp(self, node: ast.DictComp) -> dict[object, object]:
        return {scope.value(node.key): scope.value(node.value) for scope in self._each(node.generators)}

    def _each(self, generators: list[ast.comprehension]) -> Iterator["Scope"]:
        if not generators:
            yield self
            return
        first, *rest = generators
        for item in listed(self.value(first.iter)):
            inner = Scope(self.module, self)
            inner._bind(first.target, item)
            if all(inner.value(test) for test in first.ifs):
                yield from inner._each(rest)

    def _of_call(self, node: ast.Call) -> object:
        if isinstance(node.func, ast.Name) and node.func.id == "super" and self.owner:
            return Super(self.owner, self.first)
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


def _loaded(node: ast.expr) -> ast.AST:
    return ast.fix_missing_locations(ast.parse(ast.unparse(node), mode="eval").body)


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
