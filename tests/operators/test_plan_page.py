"""The page Backfill: who sees it, who may apply what it shows, and what is told where that is not possible."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import toy
from fakes import FakeRegistry
from pageclient import client
from perennial import chunks
from perennial.adapters import Adapters
from perennial.errors import SpecError
from perennial.records import Window
from perennial.settings import Settings
from perennial.stages import backfill
from perennial.views import plan
from perennial.views.plan import Runs
from perennial_airflow.ui import runs

PAGE = "/perennial/models/shop/backfill"
FIRST = toy.FIRST + timedelta(days=20)
LAST = FIRST + timedelta(days=4)
HERE = {"Sec-Fetch-Site": "same-origin"}
FORM = {"first_day": str(FIRST), "last_day": str(LAST), "what": ["features"], "which": "all"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x>',
    "../../etc/passwd",
    "'; drop table x; --",
    "x" * 10_000,
    "\x00",
]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Adapters]:
    """Return a shop, and a world in which five of its days are built; tests look at it only."""
    folder = tmp_path_factory.mktemp("plan")
    case, world = toy.shop(folder / "use_cases"), toy.adapters(folder / "home")
    world.__dict__["registry"] = FakeRegistry()
    now = datetime(2026, 3, 1, tzinfo=UTC)
    made = backfill.plan(case, Window(FIRST, LAST + timedelta(days=1)), world, who="<ada>", now=now)
    for chunk in made.chunks:
        chunks.run(case, made, chunk, world, run="first")
    return case, world


@pytest.fixture
def world(lived: tuple[Any, Adapters], monkeypatch: pytest.MonkeyPatch) -> Adapters:
    """Put the shop in place of the catalog's files, its world in place of the adapters."""
    case, world = lived

    def load(name: str) -> Any:
        if name != case.name:
            raise SpecError.unknown_case(name, [case.name])
        return case

    monkeypatch.setattr(sys.modules["perennial.catalog"], "load_use_case", load)
    use(world, monkeypatch)
    return world


def use(world: Adapters, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a world in place of the adapters."""
    monkeypatch.setattr(sys.modules["perennial.adapters"], "Adapters", SimpleNamespace(from_env=lambda: world))


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, Any]]]:
    """Catch what would be sent to Airflow's own API; it answers that a run has begun."""
    caught: list[tuple[str, Mapping[str, Any]]] = []

    def post(_request: Any, path: str, body: Mapping[str, Any]) -> httpx.Response:
        caught.append((path, body))
        return httpx.Response(200, json={"dag_run_id": "manual__1"})

    monkeypatch.setattr(runs, "_post", post)
    return caught


def seen(role: str = "USER", **asked: Any) -> str:
    """Return the page as somebody sees it; without anything asked for, the days that ask for a backfill."""
    answer = client(role).get(PAGE, params=asked)
    assert answer.status_code == 200
    return answer.text


def test_the_page_shows_what_a_backfill_would_touch(world):
    """Days, work, parts, and a button that says how many days it builds; also without a script."""
    text = seen(**FORM)

    for expected in (
        "What it would touch", "features: 5 fresh, 5 to do", "<code>features-001</code>", "Build 5 days",
        'action="/perennial/models/shop/backfill"', 'name="first_day" value="2026-01-21"', "4 features are computed",
        "It promotes no model", "No model was trained on one of these days.",
    ):  # fmt: skip
        assert expected in text
    assert "<script" not in text.replace('<script src="/perennial/static/page.js?v=', "")


def test_without_days_the_page_shows_how_they_are(world):
    """And a form that is filled in already."""
    text = seen()

    assert "How the days are" in text
    assert 'aria-label="features: 5 fresh' in text
    assert f'name="last_day" required max="{plan.newest_day(datetime.now(UTC))}"' in text
    assert "Apply it" not in text


def test_earlier_plans_are_shown_with_who_made_them(world):
    """Escaped, with what came of them."""
    text = seen()

    assert "&lt;ada&gt;" in text
    assert "<ada>" not in text
    assert "3 of 3" in text


def test_the_same_as_json_is_documented(world):
    """Its description names the fields and the choices; the answer is what the page shows."""
    answer = client("VIEWER").get(f"/perennial/api{PAGE.removeprefix('/perennial')}", params=FORM)
    described = client("VIEWER").get("/perennial/openapi.json").json()["paths"]["/api/models/{case}/backfill"]["get"]

    assert answer.json()["blast"]["total"]["days"] == {"raw": 0, "features": 5, "predictions": 0}
    assert {each["name"] for each in described["parameters"]} >= {"case", "first_day", "last_day", "what", "which"}
    assert described["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/PlanPage")


def test_applying_starts_the_dag_in_the_readers_name(world, posted):
    """With what the form says and nothing else; the browser comes back to the runs."""
    answer = client().post(PAGE, data={**FORM, "mail_to": " ada@example.org "}, headers=HERE)

    assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}?done=backfill#runs")
    ((path, body),) = posted
    assert path == "/api/v2/dags/shop__backfill/dagRuns"
    assert body["conf"] == {**FORM, "dry_run": False, "mail_to": "ada@example.org"}
    assert "2026-01-21 to 2026-01-25, features, all" in body["note"]


