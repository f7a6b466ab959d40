"""What each fault of the benchmark makes of a day's rows or labels, on days made by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from perennial.alertbench.faults import FOREVER, SEASON, Fault, Told, faults
from perennial.contracts import Source
from perennial.errors import DataError

START = date(2026, 3, 2)
FAULTS = {fault.name: fault for fault in faults()}
PEOPLE = 200
SOURCE = Source.model_validate(
    {
        "name": "visits",
        "files": {"visits": "v.csv"},
        "time_column": "at",
        "keys": ["visit"],
        "columns": {
            "visit": "integer", "person": "integer", "at": "timestamp", "town": "string", "spend": "number",
            "tip": "number",
        },
    }
)  # fmt: skip


def rows_of(day: date) -> pa.Table:
    """Return four hundred visits of two hundred people at noon; most live in Bonn, every tenth tips."""
    count = 2 * PEOPLE
    return pa.table(
        {
            "visit": pa.array(range(count), pa.int64()),
            "person": pa.array([place % PEOPLE for place in range(count)], pa.int64()),
            "at": pa.array([datetime(day.year, day.month, day.day, 12)] * count, pa.timestamp("us")),  # noqa: DTZ001
            "town": pa.array([None if place == 0 else "Bonn" if place % 3 else "Köln" for place in range(count)]),
            "spend": pa.array([float(place + 1) for place in range(count)], pa.float64()),
            "tip": pa.array([1.0 if place % 10 == 0 else 0.0 for place in range(count)], pa.float64()),
        }
    )


def told(day: date = START, *, seed: int = 1, earlier: Callable[[date], pa.Table] = rows_of) -> Told:
    """Return what a fault knows of a day."""
    return Told(SOURCE, "person", day, START, seed, earlier)


def broken(name: str, day: date = START, *, seed: int = 1) -> pa.Table:
    """Return a day's rows as a fault has them."""
    return FAULTS[name].change(rows_of(day), told(day, seed=seed))


def others_than(rows: pa.Table, *changed: str) -> pa.Table:
    """Return what a fault has to leave alone."""
    return rows.drop_columns(list(changed))


@pytest.mark.parametrize(("name", "says"), [("feed stops", "no rows for 2026-03-02"), ("schema change", "'spend'")])
def test_a_feed_that_stops_or_lacks_a_column_is_refused_as_a_source_is(name: str, says: str):
    """With the words of the real refusal, which the router takes for a broken feed."""
    with pytest.raises(DataError, match=says):
        broken(name)


@pytest.mark.parametrize(("name", "days"), [("duplicate day", 1), ("seasonal shift", 182)])
def test_a_day_of_before_comes_again_under_this_date(name: str, days: int):
    """Its rows as they were, but for their time; 182 days are whole weeks, so that a Monday is a Monday."""
    asked = []

    def earlier(day: date) -> pa.Table:
        asked.append(day)
        return rows_of(day)

    changed = FAULTS[name].change(rows_of(START), told(earlier=earlier))

    assert asked == [START - timedelta(days=days)]
    assert SEASON.days % 7 == 0
    assert changed.equals(rows_of(START))


def test_another_unit_is_a_hundred_times_the_number():
    """Of the number that is most often other than zero; nothing else changes."""
    changed = broken("unit change")

    assert changed["spend"].to_pylist() == [100 * value for value in rows_of(START)["spend"].to_pylist()]
    assert others_than(changed, "spend").equals(others_than(rows_of(START), "spend"))


def test_the_most_frequent_text_is_spelt_otherwise():
    """All of it, whole, and no other; a missing one stays missing."""
    changed, before = broken("category renamed"), rows_of(START)
    expected = ["Bonn (new)" if town == "Bonn" else town for town in before["town"].to_pylist()]

    assert changed["town"].to_pylist() == expected
    assert changed["town"][0].as_py() is None
    assert others_than(changed, "town").equals(others_than(before, "town"))


def test_four_in_ten_numbers_go_missing_and_the_same_ones_again():
    """A share of 400 draws, four standard deviations wide; drawn by seed and day."""
    changed = broken("nulls rise")

    assert changed["spend"].null_count == pytest.approx(160, abs=40)
    assert changed.equals(broken("nulls rise"))
    assert not changed.equals(broken("nulls rise", seed=2))
    assert others_than(changed, "spend").equals(others_than(rows_of(START), "spend"))


