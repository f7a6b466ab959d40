"""One day in detail: its sources and their checks, refused rows, and its lineage to predictions and model."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from perennial.errors import RegistryError
from perennial.views import dataday, quarantined
from shopdays import FIRST, LAST, NOW, REASON, ShopDays

MANIFEST = {
    "as_of": "2026-01-09",
    "data_versions": {"features/shop": 4, "raw/shop/orders": 1},
    "split": {
        "fit": {"start": "2026-01-01", "end": "2026-01-04"}, "validation": {"start": "2026-01-05", "end": "2026-01-06"},
        "holdout": {"start": "2026-01-07", "end": "2026-01-08"},
    },
}  # fmt: skip


@pytest.fixture
def world(tmp_path):
    """Return twelve days with a registry that knows one manifest."""
    made = ShopDays.lived(tmp_path)
    made.adapters.__dict__["registry"] = SimpleNamespace(manifest=lambda model, version: MANIFEST)
    return made


def seen(world, day=LAST):
    """Return what the page of a day shows."""
    return dataday.run(world.case, day, world.adapters, now=NOW)


def test_a_day_tells_its_snapshot_and_who_wrote_it(world):
    """Once, by the run that is kept with the commit."""
    found = seen(world)

    assert (found.today.state, found.today.rows, found.today.refused) == ("built", 2, 1)
    assert (found.written.times, found.written.last_run) == (1, "scheduled__1")
    assert (found.before, found.after) == (LAST - timedelta(days=1), LAST + timedelta(days=1))


def test_each_source_has_its_rows_its_checks_and_some_refused_rows(world):
    """Of a reference table the day tells the snapshot that it sees."""
    world.keep_checks("orders", LAST)
    orders, customers = seen(world).sources

    assert (orders.published, orders.quarantined, orders.day) == (2, 1, LAST)
    assert (orders.checks.met, orders.checks.expectations, orders.checks.unmet[0].reason) == (1, 2, REASON)
    assert orders.checks.page == f"validation/shop/orders/{LAST}.html"
    assert [(row["reasons"], row["row"]["amount"]) for row in orders.samples] == [([REASON], -1.0)]
    assert (customers.day, customers.published, customers.checks) == (FIRST, 2, None)


def test_checks_that_cannot_be_read_are_named_and_the_day_is_shown(world):
    """A file that a full disk has cut off."""
    world.keep_checks("orders", LAST)
    (world.adapters.settings.pages_root / f"validation/shop/orders/{LAST}.json").write_text('{"results": [{"succ')
    found = seen(world)

    assert found.sources[0].checks is None
    assert "checks of orders" in found.outages[0]
    assert found.today.state == "built"


def test_lineage_leads_from_source_versions_to_the_model(world):
    """The look-back of ten days and the day itself; the day lies behind the training set."""
    flow = seen(world).lineage
    orders, customers = flow.sources

    assert (orders.version, orders.days, orders.absent, orders.last) == (1, 11, 0, LAST)
    assert (customers.first, customers.last) == (FIRST, FIRST)
    assert flow.definition == flow.definition_now
    assert (flow.scores.rows, flow.scores.versions, flow.scores.state) == (2, ("3",), "fresh")
    (model,) = flow.models
    assert (model.version, model.as_of, model.part, model.first, model.last) == (
        "3", "2026-01-09", "", "2026-01-01", "2026-01-07",
    )  # fmt: skip


@pytest.mark.parametrize(("offset", "part"), [(0, "fit"), (3, ""), (4, "validation"), (6, "holdout"), (7, "")])
def test_a_day_knows_in_which_part_of_the_training_set_it_lies(world, offset, part):
    """Windows are half-open, so the day of an end and the gaps are in none."""
    (model,) = seen(world, FIRST + timedelta(days=offset)).lineage.models

    assert model.part == part


def test_a_changed_source_day_is_named_in_the_lineage(world):
    """Built from the first revision, and now there is a second."""
    changed = LAST - timedelta(days=2)
    world.ingest([changed], amounts=[1.0])
    found = seen(world)

    assert found.today.state == "stale"
    assert found.lineage.sources[0].changed == (changed,)


def test_a_registry_that_does_not_answer_is_named_and_the_version_is_still_told(world):
    """The predictions know which version made them."""

    def refuse(model, version):
        raise RegistryError("MLflow does not answer")

    world.adapters.registry.manifest = refuse
    found = seen(world)

    assert found.outages == ("MLflow does not answer",)
    assert [(each.version, each.known) for each in found.lineage.models] == [("3", False)]


def test_a_day_that_was_never_built_has_no_lineage(world):
    """It is not over yet, and nothing of it was ingested."""
    found = seen(world, NOW.date())

    assert (found.today.state, found.written, found.after) == ("open", None, None)
    assert (found.lineage.sources, found.lineage.scores, found.lineage.models) == ((), None, ())
    assert found.sources[0].written is None


def test_refused_rows_can_be_asked_for_by_day_and_part_of_a_reason(world):
    """Of all days the oldest come first, up to the limit."""
    asked = {"source": "orders", "because": "within"}
    one = quarantined.run(world.case, world.adapters, day=LAST, **asked)
    every = quarantined.run(world.case, world.adapters, day=None, **asked)
    other = quarantined.run(world.case, world.adapters, source="orders", day=LAST, because="unique")

    assert [row["day"] for row in one.rows] == [str(LAST)]
    assert one.columns == ("order_id", "customer", "amount", "ordered_at")
    assert every.rows[0]["day"] == str(FIRST - timedelta(days=10))
    assert other.rows == ()
