"""The pages inside Airflow: who may look, what is shown, and what is shown when parts of the world are down."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from perennial.errors import LedgerError, RegistryError, SpecError
from perennial.incidents import Incident
from perennial.records import AlertRecord, Window
from perennial.verdicts import GateReport
from perennial_airflow.ui.app import inside, make_app
from perennial_airflow.ui.security import LOGIN

DAY = date(2026, 3, 1)


class World:
    """Ledger, lake and registry of one promoted use case; each can be put out of order."""

    def __init__(self, case, finding) -> None:
        self.settings = SimpleNamespace(mlflow="sqlite:///mlflow.db", pages_root=Path("/nowhere"))
        self.finding = finding
        self.dead: set[str] = set()
        self.remembered: tuple[str, ...] = (case.name,)
        self.incidents: tuple[Incident, ...] = ()
        self.late: tuple[datetime, ...] = ()
        self.terms: dict | None = None
        self.ledger = self.lake = self.registry = self

    def _alive(self, part: str, error: type[Exception]) -> None:
        if part in self.dead:
            raise error(f"the {part} <does not> answer")

    def cases(self):
        """Return what the ledger remembers."""
        self._alive("ledger", LedgerError)
        return self.remembered

    def latest_promotion(self, case):
        """Return a promotion ten days ago."""
        self._alive("ledger", LedgerError)
        at, report = datetime.now(UTC).replace(microsecond=0), {"probation": self.terms} if self.terms else {}
        return SimpleNamespace(
            id=3, action="promoted", from_version="6", to_version="7", at=at, who="ann <ann>", report=report
        )

    def latest(self, case, action):
        """Return no entry: no probation is over."""
        self._alive("ledger", LedgerError)

    def latest_report(self, case, *, version=None):
        """Return a report in which the champion beats its baseline."""
        self._alive("ledger", LedgerError)
        figures = {"challenger": {"roc_auc": 0.81, "log_loss": 0.4}, "recency": {"roc_auc": 0.66, "log_loss": 0.3}}
        return GateReport(case, "7", None, DAY, (), figures, Window.of_day(DAY), 10)

    def latest_monitor(self, case):
        """Return the finding."""
        self._alive("ledger", LedgerError)
        return self.finding

    def alerts(self, case, *, limit=100):
        """Return one mail."""
        self._alive("ledger", LedgerError)
        return (
            AlertRecord(case, "drifted", DAY, DAY, "data drifted <b>", ("x",), datetime(2026, 3, 2, 4, tzinfo=UTC)),
        )

    def open_incidents(self):
        """Return the incidents that are open."""
        self._alive("ledger", LedgerError)
        return self.incidents

    def overdue(self, now):
        """Return since when mails wait."""
        self._alive("ledger", LedgerError)
        return self.late

    def days(self, table):
        """Return one day."""
        return (DAY,)

    def version_of(self, model, alias):
        """Return the alias."""
        self._alive("registry", RegistryError)
        return "6"


@pytest.fixture
def world(monkeypatch, case, make_finding) -> World:
    """Put the world in place of the adapters, and one case in place of the catalog's files."""
    world = World(case, make_finding(reason="40% <script>alert(1)</script> drifted"))
    monkeypatch.setattr(sys.modules["perennial.adapters"], "Adapters", SimpleNamespace(from_env=lambda: world))
    catalog = sys.modules["perennial.catalog"]
    monkeypatch.setattr(catalog, "use_cases", lambda: (case,), raising=False)
    monkeypatch.setattr(catalog, "broken_use_cases", dict, raising=False)
    return world


def mounted(*, logged_in: bool) -> TestClient:
    """Return a client of the app as Airflow mounts it."""
    app, airflow = make_app(), FastAPI()
    if logged_in:
        app.dependency_overrides[LOGIN.dependency] = lambda: None
    airflow.mount("/perennial", app)
    return TestClient(airflow, follow_redirects=False)


AT = datetime(2026, 3, 1, 4, tzinfo=UTC)
MOVED = Incident(
    12, "toy", "aliases", "aliases moved", "critical", DAY, AT, "alias 'champion' is at <3>", "7", cases=("toy",),
    acknowledged_by="<ann>", snoozed_until=date(2026, 3, 9),
)  # fmt: skip


