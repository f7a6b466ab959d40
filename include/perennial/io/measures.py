"""What was measured day by day, as rows of SQL that can be charted; a part of the ledger (`perennial.io.ledger`).

| column | says |
|---|---|
| `case`, `day` | whose day |
| `about`, `name`, `measure` | what was measured of what, as in `records.Measure` |
| `value`, `low`, `high`, `limit` | the figures; null where there is none |
| `over` | whether it was past its limit |
| `model_version` | the champion of then; empty before there was one |
| `at`, `run` | when it was looked at, and by what |

Rows are appended only. Looking at a day again with another outcome appends all of its rows again; the newest `at` of a
day counts, and of equal ones the newest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from perennial.io.entries import identity, metadata, utc
from perennial.records import Concern, Measure, MonitorRecord, Record

measures = sa.Table(
    "ledger_measures",
    metadata,
    *identity(),
    sa.Column("day", sa.Date),
    sa.Column("about", sa.String(20)),
    sa.Column("name", sa.String(200)),
    sa.Column("measure", sa.String(40)),
    sa.Column("value", sa.Float),
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sa.Column("limit", sa.Float),
    sa.Column("over", sa.Boolean),
    sa.Column("model_version", sa.String(40)),
    sa.Column("run", sa.String(300)),
)


@dataclass(frozen=True, slots=True)
class Measured(Record):
    """One measure of one day as it was kept; its sentence stands in the day's monitor record."""

    day: date
    measure: Measure
    model_version: str


def rows_of(record: MonitorRecord, *, at: datetime, run: str) -> list[dict[str, Any]]:
    """Return a record's measures as rows to append."""
    same = {"case": record.case, "at": utc(at), "day": record.day, "model_version": record.model_version, "run": run}
    names = ("about", "name", "measure", "value", "low", "high", "limit", "over")
    return [same | {name: getattr(each, name) for name in names} for each in record.measures]


def newest(
    case: str, *, about: Concern | None, name: str | None, measure: str | None, since: date | None
) -> sa.Select[Any]:
    """Return the query for the rows of a case that count, oldest day first."""
    mine = [measures.c.case == case]
    mine += [measures.c.about == about] if about is not None else []
    mine += [measures.c.name == name] if name is not None else []
    mine += [measures.c.measure == measure] if measure is not None else []
    mine += [measures.c.day >= since] if since is not None else []
    keys = (measures.c.day, measures.c.about, measures.c.name, measures.c.measure)
    look = sa.func.rank().over(partition_by=measures.c.day, order_by=measures.c.at.desc()).label("look")
    place = sa.func.row_number().over(partition_by=keys, order_by=measures.c.id.desc()).label("place")
    ranked = sa.select(measures, look, place).where(*mine).subquery()
    return sa.select(ranked).where(ranked.c.look == 1, ranked.c.place == 1).order_by(ranked.c.day, ranked.c.id)


def newest_day(case: str) -> sa.Select[Any]:
    """Return the query for the newest day that has measures."""
    return sa.select(sa.func.max(measures.c.day).label("day")).where(measures.c.case == case)


def read(rows: Sequence[sa.RowMapping]) -> tuple[Measured, ...]:
    """Return rows as values."""
    return tuple(
        Measured(
            row["day"],
            Measure(
                row["about"], row["name"], row["measure"], row["value"], row["low"], row["high"], row["limit"],
                over=bool(row["over"]),
            ),
            row["model_version"],
        )
        for row in rows
    )  # fmt: skip
