"""Explain: the source rows behind each feature of one entity on one day, found by taking rows away.

The entity is copied many times within one run of the SQL. One copy lacks one of its rows, another has only that row
of the source, another has a column emptied. A row *decides* a feature where its absence changes the value; it is
*enough* where the feature has its value from that row alone (of several equal ones each is enough); it *counts* where
it would matter by itself, but other rows hide it or say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from perennial.contracts import Source
from perennial.core.agreement import changed
from perennial.errors import DataError, SpecError
from perennial.records import Record
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

DAY = "day"
MOST_ROWS = 300  # of a source, the newest; each is taken away once
MOST_RUNS = 60  # rows that are taken away one run each, where copies of the entity would disturb each other
Role = Literal["decides", "enough", "counts"]
Tables = Mapping[str, pa.Table]


@dataclass(frozen=True, slots=True)
class RowBehind(Record):
    """One source row behind a feature."""

    source: str
    day: date
    keys: Mapping[str, Any]
    role: Role
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FeatureExplained(Record):
    """A feature's value, the rows behind it, the columns it reads, and what else it depends on."""

    feature: str
    value: Any
    rows: tuple[RowBehind, ...]
    columns: Mapping[str, tuple[str, ...]]
    references: tuple[str, ...]
    other_entities: bool


@dataclass(frozen=True, slots=True)
class Explanation(Record):
    """One entity's snapshot of a day, explained; `notes` say what was not looked at."""

    case: str
    entity: Any
    day: date
    features: tuple[FeatureExplained, ...]
    notes: tuple[str, ...]


def run(case: UseCase, entity: str, day: date, adapters: Adapters) -> Explanation:
    """Explain the features of one entity on one day from the newest versions of the sources; nothing is written.

    Raises:
        DataError: the entity has no snapshot on that day, or a source was never ingested.
        SpecError: the entity's column is neither a number nor a text.
    """
    pins = adapters.warehouse.pins(case)
    tables = adapters.warehouse.source_rows(case, [day], cut=day, pins=pins)
    search = _Search(case, day, adapters, tables, _typed(case, entity))
    return search.explanation()


def _typed(case: UseCase, entity: str) -> Any:
    kinds = {source.columns[case.entity] for source in case.sources if case.entity in source.columns}
    if not kinds <= {"integer", "string"} or len(kinds) != 1:
        raise SpecError(
            f"explain-row needs {case.entity!r} of {case.name!r} to be an integer or a string in every source, "
            f"got {', '.join(sorted(kinds)) or 'no such column'}."
        )
    if kinds == {"string"}:
        return entity
    try:
        return int(entity)
    except ValueError as error:
        raise DataError(f"{case.entity} of {case.name!r} is an integer, got {entity!r}.") from error


