"""Declared windows: from a source's rows to the aggregates of each day, by `core.windows`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from perennial.core.windows import Column, IntArray, Items, Rows, Snapshot, Values, sweep
from perennial.errors import SpecError
from perennial.io.rowconditions import quoted
from perennial.spec import UseCase, WindowFeature, Windows

EPOCH = date(1970, 1, 1)
# Sums of numbers are added up as whole millionths: the order does not matter then.
SCALE = 1_000_000
ENTITY = "entity"


def evaluated(
    case: UseCase, declared: Windows, first: date, rows: pa.Table, *, connection: duckdb.DuckDBPyConnection
) -> pa.Table:
    """Return what the walk needs of rows from the longest window of the `first` day on.

    That is the day and the entity of each row that has one, whether it meets each condition, and the values by column.

    Args:
        case: names the entity.
        declared: source and aggregates.
        first: the first snapshot day.
        rows: of the source, in the order of their days.
        connection: evaluates the conditions.

    Raises:
        SpecError: a condition or a column cannot be evaluated.
    """
    connection.register("source_rows", _within(declared, first, rows))
    selected = ", ".join(f"{sql} as {quoted(name)}" for name, sql in _selected(case, declared).items())
    try:
        return connection.sql(
            f"select {selected} from source_rows where {quoted(case.entity)} is not null"
        ).to_arrow_table()
    except duckdb.Error as error:
        raise SpecError(f"{case.name}/use_case.yaml: features.windows cannot be computed: {error}") from error
    finally:
        connection.unregister("source_rows")


def walked(case: UseCase, declared: Windows, days: Sequence[date], found: pa.Table) -> Iterator[pa.Table]:
    """Return an iterator over the ascending `days`: a table of day, entity and the declared columns, in entity order.

    Sums are doubles; counts and days are whole numbers. It does not keep the rows: what they say is in the states of
    the walk.

    Args:
        case: names the entity.
        declared: source and aggregates.
        days: snapshot days.
        found: what was `evaluated`; rows after a day do not count for it.
    """
    names, entity = _places(found.column(ENTITY))
    parts = _Parts(found, Rows(found.column("day").cast(pa.int32()).to_numpy(), entity))
    wanted = {name: parts.column(column) for name, column in declared.columns.items()}
    presence = Column("count", declared.longest, parts.all)
    sums = {name: column.sum for name, column in declared.columns.items() if column.sum is not None}
    scales = {name: _scale(case, declared, summed) for name, summed in sums.items()}
    walk = sweep(presence, wanted, entities=len(names), days=[(day - EPOCH).days for day in days])
    return (_table(case, snapshot, names, scales=scales) for snapshot in walk)


def columns(case: UseCase, declared: Windows) -> tuple[str, ...]:
    """Return the source's columns that the windows may need: the entity, the values, and what a condition names."""
    values = {each.sum or each.count_distinct for each in declared.columns.values()}
    conditions = " ".join(each.where or "" for each in declared.columns.values()).lower()
    known = case.source(declared.source).columns
    return tuple(name for name in known if name == case.entity or name in values or name.lower() in conditions)


def _within(declared: Windows, first: date, rows: pa.Table) -> pa.Table:
    """Return the rows from the begin of the longest window on; they are in the order of their days."""
    begin = first - timedelta(days=declared.longest - 1)
    days = rows.column("day").cast(pa.int32()).to_numpy()
    return rows.slice(int(np.searchsorted(days, np.int32((begin - EPOCH).days))))


def _selected(case: UseCase, declared: Windows) -> dict[str, str]:
    """Return what is selected of the source's rows: an expression by the name it gets."""
    wanted = {"day": "day", ENTITY: quoted(case.entity)}
    for column in declared.columns.values():
        wanted[_counts(column)] = f"coalesce({_condition(column)}, false)"
        if column.sum is not None:
            scaled = f"round({quoted(column.sum)} * {_scale(case, declared, column.sum)})::bigint"
            wanted[_value(column)] = f"coalesce({scaled}, 0)"
        elif column.count_distinct is not None:
            wanted[_value(column)] = quoted(column.count_distinct)
    return wanted


