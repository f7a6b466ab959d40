"""The reference's rows counted day by day, in the bins of its profiles: what says how much calm days differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from perennial.core.metrics import IntArray
from perennial.records import Json


@dataclass(frozen=True, slots=True)
class DayCounts:
    """Counts of several columns by day.

    Attributes:
        days: days since 1970, ascending and distinct, shape (days,).
        counts: of each column the rows of each day in each bin, shape (days, bins); the last bin holds nulls, and of a
            categorical column the one before all rarer categories.
    """

    days: IntArray
    counts: Mapping[str, IntArray]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DayCounts:
        """Return the counts that `to_json` wrote."""
        days = np.array(data["days"], dtype="datetime64[D]").astype(np.int64)
        return cls(days, {name: np.array(rows, dtype=np.int64) for name, rows in data["counts"].items()})

    def to_json(self) -> Json:
        """Return the counts as plain data, days as ISO text."""
        days = self.days.astype("datetime64[D]").astype(str).tolist()
        return {"days": days, "counts": {name: rows.tolist() for name, rows in self.counts.items()}}

    def padded(self, names: Sequence[str]) -> IntArray:
        """Return the counts of these columns, shape (days, columns, most bins); bins too many are empty."""
        bins = max(self.counts[name].shape[1] for name in names)
        found = np.zeros((self.days.size, len(names), bins), dtype=np.int64)
        for place, name in enumerate(names):
            found[:, place, : self.counts[name].shape[1]] = self.counts[name]
        return found

    def days_until(self, day: date) -> int:
        """Return how many days after the last of these a day lies; 1 is the next one, and the least there is."""
        return max(1, int(np.datetime64(day, "D").astype(np.int64) - self.days[-1]))