@dataclass(slots=True)
class _Search:
    """One explanation in the making."""

    case: UseCase
    day: date
    adapters: Adapters
    tables: Tables
    entity: Any
    base: dict[str, Any] = field(init=False)
    own: dict[str, pa.Table] = field(init=False)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Compute the snapshot that is explained, and find the entity's own rows."""
        self.base = self.snapshots(self.tables).get(self.entity, {})
        if not self.base:
            raise DataError(
                f"{self.case.entity} {self.entity} has no snapshot on {self.day} in {self.case.name!r}: the sources "
                f"hold no row for it in the {self.case.features.lookback_days} days before."
            )
        self.own = {
            name: rows.filter(pc.fill_null(pc.equal(rows.column(self.case.entity), self.entity), fill_value=False))
            for name, rows in self.tables.items()
            if self.case.entity in rows.column_names
        }

    def snapshots(self, tables: Tables) -> dict[Any, dict[str, Any]]:
        """Return the features of each entity over given rows."""
        rows = self.adapters.warehouse.features_over(self.case, [self.day], tables).drop_columns([DAY])
        return {row[self.case.entity]: row for row in rows.to_pylist()}

    def explanation(self) -> Explanation:
        """Return each feature with what is behind it."""
        others = self._depends(self._alone())
        references = {
            source.name: self._depends({**self.tables, source.name: self.tables[source.name].slice(0, 0)})
            for source in self.case.sources
            if source.is_reference or source.name not in self.own
        }
        roles = {source.name: self._roles(source) for source in self.case.sources if source.name in self.own}
        read = {source.name: self._columns(source) for source in self.case.sources if source.name in self.own}
        explained = [
            FeatureExplained(
                feature=feature,
                value=self.base[feature],
                rows=tuple(
                    row for name, found in roles.items() for row in self._rows(name, feature, found, read[name])
                ),
                columns={name: tuple(found[feature]) for name, found in read.items() if found.get(feature)},
                references=tuple(name for name, found in references.items() if feature in found),
                other_entities=feature in others,
            )
            for feature in self.case.features.columns
        ]
        return Explanation(self.case.name, self.entity, self.day, tuple(explained), tuple(self.notes))

    def _alone(self) -> Tables:
        """Return the tables without the rows of any other entity."""
        return {
            source.name: self.tables[source.name] if source.is_reference else self.own.get(source.name, rows)
            for source, rows in ((source, self.tables[source.name]) for source in self.case.sources)
        }

    def _depends(self, tables: Tables) -> set[str]:
        """Return the features that change where the entity is computed over other rows."""
        return self._unlike(self.snapshots(tables).get(self.entity))

    def _unlike(self, found: Mapping[str, Any] | None) -> set[str]:
        return {name for name in self.case.features.columns if _differ(self.base[name], (found or {}).get(name))}

    def _rows(
        self, source: str, feature: str, found: Mapping[int, Mapping[str, Role]], read: Mapping[str, Sequence[str]]
    ) -> Iterator[RowBehind]:
        for position, roles in sorted(found.items()):
            if feature in roles:
                row = self.own[source].slice(position, 1).to_pylist()[0]
                keys = {name: row[name] for name in self.case.source(source).keys}
                shown = {name: row[name] for name in read.get(feature, ())}
                yield RowBehind(source, row.get(DAY, self.day), keys, roles[feature], shown)

    def _roles(self, source: Source) -> dict[int, dict[str, Role]]:
        """Return, by the position of the entity's rows in a source, the features that each is behind."""
        rows = self.own[source.name]
        first = max(0, rows.num_rows - MOST_ROWS)
        if first:
            self.notes.append(f"{source.name}: only the newest {MOST_ROWS} of {rows.num_rows} rows were taken away")
        positions = range(first, rows.num_rows)
        without = [_without(rows, at) for at in positions]
        only = [rows.slice(at, 1) for at in positions]
        found = self._variants(source, [rows, rows.slice(0, 0), *without, *only])
        if found is None:
            return self._one_by_one(source, positions)
        lacking, alone = found[2 : 2 + len(positions)], found[2 + len(positions) :]
        nothing = _empty(found[1], alone)
        return {
            at: roles
            for at, one, other in zip(positions, lacking, alone, strict=True)
            if (roles := self._role(one, other, nothing))
        }

    def _role(
        self, lacking: Mapping[str, Any], alone: Mapping[str, Any], nothing: Mapping[str, Any]
    ) -> dict[str, Role]:
        roles: dict[str, Role] = {}
        for name in self.case.features.columns:
            if _differ(self.base[name], lacking.get(name)):
                roles[name] = "decides"
            elif _differ(alone.get(name), nothing.get(name)):
                roles[name] = "counts" if _differ(alone.get(name), self.base[name]) else "enough"
        return roles

    def _one_by_one(self, source: Source, positions: Sequence[int]) -> dict[int, dict[str, Role]]:
        """Take rows away by a run of the SQL each, where the features of copies depend on each other."""
        if len(positions) > MOST_RUNS:
            self.notes.append(
                f"{source.name}: features depend on other entities; {MOST_RUNS} newest rows were taken away"
            )
        roles: dict[int, dict[str, Role]] = {}
        for at in positions[-MOST_RUNS:]:
            changed_by = self._depends(self._with_own(source, _without(self.own[source.name], at)))
            if changed_by:
                roles[at] = dict.fromkeys(changed_by, "decides")
        return roles

    def _with_own(self, source: Source, rows: pa.Table) -> Tables:
        table = self.tables[source.name]
        others = pc.invert(pc.fill_null(pc.equal(table.column(self.case.entity), self.entity), fill_value=False))
        return {**self.tables, source.name: _in_order([table.filter(others), rows])}

    def _columns(self, source: Source) -> dict[str, list[str]]:
        """Return the source's columns that each feature reads: emptied, they change it."""
        rows = self.own[source.name]
        kept = {DAY, self.case.entity, *([source.time_column] if source.time_column else [])}
        names = [name for name in source.columns if name not in kept and name in rows.column_names]
        emptied = [_emptied(rows, name) for name in names]
        found = self._variants(source, [rows, *emptied])
        if found is None:
            found = [self.base]
            found += [self.snapshots(self._with_own(source, each)).get(self.entity, {}) for each in emptied]
        read: dict[str, list[str]] = {}
        for name, features in zip(names, found[1:], strict=True):
            for feature in self._unlike(features):
                read.setdefault(feature, []).append(name)
        return read

    def _variants(self, source: Source, variants: Sequence[pa.Table]) -> list[dict[str, Any]] | None:
        """Return the features of copies of the entity, one for each variant of its rows in a source.

        The first variant is the unchanged one. None where its copy has other features than the entity itself: then
        the SQL looks across entities, and copies disturb each other.
        """
        names = [self._copy(at) for at in range(len(variants))]
        tables = {}
        for name, rows in self.tables.items():
            if name not in self.own:
                tables[name] = rows
            elif name == source.name:
                tables[name] = _in_order([rows, *map(self._renamed, variants, names)])
            else:
                tables[name] = _in_order([rows, *(self._renamed(self.own[name], copy) for copy in names)])
        found = self.snapshots(tables)
        first = found.get(names[0])
        if first is None or self._unlike(first):
            return None
        return [found.get(name, {}) for name in names]

    def _copy(self, number: int) -> Any:
        """Return the name of a copy, which no entity has."""
        if isinstance(self.entity, str):
            return f"{self.entity}\x1f{number}"
        taken = [
            pc.max(rows.column(self.case.entity)).as_py()
            for rows in self.tables.values()
            if self.case.entity in rows.column_names
        ]
        return max(each for each in taken if each is not None) + 1 + number

    def _renamed(self, rows: pa.Table, name: Any) -> pa.Table:
        position = rows.schema.get_field_index(self.case.entity)
        kind = rows.schema.field(position)
        return rows.set_column(position, kind, pa.repeat(pa.scalar(name, kind.type), rows.num_rows))


