"""A day against what the champion was trained on: the verdict, each feature by importance and drift, what moved most.

The verdicts are the ledger's, as the monitor kept them; importances and distributions come from the champion's run and
from the lake. So where MLflow or the lake is down, the verdicts are still told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

from perennial.core import drift
from perennial.errors import LakeError, LedgerError, RegistryError
from perennial.io import monitored
from perennial.io.measures import Measured
from perennial.io.monitored import Looked
from perennial.records import ColumnDrift, Measure, MonitorRecord, Record
from perennial.spec import UseCase
from perennial.views import distributions
from perennial.views.asking import Inquiry
from perennial.views.charts import Chart, Panel, Tone, Trace, spark
from perennial.views.distributions import Distribution
from perennial.views.references import SCORE, Reference, References

if TYPE_CHECKING:
    from perennial.adapters import Adapters

State = Literal["looked at", "no champion", "not looked at", "nothing yet", "not known"]
TREND_DAYS = 60
MOVERS = 6
GONE = 99.0  # stands for the drift of a feature that is gone, where features are put in order


@dataclass(frozen=True, slots=True)
class Row(Record):
    """A feature, or the score, on the day.

    Attributes:
        name: of the feature; `score` for the champion's scores.
        importance: its share of the importance of all features; None for the score, and where it is not known.
        ratio: PSI by its limit: 1 is the limit.
        strength: importance times `ratio`, by which features are put in order; None where either is not known.
        drifted: whether it counts as drift.
        found: the monitor's finding.
        trend: its PSI on each of the days of the page's trend, None where there is none.
    """

    name: str
    importance: float | None
    ratio: float | None
    strength: float | None
    drifted: bool
    found: ColumnDrift
    trend: tuple[float | None, ...]

    @property
    def path(self) -> str:
        """Return its trend as the path of a small picture."""
        return spark(self.trend)


@dataclass(frozen=True, slots=True)
class DriftPage(Record):
    """What the Drift page shows of a use case and a day.

    Attributes:
        state: "nothing yet" where no day was looked at, "not known" where the ledger does not answer.
        day: asked for, or the newest one; None where there is none.
        earlier: the day before that was looked at.
        later: the one after.
        newest: the newest day that was looked at.
        at_stake: the drift, weighted by importance.
        drifted: how many features count as drift.
        judged: of how many that can be judged.
        share: `drifted` by `judged`, as it was held against `share_limit`.
        rows: the score, then features by importance times drift, the strongest first.
        trend_days: the days of the rows' trends, oldest first.
        movers: the distributions of what moved most.
        outages: what does not answer.
    """

    case: str
    title: str
    state: State
    day: date | None
    earlier: date | None = None
    later: date | None = None
    newest: date | None = None
    version: str = ""
    verdict: str = ""
    reason: str = ""
    since: date | None = None
    at_stake: Measure | None = None
    drifted: int = 0
    judged: int = 0
    share: float = 0.0
    share_limit: float | None = None
    limits: str = ""
    report: str | None = None
    rows: tuple[Row, ...] = ()
    trend_days: tuple[date, ...] = ()
    scatter: Chart | None = None
    movers: tuple[Distribution, ...] = ()
    outages: tuple[str, ...] = ()

    @property
    def score(self) -> Row | None:
        """Return the row of the score."""
        return next((row for row in self.rows if row.name == SCORE), None)

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Return the verdicts that rows have, each once."""
        return tuple(sorted({row.found.verdict for row in self.rows}))


@dataclass
class World:
    """What is asked, and of whom."""

    case: UseCase
    adapters: Adapters
    references: References
    inquiry: Inquiry

    def reference(self, version: str) -> Reference | None:
        """Return a champion's reference, None where MLflow does not answer."""
        name = self.case.name
        return self.inquiry.ask(
            RegistryError,
            lambda: self.references.get((name, version), lambda: Reference.fetch(name, version, self.adapters)),
            otherwise=None,
        )

    def distributions(self, names: Sequence[str], day: date, reference: Reference | None) -> dict[str, Distribution]:
        """Return the distributions of some columns; none where the lake or MLflow does not answer."""
        if reference is None or not names:
            return {}
        return self.inquiry.ask(
            LakeError,
            lambda: distributions.of_day(self.case, names, day, self.adapters, reference=reference),
            otherwise={},
        )


def page(case: UseCase, day: date | None, adapters: Adapters, *, references: References) -> DriftPage:
    """Return the page of a day, by default the newest that was looked at; what does not answer is named on it."""
    return of_day(World(case, adapters, references, Inquiry()), day, movers=MOVERS)


