"""Expectations as SQL over the rows: which rows an expectation judges, and which of them it refuses.

Only what is known to say the same as Great Expectations on pandas is put into SQL; everything else, wrong arguments
included, raises `NotCoveredError` and is left to its engine, which then also has the say on errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import pyarrow as pa

from perennial.io.rowconditions import NUMBERS, NotCoveredError, literal, number, quoted, translated

Expectation = Mapping[str, Any]
Limit = int | float | date | None
DAY = re.compile(r"\d{4}-\d\d-\d\d")
SEVERITIES = {"critical", "warning", "info"}
ORDERED = frozenset({*NUMBERS, "date", "timestamp", "timestamptz"})
EVERY = frozenset({*ORDERED, "string", "boolean"})


@dataclass(frozen=True, slots=True)
class RowCheck:
    """Judges each row; without `refused`, the rows that share their values with another row are refused.

    `domain` and `judged` are conditions that are true for the rows looked at, and for those of them that are judged.
    """

    columns: tuple[str, ...]
    domain: str
    judged: str
    refused: str | None
    mostly: float
    counts_missing: bool = True
    shape: Literal["value", "pair", "record"] = "value"


@dataclass(frozen=True, slots=True)
class FigureCheck:
    """Judges one figure of the whole table; limits that are None are open."""

    figure: str
    low: Limit = None
    high: Limit = None
    strict_low: bool = False
    strict_high: bool = False
    shown: bool = True

    def passes(self, value: Any) -> bool:
        """Tell whether the figure lies within the limits, bounds included unless strict; none at all does not."""
        if value is None:
            return False
        above = self.low is None or (value > self.low if self.strict_low else value >= self.low)
        below = self.high is None or (value < self.high if self.strict_high else value <= self.high)
        return bool(above and below)


Check = RowCheck | FigureCheck


def families(schema: pa.Schema) -> dict[str, str]:
    """Return what each column holds; an empty text for types that are left to Great Expectations."""
    return {field.name: _family(field.type) for field in schema}


def _family(kind: pa.DataType) -> str:
    tests: dict[str, Callable[[pa.DataType], bool]] = {
        "integer": pa.types.is_integer,
        "double": pa.types.is_float64,
        "string": lambda given: pa.types.is_string(given) or pa.types.is_large_string(given),
        "boolean": pa.types.is_boolean,
        "date": pa.types.is_date32,
        "timestamptz": lambda given: pa.types.is_timestamp(given) and given.tz is not None,
        "timestamp": pa.types.is_timestamp,
    }
    return next((name for name, fits in tests.items() if fits(kind)), "")


def compiled(item: Expectation, holds: Mapping[str, str]) -> Check:
    """Return an expectation as SQL.

    Args:
        item: the expectation as JSON.
        holds: the columns of the rows and their families.

    Raises:
        NotCoveredError: Great Expectations' engine has to run it, or to say what is wrong with it.
    """
    given = _Given(item, holds)
    check = BUILDERS.get(str(item.get("type")), _not_covered)(given)
    given.nothing_is_left()
    return check


class _Given:
    """The arguments of an expectation, taken one by one; what is wrong or unknown is not covered."""

    def __init__(self, item: Expectation, holds: Mapping[str, str]) -> None:
        kwargs = item.get("kwargs", {})
        known = set(item) <= {"type", "kwargs", "severity", "meta"} and isinstance(kwargs, Mapping)
        if (
            not known
            or item.get("severity", "critical") not in SEVERITIES
            or not isinstance(item.get("meta") or {}, dict)
        ):
            raise NotCoveredError(item)
        self.holds = holds
        self._rest = dict(kwargs)

    def take(self, key: str, default: object = None) -> Any:
        """Return an argument as given."""
        return self._rest.pop(key, default)

    def nothing_is_left(self) -> None:
        """Refuse arguments that no builder asked for."""
        if self._rest:
            raise NotCoveredError(sorted(self._rest))

    def column(self, key: str = "column", *, of: frozenset[str] = EVERY) -> str:
        """Return the name of a column that is there and of one of the families."""
        name = self.take(key)
        if not isinstance(name, str) or self.holds.get(name) not in of:
            raise NotCoveredError(name)
        return name

    def flag(self, key: str) -> bool:
        """Return a switch, off where it is not given."""
        value = self.take(key)
        if value is not None and not isinstance(value, bool):
            raise NotCoveredError(value)
        return bool(value)

    def mostly(self) -> float:
        """Return the share of rows that has to be right."""
        value = self.take("mostly", 1)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise NotCoveredError(value)
        return float(value)

    def domain(self) -> str:
        """Return the row condition as SQL, `true` without one."""
        condition, parser = self.take("row_condition"), self.take("condition_parser")
        if condition is None and parser in {None, "pandas"}:
            return "true"
        if not isinstance(condition, str) or parser != "pandas":
            raise NotCoveredError(condition)
        return translated(condition, self.holds)

    def bounds(self, family: str) -> dict[str, Any]:
        """Return the limits as a figure's arguments; at least one has to be there."""
        low, high = (_limit(self.take(key), family) for key in ("min_value", "max_value"))
        if (low is None and high is None) or (low is not None and high is not None and low > high):  # type: ignore[operator]
            raise NotCoveredError((low, high))
        return {
            "low": low, "high": high, "strict_low": self.flag("strict_min"), "strict_high": self.flag("strict_max"),
        }  # fmt: skip


