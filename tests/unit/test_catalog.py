"""A use case that cannot be used says which file, which key, why, and what was probably meant."""

from __future__ import annotations

import json

import pytest
import toy
from perennial import catalog
from perennial.errors import SetupError, SpecError
from perennial.settings import connection, load_settings


@pytest.fixture
def use_cases(tmp_path, monkeypatch):
    """Return a folder of use cases that the catalog reads in this test."""
    monkeypatch.setenv("PERENNIAL_USE_CASES", str(tmp_path))
    load_settings.cache_clear()
    yield tmp_path
    load_settings.cache_clear()


def test_the_shipped_use_cases_can_all_be_loaded():
    """Nothing broken is shipped."""
    load_settings.cache_clear()

    assert catalog.broken_use_cases() == {}
    assert "conversion" in [case.name for case in catalog.use_cases()]


@pytest.mark.parametrize(("live", "from_database"), [("", False), ("clickstream", True), (" clickstream, ", True)])
def test_of_two_places_a_source_is_read_from_the_one_that_is_set(monkeypatch, live, from_database):
    """From its files, or from the database whose connection PERENNIAL_LIVE names; never from both."""
    monkeypatch.setenv("PERENNIAL_LIVE", live)
    load_settings.cache_clear()
    source = catalog.load_use_case("visitor_conversion").source("simulated_events")
    load_settings.cache_clear()

    assert (source.database is not None) is from_database
    assert bool(source.files) is source.daily_drop is not from_database


BOTH = {"connection": "shop_replica", "query": "orders.sql"}


def write_shop_in_two_places(use_cases) -> None:
    """Write a shop whose orders lie in files and in a database."""
    declared = toy.spec()
    declared["sources"][0]["database"] = BOTH
    folder = toy.write_shop(use_cases, declared=declared)
    (folder / "orders.sql").write_text("select * from orders where ordered_at >= :start and ordered_at < :end")


@pytest.mark.parametrize("live", ["shop_replcia", "shop_replica,shop_replcia"])
def test_a_live_connection_that_no_source_declares_is_told_with_the_nearest(use_cases, monkeypatch, live):
    """Else the files would be read, which may be old; the DAGs of the use case stay, its tasks say what is wrong."""
    write_shop_in_two_places(use_cases)
    monkeypatch.setenv("PERENNIAL_LIVE", live)

    with pytest.raises(SetupError, match=r"PERENNIAL_LIVE names .* 'shop_replcia', .*Did you mean 'shop_replica'\?"):
        catalog.load_use_case("shop")
    assert [case.name for case in catalog.use_cases()] == ["shop"]
    assert catalog.broken_use_cases() == {}


def test_a_use_case_that_the_setting_does_not_concern_goes_on(use_cases, monkeypatch):
    """Its sources lie in one place, whatever PERENNIAL_LIVE says."""
    toy.write_shop(use_cases)
    monkeypatch.setenv("PERENNIAL_LIVE", "elsewhere")

    assert catalog.load_use_case("shop").source("orders").files
    with pytest.raises(SetupError, match=r"'elsewhere', .* Known: none\."):
        catalog.check_live()


def test_the_connection_of_a_broken_use_case_is_known(use_cases, monkeypatch):
    """A broken one takes no other with it."""
    write_shop_in_two_places(use_cases)
    sources = [{"database": {"connection": "warehouse"}}, "nonsense"]
    toy.write_shop(use_cases, declared=toy.spec(name="broken", sources=sources))
    toy.write_shop(use_cases, declared=toy.spec(name="worse", sources=None))
    monkeypatch.setenv("PERENNIAL_LIVE", "warehouse")

    assert catalog.load_use_case("shop").source("orders").database is None
    assert set(catalog.broken_use_cases()) == {"broken", "worse"}


