"""Counts of a source by day, from the lake at a pinned version: what `core.feeds` judges. One pass of DuckDB a source.

Nothing is kept between days: the window comes from the lake, so that days may be looked at in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import numpy as np
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from perennial.contracts import Source
from perennial.core.vitals import MEMORY, Categories, FloatArray, IntArray, Vitals
from perennial.io.lake import DAY, Lake
from perennial.io.rowconditions import quoted
from perennial.io.rows import PLACE, PUBLISHED, QUARANTINE
from perennial.records import Window
from perennial.spec import UseCase

MEMORY_LIMIT = "1GB"
EXACT = 2_000_000  # rows of a window up to which quartiles are exact; beyond they are a t-digest's
DISTINCT = 50  # different rows that a day has to hold for its repetition to be no accident
TIMES = ("date", "timestamp")
NUMBERS = ("integer", "number")
TEXTS = ("string", "boolean")


@dataclass(frozen=True, slots=True)
class SourceVitals:
    """Reads what a source's days hold."""

    lake: Lake

    def of(self, case: UseCase, source: Source, day: date, *, pins: Mapping[str, int]) -> Vitals:
        """Return the counts of the day that a snapshot of `day` reads last, and of the days before it.

        A source without a table has no days. Of a plan the judged day is the last one known ahead; of a reference table
        it is the snapshot that `day` sees, beside the snapshots before it.
        """
        table, many = case.raw_table(source.name), case.monitoring.feed.days + MEMORY + 1
        last = day + timedelta(days=source.known_ahead_days)
        empty = np.zeros(0, np.int64)
        if table not in pins:
            return Vitals(source.name, last, (), empty, empty)
        window = self._window(table, source, last, many=many, version=pins[table])
        revisions = self.lake.revisions(table, window, version=pins[table])
        days = tuple(each for each in window if revisions[each])
        if not days:
            return Vitals(source.name, last, (), empty, empty)
        counted = _Counted.of(self.lake, case, source, days, version=pins[table])
        return counted.vitals(last=last, changed=sum(revisions[each] > 1 for each in days))

    def _window(self, table: str, source: Source, last: date, *, many: int, version: int) -> Sequence[date]:
        if not source.is_reference:
            return list(Window.ending(last, days=many).days())
        known = self.lake.days(table, version=version)
        return [each for each in known if each <= last][-many:] or known[:1]


def sources_of(case: UseCase) -> tuple[frozenset[str], frozenset[str]]:
    """Return the sources that the features read, and those that the label reads, by name.

    SQL that sqlglot cannot read is taken to read all of them.
    """
    names = frozenset(source.name for source in case.sources)
    features = _tables(case, case.features.sql, names)
    if case.features.windows is not None:
        features |= {case.features.windows.source}
    return features, _tables(case, case.label.sql, names)


def _tables(case: UseCase, file: str | None, names: frozenset[str]) -> frozenset[str]:
    if file is None:
        return frozenset()
    try:
        trees = [tree for tree in sqlglot.parse(case.text(file), dialect="duckdb") if tree is not None]
    except SqlglotError:
        return names
    found = frozenset(table.name.lower() for tree in trees for table in tree.find_all(exp.Table))
    return found & names