def test_the_forms_parameters_are_those_of_the_dag(world, posted):
    """Airflow refuses what its DAG does not declare: names and choices have to be the same."""
    client().post(PAGE, data=FORM, headers=HERE)
    source = (Path(__file__).parents[2] / "dags" / "range_backfill.py").read_text()

    for name in posted[0][1]["conf"]:
        assert f'"{name}": Param(' in source
    assert all(f'"{choice}"' in source for choice in ("missing", "missing and stale", "all"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"first_day": "2026-01-26"}, "The last day 2026-01-25 is before the first day 2026-01-26"),
        ({"last_day": "2999-01-01"}, "2999-01-01 is not over yet"),
        ({"first_day": "1999-01-01"}, "a plan holds 1,100 at most"),
        ({"what": []}, "Nothing is chosen to be built"),
        ({"what": ["predictions"]}, "There is no champion to score with"),
        ({"which": "<b>"}, "&#39;&lt;b&gt;&#39; is no choice of days"),
        ({"mail_to": "everyone"}, "&#39;everyone&#39; is not one mail address"),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_sentence(world, posted, change, told):
    """By the form that applies, and by the page that only looks; nothing is started."""
    refused = client().post(PAGE, data={**FORM, **change}, headers={**HERE, "Accept": "text/html"})

    assert refused.status_code == 422
    assert told in refused.text
    assert posted == []
    if "mail_to" not in change:
        text = seen(**{**FORM, **change})
        assert told in text
        assert "Apply it" not in text


@pytest.mark.parametrize(("role", "sees"), [("VIEWER", False), ("USER", True), ("OP", True), ("ADMIN", True)])
def test_only_who_may_start_runs_sees_the_button(world, posted, role, *, sees):
    """A viewer reads the plan; the form that they could send all the same is refused."""
    text = seen(role, **FORM)

    assert ("Build 5 days" in text) is sees
    assert ("Who may start runs of shop__backfill can apply it." in text) is not sees
    assert client(role).post(PAGE, data=FORM, headers=HERE).status_code == (303 if sees else 403)
    assert len(posted) == sees


def test_nobody_looks_or_applies_without_a_login(world, posted):
    """A program gets 401; a browser is led to the login and back to the page."""
    anonymous = client(None)
    browser = anonymous.get(PAGE, headers={"Accept": "text/html"})

    assert anonymous.get(PAGE).status_code == 401
    assert anonymous.get(f"/perennial/api{PAGE.removeprefix('/perennial')}").status_code == 401
    assert anonymous.post(PAGE, data=FORM, headers=HERE).status_code == 401
    assert browser.headers["location"] == f"/api/v2/auth/login?next={PAGE}"
    assert posted == []


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example.org"}])
def test_a_form_of_another_site_starts_nothing(world, posted, headers):
    """Nor one that does not say where it comes from."""
    assert client().post(PAGE, data=FORM, headers=headers).status_code == 403
    assert posted == []


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("field", ["first_day", "last_day", "what", "which", "tries"])
def test_hostile_words_are_shown_as_words(world, field, text):
    """They are no markup, and no error of the server."""
    asked = {**FORM, field: [text] if field == "what" else text}
    found = seen(**asked)

    assert "<script>alert" not in found
    assert "<img src=x" not in found
    assert len(found) < 60_000


