"""Long ranges on a real lake: the same partitions as day by day, a plan that is true, and nothing done twice."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy
from fakes import FakeRegistry
from perennial import chunks
from perennial.adapters import Adapters
from perennial.changes import BackfillPlan
from perennial.commands.plans import as_text
from perennial.errors import DataError, SpecError
from perennial.records import Window
from perennial.spec import UseCase
from perennial.stages import backfill, features, ingest
from perennial.stages.trial import Trial

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIRST = toy.FIRST + timedelta(days=20)
WINDOWS = {
    "source": "orders",
    "columns": {
        "orders_5d": {"days": 5, "count": "rows"},
        "spend_9d": {"days": 9, "sum": "amount"},
        "large_9d": {"days": 9, "count": "rows", "where": "amount > 50"},
        "amounts_5d": {"days": 5, "count_distinct": "amount"},
        "last_large": {"days": 9, "days_since": "last", "where": "amount > 50"},
        "first_order": {"days": 9, "days_since": "first"},
    },
}
DECLARED = {
    "lookback_days": 10,
    "windows": WINDOWS,
    "numeric": list(WINDOWS["columns"]),
    "categorical": [],
}
BOTH_SQL = """
select w.*, coalesce(any_value(c.segment), 'unknown') as segment, avg(o.amount) as mean_amount
from windows w
join orders o on o.customer = w.customer and o.day <= w.day and o.day > w.day - 10
left join customers c on c.customer = w.customer
group by all
"""


@pytest.fixture
def adapters(adapters: Adapters) -> Adapters:
    """Return adapters with a registry in memory: MLflow's own takes seconds to make its tables."""
    return without_mlflow(adapters)


def without_mlflow(adapters: Adapters) -> Adapters:
    """Put a registry in memory into its place; tests/e2e plans over the real one."""
    adapters.__dict__["registry"] = FakeRegistry()
    return adapters


def with_windows(**features_keys: object) -> dict[str, object]:
    """Return a shop whose features are declared windows."""
    return toy.spec(features={**DECLARED, **features_keys})


def only_windows() -> dict[str, object]:
    """Return a shop whose features are declared windows and nothing else."""
    return with_windows()


def windows_and_sql() -> dict[str, object]:
    """Return a shop whose SQL joins the declared windows."""
    numeric = [*WINDOWS["columns"], "mean_amount"]
    return with_windows(sql="features.sql", numeric=numeric, categorical=["segment"])


SHOPS = {
    "sql": (toy.spec, toy.FEATURES_SQL),
    "windows": (only_windows, ""),
    "windows and sql": (windows_and_sql, BOTH_SQL),
}


def content(adapters: Adapters, table: str, day: date) -> str:
    """Return a hash over a day's rows, bit by bit."""
    rows = adapters.lake.read(table, Window.of_day(day)).sort_by([("customer", "ascending")])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def plan(case: UseCase, adapters: Adapters, first: date, days: int, **options: object) -> BackfillPlan:
    """Return the plan of some days."""
    window = Window(first, first + timedelta(days=days))
    return backfill.plan(case, window, adapters, who="ada", now=options.pop("now", NOW), **options)


def apply(case: UseCase, adapters: Adapters, made: BackfillPlan) -> int:
    """Do all parts of a plan and return how many days they changed."""
    return sum(chunks.run(case, made, chunk, adapters, run="test").changed for chunk in made.chunks)


