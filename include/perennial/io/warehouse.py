"""SQL over pinned versions of the lake's tables; with the sources, the only importer of duckdb.

A use case's SQL sees one view a source, named like it, and the table `days` with the asked snapshot days in its
column `day`. Of a source with a time it sees the published rows of the days it may look at; of a reference table the
snapshot of the last asked day, without the rows that are valid only later. Declared windows are the table `windows`.

A range of days is computed from one read of the lake, each day over exactly the rows that a run of that day alone
would read, in the same order: so the results are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.contracts import Source
from perennial.errors import DataError, LakeError, SpecError
from perennial.io import windows
from perennial.io.lake import DAY, Lake
from perennial.io.memory import give_back
from perennial.io.rows import PLACE, in_order, published
from perennial.records import Window
from perennial.spec import UseCase, Windows

Pins = Mapping[str, int]
Tables = Mapping[str, pa.Table]
Snapshots = dict[tuple[str, date], pa.Table]  # of reference tables, by source and the day they were read for
MEMORY_LIMIT = "1500MB"  # several tasks run beside each other; what does not fit spills to disk
ROWS_AT_ONCE = 1_250_000  # source rows that a range of days holds in memory; at least one day's window is held


@dataclass(frozen=True, slots=True)
class Asked:
    """Days to compute together, and the last day of the sources that may be seen for it."""

    days: tuple[date, ...]
    cut: date


class Warehouse:
    """Runs a use case's SQL; reads nothing but what is pinned."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    @cached_property
    def _database(self) -> duckdb.DuckDBPyConnection:
        """Return the database in memory that all SQL runs in; to open one costs as much as many a query."""
        # One thread over rows in one order adds up in one order: the same rows give the same bits.
        return duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": 1})

    @contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection of its own: what is registered there nobody else sees."""
        with self._database.cursor() as connection:
            connection.execute("set timezone = 'UTC'")
            yield connection

    def pins(self, case: UseCase, *, known_at: datetime | None = None) -> dict[str, int]:
        """Return the version of each table that a use case reads: the newest, or the newest at a moment."""
        tables = [case.raw_table(source.name) for source in case.sources] + [case.features_table]
        if known_at is None:
            versions = {table: self.lake.version(table) for table in tables}
        else:
            versions = {table: self.lake.version_at(table, known_at) for table in tables}
        return {table: version for table, version in versions.items() if version is not None}

    def source_rows(self, case: UseCase, days: Sequence[date], *, cut: date, pins: Pins) -> dict[str, pa.Table]:
        """Return what the SQL may see for `days`, by source: published rows by day and key.

        Args:
            case: whose sources.
            days: snapshot days; the rows begin with the lookback of the first.
            cut: the last day that may be seen; of a plan, so many days later as it is known ahead.
            pins: version of each raw table.

        Raises:
            LakeError: a source has no table yet.
        """
        return self._source_rows(case, days, cut=cut, pins=pins, kept={})

    def _source_rows(
        self, case: UseCase, days: Sequence[date], *, cut: date, pins: Pins, kept: Snapshots
    ) -> dict[str, pa.Table]:
        first = min(days) - timedelta(days=case.features.lookback_days)
        found = {}
        for source in case.sources:
            version = _pinned(case, case.raw_table(source.name), pins)
            if source.is_reference:
                found[source.name] = self._snapshot_of(case, source, max(days), cut=cut, version=version, kept=kept)
            else:
                last = cut + timedelta(days=source.known_ahead_days)
                found[source.name] = self._published(case, source, Window(first, last + timedelta(days=1)), version)
        return found

    def features_over(self, case: UseCase, days: Sequence[date], tables: Tables) -> pa.Table:
        """Return day, entity and features of `days`, ordered by day and entity, computed over given rows.

        Args:
            case: whose features.
            days: snapshot days.
            tables: the rows of each source, by its name, in the order of their days.

        Raises:
            SpecError: the SQL does not run, or gives other columns than the spec names.
            DataError: it gives an entity twice on one day.
        """
        shown = dict(tables)
        if case.features.windows is not None:
            shown["windows"] = pa.concat_tables(self._walked(case, case.features.windows, days, tables))
        return self._features(case, days, shown)

    def compute_features(self, case: UseCase, asked: Sequence[Asked], *, pins: Pins) -> tuple[pa.Table, ...]:
        """Return, for each `Asked`, day, entity and features of its days, ordered by day and entity.

        Raises:
            SpecError: the SQL does not run, or gives other columns than the spec names.
            DataError: it gives an entity twice on one day.
        """
        if case.features.sql is None:
            return tuple(
                pa.concat_tables(rows for _, rows in self._windowed(case, each.days, cut=each.cut, pins=pins))
                for each in asked
            )
        earliest, latest = min(min(each.days) for each in asked), max(each.cut for each in asked)
        kept: Snapshots = {}
        tables = self._source_rows(case, [earliest, latest], cut=latest, pins=pins, kept=kept)
        sources = _ByDay.of(case, tables)
        results = []
        for each in asked:
            shown = sources.between(min(each.days), each.cut)
            # A reference row counts from the day that it is valid, whatever else may be seen.
            shown |= self._references(case, max(each.days), pins=pins, kept=kept)
            results.append(self.features_over(case, each.days, shown))
        return tuple(results)

    def feature_days(self, case: UseCase, days: Sequence[date], *, pins: Pins) -> Iterator[tuple[date, pa.Table]]:
        """Yield each of `days` with its features, oldest first, from few reads of the lake.

        Raises:
            SpecError: the SQL does not run, or gives other columns than the spec names.
            DataError: it gives an entity twice on one day.
        """
        kept: Snapshots = {}
        for chunk in self._chunks(case, sorted(days), pins=pins):
            give_back()  # what the chunk before took
            if case.features.sql is None:
                yield from self._windowed(case, chunk, cut=chunk[-1], pins=pins)
                continue
            tables = self._source_rows(case, chunk, cut=chunk[-1], pins=pins, kept=kept)
            sources = _ByDay.of(case, tables)
            for day, declared in self._declared(case, chunk, tables):
                shown = sources.between(day, day)
                if len(chunk) > 1:
                    shown |= self._references(case, day, pins=pins, kept=kept)
                yield day, self._features(case, [day], {**shown, **declared})

    def _windowed(
        self, case: UseCase, days: Sequence[date], *, cut: date, pins: Pins
    ) -> Iterator[tuple[date, pa.Table]]:
        """Yield each day's features where the declared windows are all of them; reads only what these name."""
        declared = case.features.windows
        assert declared is not None  # noqa: S101 - the spec has SQL, windows, or both
        source = case.source(declared.source)
        seen = Window(days[0] - timedelta(days=declared.longest - 1), cut + timedelta(days=1))
        version = _pinned(case, case.raw_table(source.name), pins)
        named = windows.columns(case, declared)
        # Nothing here holds the rows while the days are walked.
        found = self._walked(
            case, declared, days, {source.name: self._published(case, source, seen, version, columns=named)}
        )
        yield from (
            (day, self._features(case, [day], {"windows": each})) for day, each in zip(days, found, strict=True)
        )

    def _declared(self, case: UseCase, days: Sequence[date], tables: Tables) -> Iterator[tuple[date, Tables]]:
        """Yield each day with its declared windows, if there are any."""
        if case.features.windows is None:
            yield from ((day, {}) for day in days)
            return
        found = self._walked(case, case.features.windows, days, tables)
        yield from ((day, {"windows": rows}) for day, rows in zip(days, found, strict=True))

    def _chunks(self, case: UseCase, days: Sequence[date], *, pins: Pins) -> Iterator[Sequence[date]]:
        """Cut ascending days so that the source rows of each part stay within ROWS_AT_ONCE, or it is one day."""
        tables = [case.raw_table(source.name) for source in case.sources if not source.is_reference]
        held: dict[date, int] = {}
        for table in tables:
            for day, content in self.lake.held(table, version=pins.get(table)).items():
                held[day] = held.get(day, 0) + content.rows
        chunk: list[date] = []
        for day in days:
            start = (chunk or [day])[0] - timedelta(days=case.features.lookback_days)
            if chunk and sum(rows for each, rows in held.items() if start <= each <= day) > ROWS_AT_ONCE:
                yield chunk
                chunk = []
            chunk.append(day)
        if chunk:
            yield chunk

    def _features(self, case: UseCase, days: Sequence[date], shown: Tables) -> pa.Table:
        """Run the SQL, or take the declared windows themselves, and check what came out."""
        wanted = [DAY, case.entity, *case.features.kept]
        file = case.features.sql
        if file is None:
            _check_columns(case, "use_case.yaml (features.windows)", shown["windows"], wanted)
            return shown["windows"].select(wanted)
        found = self._run(case, file, days, shown)
        _check_columns(case, file, found, wanted)
        rows = _as_features(case, file, found.select(wanted))
        rows = rows.sort_by([(DAY, "ascending"), (case.entity, "ascending")])
        _check_entities(case, file, rows)
        return rows

    def _walked(self, case: UseCase, declared: Windows, days: Sequence[date], tables: Tables) -> Iterator[pa.Table]:
        with self._connection() as connection:
            found = windows.evaluated(case, declared, days[0], tables[declared.source], connection=connection)
        del tables  # the caller may have let go of them: they are not needed while the walk is prepared
        return windows.walked(case, declared, days, found)

    def _run(self, case: UseCase, file: str, days: Sequence[date], tables: Tables) -> pa.Table:
        """Return what one of the use case's SQL files gives over the given rows."""
        with self._connection() as connection:
            connection.register("days", pa.table({DAY: pa.array(days, pa.date32())}))
            for name, rows in tables.items():
                connection.register(name, rows)
            try:
                return connection.sql(case.text(file)).to_arrow_table()
            except duckdb.Error as error:
                raise SpecError(f"{case.name}/{file} does not run: {error}") from error

    def _published(
        self, case: UseCase, source: Source, window: Window, version: int, *, columns: Sequence[str] | None = None
    ) -> pa.Table:
        wanted = None if columns is None else [DAY, *columns, PLACE]
        rows = published(self.lake.read(case.raw_table(source.name), window, version=version, columns=wanted))
        if columns is not None:
            return rows
        # The order in which a writer put the rows must not be seen: sums depend on it, to the last bit.
        return in_order(rows, list(dict.fromkeys((DAY, *source.keys))))

    def _references(self, case: UseCase, day: date, *, pins: Pins, kept: Snapshots) -> dict[str, pa.Table]:
        return {
            source.name: self._snapshot_of(
                case, source, day, cut=day, version=_pinned(case, case.raw_table(source.name), pins), kept=kept
            )
            for source in case.sources
            if source.is_reference
        }

    def _snapshot_of(
        self, case: UseCase, source: Source, day: date, *, cut: date, version: int, kept: Snapshots
    ) -> pa.Table:
        """Return the reference rows that `day` sees; a snapshot that was read for another day is in `kept`."""
        found = self.lake.snapshot_day(case.raw_table(source.name), day, version=version)
        if (source.name, found) not in kept:
            kept[source.name, found] = self._published(case, source, Window.of_day(found), version)
        rows = kept[source.name, found]
        if source.valid_from is None:
            return rows
        return rows.filter(
            pc.less(rows.column(source.valid_from).cast(pa.date32()), pa.scalar(cut + timedelta(days=1)))
        )

    def labels(self, case: UseCase, days: Sequence[date], *, pins: Pins) -> pa.Table:
        """Return day, entity and label of the entities that `label.sql` names on each asked day.

        The caller asks for matured days only: the SQL sees the sources up to the last day plus the horizon.
        """
        tables = self.source_rows(case, days, cut=max(days) + case.horizon, pins=pins)
        found = self._run(case, case.label.sql, days, tables)
        wanted = [DAY, case.entity, case.label.column]
        _check_columns(case, case.label.sql, found, wanted)
        _check_entities(case, case.label.sql, found)
        label = found.column(case.label.column).cast(LABELS[case.label.kind])
        return found.select(wanted).set_column(2, case.label.column, label)

    def snapshots(self, case: UseCase, days: Sequence[date], *, pins: Pins) -> pa.Table:
        """Return the published snapshots of the asked days, ordered by day and entity; numbers are doubles.

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
        rows = _as_features(case, case.features_table, rows)
        return rows.sort_by([(DAY, "ascending"), (case.entity, "ascending")])

    def labelled(self, case: UseCase, days: Sequence[date], *, pins: Pins) -> pa.Table:
        """Return the snapshots with their labels as the last column, ordered by day and entity.

        An entity that `label.sql` leaves out has the label 0, or is left out where `label.missing` is "drop".
        """
        return self.with_labels(case, self.snapshots(case, days, pins=pins), days, pins=pins)

    def with_labels(self, case: UseCase, rows: pa.Table, days: Sequence[date], *, pins: Pins) -> pa.Table:
        """Return given snapshots of `days` with their labels, as `labelled` does."""
        how = "left outer" if case.label.missing == "zero" else "inner"
        joined = rows.join(self.labels(case, days, pins=pins), keys=[DAY, case.entity], join_type=how)
        kind = LABELS[case.label.kind]
        label = pc.fill_null(joined.column(case.label.column).cast(kind), pa.scalar(0, kind))
        position = joined.schema.get_field_index(case.label.column)
        joined = joined.set_column(position, case.label.column, label)
        return joined.sort_by([(DAY, "ascending"), (case.entity, "ascending")])


LABELS = {"binary": pa.int8(), "number": pa.float64()}


class _ByDay:
    """Source rows in the order of their days, of which each day sees a slice."""

    def __init__(self, case: UseCase, tables: Tables, starts: Mapping[str, np.ndarray]) -> None:
        self.case, self.tables, self._days = case, tables, starts

    @classmethod
    def of(cls, case: UseCase, tables: Tables) -> _ByDay:
        """Return the view over tables as `source_rows` gives them."""
        whole = {name: rows.combine_chunks() for name, rows in tables.items()}
        days = {
            source.name: whole[source.name].column(DAY).cast(pa.int32()).to_numpy()
            for source in case.sources
            if not source.is_reference
        }
        return cls(case, whole, days)

    def between(self, day: date, cut: date) -> dict[str, pa.Table]:
        """Return what a run that begins with `day` and may see up to `cut` would read."""
        shown = dict(self.tables)
        begins, ends = (day - windows.EPOCH).days - self.case.features.lookback_days, (cut - windows.EPOCH).days + 1
        for name, days in self._days.items():
            first, last = np.searchsorted(days, [begins, ends + self.case.source(name).known_ahead_days])
            shown[name] = self.tables[name].slice(int(first), int(last - first))
        return shown


def _pinned(case: UseCase, table: str, pins: Pins) -> int:
    if table not in pins:
        raise LakeError(f"There is no table {table!r} yet. Run ingest for a day of {case.name!r} first.")
    return pins[table]


def _check_columns(case: UseCase, file: str, found: pa.Table, wanted: Sequence[str]) -> None:
    names = found.column_names
    missing = [name for name in wanted if name not in names]
    unknown = [name for name in names if name not in wanted]
    if missing or unknown:
        raise SpecError(
            f"{case.name}/{file} gives other columns than use_case.yaml names: "
            f"missing {', '.join(missing) or 'none'}; unknown {', '.join(unknown) or 'none'}."
        )


def _as_features(case: UseCase, file: str, rows: pa.Table) -> pa.Table:
    """Return numbers as doubles and categories as text, which is what models are trained on."""
    texts = (*case.features.categorical, *case.features.attributes)
    kinds = dict.fromkeys(case.features.numeric, pa.float64()) | dict.fromkeys(texts, pa.string())
    kinds[DAY] = pa.date32()
    try:
        return rows.cast(pa.schema([pa.field(f.name, kinds.get(f.name, f.type)) for f in rows.schema]))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SpecError(f"{case.name}/{file} gives a column of another type than declared: {error}") from error


def _check_entities(case: UseCase, file: str, rows: pa.Table) -> None:
    counted = rows.group_by([DAY, case.entity]).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted.column("count_all"), 1))
    if twice.num_rows:
        first = twice.slice(0, 1).to_pylist()[0]
        raise DataError(
            f"{case.name}/{file} gives {twice.num_rows} entities more than once a day, such as "
            f"{case.entity} {first[case.entity]} on {first[DAY]}. Group by day and {case.entity}."
        )
