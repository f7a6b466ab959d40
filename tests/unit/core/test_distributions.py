"""Two counted distributions beside each other."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from perennial.core import distributions, drift
from perennial.core.distances import Cells
from perennial.core.distributions import MISSING, OTHER
from perennial.core.drift import CategoricalCounts, CategoricalProfile, NumericCounts, NumericProfile
from perennial.io import counts

NUMBERS = st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float) | st.just(float("nan"))
COLUMN = st.integers(1, 60).flatmap(lambda size: arrays(np.float64, size, elements=NUMBERS))


def counted(reference: np.ndarray, current: np.ndarray) -> tuple[NumericProfile, NumericCounts]:
    """Return two columns of numbers, counted."""
    profile = counts.profiles(pa.table({"x": reference}), categorical=())["x"]
    return profile, counts.counted(pa.table({"x": current}), {"x": profile})["x"]  # type: ignore[return-value]


@settings(max_examples=25, deadline=None)
@given(COLUMN, COLUMN)
def test_bins_hold_all_rows_and_add_up_to_the_psi(reference: np.ndarray, current: np.ndarray):
    """Whatever the numbers are."""
    profile, found = counted(reference, current)
    bins = distributions.bins(profile, found)

    assert sum(each.reference for each in bins) == pytest.approx(1)
    assert sum(each.current for each in bins) == pytest.approx(1)
    psi = drift.psi((*profile.counts, profile.nulls), (*found.counts, found.nulls))
    assert sum(each.adds for each in bins) == pytest.approx(psi, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(COLUMN, COLUMN)
def test_steps_rise_from_none_to_all(reference: np.ndarray, current: np.ndarray):
    """At ascending places."""
    found = distributions.steps(*counted(reference, current))
    if np.isnan(reference).all() or np.isnan(current).all():
        assert found is None
        return
    assert found is not None
    for side in (found.reference, found.current):
        assert (side[0], side[-1]) == (0.0, pytest.approx(1.0))
        assert (np.diff(side) >= 0).all()
    assert (np.diff(found.x) >= 0).all()


@settings(max_examples=25, deadline=None)
@given(COLUMN.filter(lambda column: not np.isnan(column).all()))
def test_a_summary_is_that_of_the_rows(column: np.ndarray):
    """Ends and mean exactly; a quarter of the rows, and not many more, lies up to the lower quartile."""
    profile, found = counted(column, column)
    known = column[~np.isnan(column)]
    for told in (distributions.summary(profile), distributions.summary(found)):
        assert (told.rows, told.missing) == (column.size, pytest.approx(np.isnan(column).mean()))
        assert (told.least, told.greatest) == (known.min(), known.max())
        assert told.mean == pytest.approx(known.mean(), abs=1e-6)
        assert told.least <= told.lower <= told.median <= told.upper <= told.greatest


def test_a_quantile_lies_on_a_line_within_its_cell():
    """Four rows from 0 to 4 and four from 10 to 10: the median is the end of the first cell."""
    cells = Cells((0, 1), (4, 4), (2.0, 10.0), (0.0, 10.0), (4.0, 10.0))

    assert [distributions.quantile(cells, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == [0, 2, 4, 10, 10]


def test_categories_are_told_by_name_and_the_rest_together():
    """Twelve have the most rows of a side; others, and what the reference never had, are one."""
    names = tuple(f"c{place:02}" for place in range(14))
    reference = CategoricalProfile(names, (*[10] * 12, 1, 1), 2, 4)
    current = CategoricalCounts({"c00": 5, "c12": 30, "new": 15}, 0)
    bins = {each.text: each for each in distributions.bins(reference, current)}

    assert list(bins) == [*names[:11], "c12", OTHER, MISSING]
    assert bins["c00"].current == pytest.approx(0.1)
    assert bins[OTHER].reference == pytest.approx((10 + 1 + 2) / 128)
    assert bins[OTHER].current == pytest.approx(0.3)
    assert (bins[MISSING].reference, bins[MISSING].current) == (pytest.approx(4 / 128), 0.0)
    whole = drift.psi((*reference.counts, 2, 4), (5, *[0] * 11, 30, 0, 15, 0))
    assert sum(each.adds for each in bins.values()) == pytest.approx(whole)


def test_texts_and_numbers_cannot_stand_beside_each_other():
    """There are no bins that both have."""
    profile, _ = counted(np.arange(20.0), np.arange(20.0))

    assert distributions.bins(profile, CategoricalCounts({"a": 1}, 0)) == ()


def test_texts_have_no_mean():
    """Only rows, and how many are missing."""
    told = distributions.summary(CategoricalCounts({"a": 3}, 1))

    assert (told.rows, told.missing, told.mean, told.median) == (4, 0.25, None, None)
