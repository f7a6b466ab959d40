"""A backfill in the ledger: once a plan, and only when it is done."""

from __future__ import annotations

from datetime import date

import pytest
from perennial.changes import BackfillSummary
from perennial.records import Window
from perennial.stages import backfill
from worlds import NOW, World

WINDOW = Window(date(2026, 1, 1), date(2026, 2, 1))


@pytest.mark.parametrize(("parts", "done", "entered"), [(3, 3, True), (3, 2, False), (0, 0, False)])
def test_a_plan_is_entered_when_all_its_parts_are_done(world: World, parts: int, done: int, *, entered: bool):
    """However often somebody applies it; a plan without parts has changed nothing."""
    record = BackfillSummary("p1", "toy", WINDOW, parts, done, days=31, changed=4, rows=620, seconds=1.5, models=())
    for who in ("ada", "bob"):
        backfill.enter(record, world.adapters, who=who, now=NOW, run="manual")
    found = world.adapters.ledger.history("toy")

    assert [(entry.action, entry.who) for entry in found] == ([("backfill applied", "ada")] if entered else [])
    for entry in found:
        assert entry.reason == "plan p1, 2026-01-01 to 2026-01-31: 31 days, 4 changed, 620 rows"
