"""The bounds that a class's own checks keep: `if self.x < 1: raise ...` as `x ge 1`."""

import ast
from collections.abc import Iterator, Mapping

from dyno.engine.catalog import Bound

_NEGATED: Mapping[type, Bound] = {ast.Lt: "ge", ast.LtE: "gt", ast.Gt: "le", ast.GtE: "lt"}
_KEPT: Mapping[type, Bound] = {ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}
_TURNED: Mapping[Bound, Bound] = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


def kept(cls: ast.ClassDef) -> Iterator[tuple[str, Bound, float]]:
    """The bounds that a class's checks keep. Most that a number may be is told only by checks that are always made:
    within others it speaks of a case, as "no more than 1 with elastic experts" does."""
    always = {id(node) for method in cls.body if isinstance(method, ast.FunctionDef) for node in method.body}
    for node in ast.walk(cls):
        if isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise) and len(node.body) <= 2:
            yield from (each for each in refused(node.test) if id(node) in always or each[1] in ("ge", "gt"))


def refused(test: ast.expr) -> Iterator[tuple[str, Bound, float]]:
    """The bounds kept by a check that raises when `test` holds. One field and numbers only."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        *before, last = test.values
        asked = [_presence(part) for part in before]
        yield from (each for each in refused(last) if all(name == each[0] for name in asked))
    elif isinstance(test, ast.BoolOp):
        for part in test.values:
            yield from refused(part)
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and isinstance(test.operand, ast.Compare):
        yield from _compared(test.operand, _KEPT)
    elif isinstance(test, ast.Compare) and len(test.ops) == 1:
        yield from _compared(test, _NEGATED)


def _presence(test: ast.expr) -> str | None:
    """The field of which a part of a check only asks that it has a value."""
    is_not_none = isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.IsNot)
    return _own_field(test.left if isinstance(test, ast.Compare) and is_not_none else test)


def _compared(test: ast.Compare, meaning: Mapping[type, Bound]) -> Iterator[tuple[str, Bound, float]]:
    terms = [test.left, *test.comparators]
    for left, op, right in zip(terms, test.ops, terms[1:], strict=False):
        bound = meaning.get(type(op))
        for term, other, turned in ((left, right, False), (right, left, True)):
            name, number = _own_field(term), _number(other)
            if bound and name and number is not None:
                yield name, _TURNED[bound] if turned else bound, number


def _own_field(node: ast.expr) -> str | None:
    is_own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    return node.attr if is_own and isinstance(node, ast.Attribute) else None


def _number(node: ast.expr) -> float | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
