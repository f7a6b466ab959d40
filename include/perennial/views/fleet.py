"""All use cases at a glance: what the Models page shows.

The ledger says which version is the champion, and MLflow where the ledger is silent. Whatever does not answer is named
once, and the rest is shown all the same. A use case that is broken, or deleted while its champion lives, keeps its row.

The state of a use case is the first of these that holds:

| state | where |
|---|---|
| cannot be loaded, deleted | its files are wrong, or gone |
| degraded | an incident of severity warning or critical is open |
| waiting for approval | a question of its promotion has no answer yet |
| stale | its newest day of features is more than `STALE_DAYS` days old |
| on probation | its champion is |
| no champion yet | nothing was promoted |
| healthy | none of these |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, Protocol

from perennial import probations
from perennial.errors import LakeError, LedgerError, RegistryError, SpecError
from perennial.incidents import Incident
from perennial.io.glances import Glance, Point
from perennial.io.measures import Measured
from perennial.records import Record
from perennial.spec import METRICS, BaselineGate, UseCase
from perennial.views.asking import Inquiry
from perennial.views.charts import Tone, band, spark

State = Literal[
    "cannot be loaded", "deleted", "degraded", "waiting for approval", "stale", "on probation", "no champion yet",
    "healthy", "not known",
]  # fmt: skip
# In the order in which people want to see them: what needs somebody first.
ORDER: tuple[State, ...] = (
    "degraded", "cannot be loaded", "deleted", "waiting for approval", "stale", "not known", "on probation",
    "healthy", "no champion yet",
)  # fmt: skip
TONES: Mapping[State, Tone] = {
    "degraded": "bad", "cannot be loaded": "bad", "deleted": "warn", "waiting for approval": "warn", "stale": "warn",
    "not known": "warn", "healthy": "good",
}  # fmt: skip
STALE_DAYS = 2  # a day is built in the night after it, so yesterday's is one day old
POINTS = 45  # of a sparkline: it is 120 pixels wide
MONEY = ("expected_profit", "return_on_ad_spend")


@dataclass(frozen=True, slots=True)
class Question(Record):
    """An approval that waits for an answer; `href` leads to Airflow's form."""

    case: str
    subject: str
    at: datetime
    href: str


@dataclass(frozen=True, slots=True)
class Headline(Record):
    """The metric that the use case is judged by.

    Attributes:
        metric: its name.
        value: the newest one that is known; None where there is none.
        low: lower end of its interval, None where it has none.
        high: upper end of it.
        limit: what it is held against.
        source: whether labels have matured, it is an estimate, or it comes from the holdout.
        day: of which day; None for the holdout's.
        baseline: the baseline's value on the holdout, None where there is none.
        more_is_better: whether a greater value is the better one.
        line: the `d` of the path through the last days' values, empty where there are none.
        area: the `d` of the area between the ends of their intervals.
    """

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    source: Literal["matured labels", "estimate", "holdout"] = "holdout"
    day: date | None = None
    baseline: float | None = None
    more_is_better: bool = True
    line: str = ""
    area: str = ""

    @property
    def misses(self) -> bool | None:
        """Tell whether the value is on the wrong side of its limit, None where there is no limit; equal is right."""
        if self.value is None or self.limit is None:
            return None
        return self.value < self.limit if self.more_is_better else self.value > self.limit


@dataclass(frozen=True, slots=True)
class Money(Record):
    """What the champion brings: realised on matured labels beside what it promised, else as the holdout says."""

    name: str
    currency: str
    realised: float | None
    expected: float | None
    low: float | None = None
    high: float | None = None
    day: date | None = None


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
    headline: Headline | None = None
    money: tuple[Money, ...] = ()
    last_day: date | None = None
    verdict: str | None = None
    verdict_day: date | None = None
    incidents: tuple[Incident, ...] = ()
    questions: tuple[Question, ...] = ()
    probation: str | None = None
    next_run: datetime | None = None
    unknown: tuple[str, ...] = ()

    @property
    def tone(self) -> Tone:
        """Return the colour of the state."""
        return TONES.get(self.state, "dim")

    @property
    def urgency(self) -> int:
        """Return the state's place in the list: 0 is seen first."""
        return ORDER.index(self.state)


@dataclass(frozen=True, slots=True)
class Fleet(Record):
    """All rows, the open incidents, and what did not answer."""

    at: datetime
    rows: tuple[ModelRow, ...]
    outages: tuple[str, ...] = ()
    incidents: tuple[Incident, ...] = ()

    @property
    def states(self) -> tuple[tuple[State, int], ...]:
        """Return how many use cases are in each state, the most urgent first."""
        counts = Counter(row.state for row in self.rows)
        return tuple((state, counts[state]) for state in ORDER if counts[state])


class Registry(Protocol):
    """What is asked of the registry."""

    def version_of(self, model: str, alias: str) -> str | None:
        """Return the version that an alias points at."""


