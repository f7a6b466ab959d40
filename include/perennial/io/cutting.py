"""Rows cut into UTC days: a table at once, or a stream that is sorted by time, a day at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.contracts import Source
from perennial.errors import DataError
from perennial.io.queries import Window
from perennial.io.shaping import divided

# A local time without its offset names one hour twice each autumn: rows of a zone come at most so far out of order.
OUT_OF_ORDER = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a source gives for one day.

    Attributes:
        day: the UTC day.
        rows: the day's rows under the contract's names and types.
        rejected: columns `payload` and `reason`; records that could not be decoded or typed.
        notices: what changed in the source and was let through by `schema_changes: add`.
    """

    day: date
    rows: pa.Table
    rejected: pa.Table
    notices: tuple[str, ...] = ()


def window_of(source: Source, start: date, end: date) -> Window:
    """Return what a query's `:start` and `:end` are bound to for the days from `start` to before `end`.

    The bounds are dates for a date column and UTC times else; for a source with a `time_zone` they are local times,
    and three hours wider, so that no change of its clock can hide a row.
    """
    if source.columns[str(source.time_column)] == "date":
        return Window(start, end)
    bounds = [datetime.combine(day, time(), UTC) for day in (start, end)]
    if source.time_zone is None:
        return Window(*bounds)
    first, last = (bound.astimezone(ZoneInfo(source.time_zone)).replace(tzinfo=None) for bound in bounds)
    return Window(first - OUT_OF_ORDER, last + OUT_OF_ORDER)


def by_day(source: Source, rows: pa.Table, days: Sequence[date]) -> dict[date, pa.Table]:
    """Return the rows of each day, in the order that they came in; a reference table's belong to every day."""
    if source.is_reference:
        return dict.fromkeys(days, rows)
    placed = rows.column(source.time_column).cast(pa.date32()).cast(pa.int32()).to_numpy()
    if (placed[1:] < placed[:-1]).any():
        order = np.argsort(placed, kind="stable")
        placed, rows = placed[order], rows.take(order)
    numbers = np.array(days, dtype="datetime64[D]").astype(np.int32)
    starts, ends = (np.searchsorted(placed, numbers, side=side) for side in ("left", "right"))
    return {day: rows.slice(start, end - start) for day, start, end in zip(days, starts, ends, strict=True)}


def runs(days: Sequence[date]) -> Iterator[tuple[date, date]]:
    """Yield the half-open runs of consecutive days."""
    start = end = days[0]
    for day in days:
        if day > end:
            yield start, end
            start = day
        end = day + timedelta(days=1)
    yield start, end


def cut(
    source: Source, batches: Iterator[tuple[pa.Table, tuple[str, ...]]], days: Sequence[date]
) -> Iterator[Delivery]:
    """Yield each day of a stream that is sorted by time, as soon as no later batch can hold a row of it."""
    waiting, held = list(days), dict[date, list[pa.Table]]()
    notices: tuple[str, ...] = ()
    for rows, changes in batches:
        notices = tuple(dict.fromkeys((*notices, *changes)))
        _refuse_unread_times(source, rows)
        for day, found in by_day(source, rows, waiting).items():
            if found.num_rows or day not in held:
                # A slice would keep its whole batch alive.
                held.setdefault(day, []).append(found.take(np.arange(found.num_rows)))
        over = _certainly_over(source, rows, single=len(days) == 1)
        while waiting and over is not None and waiting[0] < over:
            yield _delivered(waiting[0], held.pop(waiting.pop(0)), notices)
    for day in waiting:
        yield _delivered(day, held.pop(day), notices)


def _certainly_over(source: Source, rows: pa.Table, *, single: bool) -> date | None:
    """Return the day before which a sorted stream gives nothing more; None while nothing is certain."""
    if single or not rows.num_rows:
        return None
    newest = pc.max(rows.column(source.time_column)).as_py()
    if isinstance(newest, datetime) and source.time_zone is not None:
        newest -= OUT_OF_ORDER
    return newest.date() if isinstance(newest, datetime) else newest


def _delivered(day: date, parts: list[pa.Table], notices: tuple[str, ...]) -> Delivery:
    # A column that only some batches needed to read as text has no reasons in the others.
    rows, rejected = divided(pa.concat_tables(parts, promote_options="default"))
    return Delivery(day, rows, rejected, notices)


def _refuse_unread_times(source: Source, rows: pa.Table) -> None:
    if rows.column(source.time_column).null_count:
        raise DataError(
            f"Column {source.time_column!r} of source {source.name!r} holds values that are no "
            f"{source.columns[str(source.time_column)]}, so that no day can be told. Correct the query or the table."
        )
