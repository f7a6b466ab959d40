"""A backfill before it is applied: which days ask for one, what it would touch and cost, what came of earlier ones.

Models and aliases are read from the ledger, whose entries hold the manifests: the page needs no registry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from perennial.changes import BackfillPlan, Chunk, Effect, Product, TouchedModel
from perennial.errors import DataError, LakeError, LedgerError, PerennialError
from perennial.records import Record, Window
from perennial.spec import UseCase
from perennial.views.asking import Inquiry
from perennial.views.backfillform import PRODUCTS, Asked, check
from perennial.views.stretches import DAY, Calendar, Lane, Stretch, calendar, stretches

if TYPE_CHECKING:
    from perennial.adapters import Adapters
    from perennial.io.entries import Action, Entry
    from perennial.io.ledger import Ledger
    from perennial.stages.backfill import Training

LOOK_BACK = timedelta(days=400)
LATE = timedelta(days=31)  # a newest day older than that is the end of the data, not a schedule that stands still
A_WEEK = timedelta(days=6)
MOST_GAPS = 40
MOST_PLANS = 10
HOUR = 3600.0
TRAINED: tuple[Action, ...] = ("trained",)
APPLIED: tuple[Action, ...] = ("backfill applied",)
BY_AIRFLOW = "__"  # is in the id of every run of Airflow, and in no other


@dataclass(frozen=True, slots=True)
class StartedRun(Record):
    """A run of the DAG that builds ranges; `days` is what its form asked for, empty where that cannot be read."""

    id: str
    state: str
    who: str
    days: str
    dry: bool
    begun: datetime | None
    ended: datetime | None
    href: str


@dataclass(frozen=True, slots=True)
class Runs(Record):
    """The newest runs of that DAG, and whether it is paused; `outage` is a sentence where nobody could be asked."""

    newest: tuple[StartedRun, ...] = ()
    paused: bool = False
    outage: str = ""


@dataclass(frozen=True, slots=True)
class Total(Record):
    """What a backfill takes in all; None where nothing is known.

    Attributes:
        days: days to do of each product, of sources each once a source.
        rows: rows that they will hold.
        seconds: of work.
        bytes: on disk.
        money: what the work costs; None too where no rate is set.
        tried: whether a figure comes from a day that was tried.
        at_least: whether the time of some part is not known, so that it takes longer.
    """

    days: dict[Product, int]
    rows: int | None
    seconds: float | None
    bytes: int | None
    money: float | None
    tried: bool
    at_least: bool


@dataclass(frozen=True, slots=True)
class Blast(Record):
    """What a backfill would touch; `models` is None where the ledger does not answer.

    Attributes:
        effects: of each product and source.
        calendar: its days as bars.
        stale: why days are stale, by product.
        total: what it takes.
        models: versions whose training sets hold days that are built again, or that have changed.
        scores_left: days that have scores, whose snapshot is built again and whose scores are not.
        features: the features of the snapshots that are built; none where none is.
        parts: what one task does at a time.
    """

    effects: tuple[Effect, ...]
    calendar: Calendar
    stale: tuple[Lane, ...]
    total: Total
    models: tuple[TouchedModel, ...] | None
    scores_left: int
    features: tuple[str, ...]
    parts: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Earlier(Record):
    """A plan that was made before, and what came of it; `entry` is the ledger's where all of it is done."""

    id: str
    at: datetime
    who: str
    asked: Asked
    state: Literal["nothing to do", "not begun", "partly done", "done"]
    parts: int
    done: int
    days: int
    changed: int
    rows: int
    seconds: float
    entry: int | None
    run: str


@dataclass(frozen=True, slots=True)
class PlanPage(Record):
    """All of the page.

    Attributes:
        case: name of the use case.
        newest: the newest day that is over.
        asked: what the form shows: what was asked for, else what the days ask for.
        refused: why that cannot be built; empty where it can, or where nothing was asked.
        blast: what it would touch; None where nothing was asked, or that is not known.
        now: how the days are; None where none is built, where nobody knows, or where something was asked.
        is_empty: whether no day is built, and nothing that could be planned was asked.
        gaps: days that are missing or stale, by product, the newest first.
        earlier: plans, the newest first.
        runs: of the DAG that builds ranges.
        rate: the price of an hour of work; None where none is set.
        currency: what the rate is counted in.
        outages: what does not answer, a sentence each.
    """

    case: str
    newest: date
    asked: Asked
    refused: str
    blast: Blast | None
    now: Calendar | None
    is_empty: bool
    gaps: tuple[Lane, ...]
    earlier: tuple[Earlier, ...]
    runs: Runs
    rate: float | None
    currency: str
    outages: tuple[str, ...]


