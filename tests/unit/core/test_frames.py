"""Arrow rows as frames, codes and fingerprints."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from perennial.core import frames


def rows(**columns: object) -> pa.Table:
    """Return a table."""
    return pa.table(columns)


def test_whole_numbers_and_nulls_become_float():
    """A null would otherwise break the signature of the model."""
    frame = frames.model_frame(rows(a=[1, None], b=["x", None]), numeric=["a"], categorical=["b"])

    assert frame["a"].dtype == np.float64
    assert np.isnan(frame["a"][1])
    assert frame["b"].isna().tolist() == [False, True]


def test_infinite_numbers_are_missing_to_a_model():
    """No estimator takes them."""
    frame = frames.model_frame(rows(a=[np.inf, -np.inf, 2.0]), numeric=["a"], categorical=[])

    assert frame["a"].isna().tolist() == [True, True, False]


def test_the_columns_have_the_order_of_the_names():
    """Whatever the order of the table."""
    frame = frames.model_frame(rows(c=["x"], a=[1.0], b=[2.0]), numeric=["b", "a"], categorical=["c"])

    assert list(frame.columns) == ["b", "a", "c"]


def test_the_fingerprint_does_not_depend_on_types_chunks_or_column_order():
    """The same rows, read in two pieces, as other types, in another order of columns."""
    first = rows(a=pa.array([1, 2, None], pa.int32()), b=["x", None, "z"])
    pieces = pa.concat_tables([first.slice(0, 1), first.slice(1)])
    other = pieces.set_column(0, "a", pieces["a"].cast(pa.float64())).select(["b", "a"])

    assert frames.fingerprint(first) == frames.fingerprint(other)


@pytest.mark.parametrize(
    "changed",
    [
        rows(a=[1.0, 2.5], b=["x", "y"]),
        rows(a=[2.0, 1.0], b=["y", "x"]),
        rows(a=[1.0, None], b=["x", "y"]),
        rows(a=[1.0, 2.0], b=["x", None]),
        rows(a=[1.0, 2.0], b=["", "xy"]),
        rows(a=[1.0, 2.0], c=["x", "y"]),
    ],
)
def test_the_fingerprint_sees_every_change(changed: pa.Table):
    """A value, the order of the rows, a null, a shifted text, a name."""
    assert frames.fingerprint(changed) != frames.fingerprint(rows(a=[1.0, 2.0], b=["x", "y"]))


def test_codes_are_equal_where_values_are():
    """Dates and texts alike."""
    days = pa.chunked_array([[date(2026, 1, 1), date(2026, 1, 2)], [date(2026, 1, 1)]])

    assert frames.codes(days).tolist() == [0, 1, 0]
