"""When an incident opens, gets worse and ends: days in a row decide, and days that say nothing do not count."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.alerting import Alerts
from perennial.core.escalation import Judged, confirmed, steps
from perennial.incidents import DAY_KINDS, DayKind, Incident, Severity, Triage, Verdict

FIRST = date(2026, 3, 1)
ALERTS = Alerts(to=("ops@example.org",))
LETTERS: dict[str, Verdict] = {
    ".": "nothing to do", "f": "feed broken", "l": "labels late", "w": "world changed", "m": "model decayed",
}  # fmt: skip


def days(history: str, *, hurts: bool = False) -> list[Judged]:
    """Return days, a letter each, the oldest first in the text; a space is a day that nobody looked at."""
    found = [
        Judged(FIRST + timedelta(days=place), Triage(LETTERS[letter], f"day {place}", hurts=hurts))
        for place, letter in enumerate(history)
        if letter != " "
    ]
    return found[::-1]


def opened(kind: DayKind, *, severity: Severity = "warning", day: int = 0) -> dict[DayKind, Incident]:
    """Return one open incident."""
    since = FIRST + timedelta(days=day)
    at = datetime.combine(since, datetime.min.time(), tzinfo=UTC)
    return {kind: Incident(7, "toy", kind, kind, severity, since, at, "it was so")}


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (".f", ("opens", "feed broken", 1)),
        (".l", ("opens", "labels late", 1)),
        (".w", None),
        (".ww", ("opens", "world changed", 1)),
        ("w.w", None),
        ("wfw", ("opens", "world changed", 0)),
        ("wf", ("opens", "feed broken", 1)),
        ("w w", ("opens", "world changed", 0)),
        ("mm", ("opens", "model decayed", 0)),
        ("mlm", ("opens", "model decayed", 0)),
        ("mwm", None),
        ("....", None),
    ],
)
def test_an_incident_opens_once_its_days_confirm_it(history: str, expected: tuple[str, str, int] | None):
    """A feed at once, drift and decay after two days in a row; a day with a broken feed says nothing of the world."""
    found = steps(days(history), {}, alerts=ALERTS)

    assert [(step.action, step.kind, (step.since - FIRST).days) for step in found] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("history", "ends"),
    [("ww.", False), ("ww..", True), ("ww.w.", False), ("wwf.", False), ("wwf..", True), ("wwff", False)],
)
def test_an_incident_ends_after_two_calm_days(history: str, *, ends: bool):
    """Until then it is the same one: a day of calm between two bad ones opens no second incident."""
    found = [
        step for step in steps(days(history), opened("world changed"), alerts=ALERTS) if step.kind == "world changed"
    ]

    assert [step.action for step in found] == (["ends"] if ends else [])


def test_the_end_says_since_when_it_is_calm():
    """So that a reader knows which days to score again."""
    (step,) = steps(days("f..", hurts=False), opened("feed broken"), alerts=ALERTS)

    assert step.reason == "Nothing of it since 2026-03-02. day 2"


@pytest.mark.parametrize(
    ("last", "hurts", "before", "expected"),
    [
        (1, True, "warning", ["gets worse"]),
        (1, False, "warning", []),
        (1, True, "critical", []),
        (5, False, "warning", []),
        (6, False, "warning", ["gets worse"]),
    ],
)
def test_an_incident_gets_worse_once(last: int, before: Severity, expected: list[str], *, hurts: bool):
    """Where it reaches the results, or on its seventh day; never a second time to the same severity."""
    found = steps(days("w" * (last + 1), hurts=hurts), opened("world changed", severity=before), alerts=ALERTS)

    assert [step.action for step in found] == expected


def test_what_is_declared_as_info_stays_so():
    """A team that does not want to hear of late labels does not, however long they are late."""
    alerts = Alerts(to=("ops@example.org",), severity={"labels late": "info"})

    assert steps(days("l" * 30, hurts=True), opened("labels late", severity="info"), alerts=alerts) == ()


def test_a_feed_that_breaks_while_the_world_has_changed_is_an_incident_of_its_own():
    """And the other one neither ends nor gets worse by it."""
    found = steps(days("wwf"), opened("world changed"), alerts=ALERTS)

    assert [(step.action, step.kind) for step in found] == [("opens", "feed broken")]


@pytest.mark.parametrize(
    ("history", "verdict"),
    [("w", "nothing to do"), ("ww", "world changed"), ("f", "feed broken"), ("ww.", "nothing to do")],
)
def test_a_model_is_asked_for_by_what_is_confirmed(history: str, verdict: str):
    """The first day of a drift is not yet one."""
    assert confirmed(days(history), alerts=ALERTS).verdict == verdict


def walk(history: str) -> list[tuple[str, DayKind]]:
    """Return what a use case lives through when each day is looked at once, in order."""
    told: list[tuple[str, DayKind]] = []
    known: dict[DayKind, Incident] = {}
    for place in range(len(history)):
        for step in steps(days(history[: place + 1]), known, alerts=ALERTS):
            told.append((step.action, step.kind))
            if step.action == "opens":
                known |= opened(step.kind, severity=step.severity, day=(step.since - FIRST).days)
            elif step.action == "ends":
                del known[step.kind]
            else:
                known |= opened(step.kind, severity=step.severity, day=(known[step.kind].since - FIRST).days)
    return told


@given(st.text(alphabet=list(LETTERS), max_size=40))
def test_whatever_the_days_hold_incidents_open_and_end_in_turn(history: str):
    """Of each kind one is open at a time, it gets worse at most once, and nothing ends that has not begun."""
    for kind in DAY_KINDS:
        mine = [action for action, other in walk(history) if other == kind]
        rest = "".join({"opens": "o", "gets worse": "g", "ends": "e"}[action] for action in mine)
        assert rest.replace("oge", "").replace("oe", "") in {"", "o", "og"}


@given(st.text(alphabet=list(LETTERS), min_size=1, max_size=40))
def test_looking_at_a_day_twice_does_nothing_more(history: str):
    """A task that is cleared, or run again, tells nobody twice."""
    known: dict[DayKind, Incident] = {}
    for step in steps(days(history), known, alerts=ALERTS):
        known |= opened(step.kind, severity=step.severity, day=(step.since - FIRST).days)

    assert steps(days(history), known, alerts=ALERTS) == ()