def newest_day(now: datetime) -> date:
    """Return the newest day that is over in UTC."""
    return now.date() - DAY


def page(
    case: UseCase, adapters: Adapters, *, asked: Asked | None, refused: str, now: datetime, runs: Runs, tries: bool
) -> PlanPage:
    """Return the page; nothing is written, and what does not answer is named.

    Args:
        case: what would be built.
        adapters: lake, lineage, ledger, plans and what tries a day.
        asked: what for; None where nothing was.
        refused: why what was asked for cannot be read.
        now: which day is over.
        runs: what Airflow knows.
        tries: whether sources of which no day is there yet are read for some seconds, to reckon with.
    """
    world, newest = Inquiry(), newest_day(now)
    if asked is not None:
        refused = refused or _refusal(case, adapters, asked, newest, world)
    blast = _blast(case, adapters, asked, world, tries=tries) if asked is not None and not refused else None
    known = None if blast else world.ask(LakeError, lambda: _lanes(case, adapters, newest), otherwise=None)
    lanes = known or ()
    gaps = tuple(each for each in map(_gaps, lanes) if each.days)
    settings = adapters.settings
    earlier = tuple(_earlier(case.name, adapters, world))
    return PlanPage(
        case=case.name,
        newest=newest,
        asked=asked or _suggested(case, gaps, newest, lanes),
        refused=refused,
        blast=blast,
        now=_calendar(lanes),
        is_empty=known == (),
        gaps=gaps,
        earlier=earlier,
        runs=runs,
        rate=settings.compute_rate,
        currency=settings.compute_currency,
        outages=(*world.outages, *filter(None, [runs.outage])),
    )


def has_champion(case: UseCase, adapters: Adapters) -> bool:
    """Tell whether there is a model to score with; True where the ledger does not answer."""
    return Inquiry().ask(LedgerError, lambda: adapters.ledger.champion(case.name) is not None, otherwise=True)


def _refusal(case: UseCase, adapters: Adapters, asked: Asked, newest: date, world: Inquiry) -> str:
    known = world.ask(LedgerError, lambda: adapters.ledger.champion(case.name) is not None, otherwise=True)
    try:
        check(asked, newest=newest, has_champion=known)
    except DataError as error:
        return str(error)
    return ""


def _blast(case: UseCase, adapters: Adapters, asked: Asked, world: Inquiry, *, tries: bool) -> Blast | None:
    from perennial.stages import backfill, trial

    seconds = trial.SECONDS if tries else 0.0
    window, what, which = asked.window, asked.what, asked.which
    effects = world.ask(
        PerennialError,
        lambda: backfill.preview(case, window, adapters, products=what, wanted=which, trial_seconds=seconds),
        otherwise=None,
    )
    if effects is None:
        return None
    models = world.ask(
        LedgerError,
        lambda: tuple(backfill.touched(case, _trainings(case.name, adapters.ledger), adapters, effects)),
        otherwise=None,
    )
    return _told(case, adapters, effects, window, models, backfill.parts(effects))


def _told(
    case: UseCase,
    adapters: Adapters,
    effects: tuple[Effect, ...],
    window: Window,
    models: tuple[TouchedModel, ...] | None,
    parts: tuple[Chunk, ...],
) -> Blast:
    rebuilt, scored = (_todo(effects, product) for product in ("features", "predictions"))
    scores = frozenset(adapters.lake.days(case.predictions_table))
    bars = calendar(effects, window)
    return Blast(
        effects=effects,
        calendar=bars,
        stale=tuple(each for each in map(_reasons, bars.lanes) if each.days),
        total=_total(effects, adapters.settings.compute_rate),
        models=None if models is None else tuple(reversed(models)),
        scores_left=len((rebuilt & scores) - scored),
        features=case.features.columns if rebuilt else (),
        parts=parts,
    )


def _todo(effects: Iterable[Effect], product: Product) -> frozenset[date]:
    return frozenset(day for effect in effects if effect.product == product for day in effect.todo)


def _reasons(lane: Lane) -> Lane:
    return Lane(lane.name, tuple(reversed([each for each in lane.days if each.state == "stale"])))


def _total(effects: Sequence[Effect], rate: float | None) -> Total:
    working = [effect for effect in effects if effect.todo]
    seconds = [effect.seconds for effect in working if effect.seconds is not None]
    rows = [effect.rows for effect in working if effect.rows is not None]
    size = [effect.bytes for effect in working if effect.bytes is not None]
    work = sum(seconds) if seconds or not working else None
    return Total(
        days={
            product: sum(len(effect.todo) for effect in working if effect.product == product) for product in PRODUCTS
        },
        rows=sum(rows) if rows or not working else None,
        seconds=work,
        bytes=sum(size) if size or not working else None,
        money=None if rate is None or work is None else work / HOUR * rate,
        tried=any(effect.tried for effect in working),
        at_least=len(seconds) < len(working),
    )


