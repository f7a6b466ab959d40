"""What of a use case's SQL would say something else on Spark: named warnings, never errors.

features.sql and label.sql are written for DuckDB. sqlglot carries most of it to Spark unchanged; the rest was tried
against Spark 4 and is listed here: what gives another value in silence, what fails, and a way to write it that is
carried. Whatever sqlglot itself reports, or does not know, is a warning too. The sole user of sqlglot's translation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError, TokenError, UnsupportedError

from perennial.records import Record
from perennial.spec import UseCase

WEEKDAYS = {"dow", "isodow", "dayofweek", "weekday", "dayofweekiso"}
SPAN = "date-minus-date"  # judged with the names of the statement's dates
AGGREGATED = (exp.Min, exp.Max, exp.AnyValue)
Rule = Callable[[exp.Expr], bool]


@dataclass(frozen=True, slots=True)
class Unportable(Record):
    """One construct that Spark would read otherwise: where it is, what it does there, and how to write it instead."""

    case: str
    file: str
    line: int
    name: str
    construct: str
    why: str
    instead: str

    def __str__(self) -> str:
        """Return one line for people."""
        return f"{self.case}/{self.file}:{self.line}: {self.name}: {self.construct}: {self.why} Write {self.instead}."


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    applies: Rule
    why: str
    instead: str


def findings(case: UseCase) -> tuple[Unportable, ...]:
    """Return what is not portable in a use case's features and label, in the order of its lines."""
    files = [file for file in (case.features.sql, case.label.sql) if file is not None]
    dates = {"day"} | {name for source in case.sources for name, kind in source.columns.items() if kind == "date"}
    return tuple(found for file in files for found in _in_file(case, file, dates))


def _in_file(case: UseCase, file: str, dates: set[str]) -> list[Unportable]:
    try:
        statements = [tree for tree in sqlglot.parse(case.text(file), dialect="duckdb") if tree is not None]
    except (ParseError, TokenError) as error:
        line = error.errors[0].get("line") if isinstance(error, ParseError) and error.errors else None
        why = f"sqlglot cannot read it: {str(error).splitlines()[0]}"
        return [Unportable(case.name, file, int(line or 1), "not-read", "the file", why, "it in standard SQL")]
    found = []
    for tree in statements:
        named = _date_names(tree, dates)
        found += [
            Unportable(case.name, file, _line(node), kind.name, _shown(node), kind.why, kind.instead)
            for node in tree.walk()
            for kind in KINDS
            if kind.applies(node) or (kind.name == SPAN and _is_span(node, named))
        ]
        found += [
            Unportable(case.name, file, _line(tree), "not-translated", "the statement", why, "it another way")
            for why in _reported(tree)
        ]
    return sorted(set(found), key=lambda each: (each.line, each.name, each.construct))


def _shown(node: exp.Expr) -> str:
    shown = node.sql("duckdb", comments=False)
    return shown if len(shown) <= 70 else f"{shown[:67]}..."


def _line(node: exp.Expr) -> int:
    """Return the line on which a construct begins, as far as its parts say."""
    lines = [int(part.meta["line"]) for part in node.walk() if part.meta.get("line")]
    if not lines and node.parent is not None:
        return _line(node.parent)
    return min(lines, default=1)


def _reported(tree: exp.Expr) -> Iterator[str]:
    """Yield what sqlglot says that it cannot carry to Spark."""
    logger = logging.getLogger("sqlglot")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        tree.sql("spark", unsupported_level=ErrorLevel.RAISE, max_unsupported=100)
    except UnsupportedError as error:
        yield from dict.fromkeys(f"{line}." for line in str(error).splitlines() if line)
    finally:
        logger.setLevel(before)


def _name(node: exp.Expr) -> str:
    return str(node.this).lower() if isinstance(node, exp.Anonymous) else ""


def _is_weekday(node: exp.Expr) -> bool:
    if isinstance(node, exp.DayOfWeek | exp.DayOfWeekIso):
        return True
    if isinstance(node, exp.Extract):
        return node.name.lower() in WEEKDAYS or str(node.this).lower() in WEEKDAYS
    if _name(node) in {"date_part", "datepart"}:
        return bool(node.expressions) and node.expressions[0].name.lower() in WEEKDAYS
    return _name(node) in WEEKDAYS


