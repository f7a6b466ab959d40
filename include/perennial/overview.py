"""How every model is doing, in one value: what the Models page shows.

The ledger says which version is the champion, and MLflow where the ledger is silent. Whatever does not answer is named
once, and the rest is shown all the same. A use case that is broken, or deleted while its champion lives, keeps its row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Literal, Protocol, TypeVar

from perennial import probations
from perennial.errors import LakeError, LedgerError, PerennialError, RegistryError, SpecError
from perennial.incidents import Incident
from perennial.records import AlertRecord, MonitorRecord, Record
from perennial.spec import METRICS, BaselineGate, UseCase
from perennial.verdicts import GateReport

SHOWN = ("expected_profit", "return_on_ad_spend", "log_loss", "rmse", "bias")
State = Literal["live", "broken", "deleted"]
Fact = TypeVar("Fact")


class LedgerReader(probations.LedgerReader, Protocol):
    """What is asked of the ledger."""

    def cases(self) -> tuple[str, ...]:
        """Return all use cases with entries."""

    def latest_report(self, case: str, *, version: str | None = None) -> GateReport | None:
        """Return the newest gate report of a version."""

    def latest_monitor(self, case: str) -> MonitorRecord | None:
        """Return the newest day's finding."""

    def alerts(self, case: str, *, limit: int = 100) -> tuple[AlertRecord, ...]:
        """Return the newest mails."""


class LakeReader(Protocol):
    """What is asked of the lake."""

    def days(self, table: str) -> tuple[date, ...]:
        """Return the days of a table, oldest first."""


class RegistryReader(Protocol):
    """What is asked of the registry."""

    def version_of(self, model: str, alias: str) -> str | None:
        """Return the version that an alias points at."""


class World(Protocol):
    """The outside world, as far as this page looks at it."""

    @property
    def ledger(self) -> LedgerReader:
        """Return the ledger."""

    @property
    def lake(self) -> LakeReader:
        """Return the lake."""

    @property
    def registry(self) -> RegistryReader:
        """Return the registry."""

    def open_incidents(self) -> tuple[Incident, ...]:
        """Return the incidents that are not over, the newest first."""

    def overdue(self, now: datetime) -> tuple[datetime, ...]:
        """Return since when each mail waits that should have gone out."""


@dataclass(frozen=True, slots=True)
class Measured(Record):
    """A champion's metric on its holdout, beside the baseline's on the same rows."""

    metric: str
    value: float
    baseline: float | None
    more_is_better: bool

    @property
    def better(self) -> bool | None:
        """Tell whether the value beats the baseline; None where there is none. Equal does not."""
        if self.baseline is None:
            return None
        return self.value > self.baseline if self.more_is_better else self.value < self.baseline


@dataclass(frozen=True, slots=True)
class ModelRow(Record):
    """One use case; None is "there is none", and a name in `unknown` is "could not be asked"."""

    case: str
    state: State
    title: str = ""
    problem: str = ""
    champion: str | None = None
    promoted_at: datetime | None = None
    promoted_by: str | None = None
    baseline: str | None = None
    metrics: tuple[Measured, ...] = ()
    feature_day: date | None = None
    finding: MonitorRecord | None = None
    alert: AlertRecord | None = None
    incidents: tuple[Incident, ...] = ()
    probation: str | None = None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overview(Record):
    """All rows, and what did not answer."""

    at: datetime
    rows: tuple[ModelRow, ...]
    outages: tuple[str, ...] = ()
    incidents: tuple[Incident, ...] = ()


@dataclass
class _Inquiry:
    """Asks the outside world; a part that has failed once is not asked again, so that the page stays quick."""

    world: World
    failed: dict[type[PerennialError], str] = field(default_factory=dict)

    def ask(self, kind: type[PerennialError], question: Callable[[], Fact], *, otherwise: Fact) -> Fact:
        """Return the answer, or `otherwise` where that part of the world is out of order."""
        if kind in self.failed:
            return otherwise
        try:
            return question()
        except kind as error:
            self.failed[kind] = str(error)
            return otherwise


def overview(
    cases: Sequence[UseCase],
    broken: Mapping[str, SpecError],
    world: World,
    *,
    now: datetime,
    outages: Sequence[str] = (),
) -> Overview:
    """Return a row for each use case: those given, the broken ones, and those only the ledger remembers.

    Args:
        cases: the use cases that can be loaded.
        broken: what is wrong with each of the others.
        world: ledger, lake and registry.
        now: the time of asking, in UTC.
        outages: what the caller has found out of order already.
    """
    inquiry = _Inquiry(world)
    rows = [_row(inquiry, case.name, case=case) for case in cases]
    rows += [_row(inquiry, name, problem=str(error)) for name, error in broken.items()]
    known = {row.case for row in rows}
    remembered: tuple[str, ...] = inquiry.ask(LedgerError, lambda: world.ledger.cases(), otherwise=())
    deleted = (_row(inquiry, name) for name in remembered if name not in known)
    rows += [row for row in deleted if row.champion is not None]
    rows.sort(key=lambda row: row.case)
    opened: tuple[Incident, ...] = inquiry.ask(LedgerError, lambda: world.open_incidents(), otherwise=())
    rows = [replace(row, incidents=tuple(each for each in opened if row.case in each.cases)) for row in rows]
    late: tuple[datetime, ...] = inquiry.ask(LedgerError, lambda: world.overdue(now), otherwise=())
    told = (*outages, *inquiry.failed.values(), *_unsent(late))
    return Overview(at=now, rows=tuple(rows), outages=told, incidents=opened)


