"""Windows are half-open; records are plain data once they cross a border."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.errors import GateFailedError
from perennial.records import Window
from perennial.verdicts import GateReport, GateResult

DAYS = st.dates(min_value=date(2000, 1, 1), max_value=date(2100, 1, 1))


@given(day=DAYS, days=st.integers(0, 500))
def test_a_window_that_ends_with_a_day_holds_that_day_and_no_later_one(day, days):
    """`ending` counts back, its last day included; the end itself is outside."""
    window = Window.ending(day, days=days)

    assert len(window) == days == len(list(window.days()))
    assert (day in window) is (days > 0)
    assert day + timedelta(days=1) not in window


@given(start=DAYS, days=st.integers(0, 300))
def test_a_window_holds_exactly_the_days_it_yields(start, days):
    """Membership and iteration agree at both ends."""
    window = Window(start, start + timedelta(days=days))
    beside = [start - timedelta(days=1), *window.days(), window.end]

    assert [day for day in beside if day in window] == list(window.days())


def test_a_window_that_ends_before_it_starts_is_refused():
    """The message names both days."""
    with pytest.raises(ValueError, match="2026-01-02 to 2026-01-01"):
        Window(date(2026, 1, 2), date(2026, 1, 1))


@pytest.mark.parametrize(("margin", "passes"), [(0.0, True), (-1e-12, False), (float("nan"), False)])
def test_a_gate_at_its_limit_passes(margin, passes):
    """The limit itself is good enough; a NaN is not."""
    assert GateResult("roc_auc", 0.7, 0.7, margin).passed is passes


def test_a_failed_report_names_each_value_and_what_it_needed():
    """The message alone tells why the champion stays."""
    results = (GateResult("roc_auc", 0.7, 0.75, -0.05), GateResult("log_loss", 0.3, 0.4, 0.1))
    holdout = Window.of_day(date(2026, 1, 1))
    report = GateReport("shop", "7", None, date(2026, 1, 1), results, {}, holdout, 10)

    with pytest.raises(GateFailedError, match=r"shop version 7 failed 1 gate\(s\):\n  roc_auc: 0.7000, needed 0.7500"):
        report.raise_if_failed()


def test_a_record_is_plain_data_for_xcom_and_the_ledger():
    """Dates become ISO text, also inside of nested records."""
    assert Window(date(2026, 1, 1), date(2026, 1, 3)).to_json() == {"start": "2026-01-01", "end": "2026-01-03"}