def vanished(changed: pa.Table) -> set[int]:
    """Return the people who are not there any more."""
    return set(range(PEOPLE)) - set(changed["person"].to_pylist())


def test_people_vanish_for_good_and_what_they_did_is_done_by_others():
    """As many rows, all else as it was; the same people every day, other people under another seed."""
    first, later = broken("sudden drift"), broken("sudden drift", START + timedelta(days=9))

    assert first.num_rows == 2 * PEOPLE
    assert len(vanished(first)) == pytest.approx(140, abs=26)
    assert vanished(first) == vanished(later) != vanished(broken("sudden drift", seed=2))
    assert others_than(first, "person").equals(others_than(rows_of(START), "person"))


def test_more_people_vanish_each_day_and_nobody_comes_back():
    """Four in a hundred a day, up to seven in ten."""
    days = [vanished(broken("gradual drift", START + timedelta(days=place))) for place in (0, 4, 17, 60)]

    assert days[0] < days[1] < days[2] == days[3] == vanished(broken("sudden drift"))
    assert len(days[1]) == pytest.approx(40, abs=23)


def test_without_people_large_numbers_take_the_place_of_small_ones():
    """As many rows, and keys as they were: a row does not come twice."""
    before = rows_of(START).drop_columns(["person"])
    changed = FAULTS["sudden drift"].change(before, told())

    assert changed.num_rows == before.num_rows
    assert changed["visit"].equals(before["visit"])
    assert pc.mean(changed["spend"]).as_py() > pc.mean(before["spend"]).as_py() + 70


def labels(kind: pa.DataType, values: list[float]) -> pa.Table:
    """Return a day's labels."""
    count = len(values)
    return pa.table({"day": [START] * count, "person": list(range(count)), "buys": pa.array(values).cast(kind)})


@pytest.mark.parametrize(
    ("kind", "values", "flipped"),
    [
        (pa.int64(), [0, 1, 1], [1, 0, 0]),
        (pa.int64(), [0, 0, 0], [1, 1, 1]),
        (pa.float64(), [2.0, 3.0, 10.0], [10.0, 9.0, 2.0]),
    ],
)
def test_ones_and_zeros_change_places_and_numbers_are_mirrored(kind: pa.DataType, values: list, flipped: list):
    """A day without any one has only ones then; numbers stay in their range."""
    given = labels(kind, values)
    changed = FAULTS["label flip"].change(given, told())

    assert changed["buys"].to_pylist() == flipped
    assert changed.schema == given.schema
    assert others_than(changed, "buys").equals(others_than(given, "buys"))


def test_each_entity_has_the_label_of_another_one_of_its_day():
    """A permutation: as many ones, the same people, the same again under the same seed."""
    given = labels(pa.int64(), [place % 4 == 0 for place in range(100)])
    changed = FAULTS["concept change"].change(given, told())

    assert sorted(changed["buys"].to_pylist()) == sorted(given["buys"].to_pylist())
    assert not changed.equals(given)
    assert changed.equals(FAULTS["concept change"].change(given, told()))
    assert others_than(changed, "buys").equals(others_than(given, "buys"))


@pytest.mark.parametrize(("offset", "left"), [(-1, 3), (0, 0), (5, 0)])
def test_no_label_comes_any_more_from_the_first_broken_day_on(offset: int, left: int):
    """That of the day before is there."""
    day = START + timedelta(days=offset)

    assert FAULTS["label delay"].change(labels(pa.int64(), [0, 1, 1]), told(day)).num_rows == left


@pytest.mark.parametrize(
    ("name", "last"), [("feed stops", 3), ("duplicate day", 0), ("label delay", 9), ("sudden drift", FOREVER - 1)]
)
def test_a_fault_is_on_from_its_first_day_to_its_last(name: str, last: int):
    """Neither the day before nor the one after."""
    fault = FAULTS[name]
    on = [fault.is_on(START + timedelta(days=place), START) for place in (-1, 0, last, last + 1)]

    assert on == [False, True, True, False]


@pytest.mark.parametrize("fault", faults(), ids=lambda fault: fault.name)
def test_people_mend_feeds_and_nothing_else(fault: Fault):
    """The world, and labels, do not come back by reading days again."""
    assert fault.is_mended is (fault.expects == ("feed broken",))
    assert fault.lived > fault.lasts or fault.lasts == FOREVER


def test_there_are_twelve_kinds():
    """Each once."""
    assert len(FAULTS) == len(faults()) == 12
