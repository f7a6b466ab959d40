"""Drift measures worked by hand, their properties, and a verdict for whatever a column may hold."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from perennial.core import drift
from perennial.core.drift import CategoricalProfile, Limits, NumericProfile, Profile
from perennial.io import counts
from perennial.records import ColumnDrift

LIMITS = Limits(psi=0.25, min_rows=10)
COUNTS = st.lists(st.integers(0, 500), min_size=1, max_size=12)
FINITE = st.floats(-1e6, 1e6, allow_nan=False)


def numeric(values: Any) -> pa.Table:
    """Return a table of one numeric column."""
    return pa.table({"x": pa.array(np.asarray(values, dtype=np.float64))})


def categorical(values: Any) -> pa.Table:
    """Return a table of one column of texts."""
    return pa.table({"x": pa.array(values, pa.string())})


def profile(reference: pa.Table) -> Profile:
    """Return the reference counts of the column."""
    return counts.profiles(reference, categorical=())["x"]


def held(reference: Profile, current: pa.Table | None, limits: Limits = LIMITS) -> ColumnDrift:
    """Return the verdict on a column that is counted as the monitor counts it."""
    found = None if current is None else counts.counted(current, {"x": reference})["x"]
    return drift.judge("x", reference, found, limits=limits)


def judged(reference: pa.Table, current: pa.Table | None, **limits: Any) -> ColumnDrift:
    """Return the verdict on a column named x."""
    return held(profile(reference), current, Limits(**{"psi": 0.25, "min_rows": 10} | limits))


def test_psi_matches_a_value_worked_by_hand():
    """Two bins, 2 and 2 rows against 1 and 3, each with its half-count."""
    p, q = 2.5 / 5, 1.5 / 5
    by_hand = (q - p) * math.log(q / p) + ((1 - q) - (1 - p)) * math.log((1 - q) / (1 - p))

    assert drift.psi([2, 2], [1, 3]) == pytest.approx(by_hand, rel=1e-12)


def test_an_empty_bin_leaves_the_psi_finite():
    """The half-count stands in for it; a bin that is empty on both sides counts for nothing."""
    assert math.isfinite(drift.psi([10, 0], [0, 10]))
    assert drift.psi([10, 5, 0], [3, 9, 0]) == drift.psi([10, 5], [3, 9])


@given(COUNTS, COUNTS)
def test_the_psi_is_symmetric_and_never_negative(first: list[int], second: list[int]):
    """Whichever side is the reference."""
    size = min(len(first), len(second))
    p, q = first[:size], second[:size]

    assert drift.psi(p, q) >= 0
    assert drift.psi(p, q) == pytest.approx(drift.psi(q, p))


@given(COUNTS)
def test_equal_counts_have_not_moved(rows: list[int]):
    """Zero, and zero also for a side without rows."""
    assert drift.psi(rows, rows) == 0
    assert drift.psi(rows, [0] * len(rows)) == 0


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(1, 80), elements=st.floats(allow_nan=True, allow_infinity=True, width=32)),
    hnp.arrays(np.float64, st.integers(0, 80), elements=st.floats(allow_nan=True, allow_infinity=True, width=32)),
)
def test_no_numeric_column_breaks_the_verdict(reference: np.ndarray, current: np.ndarray):
    """NaN, infinities, constants, empty: always one of the verdicts, with finite measures, and through JSON."""
    stored = drift.from_json(json.loads(json.dumps(drift.to_json({"x": profile(numeric(reference))}))))
    found = held(stored["x"], numeric(current), Limits(psi=0.25, min_rows=1, distance=0.1))

    assert stored["x"] == profile(numeric(reference))
    assert found.psi is None or (math.isfinite(found.psi) and found.psi >= 0)
    assert found.distance is None or (math.isfinite(found.distance) and found.distance >= 0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=60),
    st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=60),
)
def test_no_categorical_column_breaks_the_verdict(reference: list[str | None], current: list[str | None]):
    """Empty texts and nulls included."""
    stored = drift.from_json(json.loads(json.dumps(drift.to_json({"x": profile(categorical(reference))}))))
    found = held(stored["x"], categorical(current), Limits(psi=0.25, min_rows=1, distance=0.1))

    assert found.psi is None or math.isfinite(found.psi)


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float64, st.integers(20, 200), elements=FINITE))
def test_the_reference_itself_has_not_drifted(values: np.ndarray):
    """The very same rows have a PSI and a distance of 0."""
    found = judged(numeric(values), numeric(values))

    assert found.verdict == "stable"
    assert found.psi == 0


REFERENCE = numeric(np.arange(100.0))
TOWNS = categorical(["north", "south"] * 50)


def test_a_column_that_is_gone_is_missing():
    """It counts as drift, though nothing can be measured."""
    found = judged(REFERENCE, None)

    assert (found.verdict, found.psi) == ("missing column", None)
    assert drift.counts_as_drift(found)


def test_a_column_the_champion_does_not_know_is_new():
    """It cannot have drifted."""
    found = drift.judge("x", None, "numeric", limits=LIMITS)

    assert found.verdict == "new column"
    assert not drift.counts_as_drift(found)


@pytest.mark.parametrize(("rows", "verdict"), [(9, "too few rows"), (10, "stable")])
def test_exactly_the_fewest_rows_are_judged(rows: int, verdict: str):
    """The limit itself is enough."""
    assert judged(REFERENCE, numeric(np.linspace(0, 99, rows)), psi=9.0).verdict == verdict


def test_a_column_of_nulls_is_all_null():
    """And has a PSI, since nulls have a bin of their own."""
    for reference, current in (
        (REFERENCE, numeric(np.full(50, np.nan))),
        (TOWNS, categorical([None] * 50)),
    ):
        found = judged(reference, current)
        assert found.verdict == "all null"
        assert drift.counts_as_drift(found)


def test_a_column_that_was_always_null_has_not_changed():
    """Its reference is null too."""
    assert judged(numeric(np.full(50, np.nan)), numeric(np.full(30, np.nan))).verdict == "stable"
    assert judged(categorical([None] * 50), categorical([None] * 30)).verdict == "stable"


def test_a_column_that_stopped_varying_is_constant():
    """Whether that is drift, its PSI says: a flag that is 0 in 95 of 100 rows may well be 0 for a day."""
    rare = numeric([1.0] * 5 + [0.0] * 95)
    quiet_day = judged(rare, numeric(np.zeros(100)))

    assert quiet_day.verdict == "constant"
    assert not drift.counts_as_drift(quiet_day)
    assert judged(REFERENCE, numeric(np.full(50, 7.0))).verdict == "constant"
    assert judged(TOWNS, categorical(["north"] * 50)).verdict == "constant"


def test_a_column_that_never_varied_has_not_changed():
    """A constant reference and the same constant; another constant has drifted, on either side."""
    reference = numeric(np.full(100, 3.0))

    assert judged(reference, numeric(np.full(50, 3.0))).verdict == "stable"
    assert judged(reference, numeric(np.full(50, 2.0))).verdict == "drifted"
    assert judged(reference, numeric(np.full(50, 4.0))).verdict == "drifted"


def test_new_categories_are_named():
    """Ten of a hundred rows in a town nobody knew; the PSI stays under its limit."""
    found = judged(TOWNS, categorical(["north"] * 49 + ["south"] * 49 + ["east"] * 2))

    assert found.verdict == "new categories"
    assert found.detail == "new: 'east' in 2.0% of the rows"


def test_many_new_rows_have_drifted_and_say_where():
    """A PSI over its limit outranks the new category, which the detail still names."""
    found = judged(TOWNS, categorical(["east"] * 60 + ["north"] * 40))

    assert found.verdict == "drifted"
    assert "'east'" in found.detail


def test_infinite_values_are_counted_and_told():
    """They lie in the outer bins; the distance is that of the others, and none where there are no others."""
    found = judged(REFERENCE, numeric([np.inf] * 50 + [-np.inf] * 5))
    beside = judged(REFERENCE, numeric([np.inf, *range(100)]))

    assert (found.verdict, found.distance, found.detail) == ("drifted", None, "55 infinite values")
    assert beside.distance == pytest.approx(0, abs=1e-12)


def test_numbers_that_became_text_are_missing():
    """What the champion learnt is not there any more."""
    found = judged(REFERENCE, categorical(["1"] * 50))

    assert found.verdict == "missing column"
    assert "is categorical now" in found.detail


def test_values_below_and_above_the_reference_are_seen():
    """A reference has an empty bin on each side for them."""
    for moved in (-1000.0, 1000.0):
        found = judged(REFERENCE, numeric(np.arange(100.0) + moved))
        assert found.verdict == "drifted"


def test_a_psi_at_its_limit_has_drifted():
    """The limit itself counts as drifted, one bit more does not."""
    current = numeric(np.r_[np.arange(60.0), np.full(40, 50.0)])
    psi = judged(REFERENCE, current).psi
    assert psi is not None

    assert judged(REFERENCE, current, psi=psi).verdict == "drifted"
    assert judged(REFERENCE, current, psi=math.nextafter(psi, 9)).verdict == "stable"


def test_only_the_most_frequent_categories_are_kept():
    """The others are one bin; then nothing can be called new."""
    many = categorical([str(number) for number in range(80)] + ["0"] * 20)
    reference = profile(many)
    assert isinstance(reference, CategoricalProfile)
    found = held(reference, categorical(["never seen"] * 30))

    assert (len(reference.categories), reference.categories[0], reference.other) == (50, "0", 30)
    assert found.verdict == "constant"


def test_the_share_of_drifted_columns_is_that_of_the_judged():
    """One of two that can be judged; a new column and one with too few rows are left out."""
    columns = [
        judged(REFERENCE, numeric(np.full(50, 7.0))),
        judged(REFERENCE, REFERENCE),
        judged(REFERENCE, numeric(np.arange(5.0))),
        drift.judge("new", None, "numeric", limits=LIMITS),
    ]

    assert drift.drifted_share(columns) == 0.5
    assert drift.drifted_share([]) == 0.0


def test_an_empty_reference_has_a_psi_of_zero():
    """There is nothing that could have changed; no distance either."""
    for reference, current in ((numeric([]), REFERENCE), (categorical([]), TOWNS)):
        found = judged(reference, current)
        assert (found.psi, found.distance) == (0, None)


NEAR = Limits(psi=9.0, min_rows=10, distance=0.1)


def test_rows_are_asked_where_the_counts_do_not_decide():
    """Their distance is told then, and that it is exact; the reference's own distance is never in question."""
    reference = profile(numeric(np.arange(100.0)))
    found = counts.counted(numeric(np.arange(100.0) + 0.1 * np.arange(100.0).std()), {"x": reference})["x"]
    asked = drift.judge("x", reference, found, limits=NEAR, asked=lambda name: 0.1 if name == "x" else None)
    same = drift.judge("x", reference, counts.counted(REFERENCE, {"x": reference})["x"], limits=NEAR)

    assert (asked.distance, asked.exact, asked.far, asked.distance_limit) == (0.1, True, True, 0.1)
    assert (same.exact, same.far) == (False, False)


