"""Waiting for a day: looks first, defers only where the day is missing, and goes on when it is there."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from airflow.sdk.exceptions import TaskDeferred
from perennial.io.entries import Entry
from perennial_airflow.sensors import LakeDayTrigger, WaitForDayOperator, WaitForScoresOperator

DAY = date(2026, 3, 1)


def waiting() -> WaitForDayOperator:
    """Return the task under test."""
    return WaitForDayOperator(task_id="wait", case="toy", table="features_table", patience=timedelta(hours=3))


def test_a_day_that_is_there_is_not_waited_for(make_context):
    """No triggerer is needed where nothing is missing."""
    assert waiting().execute(make_context()) == "2026-03-01"


def test_a_missing_day_gives_the_slot_up(adapters, make_context):
    """The trigger knows table and day; the wait ends after the given patience."""
    adapters.lake.known = ()

    with pytest.raises(TaskDeferred) as deferred:
        waiting().execute(make_context())

    assert deferred.value.timeout == timedelta(hours=3)
    assert deferred.value.trigger.serialize()[1] == {"table": "features/toy", "day": "2026-03-01", "seconds": 5.0}


def test_the_trigger_can_be_made_again_from_what_it_says():
    """The triggerer imports the path and calls it with the arguments."""
    path, arguments = LakeDayTrigger(table="features/toy", day="2026-03-01").serialize()

    assert path == "perennial_airflow.sensors.LakeDayTrigger"
    assert LakeDayTrigger(**arguments).serialize() == (path, arguments)


def test_the_trigger_fires_once_the_day_arrives(adapters):
    """It looks again and again; the event says what arrived, and the task goes on with it."""
    adapters.lake.known = ()

    async def watch() -> dict[str, str]:
        events = LakeDayTrigger(table="features/toy", day="2026-03-01", seconds=0.01).run()
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.05)
        assert not first.done()
        adapters.lake.known = (DAY,)
        return (await asyncio.wait_for(first, timeout=5)).payload

    event = asyncio.run(watch())

    assert event == {"table": "features/toy", "day": "2026-03-01"}
    assert waiting().arrived({}, event) == "2026-03-01"


def test_scores_are_waited_for_where_there_is_a_champion_to_make_them(adapters, make_context):
    """Before that, twelve hours of waiting would end in a failure each day."""
    adapters.lake.known = ()
    task, at = WaitForScoresOperator(task_id="wait", case="toy"), datetime(2026, 3, 1, tzinfo=UTC)

    assert task.execute(make_context()) == "2026-03-01"
    adapters.ledger.add(Entry("toy", at, "promoted", who="ada", reason="passed", run="manual", to_version="1"))
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(make_context())
    assert deferred.value.trigger.serialize()[1]["table"] == "predictions/toy"
