"""Cut time into fit, validation and holdout, with gaps, so that no part knows another part's labels.

    fit | gap | validation | gap | holdout | horizon | as_of

A gap is as long as the label's horizon: the label of day D looks at the days D+1 .. D+horizon, so the last
label of one part ends on the day before the first snapshot of the next part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.errors import DataError
from perennial.records import Record, Window
from perennial.spec import Training

PARTS = ("fit", "validation", "holdout")
DAYS_NAMED = 5


@dataclass(frozen=True, slots=True)
class Split(Record):
    """Three windows in time order, and how many days lie between two snapshots of a part."""

    fit: Window
    validation: Window
    holdout: Window
    every_days: int = 1

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Split:
        """Return the split that `to_json` wrote."""
        windows = {
            part: Window(date.fromisoformat(data[part]["start"]), date.fromisoformat(data[part]["end"]))
            for part in PARTS
        }
        return cls(**windows, every_days=int(data["every_days"]))

    @property
    def window(self) -> Window:
        """Return the span from the first fitted to the last held-out day."""
        return Window(self.fit.start, self.holdout.end)

    def days(self, part: str) -> tuple[date, ...]:
        """Return the snapshot days of a part, oldest first, counted back from its last day."""
        window: Window = getattr(self, part)
        return tuple(reversed(list(window.days())[:: -self.every_days]))

    @property
    def all_days(self) -> tuple[date, ...]:
        """Return the snapshot days of all parts, oldest first."""
        return tuple(day for part in PARTS for day in self.days(part))

    def saw(self, day: date, *, horizon: timedelta) -> bool:
        """Tell whether a model of this split, fitted on fit and validation days, knows rows or labels of a day.

        It does where the day lies within the horizon of a fitted one: their labels then share days, or one of them
        looks at the other. Those are the gaps that a training keeps before its own holdout.
        """
        return any(abs(day - fitted) <= horizon for part in ("fit", "validation") for fitted in self.days(part))


def split(training: Training, *, horizon: timedelta, as_of: date) -> Split:
    """Return the split that `as_of` allows: the holdout ends on the last matured day, `as_of - horizon`.

    The fit part is what `window_days` leaves after validation, holdout and two gaps of the horizon.

    Raises:
        DataError: nothing is left to fit on.
    """
    last = as_of - horizon
    holdout = Window.ending(last, days=training.holdout_days)
    validation = Window.ending(holdout.start - horizon - timedelta(days=1), days=training.validation_days)
    fit_end = validation.start - horizon
    start = last - timedelta(days=training.window_days - 1)
    if start >= fit_end:
        short = (start - fit_end).days + 1
        raise DataError(
            f"training.window_days {training.window_days} leaves no day to fit on as of {as_of}; "
            f"use at least {training.window_days + short}."
        )
    return Split(Window(start, fit_end), validation, holdout, training.every_days)


def cut(rows: pa.Table, parts: Split) -> dict[str, pa.Table]:
    """Return the rows of each part, by their column `day`."""
    return {part: rows.filter(pc.is_in(rows["day"], pa.array(parts.days(part), pa.date32()))) for part in PARTS}


def check_days(parts: Split, *, present: Iterable[date], case: str) -> None:
    """Refuse a split whose snapshot days are not all there.

    Raises:
        DataError: names the part, how many days are missing, the first of them, and what to run.
    """
    known = set(present)
    for part in PARTS:
        wanted = parts.days(part)
        missing = [day for day in wanted if day not in known]
        if missing:
            raise DataError(
                f"{case}: {len(missing)} of {len(wanted)} snapshot days of the {part} part are missing: "
                f"{_few(missing)}. Backfill {case}__feature_build from {missing[0]} to {missing[-1]} (by hand: "
                f"perennial ingest and perennial features for each day), or train with another --as-of."
            )


def check_rows(labels: Mapping[str, Any], *, min_rows: int, case: str) -> None:
    """Refuse parts that are too small, or whose labels are all the same or no numbers.

    Args:
        labels: for each part an array of numbers, 0 and 1 where the label is binary, shape (rows,).
        min_rows: fewest rows of a part; exactly as many pass.
        case: the use case, for the message.

    Raises:
        DataError: names the part, its count and what it needs.
    """
    for part, label in labels.items():
        rows = len(label)
        if rows < min_rows:
            raise DataError(
                f"{case}: the {part} part has {rows} rows and needs {min_rows} (training.min_rows). "
                "Widen training.window_days or that part's days, or build the missing snapshots."
            )
        if not np.isfinite(label).all():
            bad = int((~np.isfinite(label)).sum())
            raise DataError(
                f"{case}: {bad} of {rows} labels of the {part} part are no finite numbers. Let label.sql leave them "
                "out, with label.missing: drop."
            )
        if label.min() == label.max():
            raise DataError(
                f"{case}: all {rows} labels of the {part} part are {label[0]:g}; different ones are "
                "needed. Check label.sql and whether the sources reach to the end of the label's horizon."
            )


def _few(days: Sequence[date]) -> str:
    """Return the first days as text, and how many more there are."""
    named = ", ".join(day.isoformat() for day in days[:DAYS_NAMED])
    return named if len(days) <= DAYS_NAMED else f"{named} and {len(days) - DAYS_NAMED} more"
