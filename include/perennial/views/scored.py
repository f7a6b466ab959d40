"""One prediction as it lies in the lake: its score, what made it, and the snapshot row that it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial.core import frames
from perennial.errors import DataError, LakeError
from perennial.io.lineage import VERSIONS
from perennial.io.partitions import SPAN
from perennial.records import Record
from perennial.views.references import SCORE, rows_of

if TYPE_CHECKING:
    from perennial.io.lake import Lake
    from perennial.io.lineage import Lineage
    from perennial.spec import UseCase

COMMITS = 5000
NAME_SHOWN = 60
HIGHEST = 5


@dataclass(frozen=True, slots=True)
class Written(Record):
    """The commit that wrote a day's scores: version of the table, when, and in which run."""

    version: int
    at: datetime
    run: str


@dataclass(frozen=True, slots=True)
class Scored(Record):
    """A score as it was published.

    Attributes:
        entity: whose.
        day: of the snapshot.
        score: probability of the label, or the number predicted.
        model_version: the version that made it.
        data_version: version of the features' table that it was first made from.
        rows: how many scores the day has.
        below: the share of them that are lower.
        written: the commit; None where the log does not name it.
        stale: why it would be made anew now; empty where it would not.
        sources: versions of the sources that the snapshot was built from last; empty where that was not kept.
    """

    entity: int | str
    day: date
    score: float
    model_version: str
    data_version: int
    rows: int
    below: float
    written: Written | None = None
    stale: str = ""
    sources: Mapping[str, int] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Return in words where the score stands among those of the day."""
        lower, of = round(self.below * self.rows), f"of the {self.rows:,} scores of the day"
        if lower in {0, self.rows - 1}:
            return f"The {'highest' if lower else 'lowest'} {of}."
        return f"Higher than {100 * lower // self.rows} % {of}."


@dataclass(frozen=True, slots=True)
class Example(Record):
    """One of the highest scores of a day."""

    entity: int | str
    score: float


def typed(case: UseCase, entity: str, kind: pa.DataType) -> pa.Scalar:
    """Return an entity as the lake has it.

    Raises:
        DataError: it is none, such as a text where they are whole numbers.
    """
    try:
        return pa.scalar(int(entity.strip()), kind) if pa.types.is_integer(kind) else pa.scalar(entity).cast(kind)
    except (ValueError, OverflowError, pa.ArrowException) as error:
        what = "a whole number" if pa.types.is_integer(kind) else f"a value of type {kind}"
        raise DataError(f"{case.entity} is {what}; {entity[:NAME_SHOWN]!r} is none.") from error


def scores(case: UseCase, day: date, lake: Lake) -> pa.Table:
    """Return the published scores of a day.

    Raises:
        LakeError: nothing was scored yet, or the files cannot be read.
    """
    return rows_of(case.predictions_table, day, lake)


def highest(case: UseCase, rows: pa.Table) -> tuple[Example, ...]:
    """Return the highest scores of a day, equal ones in the order of their entities."""
    order = pc.sort_indices(rows, sort_keys=[(SCORE, "descending"), (case.entity, "ascending")])[:HIGHEST]
    first = rows.take(order)
    pairs = zip(first[case.entity].to_pylist(), first[SCORE].to_pylist(), strict=True)
    return tuple(Example(entity, score) for entity, score in pairs if score is not None)


def of_entity(case: UseCase, entity: str, rows: pa.Table, *, day: date) -> Scored:
    """Return an entity's score among those of a day, with what the rows themselves say.

    Raises:
        DataError: it has none.
    """
    found = rows.filter(pc.equal(rows[case.entity], typed(case, entity, rows[case.entity].type)))
    if not found.num_rows:
        raise DataError(
            f"{case.entity} {entity.strip()[:NAME_SHOWN]} has no score on {day}; {rows.num_rows:,} others have one. It "
            "is unknown, or had no rows in the days before."
        )
    mine = found.slice(0, 1).to_pylist()[0]
    all_scores = frames.numbers(rows[SCORE])
    return Scored(
        entity=mine[case.entity], day=day, score=float(mine[SCORE]), model_version=str(mine["model_version"]),
        data_version=int(mine["data_version"]), rows=rows.num_rows, below=float((all_scores < mine[SCORE]).mean()),
    )  # fmt: skip


def written(case: UseCase, day: date, lake: Lake) -> Written | None:
    """Return the newest commit that wrote a day's scores; one of an earlier release names a span of days."""
    for commit in lake.commits(case.predictions_table, limit=COMMITS):
        if _names(str(commit.get("day", "")), day):
            at = datetime.fromtimestamp(int(str(commit["timestamp"])) / 1000, UTC)
            return Written(int(str(commit["version"])), at, str(commit.get("run", "")))
    return None


def _names(days: str, day: date) -> bool:
    if SPAN in days:
        first, _, last = days.partition(SPAN)
        return first <= day.isoformat() <= last
    return day.isoformat() in days.split(",")


def stale(case: UseCase, day: date, lineage: Lineage) -> str:
    """Return why a day's scores would be made anew now; empty where they would not."""
    (state,) = lineage.predictions(case, [day])
    return "" if state.state == "fresh" else state.reason


def sources(case: UseCase, day: date, lake: Lake) -> dict[str, int]:
    """Return the versions of the tables that a day's snapshot was built from last; none where that was not kept."""
    try:
        kept = rows_of(case.features_lineage, day, lake, names=[VERSIONS])
    except LakeError:
        return {}
    texts: Sequence[Any] = kept[VERSIONS].to_pylist() if VERSIONS in kept.column_names else []
    return dict(json.loads(texts[0] or "{}")) if texts else {}


def snapshot(case: UseCase, found: Scored, lake: Lake) -> tuple[pa.Table | None, str]:
    """Return the row that a score was made from, and what is to be said of it; no row where it is gone."""
    try:
        rows = rows_of(case.features_table, found.day, lake, version=found.data_version)
        said = ""
    except LakeError:
        rows = rows_of(case.features_table, found.day, lake)
        said = f"Version {found.data_version} of the features is gone; these are the newest ones."
    mine = rows.filter(pc.equal(rows[case.entity], pa.scalar(found.entity, rows[case.entity].type)))
    return (mine.slice(0, 1), said) if mine.num_rows else (None, said)
