"""The columns that the lake adds to a source's own: where a row is, why, and what happened to it.

`raw/<case>/<source>` holds every row of a day, whatever became of it. One commit writes the day, so a row is in one
place at any moment, and a crash leaves it where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

PLACE, REASONS, SUITE, RUN, PAYLOAD, TRACE = "place", "reasons", "suite", "ingest_run", "payload", "trace"
PUBLISHED, QUARANTINE, DISCARDED = "published", "quarantine", "discarded"
BOOKKEEPING = (PLACE, REASONS, SUITE, RUN, PAYLOAD, TRACE)
# A row counts as the same whichever run brought it.
UNLIKE = (RUN,)
STRAYS = date(1970, 1, 1)  # the partition of rows that belong to no day
ORIGIN = "origin"  # of a replayed row: `recorded` in the real data, or `injected` by a demonstration


def published(rows: pa.Table) -> pa.Table:
    """Return the rows that SQL may see, without the lake's own columns; a row that has no place yet is published."""
    if PLACE in rows.column_names:
        shown = pc.equal(pc.fill_null(rows.column(PLACE), PUBLISHED), PUBLISHED)
        rows = rows if pc.all(shown).as_py() else rows.filter(shown)  # most days need no copy
    return rows.drop_columns([name for name in BOOKKEEPING if name in rows.column_names])


def in_order(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return rows sorted by some columns, as they are where they lie so already."""
    if not names or _lies_in_order(rows, names):
        return rows
    return rows.sort_by([(name, "ascending") for name in names])


def _lies_in_order(rows: pa.Table, names: Sequence[str]) -> bool:
    """Tell whether no row is before the one above it; False where a value is null."""
    if rows.num_rows < 2:
        return True
    right = pa.chunked_array([pa.repeat(pa.scalar(value=True), rows.num_rows - 1)])
    for name in reversed(names):
        above, below = rows.column(name).slice(0, rows.num_rows - 1), rows.column(name).slice(1)
        right = pc.or_(pc.less(above, below), pc.and_(pc.equal(above, below), right))
    return bool(pc.all(pc.fill_null(right, fill_value=False)).as_py())


def content(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the source said in a row, without the lake's own columns."""
    return {name: value for name, value in row.items() if name not in {*BOOKKEEPING, "day"} or name == PAYLOAD}


def row_id(row: Mapping[str, Any]) -> str:
    """Return sixteen hex digits that name a row by its content; equal rows have equal ids."""
    known = {name: value for name, value in content(row).items() if value is not None}
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()[:16]


def placed(rows: pa.Table) -> pa.Table:
    """Return rows with the lake's own columns, all of them published and without a past."""
    rows = rows.append_column(PLACE, pa.repeat(pa.scalar(PUBLISHED), rows.num_rows))
    for name in (REASONS, SUITE, RUN, PAYLOAD, TRACE):
        rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
    return rows


@dataclass(frozen=True, slots=True)
class Marks:
    """What a refused row is marked with: the version of the suite that refused it, and the run."""

    suite: str
    run: str


def version_of(suite: Sequence[Mapping[str, Any]]) -> str:
    """Return twelve hex digits that name a suite by what it expects."""
    return hashlib.sha256(json.dumps(list(suite), sort_keys=True).encode()).hexdigest()[:12]


def refuse(rows: pa.Table, reasons: Mapping[int, tuple[str, ...]], marks: Marks) -> pa.Table:
    """Return placed rows of which those at the given positions are in quarantine, with all their reasons."""
    if not reasons:
        return rows
    listed: dict[str, list[str | None]] = {name: rows.column(name).to_pylist() for name in (PLACE, REASONS, SUITE, RUN)}
    for position, why in reasons.items():
        listed[PLACE][position] = QUARANTINE
        listed[REASONS][position] = json.dumps(list(why))
        listed[SUITE][position], listed[RUN][position] = marks.suite, marks.run
    for name, values in listed.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return rows


def unreadable(rejected: pa.Table, schema: pa.Schema, marks: Marks) -> pa.Table:
    """Return records that have no types, as rows in quarantine of which only the payload is known.

    Args:
        rejected: columns payload and reason.
        schema: of the placed rows they go with.
        marks: of the refused rows.
    """
    rows = pa.Table.from_arrays([pa.nulls(rejected.num_rows, field.type) for field in schema], schema=schema)
    position = schema.get_field_index(PAYLOAD)
    rows = rows.set_column(position, schema.field(position), rejected.column("payload").cast(pa.string()))
    reasons = {at: (str(reason),) for at, reason in enumerate(rejected.column("reason").to_pylist())}
    return refuse(rows, reasons, marks)


def with_past(rows: Mapping[date, pa.Table], stored: Mapping[date, pa.Table]) -> dict[date, pa.Table]:
    """Return the days with what people decided about their rows before: a discarded row that comes again stays so.

    A row that was re-driven and comes again is published or refused by its expectations, and keeps its trace.
    """
    return {day: _with_past(each, stored[day]) if day in stored else each for day, each in rows.items()}


def _with_past(rows: pa.Table, stored: pa.Table) -> pa.Table:
    if TRACE not in stored.column_names:
        return rows  # written before rows had places: nobody has decided anything about them
    decided = stored.filter(pc.is_valid(stored.column(TRACE)))
    if not decided.num_rows:
        return rows
    mask = _may_be_among(decided, rows)
    alike = rows.filter(mask).to_pylist()
    past: dict[str, list[dict[str, Any]]] = {}
    for row in decided.to_pylist() if alike else ():
        past.setdefault(row_id(row), []).append(row)
    for row in alike:
        known = past.get(row_id(row))
        if known:
            before = known.pop()
            row[TRACE] = before[TRACE]
            if before[PLACE] == DISCARDED:
                row |= {name: before[name] for name in (PLACE, REASONS, SUITE, RUN)}
    for name in (TRACE, PLACE, REASONS, SUITE, RUN) if alike else ():
        values = pa.array([row[name] for row in alike], pa.string())
        column = pc.replace_with_mask(rows.column(name).combine_chunks(), mask, values)
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return rows


def _may_be_among(decided: pa.Table, rows: pa.Table) -> pa.Array:
    """Tell which rows have, in each column by itself, a value of a decided row: all equal ones, and few others.

    What is exactly equal only their ids say, and those are made row by row.
    """
    mask = pa.repeat(pa.scalar(value=True), rows.num_rows)
    for field in rows.schema:
        if field.name in {*BOOKKEEPING, "day"} - {PAYLOAD} or pa.types.is_nested(field.type):
            continue
        column = rows.column(field.name).combine_chunks()
        if field.name not in decided.column_names:
            mask = pc.and_(mask, pc.is_null(column))
        elif decided.schema.field(field.name).type == field.type:
            mask = pc.and_(mask, pc.is_in(column, value_set=decided.column(field.name).combine_chunks()))
    return mask
