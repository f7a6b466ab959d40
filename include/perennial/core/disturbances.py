"""Changes that must not matter to an honest snapshot: other values in a column, rows that do not hold yet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.contracts import Source

DAY = "day"
# Names of columns that say since when a row holds; a date of another name may be known ahead, such as an end.
BEGINS = re.compile(r"(valid|effective|since|from|start|begin|created|changed|updated|assigned|joined)", re.IGNORECASE)


def disturbed(rows: pa.Table, column: str, *, after: date | None = None) -> pa.Table:
    """Return rows with other values in a column, of the rows after a day or of all: shuffled, and half of them moved.

    The order alone would not show in an average, a move alone not in a rank.
    """
    order = np.arange(rows.num_rows)
    chosen = order if after is None else np.flatnonzero(pc.greater(rows.column(DAY), pa.scalar(after)).to_numpy())
    order[chosen] = np.random.default_rng(0).permutation(chosen)
    moved = np.zeros(rows.num_rows, dtype=bool)
    moved[chosen[::2]] = True
    position = rows.schema.get_field_index(column)
    values = rows.column(column).take(pa.array(order))
    return rows.set_column(position, rows.schema.field(position), pc.if_else(pa.array(moved), _moved(values), values))


def _moved(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return other values of the same type."""
    if pa.types.is_boolean(values.type):
        return pc.invert(values)
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return pc.add(pc.multiply(values, pa.scalar(2, values.type)), pa.scalar(1, values.type))
    if pa.types.is_date32(values.type):
        return pc.add(values.cast(pa.int32()), 1).cast(values.type)
    if pa.types.is_timestamp(values.type):
        return pc.add(values, pa.scalar(timedelta(days=1), pa.duration(values.type.unit)))
    return pc.binary_join_element_wise(values, pa.scalar("~", values.type), pa.scalar("", values.type))


def not_yet_valid(source: Source, rows: pa.Table, day: date) -> Iterator[tuple[str, pa.Table]]:
    """Yield each column that may say since when a row holds, and the rows that hold on the day."""
    for name, kind in source.columns.items():
        if kind in {"date", "timestamp"} and BEGINS.search(name) and name in rows.column_names:
            later = pc.greater(rows.column(name).cast(pa.date32()), pa.scalar(day))
            kept = rows.filter(pc.invert(pc.fill_null(later, fill_value=False)))
            if kept.num_rows < rows.num_rows:
                yield name, kept


def columns_that_differ(one: pa.Table, other: pa.Table, *, keys: Sequence[str]) -> tuple[str, ...]:
    """Return the columns whose values differ for a key that both tables have."""
    shared = [name for name in one.column_names if name in other.column_names and name not in {DAY, *keys}]
    joined = one.select([*keys, *shared]).join(
        other.select([*keys, *shared]), keys=list(keys), join_type="inner", right_suffix=" later"
    )
    return tuple(
        name
        for name in shared
        if pc.any(
            pc.fill_null(pc.not_equal(joined.column(name), joined.column(f"{name} later")), fill_value=True)
        ).as_py()
    )


def numbers(values: pa.ChunkedArray, *, label: Any = None) -> Any:
    """Return a column as doubles, missing values as NaN; of text, the mean label of the half with odd positions.

    The other half keeps its numbers out of sight of its own labels: a category that occurs once would tell itself.
    """
    if not pa.types.is_string(values.type) and not pa.types.is_large_string(values.type):
        return np.array(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    texts = np.array(["" if value is None else value for value in values.to_pylist()], dtype=object)
    means = np.full(len(texts), np.nan)
    odd = np.arange(len(texts)) % 2 == 1
    for half in (odd, ~odd):
        sums: dict[str, list[float]] = {}
        for text, each in zip(texts[~half], label[~half], strict=True):
            sums.setdefault(text, []).append(each)
        known = {text: float(np.mean(each)) for text, each in sums.items()}
        means[half] = [known.get(text, float(np.mean(label))) for text in texts[half]]
    return means