def _limit(value: Any, family: str) -> Limit:
    """Return a bound in a column's own type; others are an error that Great Expectations words."""
    if value is None:
        return None
    if family in NUMBERS and isinstance(value, int | float):
        number(value)
        return value
    if family == "date" and isinstance(value, str) and DAY.fullmatch(value):
        return _parsed(date.fromisoformat, value)
    if family in {"timestamp", "timestamptz"} and isinstance(value, str) and not DAY.fullmatch(value):
        moment = _parsed(datetime.fromisoformat, value)
        if isinstance(moment, datetime) and (moment.tzinfo is not None) == (family == "timestamptz"):
            return moment
    raise NotCoveredError(value)


def _parsed(parse: Callable[[str], date], value: str) -> date:
    try:
        return parse(value)
    except ValueError as error:
        raise NotCoveredError(value) from error


def _shown(limit: Limit, family: str) -> str:
    if isinstance(limit, int | float):
        return number(limit)
    return f"{family} '{limit}'"


def _outside(value: str, bounds: Mapping[str, Any], family: str) -> str:
    """Return the condition that a value breaks its bounds; null for a missing value."""
    parts = []
    if bounds["low"] is not None:
        parts.append(f"{value} {'<=' if bounds['strict_low'] else '<'} {_shown(bounds['low'], family)}")
    if bounds["high"] is not None:
        parts.append(f"{value} {'>=' if bounds['strict_high'] else '>'} {_shown(bounds['high'], family)}")
    return f"({' or '.join(parts)})"


def _both(*conditions: str) -> str:
    kept = [condition for condition in conditions if condition != "true"]
    return " and ".join(kept) or "true"


def _on_values(given: _Given, column: str, refused: str | None) -> RowCheck:
    domain = given.domain()
    return RowCheck((column,), domain, _both(domain, f"{quoted(column)} is not null"), refused, given.mostly())


def _nullness(given: _Given, refused: str) -> RowCheck:
    column, domain = given.column(), given.domain()
    condition = f"{quoted(column)} {refused}"
    return RowCheck((column,), domain, domain, condition, given.mostly(), counts_missing=False)


def _between(given: _Given) -> RowCheck:
    column = given.column(of=ORDERED)
    family = given.holds[column]
    return _on_values(given, column, _outside(quoted(column), given.bounds(family), family))


def _lengths(given: _Given) -> RowCheck:
    column = given.column(of=frozenset({"string"}))
    bounds = given.bounds("integer")
    if not all(limit is None or isinstance(limit, int) for limit in (bounds["low"], bounds["high"])):
        raise NotCoveredError(bounds)
    return _on_values(given, column, _outside(f"length({quoted(column)})", bounds, "integer"))


def _in_set(given: _Given, word: str) -> RowCheck:
    column = given.column(of=frozenset({*NUMBERS, "string", "boolean"}))
    values = given.take("value_set")
    if not isinstance(values, list | tuple) or not values:
        raise NotCoveredError(values)
    listed = ", ".join(literal(value, given.holds[column]) for value in values)
    return _on_values(given, column, f"{quoted(column)} {word} ({listed})")


def _regex(given: _Given, word: str) -> RowCheck:
    column, pattern = given.column(of=frozenset({"string"})), given.take("regex")
    if not isinstance(pattern, str):
        raise NotCoveredError(pattern)
    return _on_values(given, column, f"{word}regexp_matches({quoted(column)}, {literal(pattern, 'string')})")


def _pair(given: _Given, operator: Callable[[_Given], str]) -> RowCheck:
    columns = (given.column("column_A"), given.column("column_B"))
    kinds = {given.holds[column] for column in columns}
    if len(set(columns)) == 1 or "boolean" in kinds or not (len(kinds) == 1 or kinds <= NUMBERS):
        raise NotCoveredError(kinds)
    one, other = map(quoted, columns)
    holds = f"coalesce({one} {operator(given)} {other}, false)"
    ignored = given.take("ignore_row_if", "both_values_are_missing")
    domain = given.domain()
    judged = _both(
        domain,
        _considered(
            columns, ignored, {"both_values_are_missing": "or", "either_value_is_missing": "and", "neither": ""}
        ),
    )
    return RowCheck(columns, domain, judged, _both(judged, f"not {holds}"), given.mostly(), shape="pair")


def _considered(columns: tuple[str, ...], ignored: object, words: Mapping[str, str]) -> str:
    if not isinstance(ignored, str) or ignored not in words:
        raise NotCoveredError(ignored)
    word = words[ignored]
    return "(" + f" {word} ".join(f"{quoted(column)} is not null" for column in columns) + ")" if word else "true"