def _empty(nothing: Mapping[str, Any], alone: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the features without any row of the source.

    Without rows the entity may have no snapshot. A feature that is 0 for some row alone is then taken to be 0: a row
    outside its window does not count.
    """
    if nothing:
        return nothing
    return {name: 0.0 for each in alone for name, value in each.items() if value == 0}


def _in_order(parts: Sequence[pa.Table]) -> pa.Table:
    """Return the parts as one table in the order of its days."""
    rows = pa.concat_tables(parts)
    return rows.sort_by(DAY) if DAY in rows.column_names else rows


def _without(rows: pa.Table, position: int) -> pa.Table:
    return pa.concat_tables([rows.slice(0, position), rows.slice(position + 1)])


def _emptied(rows: pa.Table, column: str) -> pa.Table:
    position = rows.schema.get_field_index(column)
    kind = rows.schema.field(position)
    return rows.set_column(position, pa.field(column, kind.type), pa.nulls(rows.num_rows, kind.type))


def _differ(one: Any, other: Any) -> bool:
    """Tell whether two values of a feature differ by more than the order of additions."""
    if isinstance(one, float) and isinstance(other, float):
        sides = [pa.table({"entity": [0], "value": [value]}) for value in (one, other)]
        return bool(changed(*sides, entity="entity"))
    return bool(one != other)