def _condition(column: WindowFeature) -> str:
    conditions = [f"({column.where})"] if column.where else []
    conditions += [f"{quoted(column.count_distinct)} is not null"] if column.count_distinct else []
    return " and ".join(conditions) or "true"


def _counts(column: WindowFeature) -> str:
    return f"counts {_condition(column)}"


def _value(column: WindowFeature) -> str:
    return f"sum {column.sum}" if column.sum is not None else f"item {column.count_distinct}"


def _places(values: pa.ChunkedArray) -> tuple[pa.Array, IntArray]:
    """Return the different values in ascending order, and the place of each row's value among them."""
    different, code = _coded(values)
    order = pc.array_sort_indices(different).to_numpy()
    rank = np.empty(order.size, np.int32)
    rank[order] = np.arange(order.size, dtype=np.int32)
    return different.take(pa.array(order)), rank[code]


def _coded(values: pa.ChunkedArray) -> tuple[pa.Array, IntArray]:
    """Return the different values in some order, and the place of each row's value among them."""
    encoded = pa.chunked_array(values).combine_chunks().dictionary_encode() if values.length() else None
    if encoded is None:
        return pa.array([], values.type), np.empty(0, np.int32)
    return encoded.dictionary, encoded.indices.to_numpy()


def _numbered(values: pa.ChunkedArray, *, bits: int) -> IntArray:
    """Return a number of each row's value: the value itself where that is a number within a range of so many bits."""
    if pa.types.is_integer(values.type) and values.length():
        numbers: npt.NDArray[np.int64] = values.to_numpy()
        lowest = int(numbers.min())
        wide = (int(numbers.max()) - lowest).bit_length()
        if wide <= bits:
            return (numbers - lowest).astype(np.int32 if wide <= 31 else np.int64)
    return _coded(values)[1]


class _Parts:
    """The rows that count for each condition and the items of each column, made once for all that share them."""

    def __init__(self, found: pa.Table, rows: Rows) -> None:
        self.found, self.all = found, rows
        self._rows: dict[str, tuple[npt.NDArray[np.bool_], Rows]] = {}
        self._items: dict[tuple[str, str], Items] = {}

    def column(self, column: WindowFeature) -> Column:
        """Return what a declared aggregate is computed from."""
        counting, rows = self._counting(_counts(column))
        if column.days_since is not None:
            return Column("since_last" if column.days_since == "last" else "since_first", column.days, rows)
        if column.sum is not None:
            return Column("sum", column.days, rows, self.found.column(_value(column)).to_numpy()[counting])
        if column.count_distinct is not None:
            return Column("distinct", column.days, rows, self._items_of(column, counting, rows))
        return Column("count", column.days, rows)

    def _counting(self, condition: str) -> tuple[npt.NDArray[np.bool_], Rows]:
        if condition not in self._rows:
            counting = self.found.column(condition).to_numpy()
            rows = self.all if counting.all() else Rows(self.all.day[counting], self.all.entity[counting])
            self._rows[condition] = (counting, rows)
        return self._rows[condition]

    def _items_of(self, column: WindowFeature, counting: npt.NDArray[np.bool_], rows: Rows) -> Items:
        key = (_value(column), _counts(column))
        if key not in self._items:
            self._items[key] = Items(
                rows, _numbered(self.found.column(key[0]).filter(pa.array(counting)), bits=rows.bits_left)
            )
        return self._items[key]


def _scale(case: UseCase, declared: Windows, summed: str) -> int:
    return SCALE if case.source(declared.source).columns.get(summed) == "number" else 1


def _table(case: UseCase, snapshot: Snapshot, names: pa.Array, *, scales: Mapping[str, int]) -> pa.Table:
    day = EPOCH + timedelta(days=snapshot.day)
    return pa.table(
        {
            "day": pa.repeat(pa.scalar(day, pa.date32()), snapshot.entities.size),
            case.entity: names.take(pa.array(snapshot.entities)),
            **{name: _column(values, scales.get(name)) for name, values in snapshot.columns.items()},
        }
    )


def _column(values: Values, scale: int | None) -> pa.Array:
    """Return the values as they are, or as doubles where they are sums of so many parts."""
    return pa.array(values.numbers if scale is None else values.numbers / scale, mask=values.absent)
