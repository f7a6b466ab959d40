"""Checks as one aggregate say what Great Expectations says, on random tables, with its results, pages and errors."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import perennial
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from perennial.errors import DataError, SpecError
from perennial.io import aggregates
from perennial.io.checks import BUILDERS, families
from perennial.io.expectations import Expectations, _engine

pytestmark = pytest.mark.integration
DAY = date(2026, 1, 5)
INTEGERS = st.none() | st.integers(-5, 5)
NUMBERS = st.none() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 0.25, 1.5, -2.0, 4.0])
TEXTS = st.none() | st.sampled_from(["", "a", "b", "ab", "ba", "é", "A1", "a b", "it's"])
DATES = st.none() | st.dates(date(2026, 1, 1), date(2026, 1, 9))
TIMES = st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 3)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
COLUMNS = {
    "i": (INTEGERS, pa.int64()), "j": (st.integers(-5, 5), pa.int64()), "x": (NUMBERS, pa.float64()),
    "y": (NUMBERS, pa.float64()), "s": (TEXTS, pa.string()), "u": (TEXTS, pa.string()), "d": (DATES, pa.date32()),
    "e": (DATES, pa.date32()),
    "t": (TIMES, pa.timestamp("us", "UTC")), "b": (st.none() | st.booleans(), pa.bool_()),
}  # fmt: skip
CONDITIONS = [
    "i > 0", "x <= 1.5 and s == 'a'", "not (i == 1)", "x != 1.5", "s in ['a', 'b'] or j < 0", "s not in ['a']",
    "i.isnull()", "x.notnull() and -1 < j <= 3", "(i == 1) | (x > y)", "b == True", "i != j",
]  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Return a small table with nulls, NaN, infinities, doubled values, dates and times."""
    rows = draw(st.integers(1, 9))
    drawn = {name: draw(st.lists(values, min_size=rows, max_size=rows)) for name, (values, _) in COLUMNS.items()}
    return pa.table({name: pa.array(values, COLUMNS[name][1], from_pandas=False) for name, values in drawn.items()})


@st.composite
def bounds(draw: st.DrawFn, low: Any, high: Any) -> dict[str, Any]:
    """Return one or two limits, strict or not."""
    given_low, given_high = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
    found = {"min_value": low} if given_low else {}
    found |= {"max_value": high} if given_high else {}
    strict = [key for key in ("strict_min", "strict_max") if draw(st.booleans())]
    return found | dict.fromkeys(strict, True)


@st.composite
def limits(draw: st.DrawFn, column: str) -> dict[str, Any]:
    """Return limits in a column's own type."""
    if column == "d":
        days = sorted(draw(st.lists(st.dates(date(2026, 1, 1), date(2026, 1, 9)), min_size=2, max_size=2)))
        return draw(bounds(*(str(day) for day in days)))
    if column == "t":
        return draw(bounds("2026-01-01T12:00:00+00:00", "2026-01-02T06:30:00+00:00"))
    pair = sorted(draw(st.lists(st.sampled_from([-2, -1.5, 0, 0.25, 1, 1.5, 3]), min_size=2, max_size=2)))
    return draw(bounds(*pair))


