"""Requests in vain, one that is lost, and labels that are new, as they change what a day decides."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from fakes import HORIZON, make_case
from incidents import finding
from perennial.io.entries import Action, Entry
from perennial.records import RetrainDecision
from perennial.stages import retrain
from worlds import NOW, World

DAY = date(2026, 3, 1)


def enter(world: World, action: Action, day: date, *, hours: float = 0, version: str = "2") -> None:
    """Write an entry of that day into the ledger, as if what it says had been done then."""
    at = NOW + (day - DAY) + timedelta(hours=hours)
    world.adapters.ledger.add(Entry("toy", at, action, "ann", "because", "run 1", to_version=version, day=day))


def ask(world: World, day: date, *, hours: float = 0) -> RetrainDecision:
    """Look at a day that confirms that the world has changed, and ask."""
    for each in (day - timedelta(days=1), day):
        world.adapters.ledger.add_monitor(finding(each, "inputs", "scores"), at=NOW, run="run 1")
    return retrain.run(world.case, day, world.adapters, now=NOW + (day - DAY) + timedelta(hours=hours))


def ask_in_vain(world: World, day: date) -> None:
    """Ask for a training, and let its model be evaluated and not promoted."""
    assert ask(world, day).wanted
    enter(world, "trained", day, hours=1)
    enter(world, "evaluated", day, hours=2)


def test_each_training_in_vain_doubles_the_cool_down(reigning: World):
    """Seven days; fourteen after one, twenty-eight after two, whose last day is silent still."""
    ask_in_vain(reigning, DAY)
    held = ask(reigning, DAY + timedelta(days=13))
    assert not held.wanted
    assert "(1 in vain so far); the cool-down lasts until 2026-03-15" in held.reason

    ask_in_vain(reigning, DAY + timedelta(days=14))
    held = ask(reigning, DAY + timedelta(days=41))
    assert not held.wanted
    assert "(2 in vain so far); the cool-down lasts until 2026-04-12" in held.reason
    assert ask(reigning, DAY + timedelta(days=42)).wanted


def test_a_promotion_resets_the_cool_down(reigning: World):
    """After two trainings in vain and one that won, seven days do again."""
    ask_in_vain(reigning, DAY)
    ask_in_vain(reigning, DAY + timedelta(days=14))
    enter(reigning, "promoted", DAY + timedelta(days=14), hours=3)

    assert not ask(reigning, DAY + timedelta(days=20)).wanted
    assert ask(reigning, DAY + timedelta(days=21)).wanted


def test_evaluations_that_nobody_asked_for_are_not_in_vain(reigning: World):
    """Two trainings by schedule failed their gates: the cool-down of the request before them counts them once."""
    ask_in_vain(reigning, DAY)
    for place in (1, 2):
        enter(reigning, "trained", DAY + timedelta(days=place))
        enter(reigning, "evaluated", DAY + timedelta(days=place))

    assert "(1 in vain so far)" in ask(reigning, DAY + timedelta(days=8)).reason


@pytest.mark.parametrize(("hours", "running"), [(0, True), (23.9, True), (24, False), (240, False)])
def test_a_request_that_led_to_nothing_for_a_day_does_not_run(reigning: World, hours: float, running: bool):  # noqa: FBT001  a parameter
    """Its training was lost: it must not keep the next one back for good. A whole day old is old."""
    reigning.case = make_case(retraining={"cooldown_days": 0})
    assert ask(reigning, DAY).wanted
    again = ask(reigning, DAY + timedelta(days=1), hours=hours - 24)

    assert ("A retraining was asked for and has not ended yet." in again.reason) is running
    assert again.wanted is not running


def test_a_request_that_was_trained_does_not_run(reigning: World):
    """An hour after it, the next day may ask."""
    reigning.case = make_case(retraining={"cooldown_days": 0})
    assert ask(reigning, DAY).wanted
    enter(reigning, "trained", DAY, hours=1)

    assert ask(reigning, DAY + timedelta(days=1), hours=-22).wanted


@pytest.mark.parametrize(("more", "wanted"), [(0, True), (1, False)])
def test_labels_that_matured_since_the_training_are_counted_in_rows(reigning: World, more: int, wanted: bool):  # noqa: FBT001  a parameter
    """Those of snapshots behind the training's last one, up to the day's own; as many as needed are enough."""
    trained, day = reigning.today - timedelta(days=4), reigning.today
    enter(reigning, "trained", trained)
    new = [trained - timedelta(days=HORIZON) + timedelta(days=place) for place in range(1, 5)]
    rows = sum(reigning.snapshot(each).num_rows for each in new)
    reigning.case = make_case(retraining={"min_new_labels": rows + more})
    decision = ask(reigning, day)

    assert decision.wanted is wanted
    assert wanted or f"{rows:,} labels have matured since the training as of {trained}" in decision.reason


def test_enough_new_labels_ask_for_a_training_by_themselves(reigning: World):
    """On a calm day, where it is declared; on the day before there were too few."""
    trained, day = reigning.today - timedelta(days=4), reigning.today
    enter(reigning, "trained", trained)
    new = [trained - timedelta(days=HORIZON) + timedelta(days=place) for place in range(1, 5)]
    rows = sum(reigning.snapshot(each).num_rows for each in new)
    reigning.case = make_case(retraining={"every_new_labels": rows})
    for each in (day - timedelta(days=1), day):
        reigning.adapters.ledger.add_monitor(finding(each), at=NOW, run="run 1")

    assert not retrain.run(reigning.case, day - timedelta(days=1), reigning.adapters, now=NOW).wanted
    assert retrain.run(reigning.case, day, reigning.adapters, now=NOW).trigger == "new data"
