"""Refused rows counted by day and reason, from a table's own columns at a pinned version.

What a version says never changes, so an answer is kept for as long as the process lives.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import pyarrow.compute as pc

from perennial.io.lake import DAY, Lake
from perennial.io.rows import DISCARDED, PLACE, QUARANTINE, REASONS, STRAYS
from perennial.records import Record, Window

KEPT = 128  # answers; each is some kilobytes


@dataclass(frozen=True, slots=True)
class Refused(Record):
    """How many rows of a day are out of sight for the same reasons; `place` is quarantine or discarded."""

    day: date
    place: str
    reasons: tuple[str, ...]
    rows: int


def refused(lake: Lake, table: str, window: Window) -> tuple[Refused, ...]:
    """Return the refused rows of a window and those that belong to no day, by day, place and reasons.

    Raises:
        LakeError: the table cannot be read.
    """
    version = lake.version(table)
    return () if version is None else _refused(lake.root, table, version, window)


@lru_cache(maxsize=KEPT)
def _refused(root: Path, table: str, version: int, window: Window) -> tuple[Refused, ...]:
    days = [STRAYS, *window.days()]
    dataset = Lake(root).dataset(table, version=version, only=[(DAY, "in", [str(day) for day in days])])
    if PLACE not in dataset.schema.names:
        return ()  # written before rows had places
    wanted = pc.field(PLACE).isin([QUARANTINE, DISCARDED]) & pc.field(DAY).isin(days)
    rows = dataset.to_table(filter=wanted, columns=[DAY, PLACE, REASONS]).to_pylist()
    counted = Counter((row[DAY], row[PLACE], row[REASONS] or "[]") for row in rows)
    return tuple(
        Refused(day, place, tuple(json.loads(reasons)), many) for (day, place, reasons), many in sorted(counted.items())
    )


def by_day(found: Iterable[Refused], *, place: str | None = None) -> Counter[date]:
    """Return how many rows each day has in a place, in both where none is named."""
    counted: Counter[date] = Counter()
    for each in found:
        if place is None or each.place == place:
            counted[each.day] += each.rows
    return counted