def of_day(world: World, day: date | None, *, movers: int) -> DriftPage:
    """Return the page of a day with the distributions of so many features that moved most."""
    case, ledger, inquiry = world.case, world.adapters.ledger, world.inquiry
    looked = inquiry.ask(LedgerError, lambda: monitored.days(case.name, ledger), otherwise=None)
    if not looked:
        state: State = "not known" if looked is None else "nothing yet"
        return DriftPage(case.name, case.title, state, day, outages=inquiry.outages)
    shown = day or looked[-1].day
    around = _around(shown, looked)
    record = inquiry.ask(LedgerError, lambda: ledger.monitor(case.name, shown), otherwise=None)
    if record is None:
        state = "not known" if inquiry.outages else "not looked at"
        return DriftPage(case.name, case.title, state, shown, *around, outages=inquiry.outages)
    if not record.model_version:
        return DriftPage(
            case.name, case.title, "no champion", shown, *around,
            verdict=record.verdict, reason=record.reason, outages=inquiry.outages,
        )  # fmt: skip
    return _of_record(world, record, around, movers=movers)


def _around(day: date, looked: Sequence[Looked]) -> tuple[date | None, date | None, date]:
    """Return the day before that was looked at, the one after, and the newest."""
    days = [each.day for each in looked]
    earlier = max((each for each in days if each < day), default=None)
    return earlier, min((each for each in days if each > day), default=None), days[-1]


def _of_record(
    world: World, record: MonitorRecord, around: tuple[date | None, date | None, date], *, movers: int
) -> DriftPage:
    reference = world.reference(record.model_version)
    days, trends = _trends(world)
    rows = _rows(record, reference, trends)
    strongest = [row.name for row in rows if row.name != SCORE and row.found.psi is not None][:movers]
    shown = world.distributions(strongest, record.day, reference)
    judged = [each for each in record.columns if each.psi is not None or drift.counts_as_drift(each)]
    return DriftPage(
        record.case, world.case.title, "looked at", record.day, *around,
        version=record.model_version, verdict=record.verdict, reason=record.reason, since=record.since,
        at_stake=next((each for each in record.measures if each.measure == "drift at stake"), None),
        drifted=sum(drift.counts_as_drift(each) for each in judged), judged=len(judged),
        share=record.drifted_share, share_limit=record.share_limit, limits=record.limits, report=record.report,
        rows=rows, trend_days=days, scatter=_scatter(rows), movers=tuple(shown.values()),
        outages=world.inquiry.outages,
    )  # fmt: skip


def _trends(world: World) -> tuple[tuple[date, ...], dict[str, dict[date, float | None]]]:
    """Return the newest days, and the PSI of each column on them."""
    ask, name, none = world.adapters.ledger.measures, world.case.name, tuple[Measured, ...]()
    features = world.inquiry.ask(
        LedgerError, lambda: ask(name, about="inputs", measure="psi", days=TREND_DAYS), otherwise=none
    )
    scores = world.inquiry.ask(
        LedgerError, lambda: ask(name, about="scores", name=SCORE, measure="psi", days=TREND_DAYS), otherwise=none
    )
    found: dict[str, dict[date, float | None]] = {}
    for each in (*features, *scores):
        found.setdefault(each.measure.name, {})[each.day] = each.measure.value
    return tuple(sorted({day for values in found.values() for day in values})), found


def _rows(
    record: MonitorRecord, reference: Reference | None, trends: Mapping[str, Mapping[date, float | None]]
) -> tuple[Row, ...]:
    days = sorted({day for values in trends.values() for day in values})
    shares = None if reference is None else reference.shares

    def row(found: ColumnDrift, importance: float | None) -> Row:
        ratio = None if found.psi is None or not found.limit else found.psi / found.limit
        strength = None if importance is None or ratio is None else importance * ratio
        trend = tuple(trends.get(found.column, {}).get(day) for day in days)
        return Row(found.column, importance, ratio, strength, drift.counts_as_drift(found), found, trend)

    known = [row(each, None if shares is None else shares.get(each.column, 0.0)) for each in record.columns]
    return (row(record.score, None), *sorted(known, key=_strongest_first))


def _strongest_first(row: Row) -> tuple[float, float, str]:
    ratio = (GONE if row.drifted else -1.0) if row.ratio is None else row.ratio
    return -(row.importance or 0.0) * ratio, -ratio, row.name


def _scatter(rows: Sequence[Row]) -> Chart | None:
    """Return importance beside drift; None where importances are not known."""
    placed = [row for row in rows if row.importance is not None and row.ratio is not None]
    calm, drifted = [row for row in placed if not row.drifted], [row for row in placed if row.drifted]
    traces = (_points("within its limit", "main", calm), _points("drifted", "bad", drifted))
    panel = Panel("PSI, as a multiple of its limit", tuple(trace for trace in traces if trace.x), limit=1.0)
    title = "Features by importance and drift"
    return Chart("scatter", title, "number", (panel,), axis_title="share of the importance, %") if placed else None


def _points(name: str, tone: Tone, rows: Sequence[Row]) -> Trace:
    x = tuple(100 * (row.importance or 0.0) for row in rows)
    names = tuple(row.name for row in rows)
    return Trace(name, x, tuple(row.ratio for row in rows), "points", texts=names, tone=tone)
