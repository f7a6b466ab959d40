"""Refused rows counted from the lake: by day, place and reasons, of the newest version."""

from __future__ import annotations

from datetime import timedelta

import pytest
from perennial.io import refusals
from perennial.io.refusals import Refused
from perennial.io.rows import QUARANTINE, STRAYS, placed
from perennial.records import Window
from perennial.stages import quarantine
from perennial.stages.quarantine import Chosen, Decision
from shopdays import LAST, NOW, REASON, ShopDays

WINDOW = Window.ending(LAST, days=2)


@pytest.fixture
def world(tmp_path):
    """Return some days of a source with a refused row each."""
    return ShopDays.lived(tmp_path, unbuilt=True)


def counted(world) -> tuple[Refused, ...]:
    """Return what is refused in two days."""
    return refusals.refused(world.adapters.lake, "raw/shop/orders", WINDOW)


def test_rows_are_counted_by_day_and_reasons(world):
    """Days outside the window are left out."""
    assert counted(world) == tuple(Refused(day, QUARANTINE, (REASON,), 1) for day in WINDOW.days())


def test_a_discarded_row_is_counted_in_its_place(world):
    """The newest version counts, though the one before was asked for already."""
    counted(world)
    decision = Decision("ada", NOW, "test order", "run")
    quarantine.discard(world.case, world.adapters, Chosen(days=Window.of_day(LAST)), decision)
    found = counted(world)

    assert {each.day: each.place for each in found} == {LAST - timedelta(days=1): QUARANTINE, LAST: "discarded"}
    assert refusals.by_day(found, place=QUARANTINE) == {LAST - timedelta(days=1): 1}


def test_rows_that_belong_to_no_day_are_always_told(world):
    """They lie in a partition of their own, whatever the window."""
    world.ingest([STRAYS], amounts=[-1.0])

    assert counted(world)[0] == Refused(STRAYS, QUARANTINE, (REASON,), 1)


def test_a_table_without_places_or_without_anything_refuses_nothing(world):
    """Written before rows had places; or never."""
    lake = world.adapters.lake
    lake.write_day("raw/shop/old", LAST, placed(world.adapters.lake.read("raw/shop/customers", Window.of_day(LAST)))
                   .select(["customer"]), metadata={})  # fmt: skip

    assert refusals.refused(lake, "raw/shop/old", WINDOW) == ()
    assert refusals.refused(lake, "raw/shop/none", WINDOW) == ()
