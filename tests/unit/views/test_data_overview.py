"""The Data page's values, from a lake of twelve days of the toy shop."""

from __future__ import annotations

import shutil
from datetime import date, timedelta

import pytest
from perennial.views import data
from shopdays import DAYS, FIRST, LAST, NOW, REASON, ShopDays

MISSING = FIRST + timedelta(days=5)


@pytest.fixture
def world(tmp_path):
    """Return twelve days, of which one is missing."""
    return ShopDays.lived(tmp_path, missing=[MISSING])


def seen(world, **asked):
    """Return what the page shows."""
    return data.run(world.case, world.adapters, now=NOW, **asked)


def test_each_day_has_its_state_its_rows_and_its_refused_rows(world):
    """Eleven are built, one is missing; what is not over is open, what is before the first day is that."""
    found = seen(world)
    states = {each.day: each.state for each in found.days}

    assert states[MISSING] == "missing"
    assert states[LAST] == "built"
    assert states[NOW.date()] == "open"
    assert states[FIRST - timedelta(days=1)] == "before"
    assert (found.counted["built"], found.counted["missing"], found.counted["quarantined"]) == (11, 1, DAYS + 10)
    assert [(span.first, span.days) for span in found.spans] == [(MISSING, 1)]
    assert (found.oldest, found.newest) == (FIRST, LAST)
    assert next(each.rows for each in found.days if each.day == LAST) == 2


def test_a_source_day_that_changes_makes_the_days_behind_it_stale(world):
    """With the reason that names the source and its day."""
    world.ingest([LAST - timedelta(days=1)], amounts=[1.0])
    stale = [each for each in seen(world).days if each.state == "stale"]

    assert [each.day for each in stale] == [LAST - timedelta(days=1), LAST]
    assert stale[0].reason == f"orders of {LAST - timedelta(days=1)} changed"


def test_sources_tell_which_days_were_ingested_and_what_they_hold(world):
    """Published rows are without those that were refused; a reference table misses no day."""
    orders, customers = seen(world).sources

    assert (orders.newest, orders.absent, orders.published[LAST], orders.refused[LAST]) == (LAST, 0, 2, 1)
    assert [(each.kind, each.first) for each in orders.stretches[-2:]] == [
        ("rows", FIRST - timedelta(days=10)), ("absent", LAST + timedelta(days=1)),
    ]  # fmt: skip
    assert (customers.reference, customers.ingested, customers.absent) == (True, 1, 0)


def test_a_source_whose_newest_days_did_not_come_misses_them(world):
    """Counted from its first day on to the newest day that is due."""
    later = data.run(world.case, world.adapters, now=NOW + timedelta(days=3))

    assert later.sources[0].absent == 3


def test_refused_rows_are_told_by_source_and_reason(world):
    """With the days that have them, and their number on each day of the window."""
    (found,) = seen(world).refusals

    assert (found.source, found.reason, found.rows, found.days) == ("orders", REASON, DAYS + 10, DAYS + 10)
    assert (found.last, sum(found.by_day)) == (LAST, DAYS + 10)


def test_the_chart_counts_snapshots_sources_and_refused_rows(world):
    """A panel each; a missing day is a gap in the line of the snapshots and no 0."""
    chart = seen(world).counts

    assert [panel.title for panel in chart.panels] == ["Rows of the features", "orders, published", "Refused"]
    snapshot = chart.panels[0].traces[0]
    assert snapshot.y[snapshot.x.index(str(MISSING))] is None


def test_months_before_and_behind_can_be_asked_for(world):
    """The window ends with the month of the asked day; links lead on only where there is something."""
    now, later = seen(world), data.run(world.case, world.adapters, now=NOW.replace(month=5))

    assert (now.first, now.last, now.older, now.newer) == (date(2025, 10, 1), date(2026, 1, 31), None, None)
    assert (later.first, later.older) == (date(2026, 2, 1), date(2026, 1, 31))
    earlier = seen(world, until=date(2025, 12, 5))
    assert (earlier.last, earlier.newer) == (date(2025, 12, 31), date(2026, 4, 1))


def test_a_use_case_without_days_is_no_error(tmp_path):
    """Nothing was ever ingested or built."""
    world = ShopDays.lived(tmp_path, unbuilt=True)
    shutil.rmtree(world.adapters.lake.root)
    found = seen(world)

    assert (found.newest, found.spans, found.refusals, found.outages) == (None, (), (), ())
    assert {each.state for each in found.days} == {"before", "open"}


def test_a_table_that_cannot_be_read_is_named_and_the_rest_is_shown(world):
    """The log of one source is broken: its days are unknown, the snapshots are still there, stale or not."""
    (world.adapters.lake.root / "raw/shop/orders/_delta_log/00000000000000000000.json").write_text("{")
    for file in world.adapters.lake.root.glob("raw/shop/orders/_delta_log/*.parquet"):
        file.unlink()
    found = seen(world)

    assert len(found.outages) == 1
    assert "raw/shop/orders" in found.outages[0]
    assert not found.sources[0].known
    assert found.sources[1].known
    assert found.counted["built"] == 11
