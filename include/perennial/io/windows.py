"""Declared windows: from a source's rows to the aggregates of each day, by `core.windows`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.core.windows import Column, IntArray, Snapshot, sweep
from perennial.errors import SpecError
from perennial.io.rowconditions import quoted
from perennial.spec import UseCase, WindowFeature, Windows

EPOCH = date(1970, 1, 1)
# Sums of numbers are added up as whole millionths: the order does not matter then.
SCALE = 1_000_000


def compute(
    case: UseCase,
    declared: Windows,
    days: Sequence[date],
    tables: Mapping[str, pa.Table],
    *,
    connection: duckdb.DuckDBPyConnection,
) -> Iterator[pa.Table]:
    """Yield one table for each of the ascending `days`: day, entity and the declared columns, ordered by entity.

    Args:
        case: names the entity.
        declared: source and aggregates.
        days: snapshot days.
        tables: rows by source, in the order of their days; rows after a day do not count for it.
        connection: evaluates the conditions.

    Raises:
        SpecError: a condition or a column cannot be evaluated.
    """
    numbers = [(day - EPOCH).days for day in days]
    rows = _evaluated(case, declared, tables[declared.source], connection)
    rows = rows.filter(pc.is_valid(rows.column("entity")))
    day = rows.column("day").cast(pa.int32()).to_numpy().astype(np.int64)
    names, entity = _places(rows.column("entity"))
    columns = {name: _column(rows, name, column, day, entity) for name, column in declared.columns.items()}
    presence = Column("count", declared.longest, day, entity)
    for snapshot in sweep(presence, columns, entities=len(names), days=numbers):
        yield _table(case, snapshot, names, scales={name: _scale(case, declared, name) for name in columns})


def _evaluated(case: UseCase, declared: Windows, rows: pa.Table, connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return day, entity, and of each column whether a row counts and with what value."""
    wanted = ["day", f"{quoted(case.entity)} as entity"]
    for name, column in declared.columns.items():
        wanted.append(f"coalesce({_condition(column)}, false) as {quoted('counts ' + name)}")
        if column.sum is not None:
            scaled = f"round({quoted(column.sum)} * {_scale(case, declared, name)})::bigint"
            wanted.append(f"coalesce({scaled}, 0) as {quoted('value ' + name)}")
        elif column.count_distinct is not None:
            wanted.append(f"{quoted(column.count_distinct)} as {quoted('value ' + name)}")
    connection.register("source_rows", rows)
    try:
        return connection.sql(f"select {', '.join(wanted)} from source_rows").to_arrow_table()
    except duckdb.Error as error:
        raise SpecError(f"{case.name}/use_case.yaml: features.windows cannot be computed: {error}") from error


def _condition(column: WindowFeature) -> str:
    conditions = [f"({column.where})"] if column.where else []
    conditions += [f"{quoted(column.count_distinct)} is not null"] if column.count_distinct else []
    return " and ".join(conditions) or "true"


def _places(values: pa.ChunkedArray) -> tuple[pa.Array, IntArray]:
    """Return the different values in ascending order, and the place of each row's value among them."""
    encoded = values.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):  # an empty column stays chunked
        encoded = encoded.combine_chunks() if encoded.num_chunks else pa.array([], values.type).dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    return encoded.dictionary.take(pa.array(order)), rank[encoded.indices.to_numpy()]


def _column(rows: pa.Table, name: str, column: WindowFeature, day: IntArray, entity: IntArray) -> Column:
    counts = rows.column(f"counts {name}").to_numpy()
    value: IntArray | None = None
    if column.sum is not None:
        value = rows.column(f"value {name}").to_numpy()[counts]
    elif column.count_distinct is not None:
        value = _places(rows.column(f"value {name}").filter(pa.array(counts)))[1]
    kind = "sum" if column.sum else "distinct" if column.count_distinct else "count"
    if column.days_since is not None:
        kind = f"since_{column.days_since}"
    return Column(kind, column.days, day[counts], entity[counts], value)  # type: ignore[arg-type]


def _scale(case: UseCase, declared: Windows, name: str) -> int:
    summed = declared.columns[name].sum
    return SCALE if summed is not None and case.source(declared.source).columns.get(summed) == "number" else 1


def _table(case: UseCase, snapshot: Snapshot, names: pa.Array, *, scales: Mapping[str, int]) -> pa.Table:
    day = EPOCH + timedelta(days=snapshot.day)
    columns = {
        name: pa.array(np.asarray(values.data / scales[name]), pa.float64(), mask=np.ma.getmaskarray(values))
        for name, values in snapshot.columns.items()
    }
    return pa.table(
        {
            "day": pa.repeat(pa.scalar(day, pa.date32()), snapshot.entities.size),
            case.entity: names.take(pa.array(snapshot.entities)),
            **columns,
        }
    )