def test_an_address_may_lie_in_the_stacks_own_file(monkeypatch, tmp_path):
    """The command line finds the running stack's database there; a real variable wins, and no message shows either."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    (tmp_path / "stack.env").write_text("PERENNIAL_CONN_SHOP='postgresql://reader:secret@/shop?host=/a'\n")

    assert connection("shop") == "postgresql://reader:secret@/shop?host=/a"
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "postgresql://other@/shop")
    assert connection("shop") == "postgresql://other@/shop"
    with pytest.raises(SetupError, match=r"no connection 'warehouse'\. Set PERENNIAL_CONN_WAREHOUSE"):
        connection("warehouse")


def test_a_use_case_carries_the_texts_of_its_files(use_cases):
    """Stages ask the use case, never the folder."""
    toy.write_shop(use_cases)

    assert "spend_10d" in catalog.load_use_case("shop").text("features.sql")


WRONG = [
    (
        {"features__strong": {"spent_10d": "paid before"}},
        r"features.strong excuses 'spent_10d', which is no feature. Did you mean 'spend_10d'\?",
    ),
    ({"features__strong": {"spend_10d": " "}}, r"features.strong excuses 'spend_10d' without a reason"),
    ({"trainning": {}}, r"shop/use_case.yaml is wrong:\n  trainning: unknown key. Did you mean 'training'\?"),
    ({"training__crom": "x"}, r"training.crom: unknown key. Did you mean 'cron'\?"),
    ({"training__cron": "daily"}, r"training.cron: cron 'daily' is none: it needs five fields"),
    ({"training__cron": "61 4 * * 1"}, r"training.cron: cron '61 4 \* \* 1' is none"),
    ({"gates": [{"metric": "roc_acu", "at_least": 0.5}]}, r"unknown metric 'roc_acu'. Did you mean 'roc_auc'\?"),
    ({"gates": [{"metric": "roc_auc", "at_leest": 0.5}]}, r"gates.0.at_leest: unknown key. Did you mean 'at_least'\?"),
    ({"gates": [{"metric": "roc_auc"}]}, "needs either at_least or at_most"),
    ({"gates": [{"metric": "roc_auc", "beats_baseline": "dumy"}]}, r"baseline 'dumy'. Did you mean 'dummy'\?"),
    ({"label__horizon_days": 30}, "label.horizon_days 30 must be shorter than training.window_days 30"),
    ({"training__window_days": 16}, r"leaves 0 days to fit on.*Use at least 17"),
    ({"features__sql": "feature.sql"}, r"features.sql names 'feature.sql'.*Did you mean 'features.sql'\?"),
    ({"features__categorical": ["spend_10d"]}, "features name spend_10d more than once"),
    ({"training__candidates": [{"name": "x", "estimator": "os.system"}]}, "must come from sklearn or lightgbm"),
    ({"value__currency": "euro"}, "value.currency"),
    ({"approval": "human"}, r"approval: say `automatic`, or who approves: `\{approvers: "),
    ({"approval": {"approvers": []}}, "approval.approvers: .* at least 1 item"),
    (
        {"approval": {"approvers": ["ann"], "max_age": 3}},
        r"approval.max_age: unknown key. Did you mean 'max_age_days'",
    ),
    ({"name": "other"}, None),
]


@pytest.mark.parametrize(("changes", "message"), [each for each in WRONG if each[1]])
def test_a_wrong_key_or_value_names_the_file_the_key_and_the_way_out(use_cases, changes, message):
    """One line for each thing that is wrong."""
    toy.write_shop(use_cases, declared=toy.spec(**changes))

    with pytest.raises(SpecError, match=message):
        catalog.load_use_case("shop")


def test_an_unknown_use_case_names_the_nearest_one(use_cases):
    """A slip of the pen is told as such."""
    toy.write_shop(use_cases)

    with pytest.raises(SpecError, match=r"no use case 'shpo' under include/use_cases. Did you mean 'shop'\?"):
        catalog.load_use_case("shpo")


def test_a_broken_use_case_hides_no_other(use_cases):
    """The others load; the broken one keeps its reason."""
    toy.write_shop(use_cases)
    broken = toy.write_shop(use_cases, declared=toy.spec(name="broken"))
    (broken / "use_case.yaml").write_text("name: [")

    assert [case.name for case in catalog.use_cases()] == ["shop"]
    assert "broken/use_case.yaml is no YAML" in str(catalog.broken_use_cases()["broken"])


@pytest.mark.parametrize("clock", ["now()", "CURRENT_DATE", "random()", "today ()"])
def test_sql_that_asks_the_clock_or_the_dice_is_refused(use_cases, clock):
    """A snapshot could not be built again: time is an argument."""
    toy.write_shop(use_cases, features_sql=toy.FEATURES_SQL.replace("min(d.day - o.day)", f"{clock}"))

    with pytest.raises(SpecError, match=r"shop/features.sql calls .*Use the column `day`"):
        catalog.load_use_case("shop")


def test_a_clock_in_a_comment_or_a_text_is_none(use_cases):
    """Only what runs counts."""
    toy.write_shop(use_cases, features_sql=toy.FEATURES_SQL + "-- now() is refused, 'current_date' is a text\n")

    assert catalog.load_use_case("shop").name == "shop"


@pytest.mark.parametrize(("text", "message"), [("{", "suite.json is wrong"), (json.dumps({"order": []}), "'orders'")])
def test_a_suite_that_is_missing_or_unreadable_is_named(use_cases, text, message):
    """Every source needs its expectations, be they none."""
    toy.write_shop(use_cases, suite_json=text)

    with pytest.raises(SpecError, match=message):
        catalog.load_use_case("shop")


def test_the_fingerprint_follows_the_spec_and_the_sql(use_cases):
    """What was declared has a version: any change of it changes the fingerprint, nothing else does."""
    first = toy.shop(use_cases).fingerprint()

    assert toy.shop(use_cases).fingerprint() == first
    assert toy.shop(use_cases, label_sql=toy.LABEL_SQL + " ").fingerprint() != first
