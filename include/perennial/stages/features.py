"""Features: one snapshot of all entities a day, from pinned versions of the sources, checked for leaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from perennial.errors import DataError, LeakError
from perennial.io.warehouse import Asked
from perennial.records import FeaturesRecord, Window
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

RELATIVE_TOLERANCE = 1e-9  # sums may be added up in another order
BYTES_A_COMMIT = 64 * 2**20  # a long range is published in parts of at most so many bytes, or of a day
Progress = Callable[[str, int, int], None]


def run(case: UseCase, day: date, adapters: Adapters, *, run: str = "manual") -> FeaturesRecord:
    """Build and publish the snapshot of one day.

    The day before is built twice, once from sources that go on to `day` and once from sources that end with it: a
    difference means that the SQL looks past the snapshot's day.

    Raises:
        LeakError: a feature knows what comes after its day; nothing was published.
        DataError: a source was never ingested for this day, or no entity has features.
        SpecError: the SQL does not run, or gives other columns than the spec names.
    """
    return run_days(case, [day], adapters, run=run)[0]


def run_days(
    case: UseCase, days: Sequence[date], adapters: Adapters, *, run: str, progress: Progress | None = None
) -> tuple[FeaturesRecord, ...]:
    """Build and publish the snapshots of many days from few reads; each is what a run of that day alone would make.

    The leak check is done on the day before the first.

    Raises:
        LeakError: a feature knows what comes after its day; nothing was published.
        DataError: a source was never ingested for a day, or no entity has features on it.
        SpecError: the SQL does not run, or gives other columns than the spec names.
    """
    days = sorted(days)
    _check_ingested(case, days, adapters)
    pins = {table: version for table, version in adapters.warehouse.pins(case).items() if table != case.features_table}
    checked = days[0] - timedelta(days=1)
    computed = _told(_computed(case, days, adapters, pins), progress, of=len(days))
    published = _Published(case, adapters, pins=pins, run=run)
    try:
        # The next part is computed while one is written.
        with ThreadPoolExecutor(max_workers=1) as background:
            writing: Future[list[FeaturesRecord]] | None = None
            for built in _parts(case, computed):
                published.records += writing.result() if writing else []
                writing = background.submit(_publish, case, built, adapters, pins=pins, checked=checked, run=run)
            published.keep_lineage()  # beside the last part
            published.records += writing.result() if writing else []
    finally:
        published.keep_lineage()
    return tuple(published.records)


@dataclass
class _Published:
    """The snapshots that are in the lake, and of how many it is written down what they were made from.

    A day of which it is not looks stale and is built again, which changes nothing.
    """

    case: UseCase
    adapters: Adapters
    pins: dict[str, int] = field(kw_only=True)
    run: str = field(kw_only=True)
    records: list[FeaturesRecord] = field(default_factory=list)
    kept: int = 0

    def keep_lineage(self) -> None:
        """Write down what the snapshots were made from that came since the last time."""
        days = [record.day for record in self.records[self.kept :]]
        self.adapters.lineage.keep_features(self.case, days, pins=self.pins, run=self.run)
        self.kept = len(self.records)


def _told(
    computed: Iterator[tuple[date, pa.Table]], progress: Progress | None, *, of: int
) -> Iterator[tuple[date, pa.Table]]:
    for done, each in enumerate(computed, start=1):
        yield each
        if progress is not None:
            progress("snapshots", done, of)


def _parts(case: UseCase, computed: Iterable[tuple[date, pa.Table]]) -> Iterator[dict[date, pa.Table]]:
    """Gather days to be published in one commit: up to BYTES_A_COMMIT, or one day."""
    built: dict[date, pa.Table] = {}
    size = 0
    for day, rows in computed:
        _check_entities(case, day, rows)
        if built and size + rows.nbytes > BYTES_A_COMMIT:
            yield built
            built, size = {}, 0
        built[day] = rows
        size += rows.nbytes
    if built:
        yield built


def rebuild_stale(case: UseCase, day: date, adapters: Adapters, *, run: str = "manual") -> tuple[FeaturesRecord, ...]:
    """Build again the stale snapshots of the days in which rows may still have come late, where the spec wants that.

    With `stale: show` nothing is built: the days are shown as stale, and a backfill builds them on request.
    """
    late = max((source.lateness_days for source in case.sources), default=0)
    if case.stale != "rebuild" or not late:
        return ()
    before = list(Window(day - timedelta(days=late), day).days())
    stale = [state.day for state in adapters.lineage.features(case, before) if state.state == "stale"]
    return run_days(case, stale, adapters, run=run) if stale else ()


def _publish(
    case: UseCase, built: dict[date, pa.Table], adapters: Adapters, *, pins: dict[str, int], checked: date, run: str
) -> list[FeaturesRecord]:
    """Write snapshots in one commit."""
    metadata = {"case": case.name, "run": run, "spec": case.fingerprint()[:12]}
    commits = adapters.lake.write_days(case.features_table, built, metadata=metadata)
    return [
        FeaturesRecord(
            case=case.name,
            day=commit.day,
            rows=commit.rows,
            version=commit.version,
            changed=commit.changed,
            source_versions=pins,
            leak_checked_day=checked,
        )
        for commit in commits
    ]


def _check_entities(case: UseCase, day: date, rows: pa.Table) -> None:
    if not rows.num_rows:
        raise DataError(
            f"{case.name}: the features have no entity on {day}: the sources hold no rows in the "
            f"{case.features.lookback_days} days before. Build a later day, or ingest earlier ones."
        )


def _check_ingested(case: UseCase, days: Sequence[date], adapters: Adapters) -> None:
    for source in case.sources:
        table = case.raw_table(source.name)
        if source.is_reference:
            missing = () if adapters.lake.days(table) else tuple(days)
        else:
            ahead = timedelta(days=source.known_ahead_days)
            missing = adapters.lake.missing_days(table, [day + ahead for day in days])
        if missing:
            raise DataError(
                f"{source.name} of {case.name!r} was not ingested for {missing[0]}. "
                f"Run `perennial ingest {case.name} {days[0]}` first."
            )


def _computed(
    case: UseCase, days: Sequence[date], adapters: Adapters, pins: dict[str, int]
) -> Iterator[tuple[date, pa.Table]]:
    """Yield each day's snapshot, once the day before the first was built with and without the rows after it.

    A single day and its check share one read of the sources.
    """
    before, first = days[0] - timedelta(days=1), days[0]
    if case.features.sql is None:
        # Declared windows see every row of a range at once: the day before is built among the others.
        (without,) = adapters.warehouse.compute_features(case, (Asked((before,), cut=before),), pins=pins)
        found = adapters.warehouse.feature_days(case, [before, *days], pins=pins)
        _, with_later_rows = next(found)
        _compare(case, before, with_later_rows, without)
        yield from found
        return
    check = (Asked((before,), cut=first), Asked((before,), cut=before))
    if len(days) > 1:
        _compare(case, before, *adapters.warehouse.compute_features(case, check, pins=pins))
        yield from adapters.warehouse.feature_days(case, days, pins=pins)
        return
    rows, *checked = adapters.warehouse.compute_features(case, (Asked((first,), cut=first), *check), pins=pins)
    _compare(case, before, *checked)
    yield first, rows


def _compare(case: UseCase, day: date, with_later_rows: pa.Table, without: pa.Table) -> None:
    if with_later_rows.column(case.entity).to_pylist() != without.column(case.entity).to_pylist():
        raise LeakError(
            f"{_where(case)} gives other entities for {day} once later rows are there "
            f"({with_later_rows.num_rows} against {without.num_rows}). Keep only rows with a day up to days.day."
        )
    leaking = [name for name in case.features.kept if _differs(with_later_rows.column(name), without.column(name))]
    if leaking:
        raise LeakError(
            f"{_where(case)} looks past its day: on {day} later rows change {', '.join(leaking)}. "
            "Join the sources on rows with a day up to days.day."
        )


def _differs(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    if one.is_null().to_pylist() != other.is_null().to_pylist():
        return True
    if not pa.types.is_floating(one.type):
        return not one.equals(other)
    distance = pc.abs(pc.subtract(one, other))
    allowed = pc.add(pc.multiply(pc.abs(one), RELATIVE_TOLERANCE), RELATIVE_TOLERANCE)
    return bool(pc.any(pc.greater(distance, allowed)).as_py())


def _where(case: UseCase) -> str:
    """Return the file that a message about the features names."""
    return f"{case.name}/{case.features.sql or 'use_case.yaml'}"
