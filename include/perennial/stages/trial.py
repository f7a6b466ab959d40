"""A day tried before the first backfill: what was measured of it in memory is all that a first plan can go by.

The days behind one snapshot are read straight from the sources, checked, and its features computed over them. Nothing
is written. Reading stops after some seconds. The snapshot's time is then reckoned in proportion to the days that were
read; how many rows it has is not known, since an entity of one day may be one of the next.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import date, timedelta
from time import perf_counter
from typing import TYPE_CHECKING

import pyarrow as pa

from perennial.contracts import Source
from perennial.errors import PerennialError
from perennial.io import datafiles
from perennial.io.partitions import with_day
from perennial.io.rows import published
from perennial.records import Window
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

SECONDS = 20.0  # of reading, for all sources together; each is read for one day at least

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tried:
    """What one day took, in seconds, and would hold; None where that is not known."""

    rows: float | None
    seconds: float
    bytes: float | None


@dataclass(frozen=True, slots=True)
class _Read:
    """The rows that a snapshot looks back to, the share of its days that they are, and what a day of them costs."""

    rows: pa.Table
    share: float
    a_day: Tried


@dataclass
class Trial:
    """Tries the newest day that a plan would build; each source is read once, and only when something asks.

    Args:
        case: what is planned.
        adapters: lake, sources, expectations and warehouse.
        day: the snapshot to try.
        budget: seconds of reading.
    """

    case: UseCase
    adapters: Adapters
    day: date
    budget: float = SECONDS
    _read: dict[str, _Read] = field(default_factory=dict)
    _spent: float = 0.0

    def source(self, name: str) -> Tried | None:
        """Return what a day of a source took to read and to check, and holds; None where it cannot be read now."""
        try:
            return self._of(self.case.source(name)).a_day
        except PerennialError as error:
            log.warning("%s of %s cannot be tried, so its part of the plan has no estimate: %s", name, self.day, error)
            return None

    def features(self) -> Tried | None:
        """Return what the snapshot took to compute, and holds; None where that cannot be done now."""
        try:
            found = {source.name: self._behind(source) for source in self.case.sources}
            tables = {name: read.rows for name, read in found.items()}
            begun = perf_counter()
            rows = self.adapters.warehouse.features_over(self.case, [self.day], tables)
            seconds = perf_counter() - begun
        except PerennialError as error:
            log.warning("the features of %s cannot be tried, so the plan has no estimate: %s", self.day, error)
            return None
        share = min((read.share for read in found.values()), default=1.0)
        if share < 1:
            return Tried(rows=None, seconds=seconds / share, bytes=None)
        return Tried(rows.num_rows, seconds, datafiles.size(rows))

    def _behind(self, source: Source) -> _Read:
        """Return what the snapshot looks back to: from the lake where all of it is there, else from the source."""
        table, days = self.case.raw_table(source.name), self._days(source)
        lake = self.adapters.lake
        if source.is_reference or lake.version(table) is None or lake.missing_days(table, days):
            return self._of(source)
        rows = published(lake.read(table, Window(days[0], days[-1] + timedelta(days=1))))
        return _Read(rows, 1.0, Tried(0, 0, 0))

    def _of(self, source: Source) -> _Read:
        if source.name not in self._read:
            self._read[source.name] = self._from_source(source)
        return self._read[source.name]

    def _days(self, source: Source) -> tuple[date, ...]:
        return (self.day,) if source.is_reference else self.case.days_behind(source, [self.day])

    def _from_source(self, source: Source) -> _Read:
        days, begun, tables, size = self._days(source), perf_counter(), [], 0
        for delivery in self.adapters.sources.read_days(self.case, source, days):
            self.adapters.expectations.check(delivery.rows, self.case.expectations(source.name), name=source.name)
            rows = with_day(delivery.rows, delivery.day)
            size += datafiles.size(rows)
            tables.append(rows)
            if self._spent + perf_counter() - begun > self.budget:
                break
        seconds = perf_counter() - begun
        self._spent += seconds
        rows, count = pa.concat_tables(tables, promote_options="default"), len(tables)
        return _Read(rows, count / len(days), Tried(rows.num_rows / count, seconds / count, size / count))
