"""One model as a running thing: everything that happened to it on one axis, who was champion, and the last contest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from perennial import cards
from perennial.errors import LakeError, LedgerError
from perennial.incidents import Incident
from perennial.io.entries import Action, Entry
from perennial.io.gatepage import Place, place
from perennial.io.incidents import incidents
from perennial.io.measures import Measured
from perennial.io.pages import words
from perennial.records import Record
from perennial.spec import UseCase
from perennial.verdicts import GateReport, GateResult
from perennial.views.asking import Inquiry
from perennial.views.charts import Chart, Mark, Panel, Tone, Trace

if TYPE_CHECKING:
    from perennial.adapters import Adapters

SPANS = (30, 90, 365, 730)  # days that the page offers
CHAMPION = "champion"
LANES: dict[Action, tuple[str, Tone]] = {
    "promoted": (CHAMPION, "good"),
    "rolled back": (CHAMPION, "bad"),
    "probation begun": (CHAMPION, "dim"),
    "probation survived": (CHAMPION, "good"),
    "trained": ("training", "main"),
    "retrain requested": ("training", "warn"),
    "evaluated": ("training", "third"),
    "reproduced": ("training", "good"),
    "not reproduced": ("training", "bad"),
    "approved": ("approval", "good"),
    "refused": ("approval", "bad"),
    "backfill applied": ("data", "third"),
    "forgot an entity": ("data", "warn"),
}
SEVERITY_TONES: dict[str, Tone] = {"critical": "bad", "warning": "warn", "info": "dim"}
COMMITS = 400  # of the features table, the newest
ENTRIES = 60  # of the ledger, in the list below


@dataclass(frozen=True, slots=True)
class Reign(Record):
    """A version's time as the champion; `until` is None where it goes on, `card` the path of its card, if any."""

    version: str
    since: datetime
    until: datetime | None
    how: str
    who: str
    why: str
    card: str | None


@dataclass(frozen=True, slots=True)
class GateRow(Record):
    """A gate's result, and where its interval and limit are drawn."""

    result: GateResult
    place: Place | None


@dataclass(frozen=True, slots=True)
class Contest(Record):
    """The newest challenger against the champion of then."""

    version: str
    champion: str | None
    as_of: date
    rows: int
    gates: tuple[GateRow, ...]
    figures: tuple[tuple[str, float | None, float | None], ...]
    page: str | None
    outcome: str


@dataclass(frozen=True, slots=True)
class ModelPage(Record):
    """What the page of one use case shows; `chart` is everything on one axis."""

    case: str
    days: int
    chart: Chart
    reigns: tuple[Reign, ...]
    contest: Contest | None
    open_incidents: tuple[Incident, ...]
    past_incidents: tuple[Incident, ...]
    entries: tuple[Entry, ...]
    outages: tuple[str, ...]

    @property
    def former(self) -> tuple[str, ...]:
        """Return the versions that a rollback can go to, the newest reign first."""
        versions = dict.fromkeys(reign.version for reign in self.reigns)
        return tuple(versions)[1:]


def model(case: UseCase, adapters: Adapters, *, today: date, days: int = 90) -> ModelPage:
    """Return the page of a use case.

    Args:
        case: whose.
        adapters: ledger and lake; what does not answer is named in `outages`.
        today: the last day of the axis.
        days: how many days the axis has.
    """
    inquiry, ledger = Inquiry(), adapters.ledger
    first = today - timedelta(days=days - 1)
    known: tuple[Entry, ...] = inquiry.ask(LedgerError, lambda: ledger.history(case.name, limit=None), otherwise=())
    measured: tuple[Measured, ...] = inquiry.ask(LedgerError, lambda: _measured(case, adapters, days), otherwise=())
    found: tuple[Incident, ...] = inquiry.ask(LedgerError, lambda: incidents(ledger, case.name), otherwise=())
    commits: list[dict[str, object]] = inquiry.ask(
        LakeError, lambda: adapters.lake.commits(case.features_table, limit=COMMITS), otherwise=[]
    )
    marks = sorted((*_decided(known), *_suffered(found, today), *_built(commits)), key=lambda mark: mark.day)
    chart = Chart(
        "timeline", "What happened to the model", "day", tuple(_panels(case, measured)),
        tuple(mark for mark in marks if (mark.until or mark.day) >= first.isoformat()), across=CHAMPION,
    )  # fmt: skip
    return ModelPage(
        case=case.name,
        days=days,
        chart=chart,
        reigns=tuple(_reigns(known, adapters)),
        contest=_contest(case, known, adapters, inquiry),
        open_incidents=tuple(each for each in found if each.is_open),
        past_incidents=tuple(each for each in found if not each.is_open)[:20],
        entries=known[:ENTRIES],
        outages=inquiry.outages,
    )


def _measured(case: UseCase, adapters: Adapters, days: int) -> tuple[Measured, ...]:
    """Return what the panels show, oldest day first."""
    ledger, metric = adapters.ledger, case.monitoring.performance.metric
    return (
        *ledger.measures(case.name, about="performance", name=metric, days=days),
        *ledger.measures(case.name, about="estimate", name=metric, days=days),
        *ledger.measures(case.name, about="inputs", name="features", days=days),
        *ledger.measures(case.name, about="scores", name="score", days=days),
        *ledger.measures(case.name, about="value", name="expected_profit", days=days),
    )


