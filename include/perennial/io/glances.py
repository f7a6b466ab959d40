"""What the Models page asks of the ledger: a fixed number of statements, however many use cases and days there are."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Glance:
    """The newest of each use case, by its name; a use case without one is not in the mapping.

    Attributes:
        cases: every use case with entries.
        crownings: the entries that made the champions.
        survived: the newest ends of probations that found nothing.
        metrics: the champion's evaluation: a mapping of figures for `challenger`, `champion` and each baseline.
        findings: the newest day's verdict.
        measured: of the last days the metric, its estimate and the money, oldest day first.
    """

    cases: tuple[str, ...] = ()
    crownings: Mapping[str, Entry] = field(default_factory=dict)
    survived: Mapping[str, Entry] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    findings: Mapping[str, Finding] = field(default_factory=dict)
    measured: Mapping[str, tuple[Measured, ...]] = field(default_factory=dict)

    def latest_promotion(self, case: str) -> Entry | None:
        """Return the entry that made a champion, as the ledger would."""
        return self.crownings.get(case)

    def latest(self, case: str, action: Action) -> Entry | None:
        """Return the newest end of a probation; nothing else is known here."""
        assert action == "probation survived", action  # noqa: S101  what `probations.running` asks
        return self.survived.get(case)


def glance(ledger: Ledger, *, today: date, names: Collection[str]) -> Glance:
    """Return the newest of each use case.

    Args:
        ledger: asked once, in one transaction.
        today: the day of asking; measures of the `LINE_DAYS` before it are read.
        names: of the measures: the metrics and figures of money that a page shows.

    Raises:
        LedgerError: it does not answer.
    """
    with ledger.transaction() as connection:
        crownings = _newest(connection, CROWNING)
        return Glance(
            cases=tuple(connection.scalars(sa.select(kept.entries.c.case).distinct().order_by(kept.entries.c.case))),
            crownings=crownings,
            survived=_newest(connection, ("probation survived",)),
            metrics=dict(_metrics(connection, crownings)),
            findings=_findings(connection),
            measured=_measured(connection, today, names),
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


def _measured(connection: sa.Connection, today: date, names: Collection[str]) -> dict[str, tuple[Measured, ...]]:
    """Return the measures of each use case; a day that was looked at again has its newest ones."""
    line, newest_days = (today - timedelta(days=days) for days in (LINE_DAYS, NEWEST_DAYS))
    lines = sa.and_(measures.c.about == "performance", measures.c.day >= line)
    told = sa.and_(measures.c.about.in_(("estimate", "value")), measures.c.day >= newest_days)
    query = (
        sa.select(measures).where(sa.or_(lines, told), measures.c.name.in_(names))
        .order_by(measures.c.case, measures.c.day, measures.c.at, measures.c.id)
    )  # fmt: skip
    newest: dict[tuple[Any, ...], sa.RowMapping] = {}
    for row in connection.execute(query).mappings():
        newest[row["case"], row["day"], row["about"], row["name"], row["measure"]] = row
    found: dict[str, list[sa.RowMapping]] = defaultdict(list)
    for (case, *_), row in newest.items():
        found[case].append(row)
    return {case: read(rows) for case, rows in found.items()}
