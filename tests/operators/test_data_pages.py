"""The Data pages: who may look and act, what they start, and what they say of hostile, missing and broken things."""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from pageclient import client
from perennial.errors import RegistryError
from perennial_airflow.ranges import ALL_SOURCES, CHECK_AGAIN
from perennial_airflow.ui import data as data_pages
from perennial_airflow.ui import runs
from shopdays import FIRST, HOSTILE, LAST, ShopDays

DATA = "/perennial/models/shop/data"
API = "/perennial/api/models/shop/data"
HERE = {"Sec-Fetch-Site": "same-origin"}
MISSING = FIRST + timedelta(days=4)
PAGES = ["", f"/{LAST}", f"/{MISSING}", "/features", "/quarantine?source=orders"]
NASTY = [
    "<script>alert(1)</script>",
    "..%2F..%2Fetc%2Fpasswd",
    "'; drop table t; --",
    "x" * 10_000,
    "0001-01-01",
    "9999-12-31",
]


class Noon(datetime):
    """A clock that stands still on the day after the last one."""

    @classmethod
    def now(cls, tz=UTC) -> datetime:
        """Return always the same moment."""
        return datetime(2026, 1, 13, 12, tzinfo=tz)


@pytest.fixture
def world(tmp_path, monkeypatch: pytest.MonkeyPatch) -> ShopDays:
    """Return twelve days of the shop, which the pages see; nothing is started."""
    made = ShopDays.lived(tmp_path, missing=[MISSING])
    manifest = {"as_of": "2026-01-09", "data_versions": {}, "split": {}}
    made.adapters.__dict__["registry"] = SimpleNamespace(manifest=lambda model, version: manifest)
    monkeypatch.setattr(sys.modules["perennial.catalog"], "load_use_case", lambda name: made.case)
    monkeypatch.setattr(sys.modules["perennial.adapters"].Adapters, "from_env", lambda **options: made.adapters)
    monkeypatch.setattr(runs, "dags_of_runs", lambda case, ids: dict.fromkeys(ids, f"{case}__feature_build"))
    monkeypatch.setattr(data_pages, "datetime", Noon)
    return made


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict]]:
    """Return what is started, instead of starting it."""
    found: list[tuple[str, dict]] = []
    monkeypatch.setattr(runs, "start", lambda request, dag_id, **options: found.append((dag_id, options)) or "run 1")
    return found


def keep_profile(world: ShopDays) -> None:
    """Write a profile that knows one feature, with a hostile name."""
    column = {
        "name": HOSTILE, "kind": "text", "missing": 0, "infinite": 0, "distinct": 1, "least": HOSTILE,
        "greatest": HOSTILE, "mean": None, "deviation": None, "quantiles": {}, "histogram": None,
        "top": [[HOSTILE, 3]], "label": None,
        "by_day": [{"day": "2026-01-01", "rows": 3, "missing": 0.0, "mean": None, "top": 1.0}],
    }  # fmt: skip
    table = {"name": "features", "rows": 3, "days": 1, "sampled": 3, "columns": [column], "correlations": []}
    record = {
        "case": "shop", "first": "2026-01-01", "last": "2026-01-01", "label_days": 0, "tables": [table],
        "page": "profile/shop/version-1.html", "data": "profile/shop/version-1.json",
    }  # fmt: skip
    folder = world.adapters.settings.pages_root / "profile" / "shop"
    folder.mkdir(parents=True)
    (folder / "version-1.json").write_text(json.dumps(record))


@pytest.mark.parametrize("path", PAGES)
def test_a_viewer_sees_each_page_and_no_button(world: ShopDays, path: str):
    """Buttons are for those who may start runs; every page has its styles and scripts from here alone."""
    answer = client("VIEWER").get(DATA + path)

    assert answer.status_code == 200
    assert "<form" not in answer.text
    assert "'self'" in answer.headers["content-security-policy"]
    assert " style=" not in answer.text
    assert "<script>" not in answer.text


@pytest.mark.parametrize("path", [*PAGES, "/features/spend"])
def test_nobody_looks_without_a_login(world: ShopDays, path: str):
    """A program gets 401; a browser goes to the login."""
    assert client(None).get(DATA + path).status_code == 401
    assert client(None).get(DATA + path, headers={"Accept": "text/html"}).status_code == 303
    assert client(None).get(API + path).status_code == 401


