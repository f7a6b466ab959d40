"""One feature of a use case: its distribution of a day beside the reference, and its drift over the days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING

from perennial.errors import DataError, LedgerError, nearest
from perennial.records import ColumnDrift, MonitorRecord, Record
from perennial.spec import UseCase
from perennial.views import drift
from perennial.views.asking import Inquiry
from perennial.views.charts import Chart, Mark, Panel, Trace
from perennial.views.distributions import Distribution
from perennial.views.drift import DriftPage, Row, World
from perennial.views.references import SCORE, References

if TYPE_CHECKING:
    from perennial.adapters import Adapters

SAME_PSI = 1e-6
NAME_SHOWN = 80


@dataclass(frozen=True, slots=True)
class FeaturePage(Record):
    """What the page of one feature shows; `row` is None where the day was not looked at.

    Attributes:
        changed: why the distributions are not those of the finding; empty where they are.
        psi: its PSI over time against its limit.
        unseen: why there are no distributions; empty where there are.
    """

    case: str
    title: str
    name: str
    page: DriftPage
    row: Row | None
    distribution: Distribution | None
    psi: Chart
    changed: str = ""
    unseen: str = ""

    @property
    def outages(self) -> tuple[str, ...]:
        """Return what does not answer."""
        return self.page.outages


def page(case: UseCase, name: str, day: date | None, adapters: Adapters, *, references: References) -> FeaturePage:
    """Return the page of one feature, or of the score.

    Raises:
        DataError: neither the use case nor the day's finding has such a feature.
    """
    world = World(case, adapters, references, Inquiry())
    whole = drift.of_day(world, day, movers=0)
    row = next((row for row in whole.rows if row.name == name), None)
    choices = {*case.features.columns, SCORE, *(each.name for each in whole.rows)}
    if name not in choices:
        raise DataError(f"{case.name} has no feature {name[:NAME_SHOWN]!r}. {nearest(name[:NAME_SHOWN], choices)}")
    reference = world.reference(whole.version) if whole.version else None
    shown = world.distributions([name], whole.day, reference).get(name) if whole.day else None
    days, none = drift.TREND_DAYS, tuple[MonitorRecord, ...]()
    history = world.inquiry.ask(LedgerError, lambda: adapters.ledger.monitors(case.name, days=days), otherwise=none)
    return FeaturePage(
        case=case.name, title=case.title, name=name, row=row, distribution=shown, psi=_psi_by_day(name, history),
        page=replace(whole, outages=world.inquiry.outages), changed=_changed(row, shown),
        unseen="" if shown else _unseen(row, world.inquiry),
    )  # fmt: skip


def _psi_by_day(name: str, history: Sequence[MonitorRecord]) -> Chart:
    """Return a column's PSI over the days against the limit of each, and where the champion changed."""
    found = [(record, column) for record in reversed(history) if (column := _column(record, name)) is not None]
    days = tuple(record.day.isoformat() for record, _ in found)
    limits = tuple(column.limit for _, column in found)
    texts = tuple(f"{column.verdict}, version {record.model_version}" for record, column in found)
    psi = Trace("PSI", days, tuple(column.psi for _, column in found), texts=texts)
    limit = Trace("limit", days, limits, tone="bad")
    distance = Trace("distance", days, tuple(column.distance for _, column in found), tone="other")
    held = next((column.distance_limit for _, column in reversed(found) if column.distance_limit is not None), None)
    panels = (Panel("PSI", (psi, limit)), Panel(f"Distance ({_measure(found)})", (distance,), limit=held))
    marks = tuple(
        Mark(record.day.isoformat(), "champion", f"version {record.model_version}", tone="third")
        for (before, _), (record, _) in pairwise(found)
        if before.model_version != record.model_version
    )
    return Chart("psi", f"{name} over the last {len(days)} days that were looked at", "day", panels, marks, "champion")


def _column(record: MonitorRecord, name: str) -> ColumnDrift | None:
    if not record.model_version:
        return None
    return next((each for each in (record.score, *record.columns) if each.column == name), None)


def _measure(found: Sequence[tuple[MonitorRecord, ColumnDrift]]) -> str:
    return found[-1][1].measure if found else "none"


def _changed(row: Row | None, shown: Distribution | None) -> str:
    """Return that the lake holds other rows now than those that were looked at; empty where it does not."""
    if row is None or shown is None or row.found.psi is None or abs(row.found.psi - shown.psi) <= SAME_PSI:
        return ""
    return (
        f"The day has been built again since it was looked at: its PSI was {row.found.psi:.4g}, of the rows shown here "
        f"it is {shown.psi:.4g}. The next look enters the new one."
    )


def _unseen(row: Row | None, inquiry: Inquiry) -> str:
    if inquiry.outages:
        return "The distributions are not known now: see the notice above."
    if row is None:
        return "The day was not looked at."
    return row.found.detail or "The day has no rows, or the champion does not know it."
