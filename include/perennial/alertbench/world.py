"""A use case's days, lived one after the other with the stages that production runs, in a home of their own.

What differs from production: nobody waits (labels that have matured by a day are there), the mails go into a list, and
the monitor draws no page. A new model is asked for where the evidence says so, and not trained: the same champion lives
through all days.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial.adapters import Adapters
from perennial.alertbench.faults import Fault, Told
from perennial.contracts import Source
from perennial.core.triage import triage
from perennial.errors import PerennialError
from perennial.incidents import Incident, Triage
from perennial.io.incidents import incidents
from perennial.io.mails import Mail
from perennial.io.reports import Page, Reports
from perennial.io.sources import Sources
from perennial.io.warehouse import Warehouse
from perennial.raising import By
from perennial.settings import Settings
from perennial.spec import UseCase
from perennial.stages import failures, features, ingest, monitor, retrain, route, score, send, tell
from perennial.stages.failures import Failure

RUN = "alertbench"
LOOKED_AT = time(6)  # UTC, of the day after


@dataclass
class Broken:
    """The fault that a world lives with, and where it is; none where `fault` is None."""

    source: Source
    start: date = date.max
    fault: Fault | None = None
    seed: int = 0
    today: date = date.min
    mended: bool = False

    def of_rows(self, day: date, rows: pa.Table, told: Told) -> pa.Table:
        """Return a source's rows of a day as the fault has them."""
        fault = self.fault
        if fault is None or self.mended or fault.part != "rows" or not fault.is_on(day, self.start):
            return rows
        return fault.change(rows, told)


class FaultySources(Sources):
    """The real sources, with a fault in one of them."""

    broken: Broken
    entity: str

    def read_days(self, case: UseCase, source: Source, days: Sequence[date]) -> Iterator[Any]:
        """Yield what each day holds, as `Sources.read_days`, broken where the fault is on."""
        for delivery in super().read_days(case, source, days):
            if source.name != self.broken.source.name:
                yield delivery
                continue
            told = Told(
                source, self.entity, delivery.day, self.broken.start, self.broken.seed,
                lambda day: next(super(FaultySources, self).read_days(case, source, [day])).rows,
            )  # fmt: skip
            yield type(delivery)(
                delivery.day,
                self.broken.of_rows(delivery.day, delivery.rows, told),
                delivery.rejected,
                delivery.notices,
            )


class FaultyWarehouse(Warehouse):
    """The real warehouse, with a fault in the labels."""

    broken: Broken

    def labels(self, case: UseCase, days: Sequence[date], *, pins: Mapping[str, int]) -> pa.Table:
        """Return the labels, as `Warehouse.labels`, broken from the first day on that the fault could have reached."""
        real = super().labels(case, days, pins=pins)
        fault, start = self.broken.fault, self.broken.start
        if fault is None or fault.part != "labels" or not fault.is_on(self.broken.today, start):
            return real
        first = start - case.horizon
        before = real.filter(pc.less(real["day"], pa.scalar(first)))
        return pa.concat_tables([before, *(self._changed(case, real, day, fault) for day in days if day >= first)])

    def _changed(self, case: UseCase, real: pa.Table, day: date, fault: Fault) -> pa.Table:
        """Return a day's labels, those that the SQL leaves out filled in, as the fault has them."""
        mine = real.filter(pc.equal(real["day"], pa.scalar(day)))
        if case.label.missing == "zero":
            snapshot = self.snapshots(case, [day], pins=self.pins(case)).select(["day", case.entity])
            column = mine.schema.field(case.label.column)
            mine = snapshot.join(mine, keys=["day", case.entity], join_type="left outer")
            filled = pc.fill_null(mine[case.label.column], pa.scalar(0, column.type))
            mine = mine.set_column(2, case.label.column, filled).sort_by([(case.entity, "ascending")])
        start = self.broken.start
        told = Told(self.broken.source, case.entity, day, start - case.horizon, self.broken.seed, lambda _: mine)
        return fault.change(mine, told).select(real.column_names).cast(real.schema)


class NoPages(Reports):
    """Draws nothing: a page of Evidently decides nothing, and costs more than all the rest of a day."""

    def write(self, page: Page, *, current: pa.Table, reference: pa.Table) -> None:
        """Draw nothing."""


class FaultyAdapters(Adapters):
    """The outside world of one home, with a fault."""

    def __init__(self, settings: Settings, broken: Broken, *, entity: str) -> None:
        super().__init__(settings)
        self.broken = broken
        self._entity = entity

    @cached_property
    def sources(self) -> Sources:
        """Return the sources with the fault."""
        found = FaultySources(**self.source_options)
        found.broken, found.entity = self.broken, self._entity
        return found

    @cached_property
    def warehouse(self) -> Warehouse:
        """Return the warehouse with the fault."""
        found = FaultyWarehouse(self.lake)
        found.broken = self.broken
        return found

    @cached_property
    def reports(self) -> Reports:
        """Return what draws nothing."""
        return NoPages(self.settings.pages_root)