def test_an_open_incident_is_shown_with_what_can_be_done(world):
    """What, since when, how serious, who is at work; forms, the runbook; all escaped."""
    client = mounted(logged_in=True)
    assert "Open incidents" not in client.get("/perennial/models").text
    world.incidents = (MOVED,)

    text = client.get("/perennial/models").text
    for expected in (
        "toy: aliases moved", "is at &lt;3&gt;", "&lt;ann&gt;", "No mails before 2026-03-09", 'href="#incident-12"',
        'href="/perennial/runbook#aliases-moved"', 'action="/perennial/incidents/12/acknowledge"',
        'action="/perennial/incidents/12/snooze"',
    ):  # fmt: skip
        assert expected in text


def test_mails_that_do_not_go_out_are_said(world):
    """Nobody could be mailed about it."""
    world.late = (AT, AT)

    assert (
        "2 mails have not gone out, the oldest since 2026-03-01 04:00 UTC"
        in mounted(logged_in=True).get("/perennial/models").text
    )


def test_a_probation_is_shown_with_how_far_it_has_come(world):
    """Of thirty days with labels of seven days, none has matured on its second day."""
    client = mounted(logged_in=True)
    assert "probation" not in client.get("/perennial/models").text
    terms = {"loss": 0.02, "horizon_days": 7, "days": 30, "labels": None, "alpha": 0.05}
    world.terms = {"metric": "log_loss", "terms": terms, "start": "2026-02-22", "value": None}
    text = client.get("/perennial/models").text

    assert "on probation against version 6: 0 of 30 days with labels, until 2026-03-31 at the earliest" in text


@pytest.mark.parametrize(
    "path", ["/perennial/models", "/perennial/pages/drift/x.html", "/perennial/pages/%2e%2e/etc/passwd"]
)
def test_nobody_looks_without_a_login(path, world):
    """A program gets 401; a browser is sent to the login page and comes back to where it wanted to go."""
    client = mounted(logged_in=False)

    assert client.get(path).status_code == 401
    browser = client.get("/perennial/models", headers={"Accept": "text/html"})
    assert (browser.status_code, browser.headers["location"]) == (303, "/api/v2/auth/login?next=/perennial/models")


def test_a_forged_token_is_refused(world):
    """Airflow's own check decides, not this app."""
    from airflow.api_fastapi.app import create_auth_manager

    create_auth_manager()
    answer = mounted(logged_in=False).get("/perennial/models", headers={"Authorization": "Bearer forged"})

    assert answer.status_code in {401, 403}


def test_the_page_shows_each_use_case(world):
    """Champion, metrics beside the baseline, newest day, verdict, mail and links."""
    text = mounted(logged_in=True).get("/perennial/models").text

    for expected in ("version 7", "0.810", "0.660", "recency", "2026-03-01", "drifted", "2026-03-02 04:00 UTC"):
        assert expected in text
    assert 'href="/dags?tags=toy"' in text
    assert 'href="/perennial/pages/toy/drift/2026-03-01.html"' in text


def test_the_champion_leads_to_its_card_where_there_is_one(world, tmp_path):
    """A champion of an earlier version of Perennial has none, and no dead link."""
    client, address = mounted(logged_in=True), "/perennial/pages/cards/toy/version-7.html"
    world.settings.pages_root = tmp_path
    assert address not in client.get("/perennial/models").text
    (tmp_path / "cards" / "toy").mkdir(parents=True)
    (tmp_path / "cards" / "toy" / "version-7.html").write_text("card")

    assert f'href="{address}">version 7</a>' in client.get("/perennial/models").text


def test_a_metric_worse_than_its_baseline_is_marked(world):
    """Log loss is better when smaller: .4 against .3 is bad, while an AUC of .81 against .66 is good."""
    text = mounted(logged_in=True).get("/perennial/models").text

    assert '<b class="good-ink">0.810</b>' in text
    assert '<b class="bad-ink">0.400</b>' in text


def test_every_value_is_escaped(world):
    """Reasons, names and subjects come from data; none of them becomes markup."""
    text = mounted(logged_in=True).get("/perennial/models").text

    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "ann &lt;ann&gt;" in text
    assert "data drifted &lt;b&gt;" in text


def test_the_page_may_only_be_framed_by_airflow(world):
    """Same origin only, no scripts at all, styles by nonce."""
    headers = mounted(logged_in=True).get("/perennial/models").headers

    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert "default-src 'none'; style-src 'nonce-" in headers["content-security-policy"]
    assert "frame-ancestors 'self'" in headers["content-security-policy"]


