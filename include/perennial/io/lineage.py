"""What each derived day was made from: the revision of every source day behind a snapshot, and of a score's snapshot.

A revision counts how often the content of a day changed. A derived day is stale where a day behind it has another
revision now, or where its definition has changed. The entry is written after the day it is about: a crash in between
leaves a day that looks stale, and building it again changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa

from perennial.changes import DayState
from perennial.contracts import Source
from perennial.io.lake import Lake
from perennial.records import Window
from perennial.spec import UseCase

INPUTS = "inputs"
VERSIONS = "versions"  # of the sources, at which the inputs can be read
Pins = Mapping[str, int]


def definition(case: UseCase) -> str:
    """Return sixteen hex digits that name how features are computed; another definition makes every day stale.

    An excuse in `features.strong` changes no value.
    """
    text = case.text(case.features.sql) if case.features.sql is not None else ""
    declared = json.dumps(
        [case.entity, case.features.model_dump(mode="json", exclude={"strong"}), text], sort_keys=True
    )
    return hashlib.sha256(declared.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Read:
    """The days of a source that a snapshot was built from, `first` and those that follow, with their revisions.

    Attributes:
        source: its name.
        version: of its table when the snapshot was built; None where that was not kept.
        first: first of the days.
        then: their revisions when the snapshot was built.
        now: their revisions now; empty where other days would be read now.
    """

    source: str
    version: int | None
    first: date
    then: tuple[int, ...]
    now: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Behind:
    """What a snapshot was built from, and what it would be built from now.

    `definition` is None, and `reads` is empty, where it is not known what it was built from.
    """

    state: DayState
    definition: str | None
    definition_now: str
    reads: tuple[Read, ...] = ()


@dataclass(frozen=True, slots=True)
class Lineage:
    """Writes and compares what derived days were made from."""

    lake: Lake

    def keep_features(self, case: UseCase, days: Sequence[date], *, pins: Pins, run: str) -> None:
        """Write down what the snapshots of `days`, if there are any, were made from, at the pinned versions."""
        if not days:
            return
        known = _Revisions(self.lake, case, days, pins)
        versions = pa.array([json.dumps(dict(pins))], pa.string())
        entries = {day: _entry(known.inputs(day)).append_column(VERSIONS, versions) for day in days}
        metadata = {"case": case.name, "run": run}
        self.lake.write_days(case.features_lineage, entries, metadata=metadata, unlike=[VERSIONS])

    def keep_predictions(self, case: UseCase, day: date, *, features_version: int, run: str) -> None:
        """Write down which revision of its snapshot a day's scores were made from."""
        revision = self.lake.revisions(case.features_table, [day], version=features_version)[day]
        entry = _entry({"features": revision})
        self.lake.write_day(case.predictions_lineage, day, entry, metadata={"case": case.name, "run": run})

    def features(self, case: UseCase, days: Sequence[date]) -> tuple[DayState, ...]:
        """Return whether each of `days` has its snapshot, and whether what it was made from has changed since."""
        built = self.lake.revisions(case.features_table, days)
        if not any(built.values()):
            return tuple(DayState(day, "missing", "never built") for day in days)
        kept, known = self._kept(case.features_lineage, days), _Revisions(self.lake, case, days, None)
        return tuple(_features_state(day, built[day], kept.get(day), known) for day in days)

    def behind(self, case: UseCase, day: date) -> Behind:
        """Return whether a day has its snapshot, and what that was built from."""
        revision = self.lake.revisions(case.features_table, [day])[day]
        table, known = case.features_lineage, _Revisions(self.lake, case, [day], None)
        there = self.lake.version(table) is not None
        rows = self.lake.read(table, Window.of_day(day)).to_pylist() if there else []
        then = json.loads(rows[0][INPUTS]) if rows else None
        state, now = _features_state(day, revision, then, known), known.inputs(day)
        if then is None:
            return Behind(state, None, now["definition"])
        # An entry of an earlier release has no versions.
        versions = json.loads(rows[0].get(VERSIONS) or "{}")
        reads = tuple(
            _read(name, seen, now["sources"].get(name), versions.get(case.raw_table(name)))
            for name, seen in then["sources"].items()
        )
        return Behind(state, then["definition"], now["definition"], reads)

    def built_from(
        self, case: UseCase, days: Sequence[date], *, pins: Pins, known_at: datetime | None = None
    ) -> dict[date, dict[str, int]]:
        """Return the versions of the sources behind those of `days` that `pins` would not give: they changed since.

        A day of which that is not known, or whose definition was another one, is left out.
        """
        table, lake = case.features_lineage, self.lake
        version = lake.version(table) if known_at is None else lake.version_at(table, known_at)
        if version is None or VERSIONS not in lake.dataset(table, version=version).schema.names:
            return {}
        window = Window(min(days), max(days) + timedelta(days=1))
        rows = lake.read(table, window, version=version, columns=["day", INPUTS, VERSIONS]).to_pylist()
        now, known, asked = definition(case), _Revisions(lake, case, days, pins), set(days)
        found = {}
        for row in (row for row in rows if row["day"] in asked and row[VERSIONS]):
            inputs = json.loads(row[INPUTS])
            if inputs["definition"] == now and inputs != known.inputs(row["day"]):
                found[row["day"]] = json.loads(row[VERSIONS])
        return found

    def predictions(self, case: UseCase, days: Sequence[date]) -> tuple[DayState, ...]:
        """Return whether each of `days` has its scores, and whether its snapshot has changed since."""
        scored = self.lake.revisions(case.predictions_table, days)
        snapshots = self.lake.revisions(case.features_table, days)
        kept = self._kept(case.predictions_lineage, days)
        return tuple(_predictions_state(day, scored[day], kept.get(day), snapshots[day]) for day in days)

    def changed_snapshots(
        self, case: UseCase, since: Sequence[tuple[int, Sequence[date]]]
    ) -> tuple[tuple[date, ...], ...]:
        """Return of each version of the features table and its days those whose snapshot has changed since then."""
        table, days = case.features_table, sorted({day for _, asked in since for day in asked})
        now = self.lake.revisions(table, days)
        then = {version: self.lake.revisions(table, days, version=version) for version in {each for each, _ in since}}
        return tuple(tuple(day for day in asked if then[version][day] != now[day]) for version, asked in since)

    def _kept(self, table: str, days: Sequence[date]) -> dict[date, dict[str, Any]]:
        window = Window(min(days), max(days) + timedelta(days=1))
        rows = self.lake.read_or_empty(table, window, columns=["day", INPUTS])
        return {row["day"]: json.loads(row[INPUTS]) for row in rows.to_pylist()}


