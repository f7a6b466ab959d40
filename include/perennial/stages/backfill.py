"""Backfill: say beforehand what a long range would touch and cost, and keep count of the parts that are done.

A plan names the days of each product that are missing, stale (with the reason) or fresh, the models whose training
sets hold them, and the rows, time and disk to expect. Its parts are done by the stages that do single days, over
many days at once; each part looks again what is still to do, so that whatever was done before is not done again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, TypedDict

from perennial.changes import (
    BackfillPlan,
    BackfillSummary,
    Chunk,
    ChunkRecord,
    DayState,
    Effect,
    Product,
    TouchedModel,
    Wanted,
)
from perennial.contracts import Source
from perennial.core.splits import Split
from perennial.errors import DataError, NoModelError, PerennialError
from perennial.io.lake import Held
from perennial.io.ledger import Entry
from perennial.io.registry import CHAMPION
from perennial.io.rows import STRAYS
from perennial.records import Json, Window
from perennial.spec import UseCase
from perennial.stages.trial import SECONDS, Trial, Tried

if TYPE_CHECKING:
    from perennial.adapters import Adapters

CHUNK_DAYS: Mapping[Product, int] = {"raw": 61, "features": 31, "predictions": 31}
RATES_OF = 20  # parts that an estimate of the seconds a day is made of
ORDER: tuple[Product, ...] = ("raw", "features", "predictions")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Training:
    """A model version, the aliases that are at it, and the manifest of its training."""

    version: str
    aliases: tuple[str, ...]
    manifest: Json


def plan(
    case: UseCase,
    window: Window,
    adapters: Adapters,
    *,
    products: Sequence[Product] = ("features",),
    wanted: Wanted = "missing and stale",
    who: str,
    now: datetime,
) -> BackfillPlan:
    """Return the blast radius of a backfill; it is saved, and nothing else is written.

    Source days that the asked snapshots need and that were never ingested belong to every plan.

    Args:
        case: what to build.
        window: snapshot days, half-open.
        adapters: lake, lineage, registry and plans.
        products: what to build; with "raw", the sources of the window are read again as well.
        wanted: which days of each product: those that are missing, stale ones too, or all.
        who: asks for it.
        now: when; it names the plan.

    Raises:
        DataError: the window is empty, or predictions are asked for and there is no champion.
    """
    if not window:
        raise DataError(f"The backfill of {case.name!r} from {window.start} has no days: it ends before it starts.")
    if "predictions" in products and adapters.registry.version_of(case.name, CHAMPION) is None:
        raise NoModelError(
            f"{case.name} has no champion to score with. Train and promote one, or leave predictions out."
        )
    effects = preview(case, window, adapters, products=products, wanted=wanted)
    made = BackfillPlan(
        id=f"{now:%Y%m%dT%H%M%S%f}",
        case=case.name,
        window=window,
        products=in_order(products),
        wanted=wanted,
        who=who,
        at=now,
        effects=effects,
        models=tuple(touched(case, _trainings(case, adapters), adapters, effects)),
        chunks=parts(effects),
    )
    adapters.plans.save(made)
    return made


def preview(
    case: UseCase,
    window: Window,
    adapters: Adapters,
    *,
    products: Sequence[Product],
    wanted: Wanted,
    trial_seconds: float = SECONDS,
) -> tuple[Effect, ...]:
    """Return what a backfill of one or more days would do to each product; nothing is written, no model is looked at.

    Args:
        case: what to build.
        window: snapshot days, half-open, one at least.
        adapters: lake, lineage, plans, and what tries a day.
        products: what to build.
        wanted: which days of each product.
        trial_seconds: how long the sources of a product that has no day yet are read to reckon with; at 0 they are
            not read, and what such days cost is not known.
    """
    return tuple(_effects(case, tuple(window.days()), adapters, products, wanted, trial_seconds=trial_seconds))


def in_order(products: Collection[Product]) -> tuple[Product, ...]:
    """Return products in the order in which they are built, each once."""
    return tuple(product for product in ORDER if product in products)


def parts(effects: Iterable[Effect]) -> tuple[Chunk, ...]:
    """Return the parts that a backfill is done in, in their order."""
    return tuple(_chunks(effects))


def pending(case: UseCase, made: BackfillPlan, chunk: Chunk, adapters: Adapters) -> tuple[date, ...]:
    """Return the days of a part that are still to do now; none where the part was finished."""
    if adapters.plans.finished(case.name, made.id, chunk) is not None:
        return ()
    if made.wanted == "all":
        return chunk.days
    if chunk.product == "raw":
        table = case.raw_table(str(chunk.source))
        again = "raw" in made.products
        return chunk.days if again else adapters.lake.missing_days(table, chunk.days)
    states = _states(case, chunk.product, chunk.days, adapters)
    return tuple(state.day for state in states if _is_wanted(state, made.wanted))


def finish(case: UseCase, made: BackfillPlan, chunk: Chunk, adapters: Adapters, record: ChunkRecord) -> None:
    """Write down that a part is done, and what it took."""
    adapters.plans.finish(case.name, made.id, chunk, record)


def summary(made: BackfillPlan, done: Sequence[ChunkRecord]) -> BackfillSummary:
    """Return what came of a plan, for the log and the one mail about it."""
    return BackfillSummary(
        plan=made.id,
        case=made.case,
        window=made.window,
        parts=len(made.chunks),
        done=len(done),
        days=sum(record.days for record in done),
        changed=sum(record.changed for record in done),
        rows=sum(record.rows for record in done),
        seconds=round(sum(record.seconds for record in done), 1),
        models=made.models,
    )


def enter(record: BackfillSummary, adapters: Adapters, *, who: str, now: datetime, run: str) -> None:
    """Write into the ledger that a plan was applied: once, and only when all its parts are done."""
    if not record.parts or record.done < record.parts:
        return
    last = record.window.end - timedelta(days=1)
    told = (
        f"plan {record.plan}, {record.window.start} to {last}: {record.days} days, {record.changed} changed, "
        f"{record.rows} rows"
    )
    entry = Entry(record.case, now, "backfill applied", who, told, run, report=record.to_json())
    adapters.ledger.add(entry, once=f"plan {record.plan} of {record.case}")


def _effects(
    case: UseCase,
    days: Sequence[date],
    adapters: Adapters,
    products: Sequence[Product],
    wanted: Wanted,
    *,
    trial_seconds: float,
) -> Iterator[Effect]:
    rates = _Rates.of(case, adapters, Trial(case, adapters, days[-1], budget=trial_seconds))
    states = _states(case, "features", days, adapters)
    building = [state.day for state in states if "features" in products and _is_wanted(state, wanted)]
    again = days if "raw" in products else ()
    for source in case.sources:
        found = _raw_effect(case, source, building, again, adapters, rates)
        if found.todo or found.missing:
            yield found
    # Days that are read again may turn out to have changed: their snapshots are looked at when their turn comes.
    suspected = set(days) if again and wanted != "missing" else set()
    if "features" in products:
        yield _effect(case, "features", states, adapters, rates, wanted, also=suspected)
    if "predictions" in products:
        scored = _states(case, "predictions", days, adapters)
        rebuilt = set(building) | suspected if wanted != "missing" else set()
        yield _effect(case, "predictions", scored, adapters, rates, wanted, also=rebuilt)


def _raw_effect(
    case: UseCase,
    source: Source,
    building: Sequence[date],
    again: Sequence[date],
    adapters: Adapters,
    rates: _Rates,
) -> Effect:
    table = case.raw_table(source.name)
    if source.is_reference:
        asked = tuple(again[-1:]) or tuple(building[-1:])
        missing = asked if not adapters.lake.days(table) else ()
        todo = asked if again else missing
        needed: tuple[date, ...] = asked
    else:
        ahead = timedelta(days=source.known_ahead_days)
        read_again = {day + ahead for day in again}
        needed = tuple(sorted({*case.days_behind(source, building), *read_again}))
        missing = adapters.lake.missing_days(table, needed)
        todo = tuple(sorted({*missing, *read_again}))
    held = adapters.lake.held(table)
    return Effect(
        product="raw",
        source=source.name,
        missing=tuple(missing),
        stale=(),
        fresh=len(needed) - len(missing),
        todo=todo,
        **rates.expected("raw", source.name, todo, held),
    )


def _effect(
    case: UseCase,
    product: Product,
    states: Sequence[DayState],
    adapters: Adapters,
    rates: _Rates,
    wanted: Wanted,
    *,
    also: set[date],
) -> Effect:
    todo = tuple(state.day for state in states if _is_wanted(state, wanted) or state.day in also)
    held = adapters.lake.held(case.features_table if product == "features" else case.predictions_table)
    return Effect(
        product=product,
        source=None,
        missing=tuple(state.day for state in states if state.state == "missing"),
        stale=tuple(state for state in states if state.state == "stale"),
        fresh=sum(state.state == "fresh" for state in states),
        todo=todo,
        **rates.expected(product, None, todo, held),
    )


def _states(case: UseCase, product: Product, days: Sequence[date], adapters: Adapters) -> tuple[DayState, ...]:
    states = adapters.lineage.features if product == "features" else adapters.lineage.predictions
    return states(case, days)


def _is_wanted(state: DayState, wanted: Wanted) -> bool:
    return wanted == "all" or state.state == "missing" or (state.state == "stale" and wanted == "missing and stale")


def touched(
    case: UseCase, trainings: Iterable[Training], adapters: Adapters, effects: Iterable[Effect]
) -> Iterator[TouchedModel]:
    """Yield the model versions that were trained on a day that is built again, or on days that have changed since."""
    days, known = _days_of(effects, "features"), tuple(trainings)
    trained = [Split.from_json(each.manifest["split"]).all_days for each in known]
    pinned = [int(each.manifest["data_versions"].get(case.features_table, 0)) for each in known]
    changes = adapters.lineage.changed_snapshots(case, tuple(zip(pinned, trained, strict=True)))
    for each, looked_at, changed in zip(known, trained, changes, strict=True):
        again = days & set(looked_at)
        if again or changed:
            yield TouchedModel(each.version, each.aliases, len(again), len(changed))


def _trainings(case: UseCase, adapters: Adapters) -> Iterator[Training]:
    aliases = adapters.registry.aliases(case.name)
    for version in adapters.registry.versions(case.name):
        names = tuple(sorted(alias for alias, number in aliases.items() if number == version))
        yield Training(version, names, adapters.registry.manifest(case.name, version))


def _days_of(effects: Iterable[Effect], product: Product) -> frozenset[date]:
    return frozenset(day for effect in effects if effect.product == product for day in effect.todo)


def _chunks(effects: Iterable[Effect]) -> Iterator[Chunk]:
    for effect in effects:
        size = CHUNK_DAYS[effect.product]
        for number, start in enumerate(range(0, len(effect.todo), size), start=1):
            name = "-".join(filter(None, [effect.product, effect.source, f"{number:03}"]))
            yield Chunk(name, effect.product, effect.todo[start : start + size], effect.source)


class _Expected(TypedDict):
    """What an effect says about its cost."""

    rows: int | None
    seconds: float | None
    bytes: int | None
    tried: bool


@dataclass(frozen=True, slots=True)
class _Rates:
    """What a day costs: by the newest parts of earlier backfills and what the lake holds, else by a day tried now."""

    case: UseCase
    adapters: Adapters
    known: Mapping[tuple[Product, str | None], float]
    trial: Trial

    @classmethod
    def of(cls, case: UseCase, adapters: Adapters, trial: Trial) -> _Rates:
        """Return the rates that the use case's plans have measured; what they lack is tried."""
        days: dict[tuple[Product, str | None], int] = {}
        seconds: dict[tuple[Product, str | None], float] = {}
        for record in islice((each for each in adapters.plans.records(case.name) if each.days), RATES_OF):
            key = (record.product, record.source)
            days[key] = days.get(key, 0) + record.days
            seconds[key] = seconds.get(key, 0.0) + record.seconds
        return cls(case, adapters, {key: seconds[key] / days[key] for key in days}, trial)

    def expected(
        self, product: Product, source: str | None, todo: Sequence[date], held: Mapping[date, Held]
    ) -> _Expected:
        """Return what `todo` will take and hold; None where nothing was measured and nothing can be tried."""
        if not todo:
            return _Expected(rows=0, seconds=0.0, bytes=0, tried=False)
        rate = self.known.get((product, source))
        tried = self._tried(product, source) if rate is None or not held else None
        seconds, rows, size = rate, _mean_of(held, "rows"), _mean_of(held, "bytes")
        if tried is not None:
            seconds = tried.seconds if rate is None else rate
            rows, size = (rows, size) if held else (tried.rows, tried.bytes)
        count = len(todo)
        return _Expected(
            rows=None if rows is None else round(rows * count),
            seconds=None if seconds is None else seconds * count,
            bytes=None if size is None else round(size * count),
            tried=tried is not None,
        )

    def _tried(self, product: Product, source: str | None) -> Tried | None:
        """Try one day without writing anything: the newest that is there, else one straight from the sources."""
        if product == "predictions":
            return None
        table = self.case.raw_table(source) if source else self.case.features_table
        days = [day for day in self.adapters.lake.days(table) if day != STRAYS]
        if not days:
            if self.trial.budget <= 0:
                return None
            return self.trial.source(source) if source else self.trial.features()
        begun = perf_counter()
        try:
            self._build(source, days[-1])
        except PerennialError as error:
            log.warning("%s of %s cannot be tried, so its part has no estimate: %s", source or product, days[-1], error)
            return None
        return Tried(rows=0, seconds=perf_counter() - begun, bytes=0)

    def _build(self, source: str | None, day: date) -> None:
        """Read a day of a source, or build a snapshot, and keep neither."""
        if source is not None:
            self.adapters.sources.read_day(self.case, self.case.source(source), day)
            return
        warehouse = self.adapters.warehouse
        list(warehouse.feature_days(self.case, [day], pins=warehouse.pins(self.case)))


def _mean_of(held: Mapping[date, Held], what: str) -> float | None:
    return sum(getattr(each, what) for each in held.values()) / len(held) if held else None
