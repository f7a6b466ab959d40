"""Row conditions as pandas writes them, as SQL: the part of the syntax of which both say the same.

Covered: comparisons of a column with a literal or of two numeric columns, `in` and `not in` a list, `isnull()` and
`notnull()`, joined by and, or, not. As in pandas, a comparison with a missing value is false, and `!=` true.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping

NUMBERS = frozenset({"integer", "double"})
OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "=", ast.NotEq: "<>",
}  # fmt: skip


class NotCoveredError(Exception):
    """Something that is left to Great Expectations' own engine; never leaves the checks."""


def translated(condition: str, families: Mapping[str, str]) -> str:
    """Return a pandas row condition as SQL.

    Args:
        condition: such as `amount > 0 and kind in ["a", "b"]`.
        families: what each column holds: integer, double, string, boolean, date, timestamp, …

    Raises:
        NotCoveredError: part of it is not known to mean the same in SQL.
    """
    if "\n" in condition:
        raise NotCoveredError(condition)
    try:
        tree = ast.parse(condition.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise NotCoveredError(condition) from error
    return _truth(tree, families)


def quoted(name: str) -> str:
    """Return a name as an SQL identifier.

    >>> quoted("a b")
    '"a b"'
    """
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a text as an SQL literal."""
    if "\0" in value:
        raise NotCoveredError(value)
    return "'" + value.replace("'", "''") + "'"


def number(value: float) -> str:
    """Return a number as an SQL literal; whole numbers as integers, so that large ids stay exact."""
    if isinstance(value, bool) or not math.isfinite(value):
        raise NotCoveredError(value)
    whole = isinstance(value, int) or value.is_integer()
    return str(int(value)) if whole and abs(value) < 2**62 else f"{float(value)!r}::double"


def literal(value: object, family: str) -> str:
    """Return a value that may be compared with a column of a family.

    Raises:
        NotCoveredError: the types differ.
    """
    if family in NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    if family == "string" and isinstance(value, str):
        return text(value)
    if family == "boolean" and isinstance(value, bool):
        return str(value).lower()
    raise NotCoveredError(value)


def _truth(node: ast.expr, families: Mapping[str, str]) -> str:
    if isinstance(node, ast.BoolOp):
        word = " and " if isinstance(node.op, ast.And) else " or "
        return "(" + word.join(_truth(part, families) for part in node.values) + ")"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        word = "and" if isinstance(node.op, ast.BitAnd) else "or"
        return f"({_truth(node.left, families)} {word} {_truth(node.right, families)})"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        return f"(not {_truth(node.operand, families)})"
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        pairs = zip(sides, node.ops, sides[1:], strict=False)
        return "(" + " and ".join(_comparison(left, op, right, families) for left, op, right in pairs) + ")"
    return _missing(node, families)


def _missing(node: ast.expr, families: Mapping[str, str]) -> str:
    called = node.func if isinstance(node, ast.Call) and not node.args and not node.keywords else None
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        words = {"isnull": "is null", "isna": "is null", "notnull": "is not null", "notna": "is not null"}
        if called.attr in words and families.get(called.value.id):
            return f"({quoted(called.value.id)} {words[called.attr]})"
    raise NotCoveredError(ast.dump(node))


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, families: Mapping[str, str]) -> str:
    if isinstance(op, ast.In | ast.NotIn):
        return _membership(left, right, families, negated=isinstance(op, ast.NotIn))
    if type(op) not in OPERATORS:
        raise NotCoveredError(ast.dump(op))
    family = _family(left, right, families)
    ordered = not isinstance(op, ast.Eq | ast.NotEq)
    if ordered and family not in NUMBERS:
        raise NotCoveredError(family)
    compared = f"{_side(left, family)} {OPERATORS[type(op)]} {_side(right, family)}"
    return f"coalesce({compared}, {'true' if isinstance(op, ast.NotEq) else 'false'})"


def _family(left: ast.expr, right: ast.expr, families: Mapping[str, str]) -> str:
    """Return what is compared; both columns must be numbers where there are two."""
    found = [families.get(side.id, "") for side in (left, right) if isinstance(side, ast.Name)]
    if len(found) == 1 or (len(found) == 2 and set(found) <= NUMBERS):
        return found[0]
    raise NotCoveredError(found)


def _side(node: ast.expr, family: str) -> str:
    return quoted(node.id) if isinstance(node, ast.Name) else literal(_value(node), family)


def _membership(left: ast.expr, right: ast.expr, families: Mapping[str, str], *, negated: bool) -> str:
    if not isinstance(left, ast.Name) or not isinstance(right, ast.List | ast.Tuple) or not right.elts:
        raise NotCoveredError(ast.dump(right))
    values = ", ".join(literal(_value(item), families.get(left.id, "")) for item in right.elts)
    return f"{'not ' if negated else ''}coalesce({quoted(left.id)} in ({values}), false)"


def _value(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise NotCoveredError(ast.dump(node)) from error
