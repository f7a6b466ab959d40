"""When the benchmark of the alerts passes: at its bars, and not one short of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from perennial.alertbench.bench import BenchRecord, CalmRecord, FaultRecord, Plan
from perennial.errors import DataError

START = date(2026, 3, 2)
FOUND = FaultRecord(
    name="a fault", found=True, days=1, triage="feed broken", is_right=True, mails=2, opened=1, closed=1,
    is_over=True, peer_days=None, peer_mails=0,
)  # fmt: skip
MISSED = replace(FOUND, found=False, days=None, triage="", is_right=False, mails=0, opened=0, closed=0, is_over=False)


def bench(*faults: FaultRecord, calm_mails: int = 0) -> BenchRecord:
    """Return a table."""
    calm = CalmRecord(days=60, mails=calm_mails, incidents=(), peer_mails=0, failed=0)
    return BenchRecord("toy", 1, START, calm, faults)


@pytest.mark.parametrize(
    ("all_of", "found", "passes"),
    [(12, 12, True), (12, 11, True), (12, 10, False), (3, 2, True), (3, 1, False), (1, 1, True), (1, 0, False)],
)
def test_eleven_of_twelve_have_to_be_found(all_of: int, found: int, passes: bool):  # noqa: FBT001  a parameter
    """Of fewer all but one, and of one that one."""
    table = bench(*[FOUND] * found, *[MISSED] * (all_of - found))

    assert (table.found, table.passes) == (found, passes)


@pytest.mark.parametrize(("mails", "passes"), [(2, True), (3, False)])
def test_two_mails_on_calm_days_are_borne(mails: int, passes: bool):  # noqa: FBT001  a parameter
    """The third is one too many."""
    assert bench(*[FOUND] * 12, calm_mails=mails).passes is passes


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({"closed": 0, "is_over": False}, True),
        ({"closed": 0}, False),
        ({"is_over": False}, False),
        ({"closed": 2}, False),
        ({"opened": 2}, False),
        ({"opened": 0}, False),
    ],
)
def test_an_incident_has_one_opening_mail_and_one_when_it_is_over(changes: dict, passes: bool):  # noqa: FBT001  a parameter
    """One that is still open has no end; that which was not found has no mails to count."""
    assert bench(*[FOUND] * 11, replace(FOUND, **changes)).passes is passes


def test_a_wrong_triage_is_said_and_no_bar():
    """The issue asks that the fault is found; whether its name is right stands in the table."""
    assert bench(*[replace(FOUND, is_right=False)] * 12).passes


def test_a_fault_that_nobody_knows_is_refused():
    """With the names of those that are known."""
    assert [fault.name for fault in Plan(START, names=("label flip", "unit change")).chosen()] == [
        "label flip",
        "unit change",
    ]
    with pytest.raises(DataError, match=r"There is no fault 'rain'\. Known: feed stops, duplicate day"):
        Plan(START, names=("rain",)).chosen()
