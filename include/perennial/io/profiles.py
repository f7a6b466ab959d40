"""What a table holds, column by column: aggregates in DuckDB over the lake's Parquet files, in bounded memory.

Counts, missing values, extremes, means, histograms, top values and the change by day are those of all rows. Cardinality
is DuckDB's estimate (HyperLogLog, some percent off). Quantiles, correlations and what a column tells about the label
come from a sample of `SAMPLE` rows.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.core.agreement import centred_ranks, rank_correlation, separation
from perennial.errors import LakeError
from perennial.io.profilerecords import (
    ByDay,
    ColumnProfile,
    Histogram,
    Kind,
    LabelGroup,
    LabelRelation,
    TableProfile,
)
from perennial.io.rowconditions import quoted

MEMORY_LIMIT = "1GB"
SAMPLE = 100_000
BINS = 40
GROUPS = 10  # of a column, each with the mean of the label
TOP = 10
COUNTED = 20_000  # values that a column may have for its most frequent ones to be counted among all
GIVEN = "given"
HELD = 2_000_000  # rows of a table that is read once, in DuckDB's own form
WHO, LABEL = "entity of the row", "label of the row"  # no contract can name a column so
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """What to profile.

    `files` are the Parquet files by day, unless `rows` are given instead; `columns` are the names that are shown.
    Of `keys` no value is shown. `labels` has day, the entity and the label of the days that have one, with 0 for
    entities it leaves out where `zero` says so.
    """

    name: str
    files: Mapping[date, Sequence[Path]]
    columns: tuple[str, ...]
    rows: pa.Table | None = None
    condition: str = "true"
    keys: frozenset[str] = frozenset()
    entity: str | None = None
    labels: pa.Table | None = None
    label: str = "label"
    binary: bool = True
    zero: bool = True


def profiled(asked: Asked) -> TableProfile:
    """Return what a table holds.

    Args:
        asked: the table's files or rows, and its columns.

    Raises:
        LakeError: a file is gone, or the machine lacks memory or disk space for it.
    """
    try:
        with _connection() as connection:
            return _Profile(connection, asked).table()
    except duckdb.Error as error:
        raise LakeError(
            f"Table {asked.name!r} cannot be profiled: {error} See that its files are there, and that memory and disk "
            "suffice; then run it again."
        ) from error


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"memory_limit": MEMORY_LIMIT}) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set preserve_insertion_order = false")
        spill = Path(tempfile.gettempdir()) / f"perennial-profile-{os.getpid()}"
        connection.execute(f"set temp_directory = '{spill}'")
        yield connection


class _Profile:
    """One table in the making."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, asked: Asked) -> None:
        self.connection, self.asked = connection, asked
        if asked.rows is not None:
            connection.register(GIVEN, asked.rows)
        self.rows = f"({_union(asked)})"
        self._hold_if_small()
        found = connection.sql(f"select * from {self.rows} limit 0").to_arrow_table().schema
        kinds = {name: _kind(found.field(name).type) for name in asked.columns if name in found.names}
        self.kinds: dict[str, Kind] = {
            name: "key" if name in asked.keys else kind for name, kind in kinds.items() if kind is not None
        }

    def table(self) -> TableProfile:
        """Return the whole profile."""
        figures = self._figures()
        total = int(figures["rows"])
        if not total:
            return TableProfile(self.asked.name, 0, 0, 0, (), ())
        sample = self._sample(total)
        label = self._label(sample)
        days = self._days(sample)
        columns = tuple(self._column(name, figures, sample, label, days) for name in self.kinds)
        days_there = len({each.day for column in columns[:1] for each in column.by_day})
        return TableProfile(self.asked.name, total, days_there, sample.num_rows, columns, self._correlations(sample))

    def _hold_if_small(self) -> None:
        """Read the files once, not once a column, where the rows fit into memory."""
        if self.asked.rows is None and self._one({"rows": "count(*)"})["rows"] <= HELD:
            self.connection.execute(f"create temp table {GIVEN} as from {self.rows}")
            self.rows = GIVEN

    def _one(self, selected: Mapping[str, str]) -> dict[str, Any]:
        """Return the aggregates of all rows, from one query."""
        shown = ", ".join(f"{sql} as {quoted(name)}" for name, sql in selected.items())
        return dict(self.connection.sql(f"select {shown} from {self.rows}").to_arrow_table().to_pylist()[0])

    def _figures(self) -> dict[str, Any]:
        selected = {"rows": "count(*)"}
        for name, kind in self.kinds.items():
            value = quoted(name)
            selected[f"{name} there"] = f"count({_present(value, kind)})"
            selected[f"{name} distinct"] = f"approx_count_distinct({value})"
            if kind == "key":
                continue
            selected[f"{name} least"] = f"min({_finite(value, kind)})"
            selected[f"{name} greatest"] = f"max({_finite(value, kind)})"
            if kind == "number":
                selected[f"{name} mean"] = f"avg({_finite(value, kind)})"
                selected[f"{name} deviation"] = f"stddev_samp({_finite(value, kind)})"
                selected[f"{name} finite"] = f"count({_finite(value, kind)})"
        return self._one(selected)

    def _sample(self, total: int) -> pa.Table:
        """Return some rows, the entity and their day included, every row with the same chance."""
        selected = [f"{_finite(quoted(name), kind)} as {quoted(name)}" for name, kind in self.kinds.items()]
        selected += [f"{quoted(self.asked.entity)} as {quoted(WHO)}"] if self.asked.entity else []
        selected += [] if "day" in self.kinds else ["day"]
        shown = ", ".join(selected)
        share = min(1.0, SAMPLE / total)
        part = "" if share == 1 else f" using sample {share * 100:.6f}% (bernoulli, 0)"
        return self.connection.sql(f"select {shown} from {self.rows}{part}").to_arrow_table()

    def _label(self, sample: pa.Table) -> FloatArray | None:
        """Return the label of each row of the sample, NaN where its day has none; None without labels."""
        labels = self.asked.labels
        if labels is None or self.asked.entity is None:
            return None
        known = labels.select(["day", self.asked.entity, self.asked.label]).rename_columns(["day", WHO, LABEL])
        numbered = sample.select(["day", WHO]).append_column("at", pa.array(np.arange(sample.num_rows)))
        joined = numbered.join(known, keys=["day", WHO], join_type="left outer").sort_by("at")
        label = np.array(joined.column(LABEL).cast(pa.float64()).to_numpy(), dtype=np.float64)
        if self.asked.zero:
            days = np.isin(np.array(sample.column("day").to_pylist()), labels.column("day").unique().to_pylist())
            label = np.where(np.isnan(label) & days, 0.0, label)
        return label if (~np.isnan(label)).any() else None

    def _days(self, sample: pa.Table) -> list[dict[str, Any]]:
        """Return rows, present values, means and the share of the most frequent value by day, from one query."""
        shown = ["day", "count(*) as rows"]
        for number, (name, kind) in enumerate(self.kinds.items()):
            value = quoted(name)
            shown.append(f"count({_present(value, kind)}) as there_{number}")
            if kind == "number":
                shown.append(f"avg({_finite(value, kind)}) as mean_{number}")
            elif kind in {"text", "truth"}:
                common = _most_common(sample.column(name))
                shown.append(f"count(*) filter ({value} = {_literal(common)}) as top_{number}")
        query = f"select {', '.join(shown)} from {self.rows} group by day order by day"
        return list(self.connection.sql(query).to_arrow_table().to_pylist())

    def _column(
        self, name: str, figures: Mapping[str, Any], sample: pa.Table, label: FloatArray | None,
        days: Sequence[Mapping[str, Any]],
    ) -> ColumnProfile:  # fmt: skip
        kind, total, there = self.kinds[name], int(figures["rows"]), int(figures[f"{name} there"])
        distinct = min(int(figures[f"{name} distinct"]), there)
        values = _numbers(sample, name) if kind == "number" else None
        known = values[~np.isnan(values)] if values is not None else np.empty(0)
        number = list(self.kinds).index(name)
        return ColumnProfile(
            name=name,
            kind=kind,
            missing=total - there,
            infinite=there - int(figures[f"{name} finite"]) if kind == "number" else 0,
            distinct=distinct,
            least=_plain(figures.get(f"{name} least")),
            greatest=_plain(figures.get(f"{name} greatest")),
            mean=figures.get(f"{name} mean"),
            deviation=figures.get(f"{name} deviation"),
            quantiles=_quantiles(known),
            histogram=self._histogram(name, known) if known.size else None,
            top=self._top(name) if distinct <= COUNTED and kind != "key" else (),
            label=self._relation(name, sample, values, label),
            by_day=tuple(_by_day(each, number) for each in days),
        )

    def _relation(
        self, name: str, sample: pa.Table, values: FloatArray | None, label: FloatArray | None
    ) -> LabelRelation | None:
        """Return what the column tells about the label; nothing about itself."""
        if label is None or name == self.asked.label or self.kinds[name] == "key":
            return None
        return _relation(sample, name, values, label, binary=self.asked.binary)

    def _histogram(self, name: str, known: FloatArray) -> Histogram:
        """Count all rows in equally wide bins over where nearly all of the sample lies."""
        low, high = (float(edge) for edge in np.quantile(known, (0.005, 0.995)))
        if low == high:
            low, high = low - 0.5, high + 0.5
        width = (high - low) / BINS
        value = _finite(quoted(name), "number")
        place = f"least(greatest(floor(({value} - {low!r}::double) / {width!r}::double), 0), {BINS - 1})::integer"
        query = f"select {place} as bin, count(*) as rows from {self.rows} where {value} is not null group by 1"
        found = {row["bin"]: row["rows"] for row in self.connection.sql(query).to_arrow_table().to_pylist()}
        edges = tuple(float(edge) for edge in np.linspace(low, high, BINS + 1))
        return Histogram(edges, tuple(int(found.get(at, 0)) for at in range(BINS)))

    def _top(self, name: str) -> tuple[tuple[Any, int], ...]:
        """Return the most frequent values of all rows; neither NaN nor infinity is one, which JSON cannot hold."""
        value = quoted(name)
        query = (
            f"select {value} as value, count(*) as rows from {self.rows} "
            f"where {_finite(value, self.kinds[name])} is not null "
            f"group by 1 order by 2 desc, 1 limit {TOP}"
        )
        return tuple(
            (_plain(row["value"]), row["rows"]) for row in self.connection.sql(query).to_arrow_table().to_pylist()
        )

    def _correlations(self, sample: pa.Table) -> tuple[tuple[str, str, float], ...]:
        """Return the rank correlation of each pair of numbers, the strongest first."""
        names = [name for name, kind in self.kinds.items() if kind == "number"]
        ranked = [centred_ranks(_numbers(sample, name)) for name in names]
        varying = [at for at, ranks in enumerate(ranked) if ranks is not None]
        if len(varying) < 2:
            return ()
        matrix = np.atleast_2d(np.corrcoef([ranked[at] for at in varying]))
        pairs = [
            (names[varying[one]], names[varying[other]], float(matrix[one, other]))
            for one in range(len(varying))
            for other in range(one)
        ]
        return tuple(sorted(pairs, key=lambda pair: -abs(pair[2])))


