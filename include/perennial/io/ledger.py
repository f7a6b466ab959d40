"""The ledger: every decision about a model, in an append-only SQL database.

PostgreSQL in a stack, SQLite in a shell and in tests; triggers of the database itself refuse updates and
deletes. The ledger is the truth about which version is the champion, MLflow's aliases are its projection.

What can be read, for a use case that exists or existed:

| method | gives | |---|---| | `cases()` | the names of all use cases that have entries | |
`latest_promotion(case)` | the entry that made the champion, or None | | `champion(case)` | the champion's
version, or None | | `latest_report(case, version=...)` | the newest gate report, of that version or of any |
| `latest(case, action)`, `history(case, ...)` | entries, newest first | | `latest_monitor(case, before=...)`,
`monitors(case, ...)` | the daily findings; of one day the newest counts | | `was_alerted(case, ...)` |
whether a mail about a finding went out |
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from filelock import FileLock
from pydantic import TypeAdapter
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from perennial.errors import LedgerError
from perennial.records import AlertRecord, GateReport, Json, MonitorRecord, Record

Action = Literal["trained", "evaluated", "promoted", "retrain requested", "forgot an entity"]
Kept = TypeVar("Kept")

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "ledger_schema"
UPGRADE_LOCK = 7_236_451_098  # any number, the same in every process
CONNECT_SECONDS = 5
BUSY_SECONDS = 30

_metadata = sa.MetaData()


def _identity() -> tuple[sa.Column[Any], ...]:
    """Return the columns that each table begins with."""
    return (
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("case", sa.String(40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )


_entries = sa.Table(
    "ledger_entries",
    _metadata,
    *_identity(),
    sa.Column("day", sa.Date),
    sa.Column("action", sa.String(40)),
    sa.Column("from_version", sa.String(40)),
    sa.Column("to_version", sa.String(40)),
    sa.Column("who", sa.String(200)),
    sa.Column("reason", sa.Text),
    sa.Column("run", sa.String(300)),
    sa.Column("report", sa.Text),
    sa.Column("once", sa.String(200)),
)
_monitors = sa.Table(
    "ledger_monitors",
    _metadata,
    *_identity(),
    sa.Column("day", sa.Date),
    sa.Column("model_version", sa.String(40)),
    sa.Column("verdict", sa.String(40)),
    sa.Column("run", sa.String(300)),
    sa.Column("record", sa.Text),
)
_alerts = sa.Table(
    "ledger_alerts",
    _metadata,
    *_identity(),
    sa.Column("day", sa.Date),
    sa.Column("verdict", sa.String(40)),
    sa.Column("since", sa.Date),
    sa.Column("record", sa.Text),
)


@dataclass(frozen=True, slots=True)
class Entry(Record):
    """One decision. `id` is 0 until it is written; `at` is the moment it was taken, in UTC.

    `day` is the `as_of` of a training and the day of a retrain request; `report` the gate report of an
    evaluation.
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