SETS = [("s", ["a", "it's"]), ("i", [1, 2, 3]), ("x", [0, 1.5]), ("j", [0.25, 2])]
PATTERNS = ["^a", "b$", "a.", "[a-z]+", "^$", r"\d", "é|A", "'s", r"(?i)^A"]
ANY_COLUMN = st.sampled_from(sorted(COLUMNS))
# The engine fails at a least or largest date where there is none, and at a text or a truth value with bounds.
ARGUMENTS: dict[str, Callable[[st.DrawFn], dict[str, Any]]] = {
    "values_to_be_between": lambda draw: bounded(draw, ["i", "j", "x", "d", "t"]),
    "lengths": lambda draw: {"column": "s"} | draw(bounds(1, 2)),
    "in_set": lambda draw: dict(zip(("column", "value_set"), draw(st.sampled_from(SETS)), strict=True)),
    "regex": lambda draw: {"column": "s", "regex": draw(st.sampled_from(PATTERNS))},
    "greater": lambda draw: pair(draw) | {"or_equal": draw(st.booleans())},
    "pair": lambda draw: pair(draw),
    "compound": lambda draw: {
        "column_list": draw(st.lists(ANY_COLUMN, min_size=2, max_size=3, unique=True)),
        "ignore_row_if": draw(st.sampled_from(["all_values_are_missing", "any_value_is_missing", "never"])),
    },
    "count_to_equal": lambda draw: {"value": draw(st.integers(3, 9))},
    "row_count_to_be_between": lambda draw: draw(bounds(3, 7)),
    "column_count_to_be_between": lambda draw: draw(st.sampled_from([{"min_value": 3}, {"max_value": 8}])),
    "to_exist": lambda draw: {"column": draw(st.sampled_from(["i", "missing"]))},
    "to_be_between": lambda draw: bounded(draw, ["i", "j", "x"]),
    "": lambda draw: {"column": draw(ANY_COLUMN)},
}  # fmt: skip


def bounded(draw: st.DrawFn, columns: list[str]) -> dict[str, Any]:
    """Return one of the columns and limits of its type."""
    column = draw(st.sampled_from(columns))
    return {"column": column} | draw(limits(column))


def pair(draw: st.DrawFn) -> dict[str, Any]:
    """Return two columns that can be compared."""
    one, other = draw(st.sampled_from([("i", "j"), ("x", "y"), ("i", "x"), ("x", "j"), ("d", "e")]))
    ignored = draw(st.sampled_from(["both_values_are_missing", "either_value_is_missing", "neither"]))
    ignored = "either_value_is_missing" if one == "d" else ignored  # a missing date cannot be compared by the engine
    return {"column_A": one, "column_B": other, "ignore_row_if": ignored}


@st.composite
def expectations(draw: st.DrawFn) -> dict[str, Any]:
    """Return an expectation that SQL covers."""
    kind = draw(st.sampled_from(sorted(BUILDERS)))
    kwargs = ARGUMENTS[next(part for part in ARGUMENTS if part in kind)](draw)
    if not kind.startswith("expect_table") and not kind.endswith("exist") and draw(st.booleans()):
        kwargs |= {"row_condition": draw(st.sampled_from(CONDITIONS)), "condition_parser": "pandas"}
    if "values" in kind or "compound" in kind:
        kwargs |= draw(st.sampled_from([{}, {"mostly": 0.5}]))
    return {"type": kind, "kwargs": kwargs}


COUNTS = (
    "element_count",
    "unexpected_count",
    "missing_count",
    "unexpected_index_list",
    "partial_unexpected_index_list",
)
# The engine names a pandas query; and it gives up counting values that have no order, where we go on.
UNLIKE = {"unexpected_index_query", "partial_unexpected_counts"}
SHARES = ("unexpected_percent", "missing_percent", "unexpected_percent_total", "unexpected_percent_nonmissing")


def alike(one: Any, other: Any) -> bool:
    """Tell whether two observed figures are the same but for the order of additions; a missing one is None or NaN."""
    none = [each is None or (isinstance(each, float) and math.isnan(each)) for each in (one, other)]
    if any(none):
        return all(none)
    return bool(one == (pytest.approx(other, rel=1e-9) if isinstance(one, float) else other))


# A run of the engine takes a third of a second: too slow to shrink a failing example, which is small anyhow.
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate])
@given(rows=tables(), suite=st.lists(expectations(), min_size=12, max_size=20))
def test_an_aggregate_says_what_great_expectations_says(rows, suite):
    """The same verdict, counts, shares and refused positions, whatever the rows; figures up to the last bits."""
    checks = Expectations(Path("unused"))
    assert checks._divided(suite, rows.schema)[1] == []
    ours = checks.check(rows, suite, name="random").outcome.each
    theirs = _engine(rows, dict(enumerate(suite)), name="random")

    for position, one in enumerate(ours):
        other = theirs[position]
        shown = f"{one.item}\n{one.result}\n{other.result}\n{rows.to_pylist()}"
        assert one.success is other.success, shown
        assert set(one.result) - UNLIKE == set(other.result) - UNLIKE, shown
        assert [one.result.get(key) for key in COUNTS] == [other.result.get(key) for key in COUNTS], shown
        assert all(alike(one.result.get(key), other.result.get(key)) for key in SHARES), shown
        assert alike(one.result.get("observed_value"), other.result.get("observed_value")), shown


