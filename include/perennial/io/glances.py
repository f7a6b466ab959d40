"""What the Models page asks of the ledger: a fixed number of statements, however many use cases and days there are."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from perennial.io import entries as kept
from perennial.io.entries import CROWNING, Action, Entry
from perennial.io.ledger import MONITORS, Ledger
from perennial.io.measures import Measured, measures, read

LINE_DAYS, NEWEST_DAYS = 90, 10  # of a use case's metric, to draw it; of its estimate and its money, to tell them


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict of a use case's newest day."""

    day: date
    verdict: str
    model_version: str


class Point(NamedTuple):
    """A metric on matured labels on one day, with its interval where it has one."""

    day: date
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Glance:
    """The newest of each use case, by its name; a use case without one is not in the mapping.

    Attributes:
        crownings: the entries that made the champions.
        survived: the newest ends of probations that found nothing.
        metrics: the champion's evaluation: a mapping of figures for `challenger`, `champion` and each baseline.
        findings: the newest day's verdict.
        lines: the metrics of the last days on matured labels, by use case and metric, oldest day first.
        told: the estimates and the money of the newest day that has them.
    """

    crownings: Mapping[str, Entry] = field(default_factory=dict)
    survived: Mapping[str, Entry] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    findings: Mapping[str, Finding] = field(default_factory=dict)
    lines: Mapping[tuple[str, str], tuple[Point, ...]] = field(default_factory=dict)
    told: Mapping[str, tuple[Measured, ...]] = field(default_factory=dict)

    def latest_promotion(self, case: str) -> Entry | None:
        """Return the entry that made a champion, as the ledger would."""
        return self.crownings.get(case)

    def latest(self, case: str, action: Action) -> Entry | None:
        """Return the newest end of a probation; nothing else is known here."""
        assert action == "probation survived", action  # noqa: S101  what `probations.running` asks
        return self.survived.get(case)


def glance(ledger: Ledger, *, today: date, names: Collection[str], only: str | None = None) -> Glance:
    """Return the newest of each use case.

    Args:
        ledger: asked once, in one transaction.
        today: the day of asking; measures of the `LINE_DAYS` before it are read.
        names: of the measures: the metrics and figures of money that a page shows.
        only: the one use case whose measures are read; None is all.

    Raises:
        LedgerError: it does not answer.
    """
    with ledger.transaction() as connection:
        crownings = _newest(connection, CROWNING)
        return Glance(
            crownings=crownings,
            survived=_newest(connection, ("probation survived",)),
            metrics=dict(_metrics(connection, crownings)),
            findings=_findings(connection),
            lines=_lines(connection, today, names, only),
            told=_told(connection, today, names, only),
        )


def _newest(connection: sa.Connection, actions: Sequence[Action]) -> dict[str, Entry]:
    """Return the newest entry of some actions, by use case."""
    table = kept.entries
    newest = sa.select(sa.func.max(table.c.id)).where(table.c.action.in_(actions)).group_by(table.c.case)
    rows = connection.execute(sa.select(table).where(table.c.id.in_(newest))).mappings()
    return {row["case"]: kept.read(row) for row in rows}


def _metrics(
    connection: sa.Connection, crownings: Mapping[str, Entry]
) -> Iterator[tuple[str, Mapping[str, Mapping[str, float]]]]:
    """Yield the figures of each champion's newest evaluation; its gates are not read."""
    table, names = kept.entries, (kept.entries.c.case, kept.entries.c.to_version)
    newest = sa.select(*names, sa.func.max(table.c.id)).where(table.c.action == "evaluated").group_by(*names)
    champions = {(case, entry.to_version) for case, entry in crownings.items()}
    chosen = [number for case, version, number in connection.execute(newest) if (case, version) in champions]
    for case, report in connection.execute(sa.select(table.c.case, table.c.report).where(table.c.id.in_(chosen))):
        yield case, json.loads(report).get("metrics", {})


def _findings(connection: sa.Connection) -> dict[str, Finding]:
    """Return the verdict of each use case's newest day; of one day the newest look counts."""
    table = MONITORS
    last = sa.select(table.c.case, sa.func.max(table.c.day).label("day")).group_by(table.c.case).subquery()
    newest = (
        sa.select(sa.func.max(table.c.id))
        .join(last, sa.and_(last.c.case == table.c.case, last.c.day == table.c.day))
        .group_by(table.c.case)
    )  # fmt: skip
    columns = (table.c.case, table.c.day, table.c.verdict, table.c.model_version)
    rows = connection.execute(sa.select(*columns).where(table.c.id.in_(newest)))
    return {case: Finding(day, verdict, version) for case, day, verdict, version in rows}


def _lines(
    connection: sa.Connection, today: date, names: Collection[str], only: str | None
) -> dict[tuple[str, str], tuple[Point, ...]]:
    """Return the values of each day; of a day that was looked at again the newest. Plain rows: there are thousands."""
    columns = measures.c
    query = (
        sa.select(columns.case, columns.name, columns.day, columns.value, columns.low, columns.high)
        .where(
            columns.about == "performance", columns.measure == "value", columns.name.in_(names),
            columns.day >= today - timedelta(days=LINE_DAYS), *_of(only),
        )
        .order_by(columns.case, columns.name, columns.day, columns.at, columns.id)
    )  # fmt: skip
    found: dict[tuple[str, str], dict[date, Point]] = defaultdict(dict)
    for case, name, *point in connection.execute(query).all():
        found[case, name][point[0]] = Point(*point)
    return {key: tuple(points.values()) for key, points in found.items()}


def _told(
    connection: sa.Connection, today: date, names: Collection[str], only: str | None
) -> dict[str, tuple[Measured, ...]]:
    """Return the estimates and the money of the newest day on which their value is known."""
    columns, least = measures.c, today - timedelta(days=NEWEST_DAYS)
    mine = (columns.about.in_(("estimate", "value")), columns.name.in_(names), columns.day >= least, *_of(only))
    key = (columns.case, columns.about, columns.name, columns.measure)
    newest = (
        sa.select(*key, sa.func.max(columns.day).label("day")).where(*mine, columns.value.is_not(None)).group_by(*key)
    ).subquery()
    same = sa.and_(*(newest.c[each.name] == each for each in (*key, columns.day)))
    query = sa.select(measures).join(newest, same).where(*mine).order_by(columns.at, columns.id)
    rows: dict[str, dict[tuple[str, str, str], sa.RowMapping]] = defaultdict(dict)
    for row in connection.execute(query).mappings().all():
        rows[row["case"]][row["about"], row["name"], row["measure"]] = row
    return {case: read(list(each.values())) for case, each in rows.items()}


def _of(case: str | None) -> tuple[sa.ColumnElement[bool], ...]:
    return () if case is None else (measures.c.case == case,)
