"""Charts as plain data: their table says the same as the drawing, their JSON cannot end the element it stands in."""

from __future__ import annotations

import json
import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.io.pages import embedded
from perennial.views.charts import Chart, Mark, Panel, Trace, band, spark

VALUES = st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=40)


def chart(*panels: Panel, axis: str = "day", marks: tuple[Mark, ...] = ()) -> Chart:
    """Return a chart of panels."""
    return Chart("c", "What was seen", axis, panels, marks)  # type: ignore[arg-type]


def test_the_table_has_a_column_a_trace_and_a_row_a_place():
    """The newest day first; a place that one trace lacks is empty there; intervals and texts are told."""
    one = Trace("realised", ("2026-03-01", "2026-03-02"), (0.5, None), low=(0.4, None), high=(0.6, None))
    other = Trace("estimated", ("2026-03-02",), (0.7,), texts=("by labels of others",))
    found = chart(Panel("AUC", (one, other)))

    assert found.heads == ("Day", "realised", "estimated")
    assert found.rows == (
        ("2026-03-02", "—", "0.7 by labels of others"),
        ("2026-03-01", "0.5 (0.4 to 0.6)", ""),
    )


def test_traces_of_several_panels_are_told_apart():
    """By the title of their panel."""
    trace = Trace("value", (1.0,), (2.0,))

    assert chart(Panel("A", (trace,)), Panel("B", (trace,)), axis="number").heads == ("Value", "A: value", "B: value")


def test_names_keep_their_order():
    """They have none of their own."""
    assert [row[0] for row in chart(Panel("A", (Trace("a", ("z", "b"), (1.0, 2.0)),)), axis="name").rows] == ["z", "b"]


@pytest.mark.parametrize(("values", "marks", "is_empty"), [((None,), (), True), ((0.0,), (), False), ((), (), True)])
def test_a_chart_without_values_is_empty(values, marks, is_empty):
    """Gaps are no values; a zero is one."""
    trace = Trace("a", tuple("2026-03-01" for _ in values), values)

    assert chart(Panel("A", (trace,)), marks=marks).is_empty is is_empty


def test_events_alone_are_something_to_draw():
    """Such as a first training before any day was measured."""
    assert not chart(marks=(Mark("2026-03-01", "training", "trained version 1"),)).is_empty


@pytest.mark.parametrize("hostile", ["</script><script>alert(1)</script>", "<!--", "]]>", "&lt;", "a\u2028b", '"}'])
def test_data_in_a_page_cannot_end_its_element(hostile):
    """And reads back as it was."""
    text = str(embedded(chart(marks=(Mark("2026-03-01", "lane", hostile),))))

    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["marks"][0]["text"] == hostile


def test_what_is_no_number_is_refused():
    """JSON has no NaN: a browser could not read it."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded(chart(Panel("A", (Trace("a", ("2026-03-01",), (float("nan"),)),))))


@given(VALUES)
def test_a_sparkline_stays_in_its_room(values):
    """Whatever the values; it has a point for each that is known."""
    path = spark(tuple(values), width=120, height=28)
    points = [tuple(map(float, pair)) for pair in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path)]

    assert len(points) == sum(value is not None for value in values)
    assert all(0 <= x <= 120 and 0 <= y <= 28 for x, y in points)


def test_a_band_leaves_out_what_has_one_end_only():
    """Both ends or none; without any there is no area."""
    assert band((None, 0.0), (1.0, None)) == ""
    assert band((0.0, None, 0.0), (1.0, 1.0, 1.0), width=2, height=1) == "M0.0 0.0 L2.0 0.0 L2.0 1.0 L0.0 1.0 Z"


def test_a_day_in_a_record_becomes_text():
    """Records are JSON-ready."""
    assert Mark(date(2026, 3, 1).isoformat(), "a", "b").to_json()["day"] == "2026-03-01"