def rows_of(count: int) -> pa.Table:
    """Return rows with one wrong amount, one doubled key and one missing name."""
    numbers = np.arange(count)
    amounts = np.where(numbers == 3, -1.0, 1.0)
    keys = np.where(numbers == count - 1, 1, numbers)
    names = [None if at == 2 else f"n{at % 7}" for at in range(count)]
    return pa.table({"key": keys, "amount": amounts, "name": pa.array(names, pa.string())})


SUITE: list[dict[str, Any]] = [
    {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "key"}, "meta": {"reason": "key twice"}},
    {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "amount", "min_value": 0},
        "meta": {"reason": "below 0"},
    },
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "name"}, "severity": "info"},
    {
        "type": "expect_compound_columns_to_be_unique",
        "kwargs": {"column_list": ["key", "name"]},
        "meta": {"reason": "pair twice"},
    },
    {"type": "expect_table_row_count_to_be_between", "kwargs": {"max_value": 5}, "severity": "critical"},
]  # fmt: skip


@pytest.mark.parametrize("directly", [0, 1000])
@pytest.mark.parametrize("at_once", [7, 1_000_000])
def test_duplicates_are_found_exactly_however_they_are_looked_for(monkeypatch, directly, at_once):
    """By counting, by hashes in one pass, and by hashes in many."""
    monkeypatch.setattr(aggregates, "COUNTED_DIRECTLY", directly)
    monkeypatch.setattr(aggregates, "HASHED_AT_ONCE", at_once)
    found = Expectations(Path("unused")).check(rows_of(100), SUITE, name="rows")

    assert found.refused == {1: ("key twice", "pair twice"), 3: ("below 0",), 99: ("key twice", "pair twice")}
    assert found.warnings == ("expect_column_values_to_not_be_null(column=name): 1 rows",)
    assert found.critical == ("expect_table_row_count_to_be_between(max_value=5): observed 100",)


def test_files_are_checked_as_if_they_were_one_table(tmp_path):
    """Positions count on from file to file; an expectation that SQL does not cover sees the same rows."""
    rows = rows_of(100)
    paths = [tmp_path / "a.parquet", tmp_path / "it's b.parquet"]
    pq.write_table(rows.slice(0, 40), paths[0])
    pq.write_table(rows.slice(40), paths[1])
    suite = [
        *SUITE,
        {"type": "expect_column_unique_value_count_to_be_between", "kwargs": {"column": "name", "max_value": 3}},
    ]
    checks = Expectations(tmp_path)

    by_files, at_once = checks.check_files(paths, suite, name="rows"), checks.check(rows, suite, name="rows")
    assert (by_files.refused, by_files.critical) == (at_once.refused, at_once.critical)
    assert by_files.critical[-1].endswith("observed 7")