@pytest.mark.parametrize("shop_of", SHOPS)
@pytest.mark.parametrize("seed", range(3))
def test_a_range_and_single_days_give_identical_partitions(make_shop, tmp_path, shop_of, seed):
    """Random windows, with gaps between them: equal to the last bit, whichever way a day was built."""
    declared, sql = SHOPS[shop_of]
    case = make_shop(declared=declared(), features_sql=sql)
    generator = random.Random(seed)
    first, length = FIRST + timedelta(days=generator.randrange(10)), generator.randrange(4, 12)
    days = sorted(generator.sample([first + timedelta(days=at) for at in range(length)], k=length // 2))
    at_once, by_day = (without_mlflow(toy.adapters(tmp_path / name)) for name in ("range", "days"))

    apply(case, at_once, plan(case, at_once, first, length))
    for day in generator.sample(days, k=len(days)):
        ingest.run(case, day, by_day)
        features.run(case, day, by_day)

    hashes = [[content(adapters, case.features_table, day) for day in days] for adapters in (at_once, by_day)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) == len(days)


def test_declared_windows_match_sql_that_counts_the_same(make_shop, adapters):
    """The declared form and the written one, row by row."""
    sql = """
    select d.day, o.customer,
        count(*) filter (o.day > d.day - 5) as orders_5d, sum(o.amount) as spend_9d,
        count(*) filter (o.amount > 50) as large_9d, count(distinct o.amount) filter (o.day > d.day - 5) as amounts_5d,
        min(d.day - o.day) filter (o.amount > 50) as last_large, max(d.day - o.day) as first_order
    from days d join orders o on o.day <= d.day and o.day > d.day - 9 group by all
    """
    written = make_shop(declared=with_windows(sql="features.sql", windows=None), features_sql=sql)
    apply(written, adapters, plan(written, adapters, FIRST, 8))
    expected = adapters.lake.read(written.features_table, Window(FIRST, FIRST + timedelta(days=8))).to_pylist()
    declared = make_shop(declared=only_windows())
    apply(declared, adapters, plan(declared, adapters, FIRST, 8))
    found = adapters.lake.read(declared.features_table, Window(FIRST, FIRST + timedelta(days=8))).to_pylist()

    def by_key(rows: list[dict[str, object]]) -> dict[object, list[object]]:
        names = list(WINDOWS["columns"])
        return {(row["day"], row["customer"]): [row[name] for name in names] for row in rows}

    assert by_key(found).keys() == by_key(expected).keys()
    for key, values in by_key(found).items():
        assert values == pytest.approx(by_key(expected)[key], nan_ok=True), key


def test_a_plan_says_what_is_missing_and_a_second_one_that_nothing_is(shop, adapters):
    """Days by state before and after, and no part is left to do."""
    before = plan(shop, adapters, FIRST, 5)
    changed = apply(shop, adapters, before)
    after = plan(shop, adapters, FIRST, 5, now=NOW + timedelta(seconds=1))

    effects = {(effect.product, effect.source): effect for effect in before.effects}
    assert effects["features", None].missing == tuple(Window(FIRST, FIRST + timedelta(days=5)).days())
    assert len(effects["raw", "orders"].missing) == 5 + 11
    assert effects["raw", "customers"].todo == (FIRST + timedelta(days=4),)
    assert changed == 5 + 16 + 1
    assert (after.effects[-1].fresh, after.chunks) == (5, ())


def test_the_first_plan_tries_a_day_and_writes_nothing(shop, adapters):
    """Into an empty lake: rows of the newest day exactly, seconds and bytes of it, said to be tried."""
    made = plan(shop, adapters, FIRST, 5)
    effects = {(effect.product, effect.source): effect for effect in made.effects}
    tables = [path.name for path in adapters.lake.root.iterdir() if not path.name.startswith(".")]
    said = as_text(made)
    apply(shop, adapters, made)
    newest = adapters.lake.held(shop.features_table)[FIRST + timedelta(days=4)]
    orders = adapters.lake.held(shop.raw_table("orders"))

    assert tables == []
    assert all(effect.tried and effect.seconds > 0 for effect in effects.values())
    assert effects["features", None].rows == 5 * newest.rows
    assert effects["features", None].bytes == pytest.approx(5 * newest.bytes, rel=0.3)
    assert effects["raw", "orders"].rows == pytest.approx(sum(day.rows for day in orders.values()), rel=0.3)
    assert effects["raw", "customers"].rows == 60
    assert "not known" not in said
    assert "~ reckoned from one day that was tried for this plan" in said


def test_later_plans_go_by_what_was_measured(shop, adapters):
    """The second plan knows what a day took, rows and bytes too, and tries nothing."""
    apply(shop, adapters, plan(shop, adapters, FIRST, 5))
    second = plan(shop, adapters, FIRST + timedelta(days=5), 5, now=NOW + timedelta(seconds=1))
    last = second.effects[-1]

    assert not any(effect.tried for effect in second.effects)
    assert min(last.seconds, last.rows, last.bytes) > 0
    assert "~" not in as_text(second)


def test_a_trial_ends_after_its_budget_and_reckons_in_proportion(shop, adapters):
    """With no time at all one day of twelve is read, and the seconds are those of all; how many rows, nobody knows."""
    short, whole = Trial(shop, adapters, FIRST, budget=0.0), Trial(shop, adapters, FIRST)
    oldest = adapters.sources.read_day(shop, shop.source("orders"), FIRST - timedelta(days=11))

    assert short.source("orders").rows == oldest.num_rows
    assert (short.features().rows, short.features().bytes) == (None, None)
    assert short.features().seconds > 0
    assert whole.features().rows > 0


def test_what_cannot_be_tried_is_said_and_costs_no_plan(make_shop, adapters, caplog):
    """A file that is not there yet: the plan is made, and the log says why it has no estimate."""
    case = make_shop()
    Path(case.source("orders").files["orders"]).unlink()
    made = plan(case, adapters, FIRST, 5)
    effects = {(effect.product, effect.source): effect for effect in made.effects}

    assert (effects["raw", "orders"].seconds, effects["features", None].seconds) == (None, None)
    assert effects["raw", "customers"].tried
    assert "orders of 2026-01-25 cannot be tried, so its part of the plan has no estimate" in caplog.text
    assert "not known" in as_text(made)


def test_a_corrected_source_day_makes_its_snapshots_stale_and_no_others(make_shop, adapters):
    """The reason names the source and the day; the rebuilt days are those, and all other files stay as they were."""
    case = make_shop()
    apply(case, adapters, plan(case, adapters, FIRST, 25))
    corrected_day = FIRST + timedelta(days=8)
    orders = toy.order_rows()
    at = orders.column("ordered_at").cast(pa.date32()).to_pylist().index(corrected_day)
    amounts = orders.column("amount").to_pylist()
    amounts[at] += 1
    pq.write_table(orders.set_column(2, "amount", pa.array(amounts)), case.source("orders").files["orders"])
    files = data_files(adapters, case.features_table)

    ingest.run_days(case, "orders", [corrected_day], adapters, run="correction")
    states = adapters.lineage.features(case, list(Window(FIRST, FIRST + timedelta(days=25)).days()))
    stale = {state.day: state.reason for state in states if state.state == "stale"}
    made = plan(case, adapters, FIRST, 25, now=NOW + timedelta(seconds=1))
    apply(case, adapters, made)

    seen = list(Window(corrected_day, corrected_day + timedelta(days=11)).days())
    assert list(stale) == seen
    assert set(stale.values()) == {f"orders of {corrected_day} changed"}
    assert [effect.todo for effect in made.effects] == [tuple(seen)]
    kept = {path: digest for path, digest in files.items() if path in data_files(adapters, case.features_table)}
    assert kept == files
    assert not [state for state in adapters.lineage.features(case, seen) if state.state != "fresh"]


def data_files(adapters: Adapters, table: str) -> dict[str, str]:
    """Return the hash of each data file of a table."""
    folder = Path(adapters.lake.root / table)
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.parquet")}


def test_another_definition_makes_every_snapshot_stale(make_shop, adapters):
    """The SQL is part of what a day was made from."""
    case = make_shop()
    apply(case, adapters, plan(case, adapters, FIRST, 3))
    other = make_shop(features_sql=toy.FEATURES_SQL.replace("o.day > d.day - 7", "o.day > d.day - 6"))
    states = adapters.lineage.features(other, [FIRST])

    assert [(state.state, state.reason) for state in states] == [("stale", "the definition of the features changed")]


def test_all_builds_fresh_days_again_and_changes_none(shop, adapters):
    """The same content makes no new version, however often it is asked for."""
    apply(shop, adapters, plan(shop, adapters, FIRST, 4))
    version = adapters.lake.version(shop.features_table)
    again = plan(shop, adapters, FIRST, 4, wanted="all", products=["raw", "features"], now=NOW + timedelta(seconds=1))

    assert apply(shop, adapters, again) == 0
    assert adapters.lake.version(shop.features_table) == version
    assert {chunk.product for chunk in again.chunks} == {"raw", "features"}


def test_a_plan_goes_on_behind_the_parts_that_are_done(shop, adapters):
    """Done twice, the second time does nothing at all, even where all days were asked for."""
    made = plan(shop, adapters, FIRST, 4, wanted="all")
    apply(shop, adapters, made)
    records = [chunks.run(shop, made, chunk, adapters, run="again") for chunk in made.chunks]
    commits = adapters.lake.commits(shop.features_table)

    assert [adapters.plans.finished("shop", made.id, chunk) for chunk in made.chunks] == records
    assert not [commit for commit in commits if commit.get("run") == "again"]


def test_a_day_that_breaks_leaves_the_days_before_it_published(make_shop, adapters):
    """The next try goes on behind them."""
    rows = toy.order_rows()
    bad_day = FIRST + timedelta(days=2)
    days = rows.column("ordered_at").cast(pa.date32()).to_pylist()
    amounts = [-1.0 if day == bad_day else value for day, value in zip(days, rows["amount"].to_pylist(), strict=True)]
    case = make_shop(orders=rows.set_column(2, "amount", pa.array(amounts)))
    made = plan(case, adapters, FIRST, 5)

    with pytest.raises(DataError, match=rf"rows refused on {bad_day}"):
        apply(case, adapters, made)
    assert adapters.lake.missing_days(case.raw_table("orders"), [FIRST, FIRST + timedelta(days=1)]) == ()
    assert adapters.lake.missing_days(case.raw_table("orders"), [bad_day]) == (bad_day,)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"days": 5, "count": "rows", "where": "amuont > 5"}, r"features.windows cannot be computed.*amuont"),
        ({"days": 5, "sum": "segment"}, r"features.windows cannot be computed"),
    ],
)
def test_a_window_that_cannot_be_computed_names_what_is_wrong(make_shop, adapters, column, message):
    """A misspelt condition or column is the spec's fault."""
    windows = {"source": "orders", "columns": {**WINDOWS["columns"], "orders_5d": column}}
    case = make_shop(declared=with_windows(windows=windows))
    made = plan(case, adapters, FIRST, 2)

    with pytest.raises(SpecError, match=message):
        apply(case, adapters, made)


def test_a_range_without_days_is_refused(shop, adapters):
    """Nothing is planned for it."""
    with pytest.raises(DataError, match="has no days"):
        plan(shop, adapters, FIRST, 0)
    assert adapters.plans.names("shop") == ()


def test_an_unknown_plan_is_named_with_the_nearest(shop, adapters):
    """A misspelt plan does not become an empty one."""
    made = plan(shop, adapters, FIRST, 1)

    with pytest.raises(DataError, match=rf"Did you mean '{made.id}'"):
        adapters.plans.load("shop", made.id[:-1] + "x")
