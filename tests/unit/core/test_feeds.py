"""A source's day: none, far too few or too many rows, a day twice, an age; and labels that are due."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from perennial.core import feeds
from perennial.core.vitals import Vitals
from perennial.modelling import Feed
from perennial.records import Measure
from sourcedays import HISTORY, MONDAY, days_of, ending

LIMITS = Feed()


def of(vitals: Vitals, measure: str, *, limits: Feed = LIMITS) -> Measure:
    """Return the measure of that name."""
    return next(each for each in feeds.judge(vitals, limits=limits, about="feed") if each.measure == measure)


@pytest.mark.parametrize(
    ("rows", "over"), [(1000, False), (667, False), (666, True), (1500, False), (1501, True), (0, True)]
)
def test_rows_are_held_against_the_days_before(rows: int, *, over: bool):
    """Steady days of 1,000 rows: half as many again is the limit, to either side; the limit itself is fine."""
    found = of(days_of(rows=list(ending(rows, before=1000))), "rows")

    assert (found.over, found.value) == (over, rows)
    assert bool(found.detail) is over


def test_the_sentence_has_the_numbers():
    """As a mail would say it."""
    found = of(days_of(rows=list(ending(300, before=1000))), "rows")

    assert found.detail == "orders of 2026-07-06 has 300 rows, far too few: 667 to 1,500 are usual."
    assert (found.low, found.high, found.limit) == (pytest.approx(666.7, abs=0.1), pytest.approx(1500), found.low)


def test_few_rows_may_differ_by_ten():
    """Three a day: thirteen is not far too many, fourteen is."""
    assert not of(days_of(rows=list(ending(13, before=3))), "rows").over
    assert of(days_of(rows=list(ending(14, before=3))), "rows").over


def test_a_weekday_is_held_against_its_own():
    """Sundays have a tenth; a Sunday as on other days is far too many, a Monday as on Sundays far too few."""
    rows = [100 if (MONDAY + timedelta(days=at)).weekday() == 6 else 1000 for at in range(HISTORY + 1)]

    assert not of(days_of(rows=rows), "rows").over
    assert of(days_of(rows=[*rows[:-1], 100]), "rows").over
    assert not of(days_of(rows=rows[:-1]), "rows").over
    assert of(days_of(rows=[*rows[:-2], 1000]), "rows").over


def test_a_weekday_on_which_nothing_comes_may_have_no_rows():
    """A shop that is closed on Sundays."""
    rows = [0 if (MONDAY + timedelta(days=at)).weekday() == 6 else 1000 for at in range(HISTORY)]

    assert rows[-1] == 0
    assert not of(days_of(rows=rows), "rows").over


def test_a_day_that_was_never_written_is_told():
    """Its features cannot be built of it."""
    vitals = days_of()
    found = of(days_of(last=vitals.last + timedelta(days=1)), "rows")

    assert found.over
    assert (found.value, found.detail) == (None, "orders of 2026-07-07 was never ingested.")


def test_a_source_without_a_table_is_only_told():
    """Nothing was ever ingested, which ingest says itself."""
    none = np.zeros(0, np.int64)
    found = feeds.judge(Vitals("orders", MONDAY, (), none, none), limits=LIMITS, about="feed")

    assert [(each.measure, each.value, each.over) for each in found] == [("rows", None, False)]


def test_too_few_days_before_say_nothing():
    """Thirteen do not, fourteen do."""
    assert not of(days_of(rows=[*[1000] * 13, 1]), "rows").over
    assert of(days_of(rows=[*[1000] * 14, 1]), "rows").over


def test_of_a_sparse_source_only_too_many_rows_are_told():
    """Most days have none; days without rows do not count."""
    rows = [20 if at % 2 else 0 for at in range(HISTORY)]

    assert not of(days_of(rows=[*rows, 0], sparse=True), "rows").over
    assert not of(days_of(rows=[*rows, 1], sparse=True), "rows").over
    assert of(days_of(rows=[*rows, 5000], sparse=True), "rows").over


@pytest.mark.parametrize(("silent", "over"), [(10, False), (11, True)])
def test_a_sparse_source_that_stops_has_an_age(silent: int, *, over: bool):
    """Every second day: the longest time without rows is one day, and three of it and a week are waited for."""
    rows = [*[20 if at % 2 else 0 for at in range(HISTORY + 1)], *[0] * silent]
    found = of(days_of(rows=rows, sparse=True), "age")

    assert (found.value, found.limit, found.over) == (silent, 10, over)


def test_a_snapshot_is_held_against_the_one_before():
    """One is enough to say that half of the products are gone; its age is only told."""
    vitals = days_of(rows=[1000, 400], reference=True, last=MONDAY + timedelta(days=90))

    assert of(vitals, "rows").over
    assert (of(vitals, "age").value, of(vitals, "age").over) == (89, False)


def test_a_repeated_day_is_told():
    """The last day has the rows of the one a week ago."""
    prints = (*range(HISTORY), HISTORY - 7)
    found = of(days_of(prints=prints), "copy")

    assert found.over
    assert found.detail == "orders of 2026-07-06 repeats the 1,000 rows of 2026-06-29."
    assert not of(days_of(prints=tuple(range(HISTORY + 1))), "copy").over


def test_days_that_often_repeat_are_left_alone():
    """A timetable is the same every week."""
    prints = tuple(at % 7 for at in range(HISTORY + 1))
    found = of(days_of(prints=prints), "copy")

    assert (found.value, found.over) == (1, False)


def test_days_that_came_again_are_counted():
    """Late or corrected rows; only told."""
    assert of(days_of(changed=3), "lateness").value == 3


def test_what_the_spec_only_wants_told_is_not_past_its_limit():
    """With the team's reason in the sentence."""
    limits = Feed(told={"orders": "the shop is being moved"})
    found = of(days_of(rows=list(ending(1, before=1000))), "rows", limits=limits)

    assert not found.over
    assert found.detail.endswith("Only told: the shop is being moved")