@dataclass(frozen=True, slots=True)
class Day:
    """What a lived day came to; no triage where a stage failed."""

    day: date
    triage: Triage | None
    mails: tuple[Mail, ...]
    failed: str = ""


@dataclass
class World:
    """A home whose days are lived."""

    case: UseCase
    adapters: FaultyAdapters
    inbox: list[Mail] = field(default_factory=list)

    @classmethod
    def at(cls, home: Path, case: UseCase, settings: Settings, *, source: Source, seed: int) -> World:
        """Return the world of a home; the registry is the one that `settings` name."""
        own = settings.model_copy(
            update={"home": home, "lake": None, "pages": None, "ledger_url": None, "injected": None}
        )
        return cls(case, FaultyAdapters(own, Broken(source, seed=seed), entity=case.entity))

    def copy(self, home: Path) -> World:
        """Return a world that has lived the same days; data files are shared, since nothing changes them."""
        shutil.rmtree(home, ignore_errors=True)
        here = self.adapters.settings.home
        shutil.copytree(here / "lake", home / "lake", copy_function=_linked)
        shutil.copy2(here / "ledger.db", home / "ledger.db")
        broken = self.adapters.broken
        return World.at(home, self.case, self.adapters.settings, source=broken.source, seed=broken.seed)

    def break_by(self, fault: Fault, source: Source, start: date) -> None:
        """Put a fault into a source's days, or into the labels, from `start` on."""
        broken = self.adapters.broken
        broken.fault, broken.source, broken.start = fault, source, start

    def mend(self, days: Sequence[date]) -> None:
        """Mend the feed: read its broken days again, build and score what was made of them."""
        self.adapters.broken.mended = True
        name = self.adapters.broken.source.name
        ingest.run_days(self.case, name, days, self.adapters, run=RUN)
        for day in days:  # what was not read at all, since the broken source came first
            ingest.run(self.case, day, self.adapters, run=RUN)
        features.run_days(self.case, days, self.adapters, run=RUN)
        score.run_days(self.case, days, self.adapters, run=RUN)

    def live(self, day: date) -> Day:
        """Live a day, as the DAGs would, and mail what is due."""
        self.adapters.broken.today = day
        now, before = datetime.combine(day + timedelta(days=1), LOOKED_AT, tzinfo=UTC), len(self.inbox)
        by = By("alertbench", f"{RUN} {day}", now)
        failed = self._through(day, by=by)
        if not failed:
            route.run(self.case, day, self.adapters, by=by)
        tell.run(self.case, self.adapters, now=now)
        send.run(self.adapters, deliver=self.inbox.append, now=now)
        record = None if failed else self.adapters.ledger.monitor(self.case.name, day)
        return Day(day, triage(record) if record else None, tuple(self.inbox[before:]), failed)

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """Return all incidents of the home, oldest first."""
        return tuple(reversed(incidents(self.adapters.ledger, self.case.name)))

    def _through(self, day: date, *, by: By) -> str:
        """Run the day's stages; return why one failed, or an empty text."""
        case, adapters = self.case, self.adapters
        steps: tuple[tuple[str, str, Callable[[], object]], ...] = (
            ("feature_build", "ingest", lambda: ingest.run(case, day, adapters, run=RUN)),
            ("feature_build", "features", lambda: features.run(case, day, adapters, run=RUN)),
            ("batch_scoring", "score", lambda: score.run(case, day, adapters, run=RUN)),
            ("drift_monitoring", "monitor", lambda: monitor.run(case, day, adapters, run=RUN, now=by.now)),
            ("drift_monitoring", "request_retrain", lambda: retrain.run(case, day, adapters, now=by.now, run=RUN)),
        )
        for place, (stage, task, step) in enumerate(steps):
            dag = f"{case.name}__{stage}"
            try:
                step()
            except PerennialError as error:
                told = f"{type(error).__name__}: {error}"
                failures.run(case, Failure(dag, task, told, "task failure", day), adapters, by=by)
                for late in dict.fromkeys(each for each, _, _ in steps[place + 1 :] if each != stage):
                    failures.late(case, Failure(f"{case.name}__{late}", None, None, "late", day), adapters, by=by)
                return told
            main = task in {"features", "score", "monitor"}
            failures.recovered(dag, task, adapters, by=by, ends_run=main)
        return ""


def _linked(source: str, target: str) -> str:
    """Share a data file, copy what may be written again."""
    if source.endswith(".parquet"):
        os.link(source, target)
        return target
    return str(shutil.copy2(source, target))
