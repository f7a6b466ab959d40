"""Days as bars: where one begins, how long it is, and what is told of it."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest
from perennial.changes import DayState, Effect
from perennial.records import Window
from perennial.views.stretches import Calendar, Lane, Stretch, calendar, of_days, stretches

DAY = date(2026, 3, 1)


def state(offset: int, name: str = "missing", reason: str = "") -> DayState:
    """Return how a day is, counted from the first of March."""
    return DayState(DAY + timedelta(days=offset), name, reason)


def effect(**fields) -> Effect:
    """Return an effect on five days of features, two of which are missing and one is stale."""
    days = {"missing": (DAY, DAY + timedelta(days=1)), "stale": (state(3, "stale", "sales changed"),)}
    costs = {"rows": None, "seconds": None, "bytes": None}
    plain = {"product": "features", "source": None, "fresh": 2, "todo": (DAY, DAY + timedelta(days=1)), **days, **costs}
    return Effect(**plain | fields)


def test_successive_days_in_one_state_are_one_stretch():
    """Another state, another reason or a gap begins another; the order that they come in does not count."""
    days = [state(0), state(1), state(3), state(4, "stale", "a"), state(5, "stale", "a"), state(6, "stale", "b")]
    shuffled = random.Random(3).sample(days, k=len(days))

    assert [(str(each), each.state, each.reason, each.days) for each in stretches(shuffled)] == [
        ("2026-03-01 to 2026-03-02", "missing", "", 2),
        ("2026-03-04", "missing", "", 1),
        ("2026-03-05 to 2026-03-06", "stale", "a", 2),
        ("2026-03-07", "stale", "b", 1),
    ]


def test_no_days_are_no_stretch():
    """Nor is there anything to tell of them."""
    assert of_days(()) == ()
    assert Lane("features", ()).told() == "no days"


def test_a_plan_is_drawn_from_its_oldest_day_to_its_newest():
    """Sources are read before the window begins; the days of features that nothing is said of are fresh."""
    before = tuple(DAY - timedelta(days=offset) for offset in (5, 4))
    raw = effect(product="raw", source="sales", missing=before, stale=(), fresh=8, todo=before)
    found = calendar([raw, effect()], Window(DAY, DAY + timedelta(days=5)))

    assert (found.first, found.last) == (DAY - timedelta(days=5), DAY + timedelta(days=4))
    assert [lane.told() for lane in found.lanes] == ["2 missing, 2 to do", "2 missing, 1 stale, 2 fresh, 2 to do"]
    assert [lane.name for lane in found.lanes] == ["raw sales", "features"]
    assert [(each.state, str(each.first)) for each in found.lanes[1].days] == [
        ("missing", "2026-03-01"), ("fresh", "2026-03-03"), ("stale", "2026-03-04"), ("fresh", "2026-03-05"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("days", "ticks"),
    [
        (1, ["01 Mar"]),
        (10, ["02 Mar", "09 Mar"]),
        (100, ["Mar 2026", "Apr 2026", "May 2026"]),
        (365, ["Mar 2026", "May 2026", "Jul 2026", "Sep 2026", "Nov 2026", "Jan 2027"]),
    ],
)
def test_few_days_are_named_below_the_line(days, ticks):
    """First days of months, else of weeks, else the first of all; never more than can be read side by side."""
    line = Calendar(DAY, DAY + timedelta(days=days - 1), ())

    assert [tick.text for tick in line.ticks] == ticks
    assert all(0 <= tick.at <= 90 for tick in line.ticks)


def test_the_stretches_of_a_line_fill_it():
    """Laid end to end they are as long as the line, to a thousandth of a per cent each."""
    parts = (Stretch(DAY, DAY + timedelta(days=99)), Stretch(DAY + timedelta(days=100), DAY + timedelta(days=364)))
    line = Calendar(DAY, DAY + timedelta(days=364), ())

    assert line.at(parts[1]) == pytest.approx(line.at(parts[0]) + line.width(parts[0]), abs=0.002)
    assert sum(map(line.width, parts)) == pytest.approx(100, abs=0.002)
