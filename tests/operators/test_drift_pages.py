"""The Drift page and that of a feature: who may look, what is shown, and what hostile addresses come to."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pageclient
import pytest
from fastapi.testclient import TestClient
from perennial.errors import LakeError, LedgerError, RegistryError
from perennial.views.shelf import Shelf
from perennial_airflow.ui import drift
from servedworlds import Dead, Served, served_world

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "..%2f..%2fetc%2fpasswd",
    "'); drop table ledger_entries; --",
    "{{ 7 * 7 }}",
    "a%00b",
    "x" * 10_000,
]
BROWSER = {"Accept": "text/html"}


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Served:
    """Return a world of four days that were looked at; MLflow is a server."""
    found = served_world(tmp_path_factory, tmp_path)
    found.adapters.settings.mlflow = "http://mlflow:5000"
    return found


@pytest.fixture
def case(served: Served):
    """Return its use case, which the catalog then knows."""
    return served.case


@pytest.fixture
def adapters(served: Served, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return its outside world, with nothing at hand from another test."""
    monkeypatch.setattr(drift, "REFERENCES", Shelf(most=2))
    return served.adapters


def client(role: str | None = "VIEWER") -> TestClient:
    """Return a client of somebody who only looks; a mistake of ours is an answer of 500."""
    return pageclient.client(role, raise_server_exceptions=False)


class Seen(HTMLParser):
    """What of a page could run, and its headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))

    @property
    def active(self) -> list[str]:
        """Return scripts that are not ours, handlers and styles within the page."""
        scripts = [
            str(found) for tag, found in self.tags
            if tag == "script" and found.get("type") != "application/json"
            and not str(found.get("src", "")).startswith("/perennial/static/")
        ]  # fmt: skip
        inline = [name for _, found in self.tags for name in found if name.startswith("on") or name == "style"]
        return [*scripts, *inline, *(tag for tag, _ in self.tags if tag in {"style", "img", "iframe"})]


def test_a_viewer_sees_the_newest_day(served: Served):
    """Verdict, figures, every feature, Evidently's report in a tab of its own, and the model's page in MLflow."""
    answer = client().get("/perennial/models/toy/drift")

    assert answer.status_code == 200
    day = served.days[-1]
    for words in (
        f"{day} ", ">stable</span>", "Drift at stake", "PSI of the scores", "What moved most",
        f'target="_blank" rel="noopener" href="/perennial/pages/drift/toy/{day}/version-2.html"',
        'href="http://mlflow:5000/#/models/toy/versions/2"',
        f'href="/perennial/models/toy/drift?day={served.days[-2]}"',
        *(f'href="/perennial/models/toy/drift/{name}?day={day}"' for name in (*served.case.features.columns, "score")),
    ):  # fmt: skip
        assert words in answer.text
    assert Seen(answer.text).active == []


def test_the_page_says_the_same_as_json(served: Served):
    """Figures as figures, days as texts."""
    found = client().get("/perennial/api/models/toy/drift", params={"day": str(served.days[1])}).json()

    assert (found["day"], found["version"], found["state"]) == (str(served.days[1]), "1", "looked at")
    assert found["rows"][0]["name"] == "score"
    assert found["scatter"]["panels"][0]["limit"] == 1.0


def test_a_feature_has_a_page_and_json(served: Served):
    """Both with its distribution, and its PSI by day."""
    page = client().get("/perennial/models/toy/drift/recency")
    found = client().get("/perennial/api/models/toy/drift/recency").json()

    assert page.status_code == 200
    assert "The bins are those that the PSI compares" in page.text
    assert Seen(page.text).active == []
    assert found["distribution"]["current"]["rows"] == 150
    assert len(found["psi"]["panels"][0]["traces"][0]["x"]) == 4


@pytest.mark.parametrize("name", ["town", "score"])
def test_texts_and_scores_have_pages_too(name: str):
    """Texts have no distribution function."""
    answer = client().get(f"/perennial/models/toy/drift/{name}")

    assert answer.status_code == 200
    assert ("added up" in answer.text) is (name == "score")


@pytest.mark.parametrize("path", ["drift", "drift/recency"])
def test_nobody_looks_without_a_login(path: str):
    """A browser goes to the login and comes back; a program gets 401."""
    browser = client(None).get(f"/perennial/models/toy/{path}", headers=BROWSER)

    assert browser.headers["location"] == f"/api/v2/auth/login?next=/perennial/models/toy/{path}"
    assert client(None).get(f"/perennial/models/toy/{path}").status_code == 401
    assert client(None).get(f"/perennial/api/models/toy/{path}").status_code == 401


@pytest.mark.parametrize("path", ["models/toy/drift", "api/models/toy/drift", "models/toy/drift/recency"])
def test_who_may_not_read_the_dags_of_a_use_case_sees_nothing(path: str, monkeypatch: pytest.MonkeyPatch):
    """As Airflow's own manager of rights decides."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", lambda self, **what: False)

    assert client().get(f"/perennial/{path}").status_code == 403


