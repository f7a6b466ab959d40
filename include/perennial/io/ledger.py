"""The ledger: every decision about a model, in an append-only SQL database.

PostgreSQL in a stack, SQLite in a shell and in tests; triggers of the database itself refuse updates and
deletes, and each entry carries the hash of the one before (`perennial.io.chain`). The ledger is the truth about which
version is the champion, MLflow's aliases are its projection.

What can be read, for a use case that exists or existed:

| method | gives |
|---|---|
| `cases()` | the names of all use cases that have entries |
| `latest_promotion(case)` | the entry that made the champion, be it a promotion or a rollback, or None |
| `champion(case)` | the champion's version, or None |
| `reigns(case)` | every entry that made a champion, oldest first |
| `latest_report(case, version=...)` | the newest gate report, of that version or of any |
| `latest(case, action)`, `history(case, ...)` | entries, newest first |
| `latest_monitor(case, before=...)`, `monitors(case, ...)` | the daily findings; of one day the newest counts |
| `measures(case, about=..., name=...)` | what was measured day by day, to be charted |
| `was_alerted(case, ...)` | whether a mail about a finding went out |
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import cache, cached_property
from typing import Any, TypeVar

import sqlalchemy as sa
from filelock import FileLock
from pydantic import TypeAdapter
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from perennial.errors import LedgerError, RefusedError
from perennial.io import chain, engines, entries
from perennial.io import measures as measured
from perennial.io.entries import CROWNING, EVALUATION, Action, Entry, identity, metadata, utc
from perennial.io.entries import entries as _entries
from perennial.io.measures import Measured
from perennial.records import AlertRecord, Concern, LedgerCheck, MonitorRecord
from perennial.verdicts import GateReport

__all__ = ["Action", "Entry", "Ledger"]
Kept = TypeVar("Kept")

UPGRADE_LOCK = 7_236_451_098  # any number, the same in every process
APPEND_LOCK = UPGRADE_LOCK + 1
ROWS_A_READ = 500

MONITORS = sa.Table(
    "ledger_monitors",
    metadata,
    *identity(),
    sa.Column("day", sa.Date),
    sa.Column("model_version", sa.String(40)),
    sa.Column("verdict", sa.String(40)),
    sa.Column("run", sa.String(300)),
    sa.Column("record", sa.Text),
)
ALERTS = sa.Table(
    "ledger_alerts",
    metadata,
    *identity(),
    sa.Column("day", sa.Date),
    sa.Column("verdict", sa.String(40)),
    sa.Column("since", sa.Date),
    sa.Column("record", sa.Text),
)


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
            engines.lock(connection, UPGRADE_LOCK)
            engines.migrate(connection)

    def add(self, entry: Entry, *, once: str | None = None) -> Entry:
        """Append an entry and return it as it was written; the entry of the same `once`, where there is one."""
        with self.transaction(lock=APPEND_LOCK) as connection:
            return entries.append(connection, entry, once=once)

    def crown(self, entry: Entry, *, after: Entry | None) -> Entry:
        """Append an entry that makes a champion, and that was decided upon while `after` had made the last one.

        Of two decisions upon the same champion only the first is written; the same version again is not written
        twice.

        Raises:
            RefusedError: another version has become the champion in the meantime.
        """
        with self.transaction(lock=APPEND_LOCK) as connection:
            row = connection.execute(_crownings(entry.case).limit(1)).mappings().first()
            newest = None if row is None else entries.read(row)
            if (newest and newest.id) == (after and after.id):
                return entries.append(connection, entry)
        if newest is None or newest.to_version != entry.to_version:
            raise RefusedError.overtaken(entry, newest)
        return newest

    def latest(
        self, case: str, action: Action, *, before: date | None = None, version: str | None = None
    ) -> Entry | None:
        """Return the newest entry of an action, of any version or of one; with `before`, of an earlier day."""
        query = sa.select(_entries).where(_entries.c.case == case, _entries.c.action == action)
        if version is not None:
            query = query.where(_entries.c.to_version == version)
        if before is not None:
            query = query.where(_entries.c.day < before)
        row = self._find(query.order_by(_entries.c.id.desc()))
        return None if row is None else entries.read(row)

    def latest_promotion(self, case: str) -> Entry | None:
        """Return the entry that made the champion, by promotion or by rollback; None where nothing has been."""
        row = self._find(_crownings(case))
        return None if row is None else entries.read(row)

    def reigns(self, case: str) -> tuple[Entry, ...]:
        """Return every entry that made a champion, oldest first."""
        return tuple(entries.read(row) for row in reversed(self._all(_crownings(case))))

    def champion(self, case: str) -> str | None:
        """Return the version that the ledger says is the champion."""
        entry = self.latest_promotion(case)
        return None if entry is None else entry.to_version

    def evaluation_before(self, entry: Entry) -> Entry | None:
        """Return the newest evaluation of the version that an entry is about, written before it."""
        query = sa.select(_entries).where(
            _entries.c.case == entry.case, _entries.c.action == "evaluated",
            _entries.c.to_version == entry.to_version, _entries.c.id < entry.id,
        )  # fmt: skip
        row = self._find(query.order_by(_entries.c.id.desc()))
        return None if row is None else entries.read(row)

    def latest_evaluation(self, case: str, *, version: str | None = None) -> Entry | None:
        """Return the newest evaluation, of any version or of one."""
        query = sa.select(_entries).where(_entries.c.case == case, _entries.c.action == "evaluated")
        if version is not None:
            query = query.where(_entries.c.to_version == version)
        row = self._find(query.order_by(_entries.c.id.desc()))
        return None if row is None else entries.read(row)

    def latest_report(self, case: str, *, version: str | None = None) -> GateReport | None:
        """Return the newest gate report, of any version or of one."""
        entry = self.latest_evaluation(case, version=version)
        return None if entry is None else TypeAdapter(GateReport).validate_python(entry.report)

    def answer(self, case: str, *, run: str) -> Entry | None:
        """Return the newest answer that people gave in a run: an approval, or the refusal of one."""
        mine = (_entries.c.case == case, _entries.c.run == run, _entries.c.action.in_(("approved", "refused")))
        query = sa.select(_entries).where(*mine, _entries.c.report.contains(f'"{EVALUATION}": '))
        row = self._find(query.order_by(_entries.c.id.desc()))
        return None if row is None else entries.read(row)

    def open_incident(self, case: str, *, about: str) -> Entry | None:
        """Return the entry that opened the incident about something, None where the newest one is over."""
        query = sa.select(_entries).where(
            _entries.c.case == case, _entries.c.action.in_(("incident opened", "incident closed")),
            _entries.c.report.contains(json.dumps({"about": about})[1:-1]),
        )  # fmt: skip
        row = self._find(query.order_by(_entries.c.id.desc()))
        return entries.read(row) if row is not None and row["action"] == "incident opened" else None

    def first_open_incident(self) -> int | None:
        """Return the number of the oldest incident that is not over, of any use case; None where all are.

        An entry that ends an incident carries that in `once`, which is unique: so old incidents cost nothing.
        """
        ends = sa.alias(_entries)
        end = sa.literal(entries.END).concat(sa.cast(_entries.c.id, sa.String))
        query = sa.select(_entries.c.id).where(
            _entries.c.action == "incident opened", ~sa.select(ends.c.id).where(ends.c.once == end).exists()
        )
        row = self._find(query.order_by(_entries.c.id))
        return None if row is None else int(row["id"])

    def history(
        self,
        case: str | None = None,
        *,
        version: str | None = None,
        actions: Collection[Action] | None = None,
        after: int = 0,
        limit: int | None = 100,
    ) -> tuple[Entry, ...]:
        """Return the newest entries, newest first: of one use case, a version, some actions, or after an entry."""
        query = sa.select(_entries).where(_entries.c.id > after).order_by(_entries.c.id.desc()).limit(limit)
        if case is not None:
            query = query.where(_entries.c.case == case)
        if actions is not None:
            query = query.where(_entries.c.action.in_(actions))
        if version is not None:
            query = query.where(sa.or_(_entries.c.from_version == version, _entries.c.to_version == version))
        return tuple(entries.read(row) for row in self._all(query))

    def check(self) -> LedgerCheck:
        """Return what is wrong with the chain of entries, and its newest hash."""
        with self._translated(), self._engine.connect() as connection:
            known = connection.execute(sa.select(_entries.c.hash, _entries.c.id).order_by(_entries.c.id)).all()
            places = {row.hash: row.id for row in known}
            rows = connection.execution_options(yield_per=ROWS_A_READ).execute(
                sa.select(_entries).where(_entries.c.id <= (known[-1].id if known else 0)).order_by(_entries.c.id)
            )
            found = tuple(chain.faults((dict(row) for row in rows.mappings()), places))
        return LedgerCheck(len(known), places, found)

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
            "at": utc(at),
            "day": record.day,
            "model_version": record.model_version,
            "verdict": record.verdict,
            "run": run,
            "record": text,
        }
        rows = measured.rows_of(record, at=at, run=run)
        with self._translated(), self._engine.begin() as connection:
            connection.execute(sa.insert(MONITORS).values(values))
            if rows:
                connection.execute(sa.insert(measured.measures), rows)

    def measures(
        self, case: str, *, about: Concern | None = None, name: str | None = None, measure: str | None = None,
        days: int = 90,
    ) -> tuple[Measured, ...]:  # fmt: skip
        """Return what was measured in the `days` days up to the newest, oldest first; the newest look counts."""
        newest = self._find(measured.newest_day(case))
        if newest is None or newest["day"] is None:
            return ()
        since = newest["day"] - timedelta(days=days - 1)
        return measured.read(self._all(measured.newest(case, about=about, name=name, measure=measure, since=since)))

    def monitor(self, case: str, day: date) -> MonitorRecord | None:
        """Return the newest finding of that very day."""
        row = self._find(_of_day(case, day))
        return None if row is None else _read(MonitorRecord, row["record"])

    def latest_monitor(self, case: str, *, before: date | None = None) -> MonitorRecord | None:
        """Return the finding of the newest day; with `before`, of the newest day before it."""
        query = sa.select(MONITORS).where(MONITORS.c.case == case)
        if before is not None:
            query = query.where(MONITORS.c.day < before)
        row = self._find(query.order_by(MONITORS.c.day.desc(), MONITORS.c.id.desc()))
        return None if row is None else _read(MonitorRecord, row["record"])

    def monitors(self, case: str, *, days: int = 90) -> tuple[MonitorRecord, ...]:
        """Return the findings of the newest days that have one, newest first, one a day."""
        newest = sa.select(sa.func.max(MONITORS.c.id)).where(MONITORS.c.case == case).group_by(MONITORS.c.day)
        query = sa.select(MONITORS).where(MONITORS.c.id.in_(newest)).order_by(MONITORS.c.day.desc()).limit(days)
        return tuple(_read(MonitorRecord, row["record"]) for row in self._all(query))

    def save_alert(self, alert: AlertRecord) -> None:
        """Append a mail that went out."""
        self._insert(ALERTS, alert_row(alert))

    def was_alerted(self, case: str, *, verdict: str, since: date) -> bool:
        """Tell whether a mail about a finding went out; a finding is a verdict since a day."""
        same = (ALERTS.c.case == case, ALERTS.c.verdict == verdict, ALERTS.c.since == since)
        return self._find(sa.select(ALERTS).where(*same)) is not None

    def alerts(self, case: str, *, limit: int = 100) -> tuple[AlertRecord, ...]:
        """Return the newest mails about a use case, newest first."""
        query = sa.select(ALERTS).where(ALERTS.c.case == case).order_by(ALERTS.c.id.desc()).limit(limit)
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
            return engines.make(sa.make_url(self._url))
        except ArgumentError as error:
            raise LedgerError("The ledger's URL is no SQLAlchemy URL. Check PERENNIAL_LEDGER_URL.") from error
        except OSError as error:
            raise LedgerError(f"The ledger's folder cannot be made: {error}. Check PERENNIAL_HOME.") from error

    @contextmanager
    def transaction(self, *, lock: int | None = None) -> Iterator[sa.Connection]:
        """Open a transaction, errors translated; with a number for `lock` the only one with that number."""
        with self._translated(), self._engine.begin() as connection:
            if lock is not None:
                engines.lock(connection, lock)
            yield connection

    def _insert(self, table: sa.Table, values: Mapping[str, Any]) -> None:
        """Append one row."""
        with self.transaction() as connection:
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


def alert_row(alert: AlertRecord) -> dict[str, Any]:
    """Return a mail that went out as a row of its table."""
    return {
        "case": alert.case,
        "at": utc(alert.at),
        "day": alert.day,
        "verdict": alert.verdict,
        "since": alert.since,
        "record": json.dumps(alert.to_json(), sort_keys=True),
    }


def schema() -> str:
    """Return the name of the newest form of the ledger's tables, such as `0002_chain`."""
    return max(path.stem for path in (engines.MIGRATIONS / "versions").glob("[0-9]*.py"))


def _of_day(case: str, day: date) -> sa.Select[Any]:
    """Return the query for a day's findings, newest first."""
    mine = (MONITORS.c.case == case, MONITORS.c.day == day)
    return sa.select(MONITORS).where(*mine).order_by(MONITORS.c.id.desc())


def _crownings(case: str) -> sa.Select[Any]:
    """Return the query for the entries that made a champion, newest first."""
    mine = (_entries.c.case == case, _entries.c.action.in_(CROWNING))
    return sa.select(_entries).where(*mine).order_by(_entries.c.id.desc())


def _read(kind: type[Kept], text: str) -> Kept:
    """Return a record from its JSON text; unknown keys of a later version are left out by pydantic."""
    found: Kept = _adapter(kind).validate_python(json.loads(text))  # type: ignore[arg-type]  # a class is hashable
    return found


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Return what reads records of a kind; making it costs as much as reading several."""
    return TypeAdapter(kind)