def _greater(given: _Given) -> str:
    return ">=" if given.flag("or_equal") else ">"


def _compound(given: _Given) -> RowCheck:
    columns = given.take("column_list")
    if not isinstance(columns, list | tuple) or len(columns) < 2 or len(set(map(str, columns))) < len(columns):
        raise NotCoveredError(columns)
    if any(given.holds.get(column) not in EVERY for column in columns):
        raise NotCoveredError(columns)
    domain = given.domain()
    words = {"all_values_are_missing": "or", "any_value_is_missing": "and", "never": ""}
    considered = _considered(tuple(columns), given.take("ignore_row_if", "all_values_are_missing"), words)
    return RowCheck(tuple(columns), domain, _both(domain, considered), None, given.mostly(), shape="record")


def _filtered(aggregate: str, domain: str) -> str:
    return aggregate if domain == "true" else f"{aggregate} filter (where {domain})"


def _figure(given: _Given, aggregate: str, *, of: frozenset[str] = NUMBERS) -> FigureCheck:
    column = given.column(of=of)
    family = given.holds[column]
    bounds = given.bounds(family if aggregate in {"min", "max"} else "double")
    domain, value = given.domain(), quoted(column)
    figure = _filtered(f"{aggregate}({value})", domain)
    if aggregate == "sum":  # of no values, as in pandas
        figure = f"coalesce({figure}, 0)"
    if aggregate == "stddev_samp" and family == "double":  # an infinite value has no deviation, in DuckDB an error
        finite = _filtered(f"{aggregate}({value})", _both(domain, f"isfinite({value})"))
        infinite = _filtered("count(*)", _both(domain, f"isinf({value})"))
        figure = f"case when {infinite} = 0 then {finite} end"
    return FigureCheck(figure, **bounds)


def _row_count(given: _Given) -> FigureCheck:
    return FigureCheck(_filtered("count(*)", given.domain()), **_whole(given.bounds("integer")))


def _column_count(given: _Given) -> FigureCheck:
    bounds = _whole(given.bounds("integer"))
    if bounds["strict_low"] or bounds["strict_high"]:  # it knows no strict bounds
        raise NotCoveredError(bounds)
    return FigureCheck(str(len(given.holds)), **bounds)


def _whole(bounds: dict[str, Any]) -> dict[str, Any]:
    if any(isinstance(bounds[key], float) for key in ("low", "high")):
        raise NotCoveredError(bounds)
    return bounds


def _equal(given: _Given, figure: str) -> FigureCheck:
    value = given.take("value")
    if not isinstance(value, int) or isinstance(value, bool):
        raise NotCoveredError(value)
    return FigureCheck(figure, low=value, high=value)


def _exists(given: _Given) -> FigureCheck:
    name = given.take("column")
    if not isinstance(name, str) or not name:
        raise NotCoveredError(name)
    return FigureCheck(str(int(name in given.holds)), low=1, shown=False)


def _not_covered(given: _Given) -> Check:
    raise NotCoveredError(given)


BUILDERS: dict[str, Callable[[_Given], Check]] = {
    "expect_column_values_to_not_be_null": lambda given: _nullness(given, "is null"),
    "expect_column_values_to_be_null": lambda given: _nullness(given, "is not null"),
    "expect_column_values_to_be_between": _between,
    "expect_column_value_lengths_to_be_between": _lengths,
    "expect_column_values_to_be_in_set": lambda given: _in_set(given, "not in"),
    "expect_column_values_to_not_be_in_set": lambda given: _in_set(given, "in"),
    "expect_column_values_to_match_regex": lambda given: _regex(given, "not "),
    "expect_column_values_to_not_match_regex": lambda given: _regex(given, ""),
    "expect_column_values_to_be_unique": lambda given: _on_values(given, given.column(), None),
    "expect_compound_columns_to_be_unique": _compound,
    "expect_column_pair_values_a_to_be_greater_than_b": lambda given: _pair(given, _greater),
    "expect_column_pair_values_to_be_equal": lambda given: _pair(given, lambda _: "="),
    "expect_column_min_to_be_between": lambda given: _figure(given, "min", of=ORDERED),
    "expect_column_max_to_be_between": lambda given: _figure(given, "max", of=ORDERED),
    "expect_column_mean_to_be_between": lambda given: _figure(given, "avg"),
    "expect_column_median_to_be_between": lambda given: _figure(given, "median"),
    "expect_column_sum_to_be_between": lambda given: _figure(given, "sum"),
    "expect_column_stdev_to_be_between": lambda given: _figure(given, "stddev_samp"),
    "expect_column_to_exist": _exists,
    "expect_table_row_count_to_be_between": _row_count,
    "expect_table_row_count_to_equal": lambda given: _equal(given, "count(*)"),
    "expect_table_column_count_to_be_between": _column_count,
    "expect_table_column_count_to_equal": lambda given: _equal(given, str(len(given.holds))),
}
