"""Waiting for a day of a lake table: looks first, and gives up its worker slot only where the day is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from typing import Any, Literal

from airflow.sdk import Context
from airflow.triggers.base import BaseTrigger, TriggerEvent

from perennial_airflow.operators import StageOperator
from perennial_airflow.partitions import day_of

LakeTable = Literal["features_table", "predictions_table"]
PATIENCE = timedelta(hours=12)


class LakeDayTrigger(BaseTrigger):
    """Fire once a lake table has a day.

    Args:
        table: name of the table in the lake.
        day: ISO date of the partition.
        seconds: pause between two looks.
    """

    def __init__(self, *, table: str, day: str, seconds: float = 5.0) -> None:
        super().__init__()
        self.table, self.day, self.seconds = table, day, seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this trigger again."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"table": self.table, "day": self.day, "seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the day is there; looking happens in a thread, so that other triggers go on."""
        from perennial.adapters import Adapters

        lake = Adapters.from_env().lake
        while not await asyncio.to_thread(lake.has_day, self.table, date.fromisoformat(self.day)):
            await asyncio.sleep(self.seconds)
        yield TriggerEvent({"table": self.table, "day": self.day})


class WaitForDayOperator(StageOperator):
    """Wait until a table of the use case has the run's day; fails after `patience`.

    Args:
        table: which table of the use case, `features_table` or `predictions_table`.
        patience: how long to wait before the task fails.
    """

    template_fields: Sequence[str] = ("case",)

    def __init__(self, *, table: LakeTable, patience: timedelta = PATIENCE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.patience = patience

    def execute(self, context: Context) -> str:
        """Return the day at once where it is there, else defer."""
        table, day = getattr(self.use_case(), self.table), day_of(context)
        if not self.adapters().lake.has_day(table, day):
            self.log.info("%s has no %s yet; waiting for up to %s", table, day, self.patience)
            trigger = LakeDayTrigger(table=table, day=day.isoformat())
            self.defer(trigger=trigger, method_name="arrived", timeout=self.patience)
        return day.isoformat()

    def arrived(self, context: Context, event: dict[str, str]) -> str:  # noqa: ARG002  Airflow passes it
        """Return the day that the trigger saw."""
        self.log.info("%s has %s now", event["table"], event["day"])
        return event["day"]


class WaitForScoresOperator(WaitForDayOperator):
    """Wait until the predictions have the run's day; goes on at once before there is a champion to make them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(table="predictions_table", **kwargs)

    def execute(self, context: Context) -> str:
        """Return the day at once where it is there or nobody can score it, else defer."""
        if self.adapters().ledger.champion(self.case) is None:
            self.log.info("%s has no champion yet: nothing is scored, and there is nothing to wait for", self.case)
            return day_of(context).isoformat()
        return super().execute(context)
