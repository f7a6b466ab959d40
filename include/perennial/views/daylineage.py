"""From a source's version to predictions: what the snapshot of a day was made from, and what was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from perennial.errors import RegistryError
from perennial.io.lineage import Behind, Read
from perennial.records import Json, Record, Window
from perennial.spec import UseCase
from perennial.views.asking import Inquiry
from perennial.views.lakeasking import Tables

if TYPE_CHECKING:
    from perennial.adapters import Adapters

PARTS = ("fit", "validation", "holdout")


@dataclass(frozen=True, slots=True)
class SourceBehind(Record):
    """The days of a source that a snapshot was built from.

    Attributes:
        source: its name.
        version: of its table when the snapshot was built; None where that was not kept.
        first: first of the days.
        last: last of them.
        days: how many of them were ingested.
        absent: how many of them were not.
        rewritten: how many of them had been written more than once by then.
        changed: those whose content has changed since.
        other_days: whether other days would be read now.
    """

    source: str
    version: int | None
    first: date
    last: date
    days: int
    absent: int
    rewritten: int
    changed: tuple[date, ...]
    other_days: bool


@dataclass(frozen=True, slots=True)
class ScoresMade(Record):
    """The predictions of a day: how many, by which versions of the model, of which version of the features."""

    rows: int
    versions: tuple[str, ...]
    features_versions: tuple[int, ...]
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class ModelMade(Record):
    """A model version that scored the day.

    Attributes:
        version: of the model.
        as_of: the day up to which its labels were known.
        tables: the versions of the tables that its training read.
        part: the part of its training set in which this day lies; empty where it lies in none.
        first: first day of its training set.
        last: last day of it.
        known: False where its manifest cannot be read.
    """

    version: str
    as_of: str = ""
    tables: Mapping[str, int] | None = None
    part: str = ""
    first: str = ""
    last: str = ""
    known: bool = True


@dataclass(frozen=True, slots=True)
class DayLineage(Record):
    """What stands before and behind the snapshot of a day; `definition` is None where that was not kept."""

    definition: str | None
    definition_now: str | None
    sources: tuple[SourceBehind, ...]
    scores: ScoresMade | None
    models: tuple[ModelMade, ...]


def of(
    case: UseCase, day: date, behind: Behind | None, adapters: Adapters, *, tables: Tables, inquiry: Inquiry
) -> DayLineage:  # fmt: skip
    """Return what the snapshot of a day was made from, and what was made of it.

    Args:
        case: whose day.
        day: the day.
        behind: what the lake says of the snapshot; None where it cannot be read.
        adapters: lake, lineage and registry.
        tables: notes what cannot be read of the lake.
        inquiry: notes whether the registry answers.
    """
    scores: ScoresMade | None = tables.ask(case.predictions_table, lambda: _scores(case, day, adapters), otherwise=None)
    return DayLineage(
        definition=behind.definition if behind else None,
        definition_now=behind.definition_now if behind else None,
        sources=tuple(_source(each) for each in (behind.reads if behind else ())),
        scores=scores,
        models=tuple(_model(case, day, each, adapters, inquiry) for each in (scores.versions if scores else ())),
    )


def _source(read: Read) -> SourceBehind:
    there = [revision for revision in read.then if revision]
    pairs = zip(read.then, read.now, strict=True) if read.now else ()
    changed = tuple(read.first + timedelta(days=at) for at, (then, now) in enumerate(pairs) if then != now)
    return SourceBehind(
        source=read.source,
        version=read.version,
        first=read.first,
        last=read.first + timedelta(days=len(read.then) - 1),
        days=len(there),
        absent=len(read.then) - len(there),
        rewritten=sum(revision > 1 for revision in there),
        changed=changed,
        other_days=not read.now,
    )


def _scores(case: UseCase, day: date, adapters: Adapters) -> ScoresMade | None:
    names = ["model_version", "data_version"]
    rows = adapters.lake.read_or_empty(case.predictions_table, Window.of_day(day), columns=names)
    if not rows.num_rows:
        return None
    (found,) = adapters.lineage.predictions(case, [day])
    versions = tuple(sorted(str(each) for each in rows.column("model_version").unique().to_pylist()))
    features = tuple(sorted(int(each) for each in rows.column("data_version").unique().to_pylist()))
    return ScoresMade(rows.num_rows, versions, features, found.state, found.reason)


def _model(case: UseCase, day: date, version: str, adapters: Adapters, inquiry: Inquiry) -> ModelMade:
    manifest: Json | None = inquiry.ask(
        RegistryError, lambda: adapters.registry.manifest(case.name, version), otherwise=None
    )
    if manifest is None:
        return ModelMade(version, known=False)
    split: Mapping[str, Any] = manifest.get("split") or {}
    windows = {name: split[name] for name in PARTS if name in split}
    part = next((name for name, each in windows.items() if each["start"] <= day.isoformat() < each["end"]), "")
    return ModelMade(
        version=version,
        as_of=str(manifest.get("as_of", "")),
        tables=manifest.get("data_versions") or {},
        part=part,
        first=min((str(each["start"]) for each in windows.values()), default=""),
        last=max((_before(str(each["end"])) for each in windows.values()), default=""),
    )


def _before(day: str) -> str:
    return str(date.fromisoformat(day) - timedelta(days=1))