def test_who_may_not_read_the_dags_may_not_read_the_data(world: ShopDays, monkeypatch: pytest.MonkeyPatch):
    """As Airflow's manager of rights decides; the same for the JSON."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", lambda self, **what: False)

    assert client().get(DATA).status_code == 403
    assert client().get(f"{API}/{LAST}").status_code == 403


def test_the_calendar_leads_to_each_day(world: ShopDays):
    """State and refused rows are told in words beside the signs."""
    text = client().get(DATA).text

    assert f'href="{DATA}/{LAST}"' in text
    assert ", built</span>" in text
    assert ", missing</span>" in text
    assert "1 rows in quarantine" in text


def test_a_run_s_tab_leads_to_its_day(world: ShopDays):
    """The tab of a run asks for a day."""
    answer = client().get(f"{DATA}?day={LAST}")

    assert (answer.status_code, answer.headers["location"]) == (303, f"{DATA}/{LAST}")


def test_a_day_shows_checks_rows_and_lineage(world: ShopDays):
    """The page of its checks is one click away, the run that wrote it as well."""
    world.keep_checks("orders", LAST)
    text = client().get(f"{DATA}/{LAST}").text

    assert f"/perennial/pages/validation/shop/orders/{LAST}.html" in text
    assert "1 of 2 met" in text
    assert "/dags/shop__feature_build/runs/scheduled__1" in text
    assert "11 days, 2026-01-02 to 2026-01-12" in text
    assert "Build this day again" in text


def test_json_says_the_same_and_is_described(world: ShopDays):
    """Each page has a twin, whose record the description names."""
    asked = client()
    overview, day = asked.get(API).json(), asked.get(f"{API}/{LAST}").json()
    rows = asked.get(f"{API}/quarantine?source=orders&day={LAST}").json()
    described = asked.get("/perennial/openapi.json").json()["paths"]

    assert overview["counted"]["missing"] == 1
    assert (day["today"]["state"], day["lineage"]["scores"]["versions"]) == ("built", ["3"])
    assert [row["row"]["amount"] for row in rows["rows"]] == [-1.0]
    assert asked.get(f"{API}/features").json()["profile"] is None
    paths = ("", "/quarantine", "/features", "/features/{feature}", "/{day}")
    assert {path for path in described if "/data" in path} == {f"/api/models/{{case}}/data{path}" for path in paths}


def test_a_day_is_built_in_the_reader_s_name(world: ShopDays, started: list):
    """The run of the daily DAG with that day as its key; the page comes back at the day."""
    answer = client().post(f"{DATA}/{MISSING}/build", headers=HERE)

    assert (answer.status_code, answer.headers["location"]) == (303, f"{DATA}/{MISSING}?done=built")
    ((dag_id, options),) = started
    assert (dag_id, options["key"]) == ("shop__feature_build", MISSING)
    assert "ann" in options["note"]


def test_refused_rows_are_re_driven_as_the_form_says(world: ShopDays, started: list):
    """What is left empty is asked of all; the reason is the run's note as well."""
    form = {"source": "orders", "first_day": str(FIRST), "because": "within", "how": CHECK_AGAIN, "reason": " mended "}
    answer = client().post(f"{DATA}/redrive", data=form, headers=HERE)

    assert (answer.status_code, answer.headers["location"]) == (303, f"{DATA}?done=redrive#quarantine")
    ((dag_id, options),) = started
    assert dag_id == "shop__redrive"
    assert options["conf"] == {
        "source": "orders", "first_day": str(FIRST), "last_day": None, "because": "within", "how": CHECK_AGAIN,
        "reason": "mended",
    }  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {"source": "<script>"}, {"how": "by magic"}, {"first_day": "yesterday"}, {"reason": " "},
        {"first_day": "2026-01-09", "last_day": "2026-01-08"}, {"last_day": "0001-01-01"},
    ],
)  # fmt: skip
def test_a_form_that_says_nothing_sensible_starts_nothing(world: ShopDays, started: list, changed: dict):
    """The answer says what is wrong, escaped."""
    form = {"source": ALL_SOURCES, "how": CHECK_AGAIN, "reason": "mended"} | changed
    answer = client().post(f"{DATA}/redrive", data=form, headers={**HERE, "Accept": "text/html"})

    assert answer.status_code == 422
    assert "<script>" not in answer.text
    assert started == []


