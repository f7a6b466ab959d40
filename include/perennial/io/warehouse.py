"""SQL over pinned versions of the lake's tables; with the sources, the only importer of duckdb.

A use case's SQL sees one view a source, named like it, and the table `days` with the asked snapshot days in its
column `day`. Event sources are cut to the days the SQL may look at; of a reference table it sees the snapshot of the
last asked day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from perennial.contracts import Source
from perennial.errors import DataError, LakeError, SpecError
from perennial.io.lake import DAY, Lake
from perennial.records import Window
from perennial.spec import UseCase

Pins = Mapping[str, int]
MEMORY_LIMIT = "1500MB"  # several tasks run beside each other; what does not fit spills to disk


@dataclass(frozen=True, slots=True)
class Asked:
    """Days to compute together, and the last day of the sources that may be seen for it."""

    days: tuple[date, ...]
    cut: date


class Warehouse:
    """Runs a use case's SQL; reads nothing but what is pinned."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def pins(self, case: UseCase) -> dict[str, int]:
        """Return the newest version of each table that a use case reads: its sources and its snapshots."""
        tables = [case.raw_table(source.name) for source in case.sources] + [case.features_table]
        versions = {table: self.lake.version(table) for table in tables}
        return {table: version for table, version in versions.items() if version is not None}

    def compute_features(self, case: UseCase, asked: Sequence[Asked], *, pins: Pins) -> tuple[pa.Table, ...]:
        """Return, for each `Asked`, day, entity and features of its day, ordered by entity.

        Raises:
            SpecError: the SQL does not run, or gives other columns than the spec names.
            DataError: it gives an entity twice on one day.
        """
        wanted = [DAY, case.entity, *case.features.columns]
        results = []
        for found in self._query(case, case.features.sql, asked, pins=pins):
            _check_columns(case, case.features.sql, found, wanted)
            rows = _as_features(case, found.select(wanted)).sort_by([(DAY, "ascending"), (case.entity, "ascending")])
            _check_entities(case, case.features.sql, rows)
            results.append(rows)
        return tuple(results)

    def labels(self, case: UseCase, days: Sequence[date], *, pins: Pins) -> pa.Table:
        """Return day, entity and label of the entities that `label.sql` names on each asked day.

        The caller asks for matured days only: the SQL sees the sources up to the last day plus the horizon.
        """
        asked = Asked(tuple(days), cut=max(days) + case.horizon)
        (found,) = self._query(case, case.label.sql, [asked], pins=pins)
        wanted = [DAY, case.entity, case.label.column]
        _check_columns(case, case.label.sql, found, wanted)
        _check_entities(case, case.label.sql, found)
        label = found.column(case.label.column).cast(pa.int8())
        return found.select(wanted).set_column(2, case.label.column, label)

    def snapshots(self, case: UseCase, days: Sequence[date], *, pins: Pins) -> pa.Table:
        """Return the published snapshots of the asked days, ordered by day and entity.

        Raises:
            DataError: a day has no snapshot.
        """
        window = Window(min(days), max(days) + timedelta(days=1))
        columns = [DAY, case.entity, *case.features.columns]
        rows = self.lake.read(case.features_table, window, version=pins.get(case.features_table), columns=columns)
        rows = rows.filter(pc.is_in(rows.column(DAY), pa.array(list(days), pa.date32())))
        missing = sorted(set(days) - set(rows.column(DAY).unique().to_pylist()))
        if missing:
            raise DataError(
                f"{case.features_table} lacks {len(missing)} of {len(days)} snapshot days, the first is {missing[0]}. "
                f"Backfill {case.name}__feature_build over them."
            )
        return rows.sort_by([(DAY, "ascending"), (case.entity, "ascending")])

    def labelled(self, case: UseCase, days: Sequence[date], *, pins: Pins) -> pa.Table:
        """Return the snapshots with their labels as the last column, 0 where `label.sql` leaves an entity out."""
        rows = self.snapshots(case, days, pins=pins)
        joined = rows.join(self.labels(case, days, pins=pins), keys=[DAY, case.entity], join_type="left outer")
        label = pc.fill_null(joined.column(case.label.column), pa.scalar(0, pa.int8()))
        position = joined.schema.get_field_index(case.label.column)
        joined = joined.set_column(position, case.label.column, label)
        return joined.sort_by([(DAY, "ascending"), (case.entity, "ascending")])

    def _query(self, case: UseCase, file: str, asked: Sequence[Asked], *, pins: Pins) -> Iterator[pa.Table]:
        first = min(min(each.days) for each in asked) - timedelta(days=case.features.lookback_days)
        window = Window(first, max(each.cut for each in asked) + timedelta(days=1))
        with _connection() as connection:
            for source in case.sources:
                if not source.is_reference:
                    self._copy(connection, case, source, window, pins=pins)
            for each in asked:
                self._show(connection, case, each, pins=pins)
                try:
                    yield connection.sql(case.text(file)).to_arrow_table()
                except duckdb.Error as error:
                    raise SpecError(f"{case.name}/{file} does not run: {error}") from error

    def _show(self, connection: duckdb.DuckDBPyConnection, case: UseCase, asked: Asked, *, pins: Pins) -> None:
        """Let the views that the SQL names show what it may know: events up to the cut, and reference tables."""
        connection.register("days", pa.table({DAY: pa.array(asked.days, pa.date32())}))
        for source in case.sources:
            if source.is_reference:
                table = case.raw_table(source.name)
                snapshot = self.lake.snapshot_day(table, max(asked.days), version=_pinned(case, table, pins))
                self._copy(connection, case, source, Window.of_day(snapshot), pins=pins)
            shown = "" if source.is_reference else f" where {DAY} <= date '{asked.cut}'"
            connection.execute(f"create or replace temp view {source.name} as select * from raw_{source.name}{shown}")

    def _copy(
        self, connection: duckdb.DuckDBPyConnection, case: UseCase, source: Source, window: Window, *, pins: Pins
    ) -> None:
        table = case.raw_table(source.name)
        connection.register(f"raw_{source.name}", self.lake.read(table, window, version=_pinned(case, table, pins)))