def test_great_expectations_is_not_imported_where_nothing_needs_its_engine():
    """Its import costs more than the checks of a year of days."""
    code = (
        "import sys, pyarrow as pa; from pathlib import Path; from perennial.io.expectations import Expectations\n"
        "suite = [{'type': 'expect_column_values_to_not_be_null', 'kwargs': {'column': 'x'}}]\n"
        "found = Expectations(Path('unused')).check(pa.table({'x': [1, None]}), suite, name='x')\n"
        "print(dict(found.refused), 'great_expectations' in sys.modules)"
    )
    folder = str(Path(perennial.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": folder}
    )

    assert done.stdout.strip() == "{1: ('expect_column_values_to_not_be_null(column=x)',)} False"


def test_a_kept_result_is_the_one_that_great_expectations_writes(tmp_path):
    """The same keys in the same JSON, and a page that names every expectation, whichever engine ran."""
    rows, checks = rows_of(20), Expectations(tmp_path)
    found = checks.check(rows, SUITE, name="rows")
    page = checks.keep(found, case="shop", source="rows", day=DAY)
    kept = json.loads((tmp_path / page).with_suffix(".json").read_text())
    engine = _engine(rows, dict(enumerate(SUITE)), name="rows")

    for position, result in enumerate(kept["results"]):
        theirs = engine[position].engine.to_json_dict()
        assert {*result} <= {*theirs}
        for key in ("element_count", "unexpected_count", "unexpected_percent", "partial_unexpected_index_list"):
            assert result["result"].get(key) == theirs["result"].get(key)
    assert (kept["success"], kept["statistics"]["evaluated_expectations"]) == (False, 5)
    text = (tmp_path / page).read_text()
    assert "values must be unique" in text
    assert 'href="http' not in text


BETWEEN = "expect_column_values_to_be_between"
WRONG = [
    ({"type": BETWEEN, "kwargs": {"column": "amount", "min_value": 2, "max_value": 1}}, DataError),
    ({"type": BETWEEN, "kwargs": {"column": "amount"}}, SpecError),
    ({"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "amount", "mostly": 2}}, SpecError),
    ({"type": "expect_column_values_to_not_be_null", "kwargs": {"colum": "amount"}}, SpecError),
    ({"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "amount"}, "severity": "fatal"}, SpecError),
    ({"type": "expect_column_values_to_not_be_null"}, SpecError),
    ({"type": "expect_column_values_to_be_uniqe", "kwargs": {"column": "amount"}}, SpecError),
    ({"type": "expect_column_values_to_be_unique", "kwargs": {"column": "amuont"}}, DataError),
]  # fmt: skip


@pytest.mark.parametrize(("item", "error"), WRONG, ids=lambda given: str(given)[:60])
def test_what_is_wrong_with_an_expectation_is_said_by_great_expectations(item, error):
    """SQL covers only what is right; the engine words the error."""
    with pytest.raises(error, match="suite"):
        Expectations(Path("unused")).check(rows_of(10), [item], name="rows")


def test_a_type_that_sql_is_not_trusted_with_is_left_to_the_engine():
    """A set of dates never matches in pandas; a bound without a zone does not fit a time with one."""
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=at) for at in range(3)]
    rows = pa.table({"t": pa.array(moments, pa.timestamp("us", "UTC")), "d": pa.array([DAY] * 3)})
    items = [
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "d", "value_set": ["2026-01-05"]}},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "t", "min_value": "2026-01-02T00:00:00"}},
    ]

    assert Expectations(Path("unused"))._divided(items, rows.schema)[1] == [0, 1]
    assert families(rows.schema) == {"t": "timestamptz", "d": "date"}


def test_a_pair_may_be_one_column_twice():
    """Nothing is greater than itself; every row is refused, as by the engine."""
    kwargs = {"column_A": "key", "column_B": "key"}
    item = {"type": "expect_column_pair_values_a_to_be_greater_than_b", "kwargs": kwargs}

    assert len(Expectations(Path("unused")).check(rows_of(5), [item], name="rows").refused) == 5


def test_an_expectation_may_stand_twice_with_two_severities():
    """The engine's own suite would keep one of them."""
    item = {"type": "expect_column_unique_value_count_to_be_between", "kwargs": {"column": "name", "max_value": 3}}
    found = Expectations(Path("unused")).check(rows_of(20), [item, item | {"severity": "warning"}], name="rows")

    assert (len(found.critical), len(found.warnings)) == (1, 1)


def test_a_day_without_rows_is_judged_by_its_table_only():
    """Nothing can be said about values that are not there."""
    found = Expectations(Path("unused")).check(rows_of(10).slice(0, 0), SUITE, name="rows")

    assert [outcome.item["type"] for outcome in found.outcome.each] == ["expect_table_row_count_to_be_between"]
    assert not found.critical
