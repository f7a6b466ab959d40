"""The split in time: where each part lies, and what it refuses."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from fakes import make_case
from hypothesis import assume, given
from hypothesis import strategies as st
from perennial.core import splits
from perennial.core.splits import PARTS, Split
from perennial.errors import DataError
from perennial.records import Window
from perennial.spec import Training

AS_OF = date(2026, 3, 1)


def training(**fields: int) -> Training:
    """Return the training part of a case."""
    return make_case(training=fields).training


def test_the_split_matches_one_worked_by_hand():
    """Horizon 5: the last matured day is 24 February, and each gap is 5 days long."""
    found = splits.split(training(), horizon=timedelta(days=5), as_of=AS_OF)

    assert found.holdout == Window(date(2026, 2, 19), date(2026, 2, 25))
    assert found.validation == Window(date(2026, 2, 8), date(2026, 2, 14))
    assert found.fit == Window(date(2026, 1, 16), date(2026, 2, 3))
    assert len(found.window) == 40


@pytest.mark.parametrize(
    ("day", "seen"),
    [
        (date(2026, 2, 19), False), (date(2026, 2, 18), True), (date(2026, 2, 13), True), (date(2026, 2, 6), True),
        (date(2026, 1, 12), True), (date(2026, 1, 11), False),
    ],
)  # fmt: skip
def test_a_training_knows_the_days_within_the_horizon_of_those_it_fits_on(day: date, *, seen: bool):
    """Fit 17 January to 2 February, validation 9 to 13 February, every second day; the holdout stays unknown."""
    found = splits.split(training(every_days=2), horizon=timedelta(days=5), as_of=AS_OF)

    assert found.saw(day, horizon=timedelta(days=5)) is seen


def test_snapshots_are_counted_back_from_the_end_of_each_part():
    """Every second day: the last day of a part is always taken, the first only where it fits."""
    found = splits.split(training(every_days=4), horizon=timedelta(days=5), as_of=AS_OF)

    assert found.days("holdout") == (date(2026, 2, 20), date(2026, 2, 24))
    assert found.days("validation") == (date(2026, 2, 9), date(2026, 2, 13))
    assert found.days("fit")[-1] == date(2026, 2, 2)
    assert found.all_days == tuple(sorted(found.all_days))


@given(
    window=st.integers(2, 200),
    validation=st.integers(1, 60),
    holdout=st.integers(1, 60),
    horizon=st.integers(1, 30),
    every=st.integers(1, 9),
)
def test_no_label_of_a_part_reaches_into_the_next(window: int, validation: int, holdout: int, horizon: int, every: int):
    """Whatever the lengths: a part's last label ends before the next part's first snapshot, and before `as_of`."""
    assume(window - validation - holdout - 2 * horizon >= 1)
    asked = training().model_copy(
        update={"window_days": window, "validation_days": validation, "holdout_days": holdout, "every_days": every}
    )
    found = splits.split(asked, horizon=timedelta(days=horizon), as_of=AS_OF)
    ends = [found.days(part)[-1] + timedelta(days=horizon) for part in PARTS]

    assert ends[0] < found.days("validation")[0]
    assert ends[1] < found.days("holdout")[0]
    assert ends[2] == AS_OF
    assert len(found.window) == window
    assert Split.from_json(found.to_json()) == found


def test_a_window_that_leaves_nothing_to_fit_on_says_how_long_it_must_be():
    """The spec refuses it first; the arithmetic says the same for a horizon the spec did not see."""
    with pytest.raises(DataError, match="window_days 40 leaves no day to fit on as of 2026-03-01; use at least 53"):
        splits.split(training(), horizon=timedelta(days=20), as_of=AS_OF)


def test_the_window_the_message_asks_for_is_enough():
    """One day is left to fit on, no more."""
    wide = training().model_copy(update={"window_days": 53})
    found = splits.split(wide, horizon=timedelta(days=20), as_of=AS_OF)

    assert len(found.fit) == 1


def test_missing_days_name_their_part_their_count_and_the_next_step():
    """Five days are named, the others counted."""
    found = splits.split(training(every_days=1), horizon=timedelta(days=5), as_of=AS_OF)
    present = set(found.all_days) - {date(2026, 2, 8) + timedelta(days=offset) for offset in range(6)}

    with pytest.raises(DataError, match=r"6 of 6 snapshot days of the validation part are missing: 2026-02-08.*1 more"):
        splits.check_days(found, present=present, case="toy")


def test_days_between_two_snapshots_need_not_be_there():
    """With every second day taken, the others may be missing."""
    found = splits.split(training(every_days=2), horizon=timedelta(days=5), as_of=AS_OF)

    splits.check_days(found, present=found.all_days, case="toy")


@pytest.mark.parametrize(("rows", "passes"), [(99, False), (100, True)])
def test_exactly_the_fewest_rows_pass(rows: int, *, passes: bool):
    """The limit itself is enough."""
    labels = {"fit": np.r_[1.0, np.zeros(rows - 1)]}
    if passes:
        splits.check_rows(labels, min_rows=100, case="toy")
        return
    with pytest.raises(DataError, match="the fit part has 99 rows and needs 100"):
        splits.check_rows(labels, min_rows=100, case="toy")


@pytest.mark.parametrize("only", [0.0, 1.0])
def test_labels_of_one_class_are_refused(only: float):
    """Names the part, the count and the class."""
    with pytest.raises(DataError, match=f"all 120 labels of the holdout part are {only:.0f}"):
        splits.check_rows({"holdout": np.full(120, only)}, min_rows=100, case="toy")