class World(Protocol):
    """The outside world, as far as this page looks at it."""

    @property
    def registry(self) -> Registry:
        """Return the registry."""

    def glance(self, *, today: date, names: frozenset[str], only: str | None = None) -> Glance:
        """Return the newest of each use case in the ledger."""

    def newest_days(self, tables: Sequence[str]) -> dict[str, date | None]:
        """Return the newest day of each table."""

    def shadow_days(self, case: str) -> tuple[date, ...]:
        """Return the days that a use case's former champion has scored."""

    def open_incidents(self) -> tuple[Incident, ...]:
        """Return the incidents that are not over, the newest first."""

    def overdue(self, now: datetime) -> tuple[datetime, ...]:
        """Return since when each mail waits that should have gone out."""


@dataclass(frozen=True, slots=True)
class Told:
    """What Airflow knows, asked by who shows the page."""

    next_runs: Mapping[str, datetime] = field(default_factory=dict)
    questions: Sequence[Question] = ()
    outages: Sequence[str] = ()


def fleet(
    cases: Sequence[UseCase], broken: Mapping[str, SpecError], world: World, *, now: datetime, told: Told | None = None,
    only: str | None = None,
) -> Fleet:  # fmt: skip
    """Return a row for each use case: those given, the broken ones, and those only the ledger remembers.

    Args:
        cases: the use cases that can be loaded.
        broken: what is wrong with each of the others.
        world: ledger, lake and registry.
        now: the time of asking, in UTC.
        told: what Airflow knows, and what was found out of order already.
        only: the one use case given: of no other one anything is looked for.
    """
    told, inquiry = told or Told(), Inquiry()
    names = frozenset({case.monitoring.performance.metric for case in cases} | {*MONEY})
    seen = inquiry.ask(LedgerError, lambda: world.glance(today=now.date(), names=names, only=only), otherwise=Glance())
    opened: tuple[Incident, ...] = inquiry.ask(LedgerError, world.open_incidents, otherwise=())
    known = {*(case.name for case in cases), *broken}
    deleted = [name for name in seen.crownings if name not in known and only is None]
    tables = [f"features/{name}" for name in (*known, *deleted)]
    days: dict[str, date | None] = inquiry.ask(LakeError, lambda: world.newest_days(tables), otherwise={})
    asking = _Asking(world, inquiry, seen, opened, days, told, now)
    rows = [
        *(asking.row(case.name, case=case) for case in cases),
        *(asking.row(name, problem=str(error)) for name, error in broken.items()),
        *(asking.row(name) for name in deleted),
    ]
    rows.sort(key=lambda row: (row.urgency, row.case))
    late: tuple[datetime, ...] = inquiry.ask(LedgerError, lambda: world.overdue(now), otherwise=())
    outages = (*told.outages, *inquiry.outages, *_unsent(late))
    return Fleet(at=now, rows=tuple(rows), outages=outages, incidents=opened)


def _unsent(late: Sequence[datetime]) -> tuple[str, ...]:
    """Return what is said where mails do not go out."""
    if not late:
        return ()
    mails = "1 mail has" if len(late) == 1 else f"{len(late)} mails have"
    return (
        f"{mails} not gone out, the oldest since {min(late):%Y-%m-%d %H:%M} UTC. Nothing is lost: perennial__mail "
        "tries again every quarter of an hour, and its log says what the mail server answered.",
    )