class Ledger:
    """Decisions, findings and mails of all use cases.

    Args:
        url: SQLAlchemy URL; a SQLite ledger brings its schema up to date when it is first used, any other one
            is
            brought up to date by `upgrade`, which the stack calls when it starts.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def upgrade(self) -> None:
        """Bring the schema up to date; safe to repeat, and safe when several processes call it at once."""
        with self._translated(), self._upgrade_lock(), self._connecting.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("select pg_advisory_xact_lock(:lock)"), {"lock": UPGRADE_LOCK})
            _migrate(connection)

    def add(self, entry: Entry, *, once: str | None = None) -> Entry:
        """Append an entry and return it with its id; the entry of the same `once`, where there is one."""
        append = sa.insert(_entries).values({**_plain_entry(entry), "once": once}).returning(_entries)
        with self._translated():
            try:
                with self._engine.begin() as connection:
                    row = connection.execute(append).mappings().one()
            except IntegrityError:
                first = self._first(sa.select(_entries).where(_entries.c.once == once))
                if first is None:
                    raise
                row = first
        return _entry(row)

    def promote(self, entry: Entry, *, after: Entry | None) -> Entry:
        """Append a promotion that builds upon the promotion `after`; safe to repeat.

        Of two promotions that build upon the same one, only the first is written.

        Raises:
            LedgerError: another version was promoted in the meantime.
        """
        written = self.add(entry, once=f"promotion of {entry.case} after {after.id if after else 0}")
        if written.to_version != entry.to_version:
            raise LedgerError(
                f"{entry.case} version {written.to_version} was promoted by {written.who} at "
                f"{written.at:%Y-%m-%d %H:%M} UTC, while version {entry.to_version} was being promoted. "
                f"Evaluate version {entry.to_version} again: it has a new champion to beat."
            )
        return written

    def latest(self, case: str, action: Action, *, before: date | None = None) -> Entry | None:
        """Return the newest entry of an action; with `before`, the newest whose day lies before it."""
        query = sa.select(_entries).where(_entries.c.case == case, _entries.c.action == action)
        if before is not None:
            query = query.where(_entries.c.day < before)
        row = self._find(query.order_by(_entries.c.id.desc()))
        return None if row is None else _entry(row)

    def latest_promotion(self, case: str) -> Entry | None:
        """Return the entry that made the champion, None where nothing has been promoted."""
        return self.latest(case, "promoted")

    def champion(self, case: str) -> str | None:
        """Return the version that the ledger says is the champion."""
        entry = self.latest_promotion(case)
        return None if entry is None else entry.to_version

    def latest_report(self, case: str, *, version: str | None = None) -> GateReport | None:
        """Return the newest gate report, of any version or of one."""
        query = sa.select(_entries).where(_entries.c.case == case, _entries.c.action == "evaluated")
        if version is not None:
            query = query.where(_entries.c.to_version == version)
        row = self._find(query.order_by(_entries.c.id.desc()))
        return None if row is None else _read(GateReport, row["report"])

    def history(self, case: str | None = None, *, limit: int = 100) -> tuple[Entry, ...]:
        """Return the newest entries, of one use case or of all, newest first."""
        query = sa.select(_entries).order_by(_entries.c.id.desc()).limit(limit)
        if case is not None:
            query = query.where(_entries.c.case == case)
        return tuple(_entry(row) for row in self._all(query))

    def cases(self) -> tuple[str, ...]:
        """Return the names of all use cases with entries, also of those that were deleted since."""
        rows = self._all(sa.select(_entries.c.case).distinct().order_by(_entries.c.case))
        return tuple(row["case"] for row in rows)

    def add_monitor(self, record: MonitorRecord, *, at: datetime, run: str) -> None:
        """Append a day's finding; the newest of a day counts, the same one again is not written."""
        known = self._find(_of_day(record.case, record.day))
        text = json.dumps(record.to_json(), sort_keys=True)
        if known is not None and known["record"] == text:
            return
        values = {
            "case": record.case,
            "at": _utc(at),
            "day": record.day,
            "model_version": record.model_version,
            "verdict": record.verdict,
            "run": run,
            "record": text,
        }
        self._insert(_monitors, values)

    def monitor(self, case: str, day: date) -> MonitorRecord | None:
        """Return the newest finding of that very day."""
        row = self._find(_of_day(case, day))
        return None if row is None else _read(MonitorRecord, row["record"])

    def latest_monitor(self, case: str, *, before: date | None = None) -> MonitorRecord | None:
        """Return the finding of the newest day; with `before`, of the newest day before it."""
        query = sa.select(_monitors).where(_monitors.c.case == case)
        if before is not None:
            query = query.where(_monitors.c.day < before)
        row = self._find(query.order_by(_monitors.c.day.desc(), _monitors.c.id.desc()))
        return None if row is None else _read(MonitorRecord, row["record"])

    def monitors(self, case: str, *, days: int = 90) -> tuple[MonitorRecord, ...]:
        """Return the findings of the newest days that have one, newest first, one a day."""
        newest = sa.select(sa.func.max(_monitors.c.id)).where(_monitors.c.case == case).group_by(_monitors.c.day)
        query = sa.select(_monitors).where(_monitors.c.id.in_(newest)).order_by(_monitors.c.day.desc()).limit(days)
        return tuple(_read(MonitorRecord, row["record"]) for row in self._all(query))

    def save_alert(self, alert: AlertRecord) -> None:
        """Append a mail that went out."""
        values = {
            "case": alert.case,
            "at": _utc(alert.at),
            "day": alert.day,
            "verdict": alert.verdict,
            "since": alert.since,
            "record": json.dumps(alert.to_json(), sort_keys=True),
        }
        self._insert(_alerts, values)

    def was_alerted(self, case: str, *, verdict: str, since: date) -> bool:
        """Tell whether a mail about a finding went out; a finding is a verdict since a day."""
        same = (_alerts.c.case == case, _alerts.c.verdict == verdict, _alerts.c.since == since)
        return self._find(sa.select(_alerts).where(*same)) is not None

    def alerts(self, case: str, *, limit: int = 100) -> tuple[AlertRecord, ...]:
        """Return the newest mails about a use case, newest first."""
        query = sa.select(_alerts).where(_alerts.c.case == case).order_by(_alerts.c.id.desc()).limit(limit)
        return tuple(_read(AlertRecord, row["record"]) for row in self._all(query))

    @cached_property
    def _engine(self) -> sa.Engine:
        """Return the engine of a ledger whose schema is there."""
        if self._connecting.dialect.name == "sqlite":
            self.upgrade()
        return self._connecting

    @cached_property
    def _connecting(self) -> sa.Engine:
        """Return the engine; it keeps no connections, so that a forked task never shares one."""
        try:
            return _make_engine(sa.make_url(self._url))
        except ArgumentError as error:
            raise LedgerError("The ledger's URL is no SQLAlchemy URL. Check PERENNIAL_LEDGER_URL.") from error
        except OSError as error:
            raise LedgerError(f"The ledger's folder cannot be made: {error}. Check PERENNIAL_HOME.") from error

    def _insert(self, table: sa.Table, values: Mapping[str, Any]) -> None:
        """Append one row."""
        with self._translated(), self._engine.begin() as connection:
            connection.execute(sa.insert(table).values(values))

    def _find(self, query: sa.Select[Any]) -> sa.RowMapping | None:
        """Return the first row, errors translated."""
        with self._translated():
            return self._first(query)

    def _first(self, query: sa.Select[Any]) -> sa.RowMapping | None:
        """Return the first row."""
        with self._engine.connect() as connection:
            return connection.execute(query.limit(1)).mappings().first()

    def _all(self, query: sa.Select[Any]) -> list[sa.RowMapping]:
        """Return all rows."""
        with self._translated(), self._engine.connect() as connection:
            return list(connection.execute(query).mappings())

    @contextmanager
    def _upgrade_lock(self) -> Iterator[None]:
        """Keep two processes from upgrading one SQLite file; PostgreSQL has a lock of its own."""
        url = self._connecting.url
        if url.get_backend_name() != "sqlite":
            yield
            return
        with FileLock(f"{url.database}.lock"):
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the database's errors into ours, without the password."""
        try:
            yield
        except SQLAlchemyError as error:
            where = self._connecting.url.render_as_string(hide_password=True)
            cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
            first_line = str(cause).strip().partition("\n")[0]
            raise LedgerError(
                f"The ledger at {where} does not answer as it should: {first_line}. Check that its database "
                "runs and that `perennial up` has prepared it, then run the same step again: nothing was "
                "half-written."
            ) from error


