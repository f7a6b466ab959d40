"""What the days before say is usual: worked by hand, at its ends, and robust."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.core.vitals import MEMORY, NORMAL, usual
from perennial.modelling import Feed

PLAIN = Feed(spreads=6, beyond=1, least_days=7)
numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=40)


def test_the_band_is_as_worked_by_hand():
    """Median 3, MAD 1; six robust deviations reach further than the days' own range of 4 beyond them."""
    held = usual(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), noise=0.0, floor=0.0, limits=PLAIN)

    assert held.middle == 3
    assert held.low == pytest.approx(3 - 6 * NORMAL)
    assert held.high == pytest.approx(3 + 6 * NORMAL)


def test_a_storm_among_the_days_makes_the_rule_careful():
    """The range is 10: the band ends one range beyond the farthest day, on both sides."""
    held = usual(np.array([0.0, 0.0, 0.0, 0.0, 10.0]), noise=0.0, floor=0.5, limits=PLAIN)

    assert (held.low, held.high) == (-10, 20)


def test_chance_and_the_floor_count_where_days_do_not_differ():
    """Noise of 0.5 is worth 3; a floor of 4 more than that."""
    days = np.zeros(10)

    assert usual(days, noise=0.5, floor=0.0, limits=PLAIN).high == pytest.approx(3)
    assert usual(days, noise=0.5, floor=4.0, limits=PLAIN).high == 4
    assert usual(days, noise=0.0, floor=4.0, limits=PLAIN).holds(4.0)
    assert not usual(days, noise=0.0, floor=4.0, limits=PLAIN).holds(4.0001)


def test_what_broke_yesterday_is_no_excuse_for_today():
    """Of the last week a day that was out itself is left out; a week later its level is the usual."""
    days = np.r_[np.tile([0.0, 0.1], 14), [5.0]]

    assert usual(days, noise=0.0, floor=0.5, limits=PLAIN).high < 1
    assert usual(np.r_[days, np.full(MEMORY, 5.0)], noise=0.0, floor=0.5, limits=PLAIN).holds(5.0)


@given(numbers, st.floats(0, 5), st.floats(0, 5))
def test_every_day_of_the_window_is_usual(days: list[float], noise: float, floor: float):
    """Where none is left out the band holds all of them, and more noise never makes it narrower."""
    history, limits = np.array(days), Feed(least_days=100)
    held = usual(history, noise=noise, floor=floor, limits=limits)

    assert held.low <= history.min()
    assert history.max() <= held.high
    wider = usual(history, noise=noise + 1, floor=floor, limits=limits)
    assert wider.low <= held.low
    assert held.high <= wider.high


@given(numbers, st.floats(-50, 50))
def test_the_band_moves_with_the_days(days: list[float], shift: float):
    """Nothing depends on where zero lies."""
    history, limits = np.array(days), Feed(least_days=100)
    held, moved = (usual(each, noise=0.1, floor=0.2, limits=limits) for each in (history, history + shift))

    assert moved.low == pytest.approx(held.low + shift, abs=1e-6)
    assert moved.high == pytest.approx(held.high + shift, abs=1e-6)
