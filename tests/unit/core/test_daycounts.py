"""Counts by day agree with the profile they belong to, through JSON."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from perennial.core.daycounts import DayCounts
from perennial.core.drift import NumericProfile
from perennial.io import counts

ROWS = pa.table({"x": [1.0, 2.0, np.nan, 2.0, np.inf, 0.5], "town": ["a", None, "b", "a", "c", "a"]})
PROFILES = counts.profiles(ROWS, categorical=["town"])
DAY = np.array([17531, 17531, 17533, 17533, 17533, 17531])


@pytest.fixture
def counted() -> DayCounts:
    """Return the counts of a numeric and a categorical column on two days."""
    return counts.by_day(ROWS, PROFILES, day=DAY)


def test_a_day_has_its_rows_in_the_bins_of_the_profile(counted: DayCounts):
    """Categories in the profile's order, then the rare ones, then nulls."""
    assert counted.days.tolist() == [17531, 17533]
    assert counted.counts["town"].tolist() == [[2, 0, 0, 0, 1], [1, 1, 1, 0, 0]]


def test_the_days_add_up_to_the_profile(counted: DayCounts):
    """Infinite values and nulls included."""
    profile = PROFILES["x"]

    assert isinstance(profile, NumericProfile)
    assert counted.counts["x"].sum(axis=0).tolist() == [*profile.counts, profile.nulls]


def test_categories_beyond_the_fifty_kept_are_rare():
    """They have a bin of their own, before that of nulls."""
    names = pa.table({"x": [str(number) for number in range(60)] + [None]})
    found = counts.by_day(names, counts.profiles(names, categorical=["x"]), day=np.zeros(61, dtype=np.int64))

    assert found.counts["x"][0, -2:].tolist() == [10, 1]


def test_counts_survive_json(counted: DayCounts):
    """Days are ISO text there."""
    data = json.loads(json.dumps(counted.to_json()))
    back = DayCounts.from_json(data)

    assert data["days"] == ["2017-12-31", "2018-01-02"]
    assert np.array_equal(back.days, counted.days)
    assert {name: rows.tolist() for name, rows in back.counts.items()} == {
        name: rows.tolist() for name, rows in counted.counts.items()
    }


def test_columns_of_fewer_bins_are_padded_with_empty_ones(counted: DayCounts):
    """Which the PSI leaves out."""
    padded = counted.padded(["x", "town"])

    assert padded.shape[:2] == (2, 2)
    assert (padded.sum(axis=2) == 3).all()


@pytest.mark.parametrize(("day", "lag"), [(date(2018, 1, 3), 1), (date(2018, 1, 12), 10), (date(2017, 12, 31), 1)])
def test_a_day_lies_after_the_last_one(day: date, lag: int):
    """A day of the reference itself is taken for the next."""
    assert DayCounts(DAY[[0, 2]], {}).days_until(day) == lag