def _make_engine(url: sa.URL) -> sa.Engine:
    """Return an engine that does not wait long for a database that is not there."""
    if url.get_backend_name() == "sqlite":
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
        return sa.create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS})
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg2")
    return sa.create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS})


def _migrate(connection: sa.Connection) -> None:
    """Run the missing migrations on an open connection."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    command.upgrade(config, "head")


def _of_day(case: str, day: date) -> sa.Select[Any]:
    """Return the query for a day's findings, newest first."""
    mine = (_monitors.c.case == case, _monitors.c.day == day)
    return sa.select(_monitors).where(*mine).order_by(_monitors.c.id.desc())


def _plain_entry(entry: Entry) -> dict[str, Any]:
    """Return an entry's columns; the report is JSON text, in which NaN stays NaN."""
    names = ("case", "action", "who", "reason", "run", "from_version", "to_version", "day")
    columns = {name: getattr(entry, name) for name in names}
    return {**columns, "at": _utc(entry.at), "report": json.dumps(entry.report, sort_keys=True)}


def _entry(row: sa.RowMapping) -> Entry:
    """Return the entry of a row."""
    names = ("id", "case", "action", "who", "reason", "run", "from_version", "to_version", "day")
    return Entry(**{name: row[name] for name in names}, at=_with_zone(row["at"]), report=json.loads(row["report"]))


def _read(kind: type[Kept], text: str) -> Kept:
    """Return a record from its JSON text; unknown keys of a later version are left out by pydantic."""
    return TypeAdapter(kind).validate_python(json.loads(text))


def _utc(moment: datetime) -> datetime:
    """Return the moment in UTC; one without a zone cannot be placed."""
    if moment.tzinfo is None:
        raise ValueError(f"a moment in the ledger needs a time zone, got {moment.isoformat()}.")
    return moment.astimezone(UTC)


def _with_zone(moment: datetime) -> datetime:
    """Return the moment in UTC; SQLite gives it back without its zone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