@pytest.mark.parametrize("name", ["<script>", "..", "%2e%2e%2fetc", "x' or 1=1", "n" * 10_000, "Shop"])
def test_a_hostile_name_of_a_use_case_is_not_found(world, name):
    """Whatever it holds, it comes back escaped."""
    answer = client("ADMIN").get(f"/perennial/models/{name}/backfill", headers={"Accept": "text/html"})

    assert answer.status_code == 404
    assert "<script>" not in answer.text
    assert len(answer.text) < 20_000


@pytest.mark.parametrize("name", ["first_day", "last_day", "what", "which", "tries"])
def test_the_json_refuses_what_it_does_not_know(world, name):
    """A program is told by its field."""
    answer = client().get(f"/perennial/api{PAGE.removeprefix('/perennial')}", params={**FORM, name: "x" * 50})

    assert answer.status_code == 422
    assert name in answer.text


def test_a_dead_airflow_leaves_the_plan(world):
    """Here it has no database at all: runs are not known, the rest is."""
    text = seen(**FORM)

    assert "Airflow&#39;s database does not answer (OperationalError): runs are not known." in text
    assert "not known now" in text
    assert "Build 5 days" in text


def test_a_dead_ledger_leaves_the_days(world, monkeypatch: pytest.MonkeyPatch):
    """Models are not known, and that is named; nobody is kept from applying."""
    settings = Settings(home=world.settings.home, ledger_url="postgresql://nobody:secret@127.0.0.1:9/none")
    use(Adapters(settings), monkeypatch)
    text = seen(**FORM)

    assert "nobody:***@127.0.0.1:9/none does not answer" in text
    assert "which days each model was trained on" in text
    assert "Build 5 days" in text


def test_what_airflow_refuses_comes_back_in_its_words(world, monkeypatch: pytest.MonkeyPatch):
    """The DAG is not there yet, for one."""
    monkeypatch.setattr(runs, "_post", lambda *_: httpx.Response(404, json={"detail": "The Dag was not found"}))
    answer = client().post(PAGE, data=FORM, headers={**HERE, "Accept": "text/html"})

    assert answer.status_code == 404
    assert "Airflow refuses to start shop__backfill: The Dag was not found" in answer.text


def test_a_run_leads_to_airflow_and_a_paused_dag_is_said(world, monkeypatch: pytest.MonkeyPatch):
    """Whatever its form held; the link leaves the frame."""
    row = {"run_id": "manual__2026 a/b", "state": "running", "triggering_user_name": None, "start_date": None}
    row |= {"end_date": None, "conf": {"first_day": "<b>", "last_day": date(2026, 3, 1)}}
    run = runs._of_range("/air", "shop__backfill", row)
    monkeypatch.setattr(runs, "of_ranges", lambda *_: Runs((run,), paused=True))
    text = seen(**FORM)

    assert run.href == "/air/dags/shop__backfill/runs/manual__2026%20a%2Fb"
    assert (run.who, run.days, run.dry) == ("airflow", "<b> to 2026-03-01", False)
    assert f'href="{run.href}" target="_top"' in text
    assert "&lt;b&gt; to 2026-03-01" in text
    assert "is paused: a run waits" in text
    assert runs._of_range("", "x", row | {"conf": "odd"}).days == ""


def test_what_was_started_is_said(world):
    """By a key of the address; no other text can be put there."""
    assert "Airflow has started the backfill." in seen(done="backfill")
    assert "<script>alert" not in seen(done="<script>alert(1)</script>")
