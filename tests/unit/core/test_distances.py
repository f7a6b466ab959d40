"""Distances worked by hand, and bounds that hold the distance of the rows themselves, whatever these are."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from perennial.core import distances, drift
from perennial.core.distances import Cells, Distance
from perennial.core.drift import Profile
from perennial.io import counts

VALUES = hnp.arrays(np.float64, st.integers(1, 120), elements=st.floats(-1e6, 1e6, allow_nan=False))
FEW = hnp.arrays(np.float64, st.integers(1, 120), elements=st.sampled_from([0.0, 1.0, 1.5, 2.0, 7.0, 1e5]))
TEXTS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=60)


def told(reference: np.ndarray, current: np.ndarray) -> tuple[Profile, Distance]:
    """Return the profile of a reference, and the distance that counts tell of a day."""
    profiles = counts.profiles(pa.table({"x": reference}), categorical=())
    found = counts.counted(pa.table({"x": current}), profiles)["x"]
    assert not isinstance(found, str)
    distance = drift.distance_of(profiles["x"], found)
    assert distance is not None
    return profiles["x"], distance


def one_cell(*values: float, least: float, greatest: float) -> Cells:
    """Return values in one cell."""
    return Cells((5,), (len(values),), (float(np.mean(values)),), (least,), (greatest,))


def test_jensen_shannon_matches_a_value_worked_by_hand():
    """Shares ½, ½ against 1, 0: the divergence is ½·½·ln(½/¾) + ½·½·ln(½/¼) + ½·ln(1/¾) nats."""
    by_hand = 0.25 * math.log(0.5 / 0.75) + 0.25 * math.log(2) + 0.5 * math.log(1 / 0.75)

    assert distances.jensen_shannon([5, 5], [10, 0]) == pytest.approx(math.sqrt(by_hand), rel=1e-12)


def test_shares_without_a_common_category_are_as_far_as_can_be():
    """The root of ln 2, the largest value there is; a side without rows is at none."""
    assert distances.jensen_shannon([3, 0], [0, 8]) == pytest.approx(math.sqrt(math.log(2)))
    assert distances.jensen_shannon([3, 0], [0, 0]) == 0
    assert distances.jensen_shannon_of([3], [0]) is None


@given(TEXTS, TEXTS)
def test_categories_that_are_counted_together_lie_within_the_bounds(first: list[str], second: list[str]):
    """Of six categories two are known, and the others are one bin: from all alike to all apart."""
    sides = [[side.count(name) for name in "abcdef"] for side in (first, second)]
    whole = distances.jensen_shannon(*sides)
    other = (sum(sides[0][2:]), sum(sides[1][2:]))
    found = distances.jensen_shannon_of(sides[0][:2], sides[1][:2], other=other)

    assert found is not None
    assert found.low - 1e-7 <= whole <= found.high + 1e-7


def test_new_categories_beside_a_reference_without_others_leave_nothing_open():
    """Whatever they are, they are not the reference's."""
    found = distances.jensen_shannon_of([5, 5], [4, 4], other=(0, 2))

    assert found is not None
    assert found.low == pytest.approx(found.high, rel=1e-12)
    assert found.value == pytest.approx(distances.jensen_shannon([5, 5, 0, 0], [4, 4, 1, 1]), rel=1e-12)


def test_a_cell_leaves_open_how_its_rows_lie():
    """0 and 4 against 2 and 2: the means say 0, the rows 2; and no arrangement gives more than the upper bound."""
    found = distances.wasserstein(one_cell(0, 4, least=0, greatest=4), one_cell(2, 2, least=2, greatest=2), scale=1)

    assert found is not None
    assert (found.low, found.value) == (0, 0)
    assert found.high == pytest.approx(4)
    assert distances.wasserstein_of(np.array([0.0, 4.0]), np.array([2.0, 2.0])) == 1  # 2, by a deviation of 2


def test_cells_of_one_value_each_are_exact():
    """Half of the rows move from 0 to 1, by a deviation of 2: a quarter."""
    reference = Cells((1,), (2,), (0.0,), (0.0,), (0.0,))
    found = distances.wasserstein(reference, Cells((1, 9), (1, 1), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)), scale=2)

    assert found is not None
    assert (found.low, found.value, found.high) == pytest.approx((0.25, 0.25, 0.25), rel=1e-12)


@pytest.mark.parametrize("moved_by", [0.5, 2.0, 40.0])
def test_wasserstein_is_the_distance_a_sample_was_moved(moved_by: float):
    """In standard deviations of the reference, however far outside its range the day lies."""
    values = np.random.default_rng(1).normal(100, 20, 4000)
    _, found = told(values, values + values.std() * moved_by)

    assert found.value == pytest.approx(moved_by, rel=1e-9)
    assert found.decided(moved_by * 1.001)


@settings(max_examples=80, deadline=None)
@given(st.one_of(VALUES, FEW), st.one_of(VALUES, FEW))
def test_the_distance_of_the_rows_lies_within_the_bounds(reference: np.ndarray, current: np.ndarray):
    """Whatever they are; and so does the value that is told."""
    exact = distances.wasserstein_of(reference, current)
    _, found = told(reference, current)
    slack = 1e-9 * exact

    assert found.low - slack <= exact <= found.high + slack
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("tail", [0.8, 1.5, 3.0])
def test_bounds_are_narrow_near_the_limit(tail: float):
    """Of ten thousand rows with a heavy tail, moved to a distance of a tenth, less than four percent are open."""
    generator = np.random.default_rng(5)
    values, later = generator.pareto(tail, 10_000), generator.pareto(tail, 5_000)
    _, found = told(values, later + 0.1 * values.std())

    assert found.high - found.low < 0.04 * found.value


@pytest.mark.parametrize(
    ("limit", "decided"), [(0.0999, True), (0.1, False), (0.15, False), (0.2, False), (0.201, True)]
)
def test_a_limit_within_the_bounds_is_not_decided(limit: float, *, decided: bool):
    """Nor one that rounding may have put outside of them."""
    assert Distance(0.12, 0.1, 0.2).decided(limit) is decided