@dataclass(frozen=True, slots=True)
class _Counted:
    """The answers of DuckDB about some days of a source."""

    source: Source
    days: tuple[date, ...]
    columns: Sequence[str]
    rows: Mapping[date, Mapping[str, object]]
    categories: Mapping[str, Categories]

    @classmethod
    def of(cls, lake: Lake, case: UseCase, source: Source, days: tuple[date, ...], *, version: int) -> _Counted:
        """Return the counts of days that were written."""
        table, limits = case.raw_table(source.name), case.monitoring.feed
        held = lake.dataset(table, version=version, only=[(DAY, "in", [str(day) for day in days])])
        columns = [name for name in source.columns if name in held.schema.names]
        watched = [name for name in columns if name not in {*source.keys, source.time_column}]
        exact = sum(each.rows for day, each in lake.held(table, version=version).items() if day in days) <= EXACT
        with duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": 1}) as database:
            database.register("held", held)
            shown = f"coalesce({PLACE}, '{PUBLISHED}') = '{PUBLISHED}'" if PLACE in held.schema.names else "true"
            refused = f"{PLACE} = '{QUARANTINE}'" if PLACE in held.schema.names else "false"
            sql = f"select {', '.join(_aggregates(source, columns, watched, shown, refused, exact=exact))} from held group by {DAY}"  # noqa: S608, E501  names of a spec, quoted
            answer = database.sql(sql).to_arrow_table().to_pylist()
            texts = [name for name in watched if source.columns[name] in TEXTS]
            categories = {
                name: _categories(
                    database, name, days, shown, most=limits.most_categories, reference=source.is_reference
                )
                for name in texts
            }
        return cls(source, days, watched, {row[DAY]: row for row in answer}, categories)

    def vitals(self, *, last: date, changed: int) -> Vitals:
        """Return the counts as arrays by day."""
        source, numbers = self.source, [name for name in self.columns if self.source.columns[name] in NUMBERS]
        quartiles = {name: self._quartiles(f"quartiles {name}") for name in numbers}
        return Vitals(
            source=source.name,
            last=last,
            days=self.days,
            rows=self._counts("rows"),
            refused=self._counts("refused"),
            nulls={name: self._counts(f"nulls {name}") for name in self.columns},
            quartiles=quartiles,
            values={name: self._counts(f"values {name}") for name in numbers},
            whole=frozenset(name for name in numbers if source.columns[name] == "integer"),
            categories=self.categories,
            prints=self._prints(),
            changed=changed,
            sparse=source.sparse,
            reference=source.is_reference,
            late_days=source.lateness_days,
        )

    def _counts(self, name: str) -> IntArray:
        return np.array([int(str(self.rows.get(day, {}).get(name) or 0)) for day in self.days], np.int64)

    def _prints(self) -> tuple[int | None, ...]:
        """Return a number for the rows of each day, without keys where the rest tells most days' rows apart.

        A copied day may have got keys of its own. None where a day has fewer than `DISTINCT` different rows.
        """
        answers = [self.rows.get(day, {}) for day in self.days]
        keyless = np.median([_many(answer, "keyless") for answer in answers]) >= DISTINCT
        kind = "keyless" if keyless else "whole"
        return tuple(
            int(str(answer[f"{kind} print"]).partition(".")[0]) if _many(answer, kind) >= DISTINCT else None
            for answer in answers
        )

    def _quartiles(self, name: str) -> FloatArray:
        found: list[Iterable[float]] = []
        for day in self.days:
            known = self.rows.get(day, {}).get(name)
            found.append(known if isinstance(known, list) else [np.nan] * 3)
        return np.array(found, np.float64).reshape(len(self.days), 3)


def _aggregates(
    source: Source, columns: Sequence[str], watched: Sequence[str], shown: str, refused: str, *, exact: bool
) -> list[str]:
    """Return what is asked of each day."""
    asked = [DAY, f"count(*) filter ({shown}) as rows", f"count(*) filter ({refused}) as refused"]
    for name in watched:
        column = quoted(name)
        asked.append(f"count(*) filter ({shown} and {column} is null) as {quoted(f'nulls {name}')}")
        if source.columns[name] in NUMBERS:
            some = f"filter ({shown} and {column} <> 0 and isfinite({column}::double))"
            how = "quantile_cont" if exact else "approx_quantile"
            asked.append(f"{how}(abs({column}::double), [0.25, 0.5, 0.75]) {some} as {quoted(f'quartiles {name}')}")
            asked.append(f"count(*) {some} as {quoted(f'values {name}')}")
    told = [name for name in columns if source.columns[name] not in TIMES]
    for kind, names in (("whole", told), ("keyless", [name for name in told if name not in source.keys])):
        if names:
            mixed = f"hash({', '.join(map(quoted, names))})"
            asked.append(f"sum({mixed}::hugeint) filter ({shown})::varchar as {quoted(f'{kind} print')}")
            asked.append(f"approx_count_distinct({mixed}) filter ({shown}) as {quoted(f'{kind} many')}")
    return asked


def _many(answer: Mapping[str, object], kind: str) -> int:
    return int(str(answer.get(f"{kind} many") or 0))


def _categories(
    database: duckdb.DuckDBPyConnection, name: str, days: Sequence[date], shown: str, *, most: int, reference: bool
) -> Categories:
    """Return how often each text is there by day, and how many rows have one that is new."""
    database.execute(
        f"create or replace temp table seen as select {DAY}, {quoted(name)}::varchar as value, count(*) as many "  # noqa: S608
        f"from held where {shown} and {quoted(name)} is not null group by all"
    )
    place = {day: at for at, day in enumerate(days)}
    young = np.zeros(len(days), np.int64)
    first = f"select *, min({DAY}) over (partition by value) as first from seen"  # noqa: S608
    for day, many in database.sql(
        f"select {DAY}, sum(many) from ({first}) where {DAY} - first < {MEMORY} group by {DAY}"  # noqa: S608
    ).fetchall():
        young[place[day]] = int(many)
    # A whole snapshot says at once what there is; of daily rows it takes some days until all values were seen.
    settled = np.array([reference or (day - days[0]).days >= 2 * MEMORY for day in days])
    if reference:
        young[0] = 0
    distinct = "select distinct value from seen order by 1 limit ?"
    names = [str(row[0]) for row in database.execute(distinct, [most + 1]).fetchall()]
    if len(names) > most:
        return Categories((), np.zeros((len(days), 0), np.int64), young, settled)
    column = {value: at for at, value in enumerate(names)}
    counts = np.zeros((len(days), len(names)), np.int64)
    for day, value, many in database.sql(f"select {DAY}, value, many from seen").fetchall():  # noqa: S608
        counts[place[day], column[value]] = int(many)
    return Categories(tuple(names), counts, young, settled)
