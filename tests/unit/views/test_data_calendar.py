"""What became of each day of the features, by the moments at which it was due and written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from fakes import make_case
from perennial.changes import DayState
from perennial.io.lake import Written
from perennial.views import calendar
from perennial.views.calendar import CalendarDay, Known

DAY = date(2026, 3, 10)
DUE = datetime(2026, 3, 11, 6, tzinfo=UTC)  # six hours after its midnight
EARLIER = datetime(2026, 2, 1, tzinfo=UTC)


def written(at: datetime) -> Written:
    """Return that a day was written once."""
    return Written(at, "run", at, "run", 1, 1)


def known(*days: tuple[date, datetime], **states: str) -> Known:
    """Return what the lake says: a first day long ago, and others; `stale` is the reason of the last of them."""
    found = {date(2026, 1, 31): written(EARLIER)} | {day: written(at) for day, at in days}
    reasons = {DAY: DayState(DAY, "stale", states["stale"])} if "stale" in states else {}
    return Known(found, reasons, {DAY: 5}, {DAY: 2})


def judged(found: Known, *, now: datetime = DUE + timedelta(days=1), day: date = DAY) -> CalendarDay:
    """Return what became of one day."""
    (one,) = calendar.judged(make_case(), [day], found, now=now)
    return one


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (datetime(2026, 3, 10, 23, 59, tzinfo=UTC), "open"),
        (datetime(2026, 3, 11, tzinfo=UTC), "waiting"),
        (DUE - timedelta(seconds=1), "waiting"),
        (DUE, "missing"),
    ],
)
def test_a_day_without_a_snapshot_is_missing_once_it_is_due(now, state):
    """At its midnight it begins to wait; at the deadline itself it is missing."""
    assert judged(known(), now=now).state == state


@pytest.mark.parametrize(("late", "state"), [(timedelta(0), "built"), (timedelta(seconds=1), "late")])
def test_a_day_is_late_that_was_first_written_after_it_was_due(late, state):
    """On the deadline is in time."""
    found = judged(known((DAY, DUE + late)))

    assert found.state == state
    assert (f"{DUE:%Y-%m-%d %H:%M} UTC" in found.reason) is (state == "late")


def test_what_was_due_before_the_first_day_was_ever_written_is_history():
    """A backfill of the past is not late: nobody could have been in time."""
    began = datetime(2026, 6, 1, tzinfo=UTC)
    found = Known({DAY: written(began)}, {}, {}, {})

    assert judged(found).state == "built"


def test_days_before_the_first_one_are_not_missing():
    """Nor is any day where there is no snapshot at all."""
    assert judged(known(), day=date(2026, 1, 30)).state == "before"
    assert judged(Known({}, {}, {}, {})).state == "before"


def test_a_stale_day_says_why_and_stays_stale_where_it_was_late_too():
    """What needs work comes before what is over; rows and refused rows are told beside it."""
    found = judged(known((DAY, DUE + timedelta(days=2)), stale="the definition of the features changed"))

    assert (found.state, found.reason) == ("stale", "the definition of the features changed")
    assert (found.rows, found.refused) == (5, 2)


def test_days_in_a_row_with_the_same_kind_of_reason_are_one_span():
    """The days that a reason names differ from day to day; the newest span comes first."""
    days = [
        CalendarDay(DAY + timedelta(days=at), state, reason)
        for at, (state, reason) in enumerate([
            ("missing", "was due"), ("stale", "orders of 2026-03-01 changed"),
            ("stale", "orders of 2026-03-01 and 1 more day changed"),
            ("stale", "the definition of the features changed"),
            ("built", ""), ("missing", "was due"),
        ])
    ]  # fmt: skip
    spans = calendar.needing_work(days)

    assert [(span.state, span.days) for span in spans] == [("missing", 1), ("stale", 1), ("stale", 2), ("missing", 1)]
    assert spans[2].reason == "orders of 2026-03-01 and 1 more day changed"


def test_a_month_is_weeks_from_monday_on():
    """February of 2026 begins on a Sunday: six places before it are empty."""
    days = [CalendarDay(date(2026, 2, 1) + timedelta(days=at), "built") for at in range(28)]
    (month,) = calendar.months(days)

    assert (month.name, len(month.weeks)) == ("February 2026", 5)
    assert month.weeks[0][:6] == (None,) * 6
    assert month.weeks[0][6].day == date(2026, 2, 1)


def test_days_are_counted_by_state_and_by_what_lies_in_quarantine():
    """A day counts in its state and, where rows of it were refused, among those as well."""
    days = [CalendarDay(DAY, "built", refused=3), CalendarDay(DAY, "stale"), CalendarDay(DAY, "built")]

    assert calendar.counted(days) == {"built": 2, "stale": 1, "quarantined": 1}
