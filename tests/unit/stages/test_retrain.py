"""Asking for a new model: on evidence, once, and remembered."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from fakes import Population
from perennial.errors import DataError
from perennial.stages import monitor, retrain, score
from worlds import NOW, World, everything_moved


def drifted_days(world: World, days: int) -> list[date]:
    """Let days pass that have drifted, each scored and monitored."""
    start = world.today + timedelta(days=1)
    world.adapters.live(world.case, days=days, population=Population(), start=start)
    passed = [start + timedelta(days=offset) for offset in range(days)]
    for day in passed:
        world.alter(everything_moved(world.snapshot(day)), day)
        score.run(world.case, day, world.adapters, run="manual")
        monitor.run(world.case, day, world.adapters, run="manual", now=NOW)
    return passed


def test_a_drifted_day_asks_for_a_model(reigning: World):
    """On its second day, which confirms it; the ledger knows that it did."""
    first, day = drifted_days(reigning, 2)
    assert "Day 1 of the 2 that confirm it." in retrain.run(reigning.case, first, reigning.adapters, now=NOW).reason
    decision = retrain.run(reigning.case, day, reigning.adapters, now=NOW)
    entry = reigning.adapters.ledger.latest("toy", "retrain requested")

    assert (decision.wanted, decision.trigger) == (True, "distribution change")
    assert entry is not None
    assert (entry.day, entry.from_version, entry.reason) == (day, "1", decision.reason)


def test_asking_twice_about_one_day_is_asking_once(reigning: World):
    """A task that is run again gives the same answer, and one entry."""
    _, day = drifted_days(reigning, 2)
    answers = [retrain.run(reigning.case, day, reigning.adapters, now=NOW) for _ in range(2)]
    asked = [entry for entry in reigning.adapters.ledger.history("toy") if entry.action == "retrain requested"]

    assert answers[0] == answers[1]
    assert len(asked) == 1


def test_the_cool_down_keeps_the_next_days_silent(reigning: World):
    """Nine days of drift: asked on the second, which confirms it, and seven days later."""
    days, later = drifted_days(reigning, 9), timedelta(days=2)
    wanted = [
        retrain.run(reigning.case, day, reigning.adapters, now=NOW + place * later).wanted
        for place, day in enumerate(days)
    ]

    assert wanted == [False, True, False, False, False, False, False, False, True]


def test_a_day_that_was_not_monitored_has_no_answer(reigning: World):
    """Names the next step."""
    with pytest.raises(DataError, match="perennial monitor toy 2026-02-19"):
        retrain.run(reigning.case, reigning.today, reigning.adapters, now=NOW)