def _panels(case: UseCase, measured: Sequence[Measured]) -> Iterator[Panel]:
    """Yield performance, drift and money, each where something of it was measured."""
    held = case.monitoring.performance
    limit = held.at_least if held.at_least is not None else held.at_most
    results = (
        _trace("on matured labels", _only(measured, "performance"), "main"),
        _trace("estimated", _only(measured, "estimate"), "other"),
    )
    yield Panel(words(held.metric), _drawn(results), limit=limit)
    drift = (
        _trace("features, by importance", _only(measured, "inputs", "drift at stake"), "main", by_limit=True),
        _trace("scores", _only(measured, "scores"), "third", by_limit=True),
    )
    yield Panel("Drift", _drawn(drift), unit="1 is the limit", limit=1.0)
    if case.value is not None:
        money = (
            _trace("realised", _only(measured, "value", "realised"), "main"),
            _trace("promised by the scores", _only(measured, "value", "expected"), "dim"),
        )
        yield Panel("Profit", _drawn(money), unit=f"{case.value.currency} a thousand rows and day")


def _only(measured: Sequence[Measured], about: str, measure: str | None = None) -> list[Measured]:
    return [
        each for each in measured
        if each.measure.about == about and (measure is None or each.measure.measure == measure)
    ]  # fmt: skip


def _trace(name: str, measured: Sequence[Measured], tone: Tone, *, by_limit: bool = False) -> Trace:
    """Return a line of measures; `by_limit` divides each by its own day's limit and leaves out those without one."""
    kept = [each for each in measured if not by_limit or each.measure.limit]
    scale = [each.measure.limit or 1.0 if by_limit else 1.0 for each in kept]

    def scaled(values: list[float | None]) -> tuple[float | None, ...]:
        return tuple(None if value is None else value / unit for value, unit in zip(values, scale, strict=True))

    low, high = ([getattr(each.measure, end) for each in kept] for end in ("low", "high"))
    has_interval = any(value is not None for value in low)
    return Trace(
        name,
        tuple(each.day.isoformat() for each in kept),
        scaled([each.measure.value for each in kept]),
        low=scaled(low) if has_interval else (),
        high=scaled(high) if has_interval else (),
        tone=tone,
    )


def _drawn(traces: Sequence[Trace]) -> tuple[Trace, ...]:
    return tuple(trace for trace in traces if trace.x)


def _decided(entries: Sequence[Entry]) -> Iterator[Mark]:
    """Yield a mark for each decision that has a lane."""
    for entry in entries:
        if entry.action not in LANES:
            continue
        lane, tone = LANES[entry.action]
        version = f" version {entry.to_version}" if entry.to_version else ""
        yield Mark(_day(entry.at), lane, f"{entry.action}{version}, by {entry.who}: {entry.reason}", tone)


def _suffered(found: Sequence[Incident], today: date) -> Iterator[Mark]:
    """Yield a mark for each incident, from its first day to its end, or to today where it is open."""
    for each in found:
        end = each.closed_at.astimezone(UTC).date() if each.closed_at else today
        told = f"incident {each.id}, {each.kind} ({each.severity}): {each.reason}"
        over = f" Over: {each.closed_because}" if each.closed_because else ""
        yield Mark(
            each.since.isoformat(), "incident", f"{told}{over}", SEVERITY_TONES[each.severity],
            until=max(end, each.since).isoformat(), href=f"#incident-{each.id}" if each.is_open else "",
        )  # fmt: skip


def _built(commits: Sequence[dict[str, object]]) -> Iterator[Mark]:
    """Yield a mark for each day on which the features table got new versions."""
    by_day: dict[str, list[int]] = {}
    for commit in commits:
        at = datetime.fromtimestamp(int(str(commit["timestamp"])) / 1000, tz=UTC)
        by_day.setdefault(_day(at), []).append(int(str(commit["version"])))
    for day, versions in by_day.items():
        first, last = min(versions), max(versions)
        told = f"features version {last}" if first == last else f"features versions {first} to {last}"
        yield Mark(day, "data", told, "dim")


def _day(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()


def _reigns(known: Sequence[Entry], adapters: Adapters) -> Iterator[Reign]:
    """Yield who was champion, the newest first."""
    until: datetime | None = None
    for entry in (each for each in known if each.action in {"promoted", "rolled back"}):
        version = str(entry.to_version)
        path = cards.path(entry.case, version)
        card = path if (adapters.settings.pages_root / path).is_file() else None
        yield Reign(version, entry.at, until, entry.action, entry.who, entry.reason, card)
        until = entry.at


def _contest(case: UseCase, known: Sequence[Entry], adapters: Adapters, inquiry: Inquiry) -> Contest | None:
    """Return the newest evaluation with its gates, and what became of it; None where nothing was evaluated."""
    report: GateReport | None = inquiry.ask(
        LedgerError, lambda: adapters.ledger.latest_report(case.name), otherwise=None
    )
    if report is None:
        return None
    ours, theirs = report.metrics.get("challenger", {}), report.metrics.get("champion", {})
    return Contest(
        version=report.version,
        champion=report.champion,
        as_of=report.as_of,
        rows=report.rows,
        gates=tuple(GateRow(result, place(result)) for result in report.results),
        figures=tuple((name, ours[name], theirs.get(name)) for name in ours),
        page=report.page if report.page and (adapters.settings.pages_root / report.page).is_file() else None,
        outcome=_outcome(report, known),
    )


def _outcome(report: GateReport, known: Sequence[Entry]) -> str:
    """Return what became of the evaluated version, in words."""
    for entry in known:  # the newest first
        if entry.action == "evaluated":
            break
        if entry.to_version == report.version and entry.action in {"promoted", "refused", "approved", "rolled back"}:
            return f"{entry.action} by {entry.who}: {entry.reason}"
    if report.failed:
        return f"held back by {len(report.failed)} of {len(report.results)} gates"
    return "passed every enforced gate; not decided yet"