def test_the_pages_hold_to_a_policy_that_lets_nothing_else_run():
    """And no browser keeps them."""
    headers = client().get("/perennial/models/toy/drift").headers

    assert "script-src 'self'; style-src 'self'" in headers["content-security-policy"]
    assert (headers["cache-control"], headers["x-frame-options"]) == ("private, no-store", "SAMEORIGIN")


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("path", ["drift?day={}", "drift/{}", "drift/recency?day={}"])
def test_a_hostile_address_is_refused_in_words(path: str, hostile: str):
    """Nothing of it is markup, and nothing of it is a mistake of ours."""
    answer = client().get(f"/perennial/models/toy/{path.format(hostile)}", headers=BROWSER)

    assert answer.status_code in {404, 422}
    assert Seen(answer.text).active == []
    assert len(answer.text) < 6_000


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2026-02-30", "20260230", "now"])
def test_a_day_that_no_table_can_have_is_refused(day: str):
    """With how a day is written."""
    answer = client().get("/perennial/api/models/toy/drift", params={"day": day})

    assert answer.status_code == 422
    assert answer.json()["detail"] == f"day is written as 2026-01-31, got '{day}'."


def test_an_empty_day_of_the_form_is_the_newest(served: Served):
    """As browsers send it."""
    assert client().get("/perennial/api/models/toy/drift?day=").json()["day"] == str(served.days[-1])


def test_a_day_that_was_not_looked_at_leads_to_the_newest(served: Served):
    """No figures, no table."""
    answer = client().get("/perennial/models/toy/drift?day=2026-02-25")

    assert answer.status_code == 200
    assert "<b>2026-02-25 was not looked at yet.</b>" in answer.text
    assert f"To the newest day, {served.days[-1]}" in answer.text
    assert '<table id="columns"' not in answer.text


def test_without_mlflow_the_findings_are_shown(served: Served):
    """What is not known is named."""
    served.adapters.registry = Dead(RegistryError)
    answer = client().get("/perennial/models/toy/drift")

    assert answer.status_code == 200
    assert (
        '<p class="notice" role="status">MLflow does not give what version 2 was trained on: file does not answer</p>'
        in answer.text
    )
    assert '<table id="columns"' in answer.text
    assert "What moved most" not in answer.text


@pytest.mark.parametrize("path", ["drift", "drift/recency"])
@pytest.mark.parametrize(("part", "error"), [("lake", LakeError), ("ledger", LedgerError), ("registry", RegistryError)])
def test_a_dead_part_of_the_world_is_named(served: Served, path: str, part: str, error: type[Exception]):
    """On every page, which is there all the same."""
    setattr(served.adapters, part, Dead(error))
    if part == "ledger":
        served.adapters.ledger = SimpleNamespace(
            transaction=Dead(error).transaction, monitors=Dead(error).monitors, measures=Dead(error).measures
        )
    answer = client().get(f"/perennial/models/toy/{path}")

    assert answer.status_code == 200
    assert "does not answer</p>" in answer.text


def test_a_broken_use_case_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch):
    """404, with the words of whoever loads it."""
    import sys

    from perennial.errors import SpecError

    def load(name: str) -> None:
        raise SpecError.unknown_case(name, ["toy"])

    monkeypatch.setattr(sys.modules["perennial.catalog"], "load_use_case", load)
    answer = client().get("/perennial/models/tyo/drift", headers=BROWSER)

    assert answer.status_code == 404
    assert "Did you mean" in answer.text


def test_the_routes_are_described():
    """The JSON ones, with their day."""
    described = client().get("/perennial/openapi.json").json()

    assert "/models/{case}/drift" not in described["paths"]
    (day,) = [
        each for each in described["paths"]["/api/models/{case}/drift"]["get"]["parameters"] if each["in"] == "query"
    ]
    assert (day["name"], day["schema"]["format"]) == ("day", "date")
    assert "DriftPage" in described["components"]["schemas"]
