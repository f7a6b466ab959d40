"""What a day's partition holds: rows with their day, and whether two of them are the same in any order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from math import isnan

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.dataset import FileSystemDataset

DAY = "day"
SPAN = ".."


def with_day(rows: pa.Table, day: date) -> pa.Table:
    """Return rows with their day as the first column, and null where a number is NaN."""
    if DAY in rows.column_names:
        rows = rows.drop_columns([DAY])
    for position, field in enumerate(rows.schema):
        if pa.types.is_floating(field.type):
            # A column is written anew only where it has to be: a NaN makes its sum one.
            total = pc.sum(rows.column(position)).as_py()
            if total is not None and isnan(total):
                missing = pc.fill_null(pc.is_nan(rows.column(position)), fill_value=False)
                values = pc.if_else(missing, pa.scalar(None, field.type), rows.column(position))
                rows = rows.set_column(position, field, values)
    return rows.add_column(0, pa.field(DAY, pa.date32()), pa.repeat(pa.scalar(day, pa.date32()), rows.num_rows))


def schema_of(known: pa.Schema | None, contents: Iterable[pa.Table]) -> pa.Schema:
    """Return the columns of a table once it holds some contents: those it has, and behind them what is new.

    A column keeps its type, but for one of whole numbers that gets others: it becomes one of doubles.
    """
    found = pa.unify_schemas([rows.schema for rows in contents])
    if known is None:
        return found
    widened = [_wide_enough(field, found) for field in known]
    return pa.schema([*widened, *(field for field in found if field.name not in known.names)])


def _wide_enough(known: pa.Field, found: pa.Schema) -> pa.Field:
    new = found.field(known.name).type if known.name in found.names else known.type
    return known.with_type(new) if pa.types.is_integer(known.type) and pa.types.is_floating(new) else known


def as_stored(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with their columns as a table has them, a column they lack being null.

    Raises:
        pa.ArrowException: a value does not fit into the type that the table's column has.
    """
    if rows.schema.equals(schema):
        return rows
    columns = []
    for field in schema:
        if field.name not in rows.column_names:
            columns.append(pa.nulls(rows.num_rows, field.type))
            continue
        column = rows.column(field.name)
        if _is_text(column.type) != _is_text(field.type) and column.null_count < rows.num_rows:
            raise pa.ArrowTypeError(f"column {field.name!r} is {column.type} and was {field.type} before.")
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)


def _is_text(kind: pa.DataType) -> bool:
    return any(is_one(kind) for is_one in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def same_rows(stored: pa.Table, rows: pa.Table, unlike: Sequence[str]) -> bool:
    """Tell whether both hold the same rows, in any order, but for the columns `unlike` and those that are all null."""
    names = [name for name in rows.column_names if name not in unlike]
    if stored.num_rows != rows.num_rows or not set(names) <= set(stored.column_names):
        return False
    added_later = [name for name in stored.column_names if name not in rows.column_names and name not in unlike]
    if any(stored.column(name).null_count < stored.num_rows for name in added_later):
        return False
    rows = rows.select(names)
    try:
        stored = stored.select(names).cast(rows.schema)
    except pa.ArrowInvalid:
        return False  # a value that the new type cannot hold
    return bool(stored.equals(rows) or _in_order(stored).equals(_in_order(rows)))


def _in_order(table: pa.Table) -> pa.Table:
    """Return the rows sorted by all columns: equal for the same rows in any order."""
    order = [(name, "ascending") for name in table.column_names]
    return table.sort_by(order).combine_chunks()


def span(days: Iterable[date]) -> str:
    """Return some days as one text: a single one, or the first and the last."""
    ordered = sorted(days)
    return ordered[0].isoformat() if len(ordered) == 1 else f"{ordered[0]}{SPAN}{ordered[-1]}"


def by_day(dataset: FileSystemDataset) -> FileSystemDataset:
    """Return the dataset with its files by day: the log names them by age, which depends on what was run when."""
    files = sorted(dataset.get_fragments(), key=lambda fragment: fragment.path)
    if not files:
        return dataset
    return FileSystemDataset(files, dataset.schema, dataset.format, dataset.filesystem)