def test_rows_that_are_gone_leave_the_side_of_the_limit_open():
    """The distance of the counts is told, with its bounds."""
    reference = profile(numeric(np.arange(100.0)))
    found = counts.counted(numeric(np.arange(100.0) + 0.1 * np.arange(100.0).std()), {"x": reference})["x"]
    open_ended = drift.judge("x", reference, found, limits=NEAR, asked=lambda _: None)

    assert (open_ended.far, open_ended.exact) == (None, False)
    assert open_ended.detail.endswith("and the rows of the reference are gone")


def test_a_profile_of_before_is_read():
    """It has bins with their means and no cells; verdicts are the same, the distance has wider bounds."""
    values = np.random.default_rng(3).normal(size=1000)
    data = drift.to_json({"x": profile(numeric(values))})
    new = drift.from_json(data)["x"]
    assert isinstance(new, NumericProfile)
    code = np.searchsorted(new.edges, values, side="left")
    sums, rows = np.bincount(code, values, len(new.counts)), np.bincount(code, minlength=len(new.counts))
    means = np.divide(sums, rows, out=np.zeros(rows.size), where=rows > 0)
    before = {key: data["x"][key] for key in ("kind", "edges", "counts", "nulls", "scale")} | {"means": means.tolist()}
    old = drift.from_json({"x": before})["x"]
    current = numeric(values[:300] + 0.5)

    assert held(old, current).psi == held(new, current).psi
    assert held(old, current).distance == pytest.approx(held(new, current).distance, rel=0.02)
