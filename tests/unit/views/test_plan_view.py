"""The page before a backfill: what it would touch, and what it says where a part of the world is out of order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import toy
from fakes import FakeRegistry
from perennial import chunks
from perennial.adapters import Adapters
from perennial.core.splits import Split
from perennial.io.entries import Entry
from perennial.records import Window
from perennial.settings import Settings
from perennial.spec import UseCase
from perennial.stages import backfill, ingest
from perennial.views import plan
from perennial.views.backfillform import Asked
from perennial.views.plan import PlanPage, Runs

FIRST = toy.FIRST + timedelta(days=20)
LAST = FIRST + timedelta(days=9)
NOW = datetime.combine(LAST + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=5)


@pytest.fixture
def shop(tmp_path: Path) -> UseCase:
    """Return a small shop."""
    return toy.shop(tmp_path / "use_cases")


@pytest.fixture
def world(tmp_path: Path) -> Adapters:
    """Return what it lives in, with a registry that does not answer: the page asks none."""
    found = toy.adapters(tmp_path / "home")
    found.__dict__["registry"] = FakeRegistry()
    return found


@pytest.fixture
def built(shop: UseCase, world: Adapters) -> Adapters:
    """Return a world in which ten days are built, by one plan of three parts."""
    made = backfill.plan(shop, Window(FIRST, LAST + timedelta(days=1)), world, who="ada", now=NOW)
    for chunk in made.chunks:
        chunks.run(shop, made, chunk, world, run="first")
    world.registry.down = {"versions"}
    return world


def page(case: UseCase, world: Adapters, asked: Asked | None = None, **fields: Any) -> PlanPage:
    """Return the page on the day after the newest built one."""
    options: dict[str, Any] = {"refused": "", "now": NOW, "runs": Runs(), "tries": False}
    return plan.page(case, world, asked=asked, **options | fields)


def correct(case: UseCase, world: Adapters, day: date) -> None:
    """Read a day of orders again after the shop has corrected an amount of it."""
    orders = toy.order_rows()
    at = next(at for at, moment in enumerate(orders["ordered_at"].to_pylist()) if moment.date() == day)
    amounts = orders["amount"].to_pylist()
    amounts[at] += 1
    toy.write_shop(Path(case.source("orders").files["orders"]).parent.parent, orders=_with_amounts(orders, amounts))
    ingest.run_days(case, "orders", [day], world, run="correction")


def _with_amounts(orders: Any, amounts: list[float]) -> Any:
    import pyarrow as pa

    return orders.set_column(orders.schema.get_field_index("amount"), "amount", pa.array(amounts))


def trained(world: Adapters, version: str, *, last: date = LAST, features: int | None = None) -> None:
    """Enter a training on five fitted, one validation and one holdout day up to `last`, at a version of the table."""
    ends = (last - timedelta(days=1), last, last + timedelta(days=1))
    split = Split(Window(last - timedelta(days=6), ends[0]), Window(ends[0], ends[1]), Window(ends[1], ends[2]))
    pinned = world.lake.version("features/shop") if features is None else features
    manifest = {"split": split.to_json(), "data_versions": {"features/shop": pinned}}
    world.ledger.add(Entry("shop", NOW, "trained", "ada", "", "run", to_version=version, report=manifest))


def crowned(world: Adapters, version: str, before: str | None = None) -> None:
    """Make a version the champion."""
    world.ledger.add(Entry("shop", NOW, "promoted", "ada", "", "run", from_version=before, to_version=version))


def test_where_nothing_is_built_a_first_training_is_suggested(shop, world):
    """As many days as it looks at, up to yesterday; the page says that nothing is there."""
    found = page(shop, world)

    assert found.is_empty
    assert (found.asked.days, found.asked.last_day) == (shop.training.window_days, LAST)
    assert (found.now, found.gaps, found.blast, found.outages) == (None, (), None, ())


def test_where_all_is_fresh_the_newest_week_is_suggested(shop, built):
    """And nothing asks for a backfill."""
    found = page(shop, built)

    assert [lane.told() for lane in found.now.lanes] == ["10 fresh"]
    assert (found.gaps, found.is_empty) == ((), False)
    assert found.asked == Asked(LAST - timedelta(days=6), LAST)


def test_days_that_are_missing_or_stale_ask_for_a_backfill(shop, built):
    """From the oldest of them to the newest, also those that the schedule has missed since."""
    late = NOW + timedelta(days=2)
    correct(shop, built, FIRST + timedelta(days=7))
    found = page(shop, built, now=late)

    (features,) = found.gaps
    assert [(str(each), each.state) for each in features.days] == [
        (f"{LAST + timedelta(days=1)} to {LAST + timedelta(days=2)}", "missing"),
        (f"{LAST - timedelta(days=2)} to {LAST}", "stale"),
    ]
    assert features.days[1].reason == f"orders of {FIRST + timedelta(days=7)} changed"
    assert found.asked == Asked(LAST - timedelta(days=2), LAST + timedelta(days=2))


def test_data_that_end_long_ago_ask_for_nothing(shop, built):
    """A feed that was closed down is no schedule that stands still."""
    found = page(shop, built, now=NOW + plan.LATE + timedelta(days=1))

    assert found.now.last == LAST
    assert found.gaps == ()


def test_the_blast_radius_is_that_of_the_plan_that_a_run_would_make(shop, built):
    """Effects, parts and models equal those of the stage, and nothing is saved."""
    correct(shop, built, FIRST + timedelta(days=7))
    asked = Asked(FIRST - timedelta(days=2), LAST, ("features",))
    found = page(shop, built, asked)
    built.registry.down = set()
    made = backfill.plan(shop, asked.window, built, who="bob", now=NOW + timedelta(seconds=1))

    assert [each.todo for each in found.blast.effects] == [each.todo for each in made.effects]
    assert found.blast.parts == made.chunks
    assert found.blast.total.days == {"raw": 2, "features": 5, "predictions": 0}
    assert found.blast.features == shop.features.columns
    assert [(lane.name, [each.reason for each in lane.days]) for lane in found.blast.stale] == [
        ("features", [f"orders of {FIRST + timedelta(days=7)} changed"])
    ]
    assert [each.id for each in page(shop, built).earlier] == [made.id, *[each.id for each in found.earlier]]


def test_models_that_were_trained_on_these_days_are_named(shop, built):
    """With the aliases that the ledger says they have, the newest first; no registry is asked."""
    before = built.lake.version(shop.features_table)
    trained(built, "1", features=before)
    trained(built, "2", last=LAST - timedelta(days=40))
    trained(built, "3")
    crowned(built, "1")
    crowned(built, "3", before="1")
    found = page(shop, built, Asked(LAST, LAST, ("features",), "all")).blast

    assert [(each.version, each.aliases, each.days, each.already_changed) for each in found.models] == [
        ("3", ("challenger", "champion"), 1, 0),
        ("1", ("previous",), 1, 0),
    ]


def test_a_training_of_before_the_ledger_held_manifests_is_left_out(shop, built):
    """It does not break the page."""
    built.ledger.add(Entry("shop", NOW, "trained", "ada", "", "run", to_version="1"))

    assert page(shop, built, Asked(LAST, LAST, ("features",), "all")).blast.models == ()


def test_scores_that_would_be_stale_afterwards_are_counted(shop, built):
    """They are where features are built again and predictions are not chosen."""
    scored = {LAST: toy.customer_rows(), LAST - timedelta(days=1): toy.customer_rows()}
    built.lake.write_days(shop.predictions_table, scored, metadata={})
    crowned(built, "1")
    left, again = (
        page(shop, built, Asked(LAST, LAST, what, "all")).blast for what in (("features",), ("features", "predictions"))
    )

    assert (left.scores_left, left.total.days["predictions"]) == (1, 0)
    assert (again.scores_left, again.total.days["predictions"]) == (0, 1)


def test_what_was_measured_costs_money_where_a_rate_is_set(shop, built):
    """Seconds of the earlier parts, by the hour; nothing is tried."""
    built.settings = Settings(home=built.settings.home, compute_rate=36.0, compute_currency="EUR")
    found = page(shop, built, Asked(LAST, LAST, ("features",), "all"))

    assert found.currency == "EUR"
    assert found.blast.total.seconds > 0
    assert found.blast.total.money == pytest.approx(found.blast.total.seconds / 100)
    assert not found.blast.total.tried


@pytest.mark.parametrize("tries", [False, True])
def test_sources_are_read_to_reckon_with_only_where_that_is_asked_for(shop, world, *, tries):
    """Into an empty lake nothing is known of the cost; a page that is looked at does not read for twenty seconds."""
    found = page(shop, world, Asked(FIRST, LAST), tries=tries).blast.total

    assert (found.seconds is not None, found.rows is not None, found.tried) == (tries, tries, tries)
    assert found.at_least is not tries
    assert not world.lake.root.exists()


def test_what_is_refused_is_told_beside_how_the_days_are(shop, built):
    """There is no champion to score with."""
    found = page(shop, built, Asked(FIRST, LAST, ("features", "predictions")))

    assert found.refused == "There is no champion to score with. Train and promote one, or leave predictions out."
    assert found.blast is None
    assert found.now is not None


def test_earlier_plans_say_how_far_they_came(shop, built):
    """Done, with its entry and its run; partly done; not begun; and one that found nothing to do."""
    built.registry.down = set()
    (done,) = (built.plans.load("shop", name) for name in built.plans.names("shop"))
    record = backfill.summary(done, [built.plans.finished("shop", done.id, chunk) for chunk in done.chunks])
    backfill.enter(record, built, who="ada", now=NOW, run="manual__1")
    later = [NOW + timedelta(minutes=minute) for minute in (1, 2, 3)]
    window = Window(FIRST, LAST + timedelta(days=1))
    backfill.plan(shop, window, built, who="bob", now=later[0])
    partly = backfill.plan(shop, window, built, products=["raw"], who="bob", now=later[1])
    chunks.run(shop, partly, partly.chunks[0], built, run="second")
    backfill.plan(shop, window, built, wanted="all", who="bob", now=later[2])

    found = page(shop, built).earlier
    assert [(each.state, each.done, each.parts, each.who) for each in found] == [
        ("not begun", 0, 1, "bob"), ("partly done", 1, 2, "bob"), ("nothing to do", 0, 0, "bob"), ("done", 3, 3, "ada"),
    ]  # fmt: skip
    assert (found[-1].entry, found[-1].run, found[-1].days) == (1, "manual__1", 10 + 21 + 1)
    assert found[-1].asked == Asked(FIRST, LAST)


def test_a_plan_that_cannot_be_read_is_named_beside_the_others(shop, built):
    """A newer release wrote it, or somebody by hand."""
    broken = built.plans.root / "shop" / "20990101T000000000000"
    broken.mkdir(parents=True)
    (broken / "plan.json").write_text('{"id": 7}')
    found = page(shop, built)

    assert len(found.earlier) == 1
    assert any("20990101T000000000000" in outage and "cannot be read" in outage for outage in found.outages)


def test_a_dead_ledger_leaves_the_days(shop, built):
    """Models are not known, and that is said; what a day costs is."""
    dead = replace_ledger(built)
    found = page(shop, dead, Asked(LAST, LAST, ("features", "predictions"), "all"))

    assert found.blast.models is None
    assert found.blast.total.days["features"] == 1
    assert len(found.outages) == 1
    assert "The ledger at" in found.outages[0]


def replace_ledger(world: Adapters) -> Adapters:
    """Return the world with a ledger that nobody can open."""
    settings = Settings(
        home=world.settings.home, ledger_url="postgresql+psycopg2://nobody:x@127.0.0.1:9/ledger", mlflow_uri=None
    )
    dead = Adapters(settings)
    dead.__dict__["registry"] = world.registry
    return dead


def test_a_dead_lake_leaves_plans_and_runs(shop, built):
    """The table is named; earlier plans are shown all the same."""
    log = built.lake.root / shop.features_table / "_delta_log"
    for commit in log.iterdir():
        commit.write_text("{")
    planned, landing = page(shop, built, Asked(LAST, LAST)), page(shop, built)

    for found in (planned, landing):
        assert (found.blast, found.now, found.is_empty) == (None, None, False)
        assert len(found.earlier) == 1
        assert any("Table 'features/shop' cannot be opened" in outage for outage in found.outages)


def test_an_airflow_that_does_not_answer_is_named(shop, world):
    """Its runs are not known; the days are."""
    assert page(shop, world, runs=Runs(outage="Airflow is away.")).outages == ("Airflow is away.",)


def test_the_page_is_plain_data(shop, built):
    """What the JSON gives is the record itself."""
    found = page(shop, built, Asked(LAST, LAST, ("features",), "all"))

    assert found.to_json()["blast"]["effects"][0]["todo"] == [LAST.isoformat()]
    assert replace(found, refused="x").to_json()["refused"] == "x"