def _is_quantile(node: exp.Expr) -> bool:
    kinds = (exp.PercentileCont, exp.PercentileDisc, exp.Quantile, exp.ApproxQuantile)
    return isinstance(node, kinds) or _name(node) in {"quantile", "quantile_cont", "quantile_disc"}


def _is_mixed_frame(node: exp.Expr) -> bool:
    """Tell whether a window frame's two bounds are intervals of different units."""
    if not isinstance(node, exp.WindowSpec):
        return False
    bounds = [node.args.get(key) for key in ("start", "end")]
    units = [_unit(bound) for bound in bounds if isinstance(bound, exp.Interval)]
    return len(units) == 2 and units[0] != units[1]


def _unit(interval: exp.Interval) -> str:
    unit = interval.args.get("unit")
    named = unit.name if unit is not None else str(interval.this).strip("'").split()[-1]
    return named.lower().rstrip("s")


def _is_unknown(node: exp.Expr) -> bool:
    known = isinstance(node, exp.Anonymous) and (_is_weekday(node) or _is_quantile(node))
    return isinstance(node, exp.Anonymous | exp.ToDays | exp.DateBin) and not known


def _date_names(tree: exp.Expr, dates: set[str]) -> set[str]:
    """Return the names of columns that hold a date: the contract's, and what they are called further on."""
    named = set(dates)
    while True:
        before = len(named)
        for alias in tree.find_all(exp.Alias):
            inner = alias.this.this if isinstance(alias.this, AGGREGATED) else alias.this
            if isinstance(inner, exp.Column) and inner.name in named:
                named.add(alias.alias)
        if len(named) == before:
            return named


def _is_span(node: exp.Expr, dates: set[str]) -> bool:
    return isinstance(node, exp.Sub) and _is_date(node.this, dates) and _is_date(node.expression, dates)


def _is_date(node: exp.Expr, dates: set[str]) -> bool:
    """Tell whether an expression is a date, by its names: one of them, a literal, a cast, the later of two, days on."""
    if isinstance(node, exp.Column):
        return node.name in dates
    if isinstance(node, exp.Cast):
        return bool(node.to.this == exp.DataType.Type.DATE)
    if isinstance(node, exp.Paren | exp.Min | exp.Max):
        return _is_date(node.this, dates)
    if isinstance(node, exp.Greatest | exp.Least):
        return any(_is_date(each, dates) for each in (node.this, *node.expressions))
    if isinstance(node, exp.Add | exp.Sub):
        return _is_date(node.this, dates) and isinstance(node.expression, exp.Literal)
    return False


KINDS = (
    _Kind(
        "day-of-week", _is_weekday, "Spark counts the days of the week from another one, in silence.",
        "date_diff('day', date '1970-01-05', x) % 7, which is 0 on Mondays",
    ),
    _Kind(
        "round-digits", lambda node: isinstance(node, exp.Round) and node.args.get("decimals") is not None,
        "some halves are rounded the other way, in silence.", "the value unrounded, or round(x * 10) / 10",
    ),
    _Kind(
        "asof-join", lambda node: isinstance(node, exp.Join) and str(node.method).upper() == "ASOF",
        "Spark has no ASOF JOIN.", "a join with row_number() over (partition by … order by … desc) = 1",
    ),
    _Kind("quantile", _is_quantile, "Spark has no such function.", "row_number() and count(*) over the same partition"),
    _Kind(
        "mixed-interval", _is_mixed_frame, "Spark refuses a frame whose bounds have different units.",
        "range between 604800 preceding and 1 preceding over cast(floor(epoch(ts)) as bigint)",
    ),
    _Kind(
        "unknown-function", _is_unknown, "sqlglot passes it on by its name, which Spark may not know.",
        "it by functions that both have",
    ),
    _Kind(
        SPAN, lambda _node: False, "a number of days in DuckDB, an interval in Spark.",
        "date_diff('day', earlier, later)",
    ),
)  # fmt: skip
