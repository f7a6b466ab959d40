"""Features: one snapshot of all entities a day, from pinned versions of the sources, checked for leaks."""

from __future__ import annotations

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


def run(case: UseCase, day: date, adapters: Adapters, *, run: str = "manual") -> FeaturesRecord:
    """Build and publish the snapshot of one day.

    The day before is built twice, once from sources that go on to `day` and once from sources that end with it: a
    difference means that the SQL looks past the snapshot's day.

    Raises:
        LeakError: a feature knows what comes after its day; nothing was published.
        DataError: a source was never ingested for this day, or no entity has features.
        SpecError: the SQL does not run, or gives other columns than the spec names.
    """
    _check_ingested(case, day, adapters)
    pins = {table: version for table, version in adapters.warehouse.pins(case).items() if table != case.features_table}
    before = day - timedelta(days=1)
    asked = (Asked((day,), cut=day), Asked((before,), cut=day), Asked((before,), cut=before))
    rows, with_later_rows, without = adapters.warehouse.compute_features(case, asked, pins=pins)
    _check_leak(case, before, with_later_rows, without)
    if not rows.num_rows:
        raise DataError(
            f"{case.name}/{case.features.sql} gives no entity on {day}: the sources hold no rows in the "
            f"{case.features.lookback_days} days before. Build a later day, or ingest earlier ones."
        )
    metadata = {"case": case.name, "run": run, "spec": case.fingerprint()[:12]}
    commit = adapters.lake.write_day(case.features_table, day, rows, metadata=metadata)
    return FeaturesRecord(
        case=case.name, day=day, rows=rows.num_rows, version=commit.version, changed=commit.changed,
        source_versions=pins, leak_checked_day=before,
    )  # fmt: skip


def _check_ingested(case: UseCase, day: date, adapters: Adapters) -> None:
    found = adapters.lake.read_or_empty(case.ingested_table, Window.of_day(day), columns=["source"])
    booked = set(found.column("source").to_pylist())
    # Beside a parallel run, a day's last entry may be the one that a later day made, which reads no reference tables.
    booked |= {
        each.name for each in case.sources if each.is_reference and adapters.lake.days(case.raw_table(each.name))
    }
    missing = sorted({source.name for source in case.sources} - booked)
    if missing:
        raise DataError(
            f"{', '.join(missing)} of {case.name!r} were not ingested for {day}. "
            f"Run `perennial ingest {case.name} {day}` first."
        )


def _check_leak(case: UseCase, day: date, with_later_rows: pa.Table, without: pa.Table) -> None:
    if with_later_rows.column(case.entity).to_pylist() != without.column(case.entity).to_pylist():
        raise LeakError(
            f"{case.name}/{case.features.sql} gives other entities for {day} once later rows are there "
            f"({with_later_rows.num_rows} against {without.num_rows}). Keep only rows with a day up to days.day."
        )
    leaking = [name for name in case.features.columns if _differs(with_later_rows.column(name), without.column(name))]
    if leaking:
        raise LeakError(
            f"{case.name}/{case.features.sql} looks past its day: on {day} later rows change {', '.join(leaking)}. "
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
