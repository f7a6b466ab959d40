"""An entry of the ledger: one decision, as a value and as a row of its table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Literal

import sqlalchemy as sa

from perennial.io import chain
from perennial.records import Json, Record

Action = Literal[
    "trained",
    "evaluated",
    "approved",
    "refused",
    "promoted",
    "rolled back",
    "retrain requested",
    "forgot an entity",
    "backfill applied",
    "reproduced",
    "not reproduced",
    "incident opened",
    "incident worse",
    "incident grew",
    "incident eased",
    "incident acknowledged",
    "incident snoozed",
    "incident closed",
    "probation begun",
    "probation survived",
]
CROWNING: tuple[Action, ...] = ("promoted", "rolled back")  # each makes `to_version` the champion
# Keys of a report: of an evaluation, the fingerprint of what was evaluated; of an answer, the evaluation it is about;
# of a training and an evaluation, what they took.
ARTIFACT, EVALUATION, COST = "artifact", "evaluation", "cost"
END = "end of incident "  # with the incident's number, what `once` is of the entry that ends it
TOPIC = "entry "  # with the entry's number, what a mail about it is kept under
PLAIN = ("case", "action", "who", "reason", "run", "from_version", "to_version", "day")

metadata = sa.MetaData()


def identity() -> tuple[sa.Column[Any], ...]:
    """Return the columns that each table of the ledger begins with."""
    return (
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("case", sa.String(40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )


entries = sa.Table(
    "ledger_entries",
    metadata,
    *identity(),
    sa.Column("recorded_at", sa.DateTime(timezone=True)),
    sa.Column("day", sa.Date),
    sa.Column("action", sa.String(40)),
    sa.Column("from_version", sa.String(40)),
    sa.Column("to_version", sa.String(40)),
    sa.Column("who", sa.String(200)),
    sa.Column("reason", sa.Text),
    sa.Column("run", sa.String(300)),
    sa.Column("report", sa.Text),
    sa.Column("once", sa.String(200)),
    sa.Column("previous", sa.String(64)),
    sa.Column("hash", sa.String(64)),
)


@dataclass(frozen=True, slots=True)
class Entry(Record):
    """One decision; `at` is the moment it was taken, in UTC.

    `day` is the `as_of` of a training and the day of a retrain request; `report` the manifest of a training, the gate
    report of an evaluation, the receipt of a reproduction, or what an incident is about. `id`, `previous` (the hash of
    the entry before) and `hash` are there once it is written.
    """

    case: str
    at: datetime
    action: Action
    who: str
    reason: str
    run: str
    from_version: str | None = None
    to_version: str | None = None
    day: date | None = None
    report: Json = field(default_factory=dict)
    id: int = 0
    previous: str = ""
    hash: str = ""

    @property
    def anchor(self) -> str:
        """Return what to keep elsewhere, so that nobody can take this entry, or one before it, away unseen."""
        return f"{self.id}:{self.hash}"

    def became(self, written: Entry) -> bool:
        """Tell whether an entry of the ledger is this very decision, not another to the same end that was faster."""
        return replace(written, id=self.id, previous=self.previous, hash=self.hash) == self

    @property
    def topic(self) -> str:
        """Return what a mail about this entry is kept under."""
        return f"{TOPIC}{self.id}"


def append(connection: sa.Connection, entry: Entry, *, once: str | None = None) -> Entry:
    """Write an entry behind the newest one; return it, or the first one with the same `once`.

    The caller's transaction must be the only one that appends.
    """
    if once is not None:
        first = connection.execute(sa.select(entries).where(entries.c.once == once)).mappings().first()
        if first is not None:
            return read(first)
    last = connection.execute(sa.select(entries.c.id, entries.c.hash).order_by(entries.c.id.desc()).limit(1)).first()
    row: dict[str, Any] = {name: getattr(entry, name) for name in PLAIN}
    row |= {
        "id": last.id + 1 if last else 1,
        "at": utc(entry.at),
        # The database's clock: what an entry says of its own time is the caller's.
        "recorded_at": connection.scalar(sa.select(sa.func.now())),
        "report": json.dumps(entry.report, sort_keys=True),  # NaN stays NaN
        "once": once,
        "previous": last.hash if last else chain.GENESIS,
    }
    row["hash"] = chain.digest(row)
    return read(connection.execute(sa.insert(entries).values(row).returning(entries)).mappings().one())


def read(row: Mapping[str, Any] | sa.RowMapping) -> Entry:
    """Return the entry of a row."""
    names = ("id", "previous", "hash", *PLAIN)
    return Entry(**{name: row[name] for name in names}, at=chain.utc(row["at"]), report=json.loads(row["report"]))


def utc(moment: datetime) -> datetime:
    """Return the moment in UTC; one without a zone cannot be placed."""
    if moment.tzinfo is None:
        raise ValueError(f"a moment in the ledger needs a time zone, got {moment.isoformat()}.")
    return moment.astimezone(UTC)
