"""The columns of a source's day: refused rows, missing values, units and categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from perennial.core import columns
from perennial.core.vitals import Vitals
from perennial.modelling import Feed
from perennial.records import Measure
from sourcedays import HISTORY, days_of, ending, texts

LIMITS = Feed()


def of(vitals: Vitals, measure: str) -> Measure:
    """Return the measure of that name."""
    return next(each for each in columns.judge(vitals, limits=LIMITS, about="feed") if each.measure == measure)


def moved(factor: float, *, size: int = 1000, **fields: Any) -> Measure:
    """Return the scale of a day whose amounts are `factor` times those of the days before."""
    quartiles = np.array([[10.0, 20.0, 40.0]] * HISTORY + [[10.0 * factor, 20 * factor, 40 * factor]])
    return of(days_of(quartiles={"amount": quartiles}, values={"amount": ending(size, before=1000)}, **fields), "scale")


@pytest.mark.parametrize(("refused", "over"), [(20, False), (21, True), (60, True)])
def test_a_larger_share_of_refused_rows_is_told(refused: int, *, over: bool):
    """Of 1,000 rows none is usual: two points in a hundred are never worth a word."""
    assert of(days_of(refused=ending(refused, before=0)), "quarantine share").over is over


def test_fewer_refused_rows_are_good_news():
    """Only more are told."""
    assert not of(days_of(refused=ending(0, before=300)), "quarantine share").over


@pytest.mark.parametrize(
    ("before", "now", "over"),
    [(0, 50, False), (0, 51, True), (300, 390, False), (300, 391, True), (300, 0, True), (30, 0, False)],
)
def test_missing_values_are_told_that_are_far_more_or_fewer(before: int, now: int, *, over: bool):
    """Five points at least, and six standard errors of 1,000 rows; null before and never now is a change too."""
    assert of(days_of(nulls={"amount": ending(now, before=before)}), "null share").over is over


def test_the_sentence_of_missing_values_has_the_numbers():
    """Of the column, with what is usual."""
    found = of(days_of(nulls={"amount": ending(300, before=100)}), "null share")

    assert found.name == "orders.amount"
    assert found.detail.startswith("30.0% of orders.amount on 2026-07-06 are null, 10.0% are usual (")


@pytest.mark.parametrize("factor", [100, 0.01, 1.609, 1 / 1.609, 2.54])
def test_another_unit_is_found(factor: float):
    """Cents for dollars, kilometres for miles, centimetres for inches."""
    found = moved(factor)

    assert found.over
    assert found.value == pytest.approx(factor)
    assert "another unit?" in found.detail


@pytest.mark.parametrize(("factor", "over"), [(1.0, False), (1.299, False), (1.301, True)])
def test_steady_days_have_a_margin(factor: float, *, over: bool):
    """Quartiles of 1,000 values are sure to 4 %; six times that is less than the margin of 30 %."""
    assert moved(factor).over is over


def test_few_values_have_a_wide_margin():
    """Thirty values: twice as much may be chance; a hundred times is none. Fewer are not looked at."""
    assert not moved(2.0, size=30).over
    assert moved(100, size=30).over
    assert moved(100, size=29).value is None


def test_quartiles_that_move_apart_are_no_unit():
    """What is sold has changed, not what it is counted in."""
    quartiles = np.array([[10.0, 20.0, 40.0]] * HISTORY + [[12.0, 60.0, 400.0]])
    vitals = days_of(quartiles={"amount": quartiles}, values={"amount": ending(1000, before=1000)})

    assert of(vitals, "scale").value == 1


def test_whole_numbers_are_rounded():
    """A quartile of 3 is sure to a tenth: 1.6 times of it is told of numbers, not of whole ones."""
    quartiles = np.array([[3.0, 3.1, 3.2]] * HISTORY + [[4.8, 4.96, 5.12]])
    plain: dict[str, Any] = {"quartiles": {"amount": quartiles}, "values": {"amount": ending(9999, before=9999)}}

    assert of(days_of(**plain), "scale").over
    assert not of(days_of(**plain, whole=frozenset({"amount"})), "scale").over


def test_a_day_of_nulls_alone_has_no_scale():
    """It has a null share."""
    quartiles = np.array([[10.0, 20.0, 40.0]] * HISTORY + [[np.nan] * 3])
    vitals = days_of(quartiles={"amount": quartiles}, values={"amount": ending(0, before=1000)})

    assert of(vitals, "scale").value is None


def test_a_renamed_category_is_found():
    """North is gone, and N has its share."""
    counts = {"N": ending(600, before=0), "north": ending(0, before=600), "south": ending(400, before=400)}
    found = of(days_of(categories={"region": texts(counts, young=600)}), "categories")

    assert (found.over, found.value) == (True, pytest.approx(0.6))
    assert found.detail == (
        "'north' of orders.region, usually 60.0% of the rows, is gone on 2026-07-06, and 'N' is new (60.0%): renamed?"
    )


def test_a_category_that_is_gone_is_told():
    """A region whose shops have stopped sending."""
    counts = {"north": ending(0, before=60), "south": ending(1000, before=940)}
    found = of(days_of(categories={"region": texts(counts)}), "categories")

    assert found.over
    assert found.detail == "'north' of orders.region, usually 6.0% of the rows, are gone on 2026-07-06."


def test_a_rare_category_may_be_missing():
    """Of one in a hundred rows ten are to be expected, of 4 % it is not much."""
    rare = {"north": ending(0, before=10), "south": ending(1000, before=990)}
    some = {"north": ending(0, before=40), "south": ending(1000, before=960)}

    assert not of(days_of(categories={"region": texts(rare)}), "categories").over
    assert not of(days_of(categories={"region": texts(some)}), "categories").over


@pytest.mark.parametrize(("young", "over"), [(50, False), (51, True)])
def test_new_categories_are_told_where_they_are_many(young: int, *, over: bool):
    """Five points, where there were none."""
    column = texts({"north": ending(1000 - young, before=1000), "x": ending(young, before=0)}, young=young)

    assert of(days_of(categories={"region": column}), "categories").over is over


def test_a_column_of_very_many_values_has_only_new_ones():
    """Account numbers in another format: nobody has seen any of them."""
    column = texts({"x": ending(0, before=0)}, young=1000)
    found = of(days_of(categories={"account": column}), "categories")

    assert found.over
    assert found.detail == "100.0% of orders.account on 2026-07-06 are of categories not seen before."


def test_a_day_of_few_rows_is_not_looked_into():
    """Twenty-nine."""
    vitals = days_of(
        rows=list(ending(29, before=1000)), nulls={"amount": ending(29, before=0)},
        categories={"region": texts({"north": ending(0, before=1000)}, young=29)},
    )  # fmt: skip

    assert not any(each.over for each in columns.judge(vitals, limits=LIMITS, about="feed"))