class _Revisions:
    """The revision of every source day that some snapshots may look at, read once."""

    def __init__(self, lake: Lake, case: UseCase, days: Sequence[date], pins: Pins | None) -> None:
        self.case = case
        self._lake, self._pins = lake, pins or {}
        self._first = min(days) - timedelta(days=case.features.lookback_days)
        self._last = max(days)
        self._found = {source.name: self._of(source) for source in case.sources}

    def _of(self, source: Source) -> dict[date, int]:
        table = self.case.raw_table(source.name)
        version = self._pins.get(table)
        if source.is_reference:
            days: Sequence[date] = self._lake.days(table, version=version)
        else:
            days = list(Window(self._first, self._last + timedelta(days=source.known_ahead_days + 1)).days())
        return self._lake.revisions(table, days, version=version)

    def inputs(self, day: date) -> dict[str, Any]:
        """Return what a snapshot of `day` would be made from now."""
        sources = {source.name: self._seen(source, day) for source in self.case.sources}
        return {"definition": definition(self.case), "sources": sources}

    def _seen(self, source: Source, day: date) -> dict[str, Any]:
        found = self._found[source.name]
        if source.is_reference:
            snapshot = max((known for known in found if known <= day), default=min(found, default=day))
            return {"first": snapshot.isoformat(), "revisions": [found.get(snapshot, 0)]}
        first = day - timedelta(days=self.case.features.lookback_days)
        window = Window(first, day + timedelta(days=source.known_ahead_days + 1))
        return {"first": first.isoformat(), "revisions": [found[each] for each in window.days()]}


def _features_state(day: date, revision: int, kept: Mapping[str, Any] | None, known: _Revisions) -> DayState:
    if not revision:
        return DayState(day, "missing", "never built")
    if kept is None:
        return DayState(day, "stale", "what it was built from is not known")
    reasons = tuple(_differences(kept, known.inputs(day)))
    return DayState(day, "stale" if reasons else "fresh", "; ".join(reasons))


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if then["definition"] != now["definition"]:
        yield "the definition of the features changed"
    for name, seen in now["sources"].items():
        before = then["sources"].get(name)
        if before is None:
            yield f"{name} is a new source"
        elif before["first"] != seen["first"] or len(before["revisions"]) != len(seen["revisions"]):
            yield f"{name} is read over other days"
        else:
            first = date.fromisoformat(seen["first"])
            pairs = enumerate(zip(before["revisions"], seen["revisions"], strict=True))
            changed = [first + timedelta(days=at) for at, (old, new) in pairs if old != new]
            if changed:
                others = len(changed) - 1
                more = f" and {others} more {'day' if others == 1 else 'days'}" if others else ""
                yield f"{name} of {changed[0]}{more} changed"


def _read(name: str, then: Mapping[str, Any], now: Mapping[str, Any] | None, version: int | None) -> Read:
    same = now is not None and now["first"] == then["first"] and len(now["revisions"]) == len(then["revisions"])
    seen = tuple(now["revisions"]) if now is not None and same else ()
    return Read(name, version, date.fromisoformat(then["first"]), tuple(then["revisions"]), seen)


def _predictions_state(day: date, revision: int, kept: Mapping[str, Any] | None, snapshot: int) -> DayState:
    if not revision:
        return DayState(day, "missing", "never scored")
    if kept is None or kept["features"] != snapshot:
        return DayState(day, "stale", "its snapshot changed")
    return DayState(day, "fresh", "")


def _entry(inputs: Mapping[str, Any]) -> pa.Table:
    return pa.table({INPUTS: pa.array([json.dumps(inputs)], pa.string())})