def _unsent(late: Sequence[datetime]) -> tuple[str, ...]:
    """Return what is said where mails do not go out."""
    if not late:
        return ()
    mails = "1 mail has" if len(late) == 1 else f"{len(late)} mails have"
    return (
        f"{mails} not gone out, the oldest since {min(late):%Y-%m-%d %H:%M} UTC. Nothing is lost: perennial__mail "
        "tries again every quarter of an hour, and its log says what the mail server answered.",
    )


def _row(inquiry: _Inquiry, name: str, *, case: UseCase | None = None, problem: str = "") -> ModelRow:
    ledger = inquiry.world.ledger
    promotion = inquiry.ask(LedgerError, lambda: ledger.latest_promotion(name), otherwise=None)
    version = promotion.to_version if promotion else _aliased(inquiry, name)
    report = inquiry.ask(LedgerError, lambda: ledger.latest_report(name, version=version), otherwise=None)
    alerts: tuple[AlertRecord, ...] = inquiry.ask(LedgerError, lambda: ledger.alerts(name, limit=1), otherwise=())
    days: tuple[date, ...] = inquiry.ask(LakeError, lambda: inquiry.world.lake.days(f"features/{name}"), otherwise=())
    baseline = _baseline(report, case) if version else None
    return ModelRow(
        case=name,
        state="live" if case else "broken" if problem else "deleted",
        title=case.title if case else "",
        problem=problem,
        champion=version,
        promoted_at=promotion.at if promotion else None,
        promoted_by=promotion.who if promotion else None,
        baseline=baseline,
        metrics=_measured(report, case, baseline=baseline) if report and version else (),
        feature_day=days[-1] if days else None,
        finding=inquiry.ask(LedgerError, lambda: ledger.latest_monitor(name), otherwise=None),
        alert=alerts[0] if alerts else None,
        probation=_probation(inquiry, name, newest=days[-1] if days else None),
        unknown=_unknown(inquiry, version),
    )


def _probation(inquiry: _Inquiry, name: str, *, newest: date | None) -> str | None:
    """Return how far the probation of the champion has come, None where it is on none."""
    world = inquiry.world
    found = inquiry.ask(LedgerError, lambda: probations.running(name, world.ledger), otherwise=None)
    if found is None:
        return None
    shadow: tuple[date, ...] = inquiry.ask(LakeError, lambda: world.lake.days(f"shadow/{name}"), otherwise=())
    return found.told(shadow, newest=newest)


def _aliased(inquiry: _Inquiry, name: str) -> str | None:
    """Return what MLflow holds for the champion; it is asked only where the ledger cannot be."""
    if LedgerError not in inquiry.failed:
        return None
    return inquiry.ask(RegistryError, lambda: inquiry.world.registry.version_of(name, "champion"), otherwise=None)


def _unknown(inquiry: _Inquiry, version: str | None) -> tuple[str, ...]:
    ledger_is_out = LedgerError in inquiry.failed
    names = [
        ("champion", ledger_is_out and version is None),
        ("promotion", ledger_is_out),
        ("metrics", ledger_is_out),
        ("features", LakeError in inquiry.failed),
        ("finding", ledger_is_out),
        ("alert", ledger_is_out),
    ]
    return tuple(name for name, out in names if out)


def _baseline(report: GateReport | None, case: UseCase | None) -> str | None:
    """Return the baseline that a gate names; else the first one the report knows."""
    if report is None:
        return None
    known = sorted(set(report.metrics) - {"challenger", "champion"})
    named = [gate.beats_baseline for gate in case.gates if isinstance(gate, BaselineGate)] if case else []
    return next((name for name in (*named, *known) if name in known), None)


def _measured(report: GateReport, case: UseCase | None, *, baseline: str | None) -> tuple[Measured, ...]:
    """Return the metric that training looks at, then those of `SHOWN` that such a label has."""
    first = (case.training.metric,) if case else ("roc_auc", "mae")
    ours, theirs = report.metrics.get("challenger", {}), report.metrics.get(baseline or "", {})
    names = [name for name in dict.fromkeys((*first, *SHOWN)) if name in ours]
    return tuple(Measured(name, ours[name], theirs.get(name), METRICS[name]) for name in names)
