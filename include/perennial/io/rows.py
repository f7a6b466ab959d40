"""The columns that the lake adds to a source's own: where a row is, why, and what happened to it.

`raw/<case>/<source>` holds every row of a day, whatever became of it. One commit writes the day, so a row is in one
place at any moment, and a crash leaves it where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import pyarrow as pa

PLACE, REASONS, SUITE, RUN, PAYLOAD, TRACE = "place", "reasons", "suite", "ingest_run", "payload", "trace"
PUBLISHED, QUARANTINE, DISCARDED = "published", "quarantine", "discarded"
BOOKKEEPING = (PLACE, REASONS, SUITE, RUN, PAYLOAD, TRACE)
# A row counts as the same whichever run brought it.
UNLIKE = (RUN,)
STRAYS = date(1970, 1, 1)  # the partition of rows that belong to no day
ORIGIN = "origin"


def known_columns(rows: pa.Table) -> pa.Table:
    """Return the columns that SQL may see: `day`, the contract's, those added later, and the origin of a replay."""
    return rows.drop_columns([name for name in BOOKKEEPING if name in rows.column_names])


def content(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the source said in a row, without the lake's own columns."""
    return {name: value for name, value in row.items() if name not in {*BOOKKEEPING, "day"} or name == PAYLOAD}


def row_id(row: Mapping[str, Any]) -> str:
    """Return sixteen hex digits that name a row by its content; equal rows have equal ids."""
    known = {name: value for name, value in content(row).items() if value is not None}
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()[:16]


def placed(rows: pa.Table, place: str) -> pa.Table:
    """Return rows with the lake's own columns, all of them in one place and without a past."""
    nothing = pa.nulls(rows.num_rows, pa.string())
    rows = rows.append_column(PLACE, pa.repeat(pa.scalar(place), rows.num_rows))
    for name in (REASONS, SUITE, RUN, PAYLOAD, TRACE):
        if name not in rows.column_names:
            rows = rows.append_column(name, nothing)
    return rows