def test_a_dead_ledger_leaves_what_mlflow_and_lake_know(world):
    """The champion comes from the alias; the rest is said to be unknown, not missing."""
    world.dead = {"ledger"}
    answer = mounted(logged_in=True).get("/perennial/models")

    assert answer.status_code == 200
    assert "the ledger &lt;does not&gt; answer" in answer.text
    assert "version 6" in answer.text
    assert "not known now" in answer.text
    assert "2026-03-01" in answer.text


def test_with_ledger_and_registry_dead_the_page_still_comes(world):
    """Both outages are named, once each."""
    world.dead = {"ledger", "registry"}
    text = mounted(logged_in=True).get("/perennial/models").text

    assert text.count("the ledger &lt;does not&gt; answer") == text.count("the registry &lt;does not&gt; answer") == 1


def test_a_dead_mlflow_server_is_named(world):
    """Nothing else of the page depends on it."""
    world.settings.mlflow = "http://127.0.0.1:9"
    text = mounted(logged_in=True).get("/perennial/models").text

    assert "MLflow at http://127.0.0.1:9 does not answer" in text
    assert "version 7" in text


def test_a_deleted_use_case_keeps_the_row_of_its_champion(world):
    """The folder is gone, the champion is not: nobody would know otherwise."""
    world.remembered = ("toy", "gone")
    text = mounted(logged_in=True).get("/perennial/models").text

    assert ">gone</div>" in text
    assert "Its folder is gone; its champion is still in the registry." in text


def test_a_broken_use_case_says_what_is_wrong(world, monkeypatch):
    """The error of the catalog stands in its row."""
    broken = {"odd": SpecError("odd/use_case.yaml is wrong: <colour>")}
    monkeypatch.setattr(sys.modules["perennial.catalog"], "broken_use_cases", lambda: broken)
    text = mounted(logged_in=True).get("/perennial/models").text

    assert "odd/use_case.yaml is wrong: &lt;colour&gt;" in text


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """Return a folder of pages beside a secret."""
    root = tmp_path / "pages"
    (root / "drift").mkdir(parents=True)
    (root / "drift" / "a.html").write_text("<p>report</p>")
    (root / "drift" / "a.py").write_text("code")
    (tmp_path / "secret.html").write_text("TOP SECRET")
    (root / "way-out.html").symlink_to(tmp_path / "secret.html")
    monkeypatch.setattr("perennial.settings.load_settings", lambda: SimpleNamespace(pages_root=root))
    return root


def test_a_report_is_shown_in_a_sandbox(pages):
    """Its scripts may draw; they have no origin, so that they reach neither session nor network."""
    answer = mounted(logged_in=True).get("/perennial/pages/drift/a.html")

    assert (answer.status_code, answer.text) == (200, "<p>report</p>")
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in answer.headers["content-security-policy"]


def test_markdown_is_plain_text_behind_the_same_login(pages):
    """Nothing in it becomes a page, whatever a browser guesses."""
    (pages / "card.md").write_text("# <script>alert(1)</script>")
    answer = mounted(logged_in=True).get("/perennial/pages/card.md")

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text == "# <script>alert(1)</script>"
    assert mounted(logged_in=False).get("/perennial/pages/card.md").status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "../secret.html", "%2e%2e/secret.html", "drift/../../secret.html", "/etc/passwd", "//etc/passwd",
        "way-out.html", "drift/a.py", "drift", "", "missing.html", "drift/a.html%00", "..%5csecret.html",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_pages(path, pages):
    """Neither dots nor links nor absolute names; and only pages are pages."""
    answer = mounted(logged_in=True).get(f"/perennial/pages/{path}")

    assert answer.status_code in {307, 404}
    assert "TOP SECRET" not in answer.text
    assert inside(pages, "../secret.html") is inside(pages, "way-out.html") is None


def test_what_this_app_uses_of_airflow_is_there():
    """`core_api.security` is internal: this is the test that breaks when a release changes it."""
    from airflow.api_fastapi.core_api import security

    assert callable(security.requires_authenticated())
    assert callable(security.requires_access_dag(method="POST"))
    assert LOGIN.dependency.__annotations__.keys() >= {"request", "user"}