@pytest.mark.parametrize("path", [f"/{LAST}/build", "/redrive"])
@pytest.mark.parametrize(
    ("role", "headers", "status"),
    [(None, HERE, 401), ("VIEWER", HERE, 403), ("USER", {"Sec-Fetch-Site": "cross-site"}, 403), ("USER", {}, 403)],
)
def test_nobody_else_starts_anything(world: ShopDays, started: list, path: str, role, headers, status: int):
    """No login, no right, or a form of another site."""
    assert client(role).post(DATA + path, data={"reason": "x"}, headers=headers).status_code == status
    assert started == []


@pytest.mark.parametrize(
    "path", ["/{}", "/features/{}", "/features?profile={}", "/quarantine?source={}", "?until={}", "?day={}"]
)
def test_a_hostile_name_is_refused_in_words(world: ShopDays, path: str):
    """As a page for people and as JSON for programs: never as a 500, and never unescaped."""
    keep_profile(world)
    asked = client()
    for name in NASTY:
        page = asked.get(DATA + path.format(name), headers={"Accept": "text/html"})
        program = asked.get(API + path.format(name))

        assert page.status_code in {404, 422}, name
        assert "alert(1)</script>" not in page.text
        assert program.status_code in {404, 422} or path == "?day={}"


def test_hostile_rows_reasons_and_features_are_shown_as_text(world: ShopDays):
    """Whatever a source, a suite or a profile says."""
    world.ingest([LAST], amounts=[-1.0], reason=HOSTILE)
    world.keep_checks("orders", LAST, reason=HOSTILE)
    keep_profile(world)
    paths = [
        "",
        f"/{LAST}",
        "/features",
        f"/features/{quote(HOSTILE, safe='')}",
        f"/quarantine?source=orders&day={LAST}",
    ]
    for path in paths:
        answer = client().get(DATA + path)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text
        assert "&lt;script&gt;alert" in answer.text or "\\u003cscript" in answer.text


def test_what_does_not_answer_is_named_and_the_rest_is_shown(world: ShopDays):
    """A registry that is down, and a table whose log is broken."""

    def refuse(model, version):
        raise RegistryError("MLflow <does> not answer")

    world.adapters.registry.manifest = refuse
    (world.adapters.lake.root / "predictions/shop/_delta_log/00000000000000000001.json").write_text("{")
    answer = client().get(f"{DATA}/{LAST}")
    again = client().get(DATA)

    assert (answer.status_code, again.status_code) == (200, 200)
    assert "predictions/shop" in answer.text
    assert "built" in answer.text
    assert client().get(f"{API}/{LAST}").json()["outages"]


def test_a_lake_that_is_gone_shows_an_empty_calendar(world: ShopDays):
    """Nothing is known, and nothing fails."""
    import shutil

    shutil.rmtree(world.adapters.lake.root)
    text = client().get(DATA).text

    assert "No day is built yet." in text
    assert client().get(f"{DATA}/{LAST}").status_code == 200


def test_without_a_profile_the_page_says_how_to_make_one(world: ShopDays):
    """And one feature's address says the same."""
    assert "perennial profile shop" in client().get(f"{DATA}/features").text
    assert "perennial profile shop" in client().get(f"{API}/features/spend").text


def test_a_use_case_of_another_name_is_a_404(world: ShopDays, monkeypatch: pytest.MonkeyPatch):
    """With the words of the catalog."""
    from perennial.errors import SpecError

    def refuse(name):
        raise SpecError.unknown_case(name, ["shop"])

    monkeypatch.setattr(sys.modules["perennial.catalog"], "load_use_case", refuse)
    answer = client().get("/perennial/models/shup/data", headers={"Accept": "text/html"})

    assert answer.status_code == 404
    assert "Did you mean" in answer.text


def test_the_day_of_a_path_is_bounded():
    """Beyond these days arithmetic with days could end."""
    assert data_pages.day_of(" 2026-01-31 ") == date(2026, 1, 31)
    with pytest.raises(Exception, match="2026-01-31"):
        data_pages.day_of("1969-12-31")


def test_runs_are_no_links_where_airflow_does_not_say_whose_they_are():
    """Its database is an empty one here; the page is shown all the same."""
    assert runs.dags_of_runs("shop", {"scheduled__1"}) == {}