def due(vitals: Vitals, *, back: int = 20) -> Measure:
    """Return whether labels are due that need the last days of a source."""
    since = vitals.last - timedelta(days=back)
    return feeds.due([vitals], case="toy", limits=LIMITS, since=since)[0]


def test_labels_are_due_where_their_newest_days_have_no_rows():
    """Two days are missing, of which each weekday before had rows."""
    found = due(days_of(rows=[*[50] * HISTORY, 0, 0]))

    assert (found.about, found.value, found.over) == ("labels", 2, True)
    assert found.detail == "Labels of toy are late: orders lacks 2 days from 2026-07-06 to 2026-07-07."
    assert not due(days_of(rows=50)).over


def test_a_day_that_was_never_written_is_missing_too():
    """The table ends three days before."""
    vitals = days_of(rows=50)
    later = days_of(rows=50, last=vitals.last + timedelta(days=3))

    assert due(later).value == 3


def test_labels_that_may_come_late_are_waited_for():
    """Two days of lateness are declared."""
    assert not due(days_of(rows=[*[50] * HISTORY, 0, 0], late_days=2)).over
    assert due(days_of(rows=[*[50] * HISTORY, 0, 0, 0], late_days=2)).value == 1


def test_a_day_that_came_empty_before_others_has_come():
    """Christmas is no reason to know nothing of a model for three weeks; on the day itself it might be one."""
    rows = [50] * (HISTORY + 1)
    rows[-10] = 0

    assert due(days_of(rows=rows)).value == 0
    assert due(days_of(rows=rows[:-9])).value == 1


def test_a_day_that_was_never_written_is_missing_as_long_as_labels_need_it():
    """Though later ones have come."""
    vitals = days_of(rows=50)
    days, rows = vitals.days[:-10] + vitals.days[-9:], vitals.rows[1:]
    holed = replace(vitals, days=days, rows=rows, refused=rows * 0)

    assert due(holed, back=20).value == 1
    assert due(holed, back=5).value == 0


def test_sparse_labels_are_due_where_they_stop_for_longer_than_ever():
    """Eleven days without a row, where ten would be usual."""
    rows = [20 if at % 2 else 0 for at in range(HISTORY + 1)]

    assert due(days_of(rows=[*rows, *[0] * 11], sparse=True)).value == 11
    assert not due(days_of(rows=[*rows, *[0] * 10], sparse=True)).over
