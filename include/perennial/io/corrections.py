"""What a day's rows were when they were first published, and which of their values were corrected since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from perennial.errors import LakeError
from perennial.io.lake import DAY, Lake
from perennial.io.rows import published
from perennial.records import Window
from perennial.spec import UseCase

BEFORE = " as first published"


@dataclass(frozen=True, slots=True)
class FirstPublished:
    """The rows of corrected days as first published, by source, and the columns that were corrected."""

    rows: Mapping[str, pa.Table]
    columns: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Corrections:
    """Reads the lake's history of a use case's sources."""

    lake: Lake
    case: UseCase

    def since(self, window: Window, tables: Mapping[str, pa.Table]) -> FirstPublished:
        """Return what of a window's rows was corrected after they were first published.

        Only rows that are in both versions count, by the source's keys: late and withdrawn rows correct nothing.

        Args:
            window: the days to look at.
            tables: the rows as they are now, by source.
        """
        rows, columns, notes = {}, {}, []
        for source in self.case.sources:
            if source.is_reference:
                continue
            try:
                first = self._first(self.case.raw_table(source.name), window)
            except LakeError as error:
                notes.append(f"{source.name}: what was first published cannot be read any more: {error}")
                continue
            if first is not None:
                found = _corrected(tables[source.name], first, keys=source.keys, names=tuple(source.columns))
                if found:
                    rows[source.name], columns[source.name] = first, found
        return FirstPublished(rows, columns, tuple(notes))

    def undone(self, rows: pa.Table, source: str, column: str, first: FirstPublished) -> pa.Table:
        """Return rows with one column as it was first published, where that is known."""
        keys = [DAY, *self.case.source(source).keys]
        rows = rows.append_column("position", pa.array(range(rows.num_rows)))
        before = first.rows[source].select([*keys, column]).rename_columns([*keys, column + BEFORE])
        before = before.append_column("known", pa.array([True] * before.num_rows))
        joined = rows.join(before, keys=keys, join_type="left outer").sort_by("position")
        known = pc.fill_null(joined.column("known"), fill_value=False)
        values = pc.if_else(known, joined.column(column + BEFORE), joined.column(column))
        place = rows.schema.get_field_index(column)
        return rows.set_column(place, rows.schema.field(place), values).drop_columns(["position"])

    def _first(self, table: str, window: Window) -> pa.Table | None:
        """Return the rows of the window's corrected days as first published, None where no day was corrected."""
        days = list(window.days())
        changed = [day for day, times in self.lake.revisions(table, days).items() if times > 1]
        parts = [
            published(self.lake.read(table, Window.of_day(day), version=self._begin(table, day))) for day in changed
        ]
        return pa.concat_tables(parts, promote_options="default") if parts else None

    def _begin(self, table: str, day: date) -> int:
        """Return the version that published a day first."""
        low, high = 0, self.lake.version(table) or 0
        while low < high:
            middle = (low + high) // 2
            if self.lake.revisions(table, [day], version=middle)[day]:
                high = middle
            else:
                low = middle + 1
        return low


def _corrected(now: pa.Table, first: pa.Table, *, keys: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns whose value differs for a row that both have."""
    shared = [name for name in names if name not in keys and name in now.column_names and name in first.column_names]
    by = [DAY, *keys]
    joined = now.select([*by, *shared]).join(
        first.select([*by, *shared]), keys=by, join_type="inner", right_suffix=BEFORE
    )
    found = []
    for name in shared:
        one, other = joined.column(name), joined.column(name + BEFORE)
        unlike = pc.or_(
            pc.xor(pc.is_null(one), pc.is_null(other)), pc.fill_null(pc.not_equal(one, other), fill_value=False)
        )
        if pc.any(unlike).as_py():
            found.append(name)
    return tuple(found)
