"""What entries about incidents add up to, whoever wrote them, in whatever order."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.incidents import SEVERITIES, rank
from perennial.io.entries import Action, Entry
from perennial.io.incidents import ACTIONS, fold

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEW = {"about": "feed broken", "kind": "feed broken", "severity": "warning", "since": "2026-02-27"}


def entry(number: int, action: Action = "incident opened", case: str = "toy", **report: Any) -> Entry:
    """Return an entry about an incident, an hour after the one before."""
    at = AT + timedelta(hours=number)
    return Entry(case, at, action, "ann", f"reason {number}", "run 1", day=date(2026, 3, 1), report=report, id=number)


@pytest.mark.parametrize(
    ("about", "kind", "severity"),
    [
        ("drifted", "world changed", "warning"),
        ("decayed", "model decayed", "critical"),
        ("aliases", "aliases moved", "critical"),
        ("nobody knows", "run failed", "warning"),
    ],
)
def test_entries_of_before_there_were_kinds_are_incidents_too(about: str, kind: str, severity: str):
    """They begin on the day of their entry."""
    (incident,) = fold([entry(1, about=about)])

    assert (incident.kind, incident.severity, incident.since) == (kind, severity, date(2026, 3, 1))


def test_an_entry_about_no_known_opening_is_left_out():
    """It neither opens anything nor fails."""
    assert fold([entry(2, "incident worse", opened=1, severity="critical"), entry(3, "incident closed")]) == []


def test_what_is_closed_twice_was_over_the_first_time():
    """Two processes saw the end."""
    (incident,) = fold([entry(1, **NEW), *(entry(each, "incident closed", opened=1) for each in (2, 3))])

    assert (incident.closed_at, incident.closed_because) == (AT + timedelta(hours=2), "reason 2")


def test_an_incident_has_hit_every_use_case_that_an_entry_names():
    """Each once, in the order in which it was hit."""
    grew = [entry(n, "incident grew", case, opened=1, part=f"{case}.x") for n, case in ((2, "b"), (3, "a"), (4, "b"))]
    (incident,) = fold([entry(1, part="toy.x", **NEW), *grew])

    assert incident.cases == ("toy", "b", "a")
    assert incident.parts == ("toy.x", "b.x", "a.x")


def test_what_has_recovered_may_fail_again():
    """The parts are those that fail now."""
    eased = [entry(2, "incident eased", opened=1, part="x"), entry(3, "incident grew", opened=1, part="x")]

    assert fold([entry(1, part="x", **NEW), eased[0]])[0].parts == ()
    assert fold([entry(1, part="x", **NEW), *eased])[0].parts == ("x",)


def test_a_severity_does_not_fall():
    """Of two processes the slower one may enter the smaller one."""
    worse = [entry(n, "incident worse", opened=1, severity=each) for n, each in ((2, "critical"), (3, "warning"))]

    assert fold([entry(1, **NEW), *worse])[0].severity == "critical"


@pytest.mark.parametrize(
    ("action", "report"),
    [
        ("incident worse", {"severity": "apocalyptic"}),
        ("incident worse", {}),
        ("incident grew", {}),
        ("incident snoozed", {}),
    ],
)
def test_an_entry_that_says_too_little_changes_nothing(action: Action, report: dict[str, str]):
    """A page about incidents does not fail for one entry."""
    (incident,) = fold([entry(1, **NEW), entry(2, action, opened=1, **report)])

    assert (incident.severity, incident.parts, incident.snoozed_until) == ("warning", (), None)


entries = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS),
        st.integers(0, 12),
        st.sampled_from([*SEVERITIES, "unheard of", None]),
        st.sampled_from(["x", "y", None]),
        st.sampled_from(["toy", "shop"]),
    ),
    max_size=12,
)


@given(entries)
def test_whatever_is_entered_severities_never_fall_and_ends_are_ends(drawn: list[tuple[Any, ...]]):
    """After each entry, of every incident; and an opening is never lost."""
    told: list[Entry] = []
    for number, (action, opened, severity, part, case) in enumerate(drawn, start=1):
        report = {"opened": opened, "severity": severity, "part": part, "until": "2026-03-09", "about": "drifted"}
        told.append(entry(number, action, case, **{name: value for name, value in report.items() if value is not None}))
    before: dict[int, Any] = {}
    for length in range(1, len(told) + 1):
        after = {incident.id: incident for incident in fold(told[:length])}
        assert before.keys() <= after.keys()
        for number, incident in before.items():
            assert rank(after[number].severity) >= rank(incident.severity)
            assert incident.closed_at in {None, after[number].closed_at}
        before = after
    assert len(before) == sum(each.action == "incident opened" for each in told)
