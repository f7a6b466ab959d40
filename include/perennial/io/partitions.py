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


def same_rows(stored: pa.Table, rows: pa.Table, unlike: Sequence[str]) -> bool:
    """Tell whether both hold the same rows, in any order, but for the columns `unlike` and those that are all null."""
    names = [name for name in rows.column_names if name not in unlike]
    if stored.num_rows != rows.num_rows or not set(names) <= set(stored.column_names):
        return False
    added_later = [name for name in stored.column_names if name not in rows.column_names and name not in unlike]
    if any(stored.column(name).null_count < stored.num_rows for name in added_later):
        return False
    rows = rows.select(names)
    stored = stored.select(names).cast(rows.schema)
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