def _trainings(case: str, ledger: Ledger) -> Iterator[Training]:
    """Yield the versions whose training the ledger holds, with the aliases that it says they have, oldest first."""
    from perennial.stages.backfill import Training

    reigns, trained = ledger.reigns(case), ledger.history(case, actions=TRAINED, limit=None)
    crowned = reigns[-1] if reigns else None
    at = {
        "champion": crowned and crowned.to_version,
        "previous": crowned and crowned.from_version,
        "challenger": trained[0].to_version if trained else None,
    }
    for entry in reversed(trained):
        # Trainings of before the ledger held manifests are in MLflow alone.
        if entry.to_version is not None and "split" in entry.report:
            names = tuple(sorted(alias for alias, version in at.items() if version == entry.to_version))
            yield Training(entry.to_version, names, entry.report)


def _lanes(case: UseCase, adapters: Adapters, newest: date) -> tuple[Lane, ...]:
    """Return how the snapshots and the scores are, from the oldest to the newest day that one could want."""
    built = adapters.lake.days(case.features_table)
    if not built:
        return ()
    last = newest if newest - built[-1] <= LATE else built[-1]
    first = max(built[0], last - LOOK_BACK)
    features = adapters.lineage.features(case, tuple(Window(first, last + DAY).days()))
    found = [Lane("features", stretches(features))]
    scored = adapters.lake.days(case.predictions_table)
    if scored and scored[0] <= last:
        since = Window(max(first, scored[0]), last + DAY)
        found.append(Lane("predictions", stretches(adapters.lineage.predictions(case, tuple(since.days())))))
    return tuple(found)


def _calendar(lanes: Sequence[Lane]) -> Calendar | None:
    return Calendar(lanes[0].days[0].first, lanes[0].days[-1].last, tuple(lanes)) if lanes else None


def _gaps(lane: Lane) -> Lane:
    """Return the newest days of a lane that are not as they should be."""
    return Lane(lane.name, tuple(each for each in reversed(lane.days) if each.state != "fresh")[:MOST_GAPS])


def _suggested(case: UseCase, gaps: Sequence[Lane], newest: date, lanes: Sequence[Lane]) -> Asked:
    """Return what the days ask for: all gaps; the newest week where there is none; a first training's where none is."""
    found: list[Stretch] = [each for gap in gaps for each in gap.days]
    if found:
        what: list[Product] = ["features"]
        if any(gap.name == "predictions" for gap in gaps):
            what.append("predictions")
        return Asked(min(each.first for each in found), max(each.last for each in found), tuple(what))
    last = lanes[0].days[-1].last if lanes else newest
    return Asked(last - (A_WEEK if lanes else timedelta(days=case.training.window_days - 1)), last)


def _earlier(case: str, adapters: Adapters, world: Inquiry) -> Iterator[Earlier]:
    """Yield the newest plans; one that cannot be read is named, and the others are shown all the same."""
    applied: tuple[Entry, ...] = ()
    applied = world.ask(LedgerError, lambda: adapters.ledger.history(case, actions=APPLIED), otherwise=applied)
    by_plan = {str(entry.report.get("plan")): entry for entry in applied}
    for plan in tuple(reversed(adapters.plans.names(case)))[:MOST_PLANS]:
        try:
            yield _became(adapters.plans.load(case, plan), adapters, by_plan.get(plan))
        except DataError as error:
            world.failed.setdefault(DataError, str(error))


def _became(plan: BackfillPlan, adapters: Adapters, entry: Entry | None) -> Earlier:
    found = [adapters.plans.finished(plan.case, plan.id, chunk) for chunk in plan.chunks]
    done = [each for each in found if each is not None]
    state: Literal["nothing to do", "not begun", "partly done", "done"] = "partly done"
    if not plan.chunks:
        state = "nothing to do"
    elif not done or len(done) == len(found):
        state = "done" if done else "not begun"
    return Earlier(
        id=plan.id,
        at=plan.at,
        who=plan.who,
        asked=Asked(plan.window.start, plan.window.end - DAY, plan.products, plan.wanted),
        state=state,
        parts=len(found),
        done=len(done),
        days=sum(each.days for each in done),
        changed=sum(each.changed for each in done),
        rows=sum(each.rows for each in done),
        seconds=sum(each.seconds for each in done),
        entry=entry.id if entry else None,
        run=entry.run if entry and BY_AIRFLOW in entry.run else "",
    )