def _union(asked: Asked) -> str:
    """Return the given rows, or those of all files with their day, of which the files of the lake hold none."""
    if asked.rows is not None:
        return f"select * from {GIVEN} where {asked.condition}"
    names = [str(path).replace("'", "''") for paths in asked.files.values() for path in paths]
    listed = ", ".join(f"'{name}'" for name in names)
    rows = f"read_parquet([{listed}], hive_partitioning = true, hive_types = {{'day': date}}, union_by_name = true)"
    return f"select * from {rows} where {asked.condition}"


def _kind(kind: pa.DataType) -> Kind | None:
    tests: dict[Kind, Callable[[pa.DataType], bool]] = {
        "number": lambda given: pa.types.is_integer(given) or pa.types.is_floating(given) or pa.types.is_decimal(given),
        "text": lambda given: pa.types.is_string(given) or pa.types.is_large_string(given),
        "truth": pa.types.is_boolean,
        "date": pa.types.is_date,
        "time": pa.types.is_timestamp,
    }
    return next((name for name, fits in tests.items() if fits(kind)), None)


def _present(value: str, kind: Kind) -> str:
    """Return SQL that is null for a missing value; a NaN is one."""
    return f"nullif({value}::double, 'nan'::double)" if kind == "number" else value


def _finite(value: str, kind: Kind) -> str:
    return f"case when isfinite({value}::double) then {value}::double end" if kind == "number" else value


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else "'" + str(value).replace("'", "''") + "'"