@dataclass(frozen=True, slots=True)
class _Asking:
    """What is known of all use cases when a row is made."""

    world: World
    inquiry: Inquiry
    seen: Glance
    opened: Sequence[Incident]
    days: Mapping[str, date | None]
    told: Told
    now: datetime

    def row(self, name: str, *, case: UseCase | None = None, problem: str = "") -> ModelRow:
        """Return the row of a use case; one that was neither loaded nor is broken is deleted."""
        crowning = self.seen.crownings.get(name)
        version = crowning.to_version if crowning else self._aliased(name)
        last_day, finding = self.days.get(f"features/{name}"), self.seen.findings.get(name)
        incidents = tuple(each for each in self.opened if name in each.cases)
        questions = tuple(each for each in self.told.questions if each.case == name)
        probation = self._probation(name, newest=last_day)
        shown = _Shown(incidents, questions, last_day, probation, version)
        return ModelRow(
            case=name,
            state=self._state(shown, case=case, problem=problem),
            title=case.title if case else "",
            problem=problem,
            champion=version,
            promoted_at=crowning.at if crowning else None,
            promoted_by=crowning.who if crowning else None,
            headline=self._headline(name, case) if version and case else None,
            money=self._money(name, case) if version and case else (),
            last_day=last_day,
            verdict=finding.verdict if finding else None,
            verdict_day=finding.day if finding else None,
            incidents=incidents,
            questions=questions,
            probation=probation,
            next_run=self.told.next_runs.get(name),
            unknown=self._unknown(version),
        )

    def _state(self, shown: _Shown, *, case: UseCase | None, problem: str) -> State:
        """Return the first state of the module's table that holds."""
        ledger_is_out, lake_is_out = LedgerError in self.inquiry.failed, LakeError in self.inquiry.failed
        old = shown.last_day is not None and (self.now.date() - shown.last_day).days > STALE_DAYS
        states: tuple[tuple[State, bool], ...] = (
            ("cannot be loaded", bool(problem)),
            ("deleted", case is None),
            ("degraded", any(each.severity != "info" for each in shown.incidents)),
            ("waiting for approval", bool(shown.questions)),
            ("stale", old),
            ("not known", ledger_is_out or lake_is_out),
            ("on probation", shown.probation is not None),
            ("no champion yet", shown.version is None),
        )
        return next((state for state, holds in states if holds), "healthy")

    def _probation(self, name: str, *, newest: date | None) -> str | None:
        """Return how far the probation of the champion has come, None where it is on none."""
        found = probations.running(name, self.seen)
        if found is None:
            return None
        shadow: tuple[date, ...] = self.inquiry.ask(LakeError, lambda: self.world.shadow_days(name), otherwise=())
        return found.told(shadow, newest=newest)

    def _aliased(self, name: str) -> str | None:
        """Return what MLflow holds for the champion; it is asked only where the ledger cannot be."""
        if LedgerError not in self.inquiry.failed:
            return None
        return self.inquiry.ask(RegistryError, lambda: self.world.registry.version_of(name, "champion"), otherwise=None)

    def _unknown(self, version: str | None) -> tuple[str, ...]:
        ledger_is_out = LedgerError in self.inquiry.failed
        names = [
            ("champion", ledger_is_out and version is None),
            ("metrics", ledger_is_out),
            ("incidents", ledger_is_out),
            ("features", LakeError in self.inquiry.failed),
        ]
        return tuple(name for name, out in names if out)

    def _headline(self, name: str, case: UseCase) -> Headline:
        """Return the metric on matured labels; else as it is estimated, else as the holdout told it."""
        held, limit = case.monitoring.performance, case.monitoring.performance
        metric, bound = held.metric, limit.at_least if limit.at_least is not None else limit.at_most
        figures = self.seen.metrics.get(name, {})
        baseline = figures.get(_baseline(figures, case) or "", {}).get(metric)
        shared = {"metric": metric, "limit": bound, "baseline": baseline, "more_is_better": METRICS[metric]}
        line = self.seen.lines.get((name, metric), ())
        known = [point for point in line if point.value is not None]
        if known:
            day, value, low, high = known[-1]
            drawn = _paths(line)
            return Headline(value=value, low=low, high=high, source="matured labels", day=day, **drawn, **shared)  # type: ignore[arg-type]
        estimates = [each for each in self._of(name, "estimate", metric) if each.measure.value is not None]
        if estimates:
            newest = estimates[-1]
            return Headline(value=newest.measure.value, low=newest.measure.low, high=newest.measure.high,
                            source="estimate", day=newest.day, **shared)  # type: ignore[arg-type]  # fmt: skip
        return Headline(value=figures.get("challenger", {}).get(metric), **shared)  # type: ignore[arg-type]

    def _of(self, name: str, about: str, what: str) -> list[Measured]:
        same = (about, what)
        return [
            each for each in self.seen.told.get(name, ())
            if (each.measure.about, each.measure.name) == same
        ]  # fmt: skip

    def _money(self, name: str, case: UseCase) -> tuple[Money, ...]:
        """Return profit and return on spend, where the use case says what a conversion is worth."""
        if case.value is None:
            return ()
        found, figures = [], self.seen.metrics.get(name, {}).get("challenger", {})
        for what in MONEY:
            known = {
                each.measure.measure: each for each in self._of(name, "value", what) if each.measure.value is not None
            }
            realised, expected = known.get("realised"), known.get("expected")
            if realised is not None:
                held = realised.measure
                promised = expected.measure.value if expected else None
                found.append(Money(what, case.value.currency, held.value, promised, held.low, held.high, realised.day))
            elif what in figures:
                found.append(Money(what, case.value.currency, None, figures[what]))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the state of a row depends on."""

    incidents: tuple[Incident, ...]
    questions: tuple[Question, ...]
    last_day: date | None
    probation: str | None
    version: str | None


def _paths(line: Sequence[Point]) -> dict[str, str]:
    """Return the paths of a sparkline: at most `POINTS` of its points, the newest among them."""
    step = -(-len(line) // POINTS)
    shown = line[::-step][::-1]
    values, low, high = (tuple(getattr(point, what) for point in shown) for what in ("value", "low", "high"))
    return {"line": spark(values, among=(*low, *high)), "area": band(low, high, among=values)}


def _baseline(figures: Mapping[str, Mapping[str, float]], case: UseCase) -> str | None:
    """Return the baseline that a gate names; else the first one the report knows."""
    known = sorted(set(figures) - {"challenger", "champion"})
    named = [gate.beats_baseline for gate in case.gates if isinstance(gate, BaselineGate)]
    return next((name for name in (*named, *known) if name in known), None)
