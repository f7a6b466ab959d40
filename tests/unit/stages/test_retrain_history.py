"""What the ledger says was done about a model, and how that holds the next request back."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from fakes import make_case
from perennial.io.entries import Action, Entry
from perennial.stages.retrain import _history, _new_labels
from worlds import NOW, World

DAY = date(2026, 3, 1)


def enter(world: World, *actions: Action, at: datetime = NOW) -> None:
    """Write entries, a day each."""
    for place, action in enumerate(actions):
        day = DAY - timedelta(days=len(actions) - place)
        world.adapters.ledger.add(Entry("toy", at, action, "airflow", "because", "run 1", to_version="2", day=day))


VAIN: tuple[Action, ...] = ("retrain requested", "trained", "evaluated")


@pytest.mark.parametrize(
    ("actions", "in_vain"),
    [
        ((), 0),
        (("retrain requested",), 0),
        (("retrain requested", "trained"), 0),
        (VAIN, 1),
        ((*VAIN, *VAIN), 2),
        ((*VAIN, *VAIN, "promoted"), 0),
        ((*VAIN, "promoted", *VAIN), 1),
        ((*VAIN, "rolled back"), 0),
        ((*VAIN, "trained", "evaluated"), 1),
        ((*VAIN, "evaluated", "evaluated"), 1),
        ((*VAIN, "retrain requested"), 1),
        (("trained", "evaluated"), 0),
    ],
)
def test_requests_in_vain_are_counted_until_something_is_promoted(
    reigning: World, actions: tuple[Action, ...], in_vain: int
):
    """One counts once its model was evaluated; trainings that nobody asked for do not."""
    enter(reigning, *actions)

    assert _history(reigning.case, DAY, reigning.adapters, now=NOW).in_vain == in_vain


PASSED = {"results": [{"mode": "enforce", "margin": 0.0}, {"mode": "dry_run", "margin": -1.0}]}
HELD_BACK = {"results": [{"mode": "enforce", "margin": 0.1}, {"mode": "enforce", "margin": float("nan")}]}


@pytest.mark.parametrize(
    ("report", "then", "in_vain"),
    [
        (PASSED, (), 0),
        (HELD_BACK, (), 1),
        (PASSED, (("refused", "2"),), 1),
        (PASSED, (("refused", "1"),), 0),
        (PASSED, (("evaluated", "3"),), 1),
        (PASSED, (("promoted", "2"),), 0),
    ],
)
def test_a_training_that_waits_for_its_approval_is_not_in_vain(
    reigning: World, report: dict, then: tuple[tuple[Action, str], ...], in_vain: int
):
    """Until a gate, a person or a later version has ended it; a rollback that was refused is about another one."""
    enter(reigning, "retrain requested", "trained")
    entry = Entry("toy", NOW, "evaluated", "airflow", "", "run 1", to_version="2", day=DAY, report=report)
    reigning.adapters.ledger.add(entry)
    for action, version in then:
        reigning.adapters.ledger.add(replace(entry, action=action, to_version=version, report={}))

    assert _history(reigning.case, DAY, reigning.adapters, now=NOW).in_vain == in_vain


@pytest.mark.parametrize(
    ("actions", "passed", "running"),
    [
        (("retrain requested",), timedelta(0), True),
        (("retrain requested",), timedelta(hours=23, minutes=59), True),
        (("retrain requested",), timedelta(days=1), False),
        (("retrain requested", "trained"), timedelta(0), False),
        (("trained", "retrain requested"), timedelta(0), True),
        (("trained",), timedelta(0), False),
    ],
)
def test_a_request_runs_until_it_has_led_to_a_training(
    reigning: World,
    actions: tuple[Action, ...],
    passed: timedelta,
    running: bool,  # noqa: FBT001  a parameter
):
    """One that has led to none within a day is lost, and does not hold the next one back."""
    enter(reigning, *actions)

    assert _history(reigning.case, DAY, reigning.adapters, now=NOW + passed).running is running


def test_a_request_of_the_very_day_does_not_hold_itself_back(reigning: World):
    """A task that is run again decides as it did."""
    reigning.adapters.ledger.add(Entry("toy", NOW, "retrain requested", "a", "b", "run 1", day=DAY))
    history = _history(reigning.case, DAY, reigning.adapters, now=NOW)

    assert (history.running, history.requests) == (False, ())


@pytest.mark.parametrize(("days", "expected"), [(0, 0), (1, 1), (3, 3)])
def test_labels_that_have_matured_since_are_counted(reigning: World, days: int, expected: int):
    """The rows of the days whose horizon has ended since the training; a day matures a day."""
    case, lake = make_case(retraining={"every_new_labels": 10}), reigning.adapters.lake
    since = reigning.today - timedelta(days=5)
    rows = [
        lake.read(case.features_table, _only(since - case.horizon + timedelta(days=each + 1))).num_rows
        for each in range(expected)
    ]

    assert _new_labels(case, since + timedelta(days=days), reigning.adapters, since=since) == sum(rows)


def _only(day: date):
    from perennial.records import Window

    return Window.of_day(day)


def test_labels_are_not_counted_where_nobody_asks(reigning: World):
    """It costs a read of every day."""
    case = make_case(retraining={"min_new_labels": 0})

    assert _new_labels(case, DAY, reigning.adapters, since=DAY - timedelta(days=9)) is None
    assert _new_labels(make_case(retraining={"every_new_labels": 1}), DAY, reigning.adapters, since=None) is None