def _most_common(values: pa.ChunkedArray) -> Any:
    counted = values.drop_null().value_counts()
    if not len(counted):
        return None
    return min(counted.to_pylist(), key=lambda each: (-each["counts"], each["values"]))["values"]


def _numbers(sample: pa.Table, name: str) -> FloatArray:
    return np.array(sample.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64)


def _quantiles(known: FloatArray) -> dict[str, float]:
    if not known.size:
        return {}
    return {f"{share:g}": float(value) for share, value in zip(QUANTILES, np.quantile(known, QUANTILES), strict=True)}


def _by_day(row: Mapping[str, Any], number: int) -> ByDay:
    top = row.get(f"top_{number}")
    missing = 1 - row[f"there_{number}"] / row["rows"]
    return ByDay(
        row["day"], row["rows"], missing, row.get(f"mean_{number}"), None if top is None else top / row["rows"]
    )


def _relation(
    sample: pa.Table, name: str, values: FloatArray | None, label: FloatArray, *, binary: bool
) -> LabelRelation | None:
    judged = ~np.isnan(label)
    if values is not None:
        value = (separation if binary else rank_correlation)(label[judged], values[judged])
        groups = _numeric_groups(values[judged], label[judged])
        measure = "area under the ROC curve" if binary else "rank correlation"
        return LabelRelation(measure, None if np.isnan(value) else value, groups)
    texts = np.array([str(each) for each in sample.column(name).to_pylist()], dtype=object)[judged]
    names, place, counts = np.unique(texts, return_inverse=True, return_counts=True)
    means = np.bincount(place, weights=label[judged]) / counts
    chosen = np.argsort(-counts, kind="stable")[:GROUPS]
    shown = tuple(LabelGroup(str(names[at]), int(counts[at]), float(means[at])) for at in chosen)
    return LabelRelation("mean of the label by value", None, shown)


def _numeric_groups(values: FloatArray, label: FloatArray) -> tuple[LabelGroup, ...]:
    """Return the mean of the label in about equally large parts, and where the value is missing."""
    known = ~np.isnan(values)
    groups = []
    if known.any():
        edges = np.unique(np.quantile(values[known], np.linspace(0, 1, GROUPS + 1)))
        place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
        for at in range(max(len(edges) - 1, 1)):
            there = known & (place == at)
            if there.any():
                name = f"{edges[at]:.4g} to {edges[min(at + 1, len(edges) - 1)]:.4g}"
                groups.append(LabelGroup(name, int(there.sum()), float(label[there].mean())))
    if not known.all():
        groups.append(LabelGroup("missing", int((~known).sum()), float(label[~known].mean())))
    return tuple(groups)