def _pinned(case: UseCase, table: str, pins: Pins) -> int:
    if table not in pins:
        raise LakeError(f"There is no table {table!r} yet. Run ingest for a day of {case.name!r} first.")
    return pins[table]


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("set timezone = 'UTC'")
        # One thread over rows in the lake's order adds up in one order: the same rows give the same bits.
        connection.execute("set threads = 1")
        yield connection


def _check_columns(case: UseCase, file: str, found: pa.Table, wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in found.column_names]
    unknown = [name for name in found.column_names if name not in wanted]
    if missing or unknown:
        raise SpecError(
            f"{case.name}/{file} gives other columns than use_case.yaml names: "
            f"missing {', '.join(missing) or 'none'}; unknown {', '.join(unknown) or 'none'}."
        )


def _as_features(case: UseCase, rows: pa.Table) -> pa.Table:
    """Return numbers as doubles and categories as text, which is what models are trained on."""
    kinds = dict.fromkeys(case.features.numeric, pa.float64()) | dict.fromkeys(case.features.categorical, pa.string())
    kinds[DAY] = pa.date32()
    try:
        return rows.cast(pa.schema([pa.field(f.name, kinds.get(f.name, f.type)) for f in rows.schema]))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SpecError(
            f"{case.name}/{case.features.sql} gives a column of another type than declared: {error}"
        ) from error


def _check_entities(case: UseCase, file: str, rows: pa.Table) -> None:
    counted = rows.group_by([DAY, case.entity]).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted.column("count_all"), 1))
    if twice.num_rows:
        first = twice.slice(0, 1).to_pylist()[0]
        raise DataError(
            f"{case.name}/{file} gives {twice.num_rows} entities more than once a day, such as "
            f"{case.entity} {first[case.entity]} on {first[DAY]}. Group by day and {case.entity}."
        )
