"""The pages inside Airflow: who may look, what is shown, and what is shown when parts of the world are down."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from pageclient import client
from perennial import raising
from perennial.errors import LakeError, LedgerError, RegistryError, SpecError
from perennial.io.ledger import Entry
from perennial.raising import By, Raised
from perennial.records import Measure
from perennial.views.fleet import Question
from perennial_airflow.ui import runs
from perennial_airflow.ui.app import inside
from perennial_airflow.ui.runs import Facts
from perennial_airflow.ui.security import LOGIN

DAY = date(2026, 3, 1)
AT = datetime(2026, 3, 1, 4, tzinfo=UTC)
HOSTILE = "ann <script>alert(1)</script>"


def mounted(*, logged_in: bool, role: str = "ADMIN") -> TestClient:
    """Return a client of the app as Airflow mounts it."""
    return client(role if logged_in else None)


def shown(**options) -> str:
    """Return the page as somebody with a login sees it."""
    return mounted(logged_in=True, **options).get("/perennial/models").text


@pytest.fixture(autouse=True)
def airflow_knows(monkeypatch):
    """Let Airflow know nothing, unless a test says otherwise."""
    known = SimpleNamespace(facts=Facts())
    monkeypatch.setattr(runs, "facts", lambda root, case=None: known.facts)
    return known


@pytest.fixture
def world(adapters, make_finding):
    """Return the outside world of one use case with a champion that was looked at yesterday."""
    today = datetime.now(UTC).date()
    adapters.lake.known = (today - timedelta(days=1),)
    figures = {"challenger": {"roc_auc": 0.81, "expected_profit": 12.0}, "constant": {"roc_auc": 0.5}}
    entry = Entry("toy", AT, "evaluated", "airflow", "passed", "run 1", to_version="7", report={"metrics": figures})
    adapters.ledger.add(entry)
    adapters.ledger.add(replace(entry, action="promoted", who=HOSTILE, report={}, from_version="6"))
    adapters.ledger.add_monitor(make_finding(day=today - timedelta(days=1), verdict="stable"), at=AT, run="run 1")
    return adapters


def measured(world, make_finding, *measures: Measure, days_ago: int = 1) -> None:
    """Let a day have been measured."""
    day = datetime.now(UTC).date() - timedelta(days=days_ago)
    world.ledger.add_monitor(make_finding(day=day, verdict="stable", measures=measures), at=datetime.now(UTC), run="r")


def opened(world, **fields):
    """Open an incident."""
    about = {"case": "toy", "about": "aliases", "kind": "aliases moved", "severity": "critical", "since": DAY}
    raised = Raised(**(about | {"reason": "alias 'champion' is at <3>"} | fields))
    return raising.raise_incident(raised, world, by=By("airflow", "run 1", AT), after=0)


def dead(monkeypatch, world, part: str) -> None:
    """Let a part of the world not answer."""
    error = {"ledger": LedgerError, "lake": LakeError, "registry": RegistryError}[part]

    def refuse(*args, **options):
        raise error(f"the {part} <does not> answer")

    names = {
        "ledger": ("glance", "open_incidents", "overdue"), "lake": ("newest_days", "shadow_days"),
        "registry": ("registry",),
    }  # fmt: skip
    for name in names[part]:
        monkeypatch.setattr(world, name, SimpleNamespace(version_of=refuse) if name == "registry" else refuse)


def test_an_open_incident_is_shown_with_what_can_be_done(world):
    """What, since when, how serious, who is at work; forms, the runbook; all escaped; the use case is degraded."""
    assert "Open incidents" not in shown()
    number = opened(world).id

    text = shown()
    for expected in (
        "toy: aliases moved", "is at &lt;3&gt;", f'href="#incident-{number}"', 'data-state="degraded"',
        'href="/perennial/runbook#aliases-moved"', f'action="/perennial/incidents/{number}/acknowledge"',
        f'action="/perennial/incidents/{number}/snooze"',
    ):  # fmt: skip
        assert expected in text


def test_who_may_not_act_sees_no_forms(world):
    """A viewer reads what is wrong and the runbook."""
    opened(world)
    text = shown(role="VIEWER")

    assert "toy: aliases moved" in text
    assert "<form" not in text


def test_an_incident_that_is_only_told_degrades_nothing(world):
    """Of severity info."""
    opened(world, about="held", kind="challenger held back", severity="info")

    assert 'data-state="healthy"' in shown()


def test_mails_that_do_not_go_out_are_said(world):
    """Nobody could be mailed about it."""
    world.overdue = lambda now: (AT, AT)

    assert "2 mails have not gone out, the oldest since 2026-03-01 04:00 UTC" in shown()


def test_a_probation_is_shown_with_how_far_it_has_come(world):
    """Of thirty days with labels of seven days, none has matured on its second day."""
    assert "on probation" not in shown()
    terms = {"loss": 0.02, "horizon_days": 7, "days": 30, "labels": None, "alpha": 0.05}
    kept = {"metric": "log_loss", "terms": terms, "start": "2026-02-22", "value": None}
    world.ledger.add(Entry("toy", AT, "promoted", "ann", "", "run 2", "7", "8", report={"probation": kept}))
    world.lake.known = (DAY,)
    text = shown()

    assert "on probation against version 7: 0 of 30 days with labels, until 2026-03-31 at the earliest" in text


def test_an_approval_that_waits_is_one_click_away(world, airflow_knows):
    """Airflow's own form has the buttons."""
    airflow_knows.facts = Facts({"toy": AT}, (Question("toy", "Promote 8?", AT, "/dags/toy__model_promotion/runs/1"),))
    text = shown()

    assert 'data-state="waiting for approval"' in text
    assert '<a target="_top" href="/dags/toy__model_promotion/runs/1">Open the approval</a>' in text
    assert "2026-03-01 04:00 UTC" in text


def test_old_features_make_a_use_case_stale(world):
    """Two days old is as usual after a night; three days are not."""
    today = datetime.now(UTC).date()
    world.lake.known = (today - timedelta(days=2),)
    assert 'data-state="healthy"' in shown()
    world.lake.known = (today - timedelta(days=3),)

    assert 'data-state="stale"' in shown()


def test_a_use_case_without_a_champion_says_so(adapters):
    """As before the first training."""
    adapters.lake.known = ()
    text = shown()

    assert 'data-state="no champion yet"' in text
    assert "none yet" in text


@pytest.mark.parametrize(
    "path", ["/perennial/models", "/perennial/api/models", "/perennial/openapi.json", "/perennial/static/page.js",
             "/perennial/models/toy", "/perennial/pages/drift/x.html", "/perennial/pages/%2e%2e/etc/passwd"],
)  # fmt: skip
def test_nobody_looks_without_a_login(path, world):
    """A program gets 401; a browser is sent to the login page and comes back to where it wanted to go."""
    client = mounted(logged_in=False)

    assert client.get(path).status_code == 401
    browser = client.get("/perennial/models", headers={"Accept": "text/html"})
    assert (browser.status_code, browser.headers["location"]) == (303, "/api/v2/auth/login?next=/perennial/models")


def test_a_forged_token_is_refused(world):
    """Airflow's own check decides, not this app."""
    answer = mounted(logged_in=False).get("/perennial/models", headers={"Authorization": "Bearer forged"})

    assert answer.status_code in {401, 403}


def test_who_may_not_read_a_use_case_does_not_see_it(world, monkeypatch):
    """Neither its row nor its incidents, and its page is refused in words."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    opened(world)
    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", lambda self, **what: False)
    client = mounted(logged_in=True)

    assert "toy" not in client.get("/perennial/models").text
    assert client.get("/perennial/api/models").json()["rows"] == []
    assert client.get("/perennial/models/toy").status_code == 403


def test_the_page_shows_each_use_case(world, airflow_knows):
    """Champion, metric with baseline and limit, money, last day, next run."""
    airflow_knows.facts = Facts({"toy": AT})
    text = shown()

    for expected in (
        "version 7", "ROC AUC", ">0.810</b>", "on its holdout", "limit 0.550", "baseline 0.500", "Who buys again?",
        "<b>12</b>", "promised by the holdout", "2026-03-01 04:00 UTC", 'href="/perennial/models/toy"',
        str(datetime.now(UTC).date() - timedelta(days=1)),
    ):  # fmt: skip
        assert expected in text


def test_matured_labels_come_before_the_estimate_and_the_holdout(world, make_finding):
    """With their interval, a line through the days and the area of the intervals; below its limit it is bad."""
    measured(world, make_finding, Measure("estimate", "roc_auc", "value", 0.7, 0.68, 0.72))
    assert "estimated, labels not matured" in shown()
    measured(world, make_finding, Measure("performance", "roc_auc", "value", 0.6, 0.58, 0.62), days_ago=2)
    measured(world, make_finding, Measure("performance", "roc_auc", "value", 0.5, 0.45, 0.54, limit=0.55, over=True))
    text = shown()

    assert '<b class="bad-ink">0.500</b>' in text
    assert "0.450 to 0.540" in text
    assert '<path class="band" d="M0.0 ' in text


def test_realised_money_stands_beside_what_was_promised(world, make_finding):
    """As matured labels tell it."""
    money = [
        Measure("value", "expected_profit", "realised", 9.5),
        Measure("value", "expected_profit", "expected", 11.0),
    ]
    measured(world, make_finding, *money)
    text = shown()

    assert "<b>9.5</b>" in text
    assert "promised 11" in text


def test_the_same_is_there_as_json_and_described(world):
    """What a page shows a program can read; OpenAPI says how."""
    client = mounted(logged_in=True)
    (row,) = client.get("/perennial/api/models").json()["rows"]

    assert (row["case"], row["state"], row["champion"], row["headline"]["value"]) == ("toy", "healthy", "7", 0.81)
    described = client.get("/perennial/openapi.json").json()["paths"]
    assert "/api/models" in described
    assert not [path for path in described if not path.startswith("/api/")]


def test_every_value_is_escaped(world):
    """Names and reasons come from data; none of them becomes markup."""
    opened(world, reason="40% <script>alert(2)</script> drifted")
    text = shown()

    assert "<script>alert" not in text
    assert "ann &lt;script&gt;" in text
    assert "40% &lt;script&gt;" in text


def test_the_page_takes_scripts_and_styles_from_this_server_alone(world):
    """Same origin only: nothing inline, nothing from elsewhere, framed by Airflow alone."""
    answer = mounted(logged_in=True).get("/perennial/models")
    policy = answer.headers["content-security-policy"]

    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'self'" in policy
    assert " style=" not in answer.text
    assert "<style" not in answer.text


def test_scripts_are_kept_by_the_browser_until_they_change(world):
    """Their address carries their content; nothing else of the folder is handed out."""
    client = mounted(logged_in=True)
    answer = client.get("/perennial/static/page.js")

    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert client.get("/perennial/static/..%2f__init__.py").status_code == 404
    assert client.get("/perennial/static/none.js").status_code == 404


def test_a_dead_ledger_leaves_what_mlflow_and_lake_know(world, monkeypatch):
    """The champion comes from the alias; the rest is said to be unknown, not missing."""
    dead(monkeypatch, world, "ledger")
    world.registry.aliases = {"champion": "6"}
    monkeypatch.setattr(world.registry, "version_of", lambda model, alias: "6", raising=False)
    text = shown()

    assert "the ledger &lt;does not&gt; answer" in text
    assert "version 6" in text
    assert "not known now" in text
    assert str(datetime.now(UTC).date() - timedelta(days=1)) in text


def test_with_everything_dead_the_page_still_comes(world, monkeypatch):
    """Each outage is named, once."""
    for part in ("ledger", "registry", "lake"):
        dead(monkeypatch, world, part)
    text = shown()

    assert [text.count(f"the {part} &lt;does not&gt; answer") for part in ("ledger", "registry", "lake")] == [1, 1, 1]
    assert 'data-state="not known"' in text


def test_a_dead_mlflow_server_is_named(world):
    """Nothing else of the page depends on it."""
    world.settings.mlflow = "http://127.0.0.1:9"
    text = shown()

    assert "MLflow at http://127.0.0.1:9 does not answer" in text
    assert "version 7" in text


def test_a_deleted_use_case_keeps_the_row_of_its_champion(world):
    """The folder is gone, the champion is not: nobody would know otherwise."""
    world.ledger.add(Entry("gone", AT, "promoted", "ann", "", "run 1", to_version="2"))
    text = shown()

    assert 'href="/perennial/models/gone"' in text
    assert "Its folder is gone; its champion is still in the registry." in text


def test_a_broken_use_case_says_what_is_wrong(world, monkeypatch):
    """The error of the catalog stands in its row."""
    broken = {"odd": SpecError("odd/use_case.yaml is wrong: <colour>")}
    monkeypatch.setattr(sys.modules["perennial.catalog"], "broken_use_cases", lambda: broken)
    text = shown()

    assert "odd/use_case.yaml is wrong: &lt;colour&gt;" in text
    assert 'data-state="cannot be loaded"' in text


@pytest.mark.parametrize("dag", ["perennial__mail", "nothing", "<script>__x", "toy"])
def test_a_tab_of_another_dag_says_so(world, dag):
    """Tabs are on every DAG of Airflow."""
    answer = mounted(logged_in=True).get(f"/perennial/dags/{dag}/data")

    assert answer.status_code == 200
    assert "belongs to no use case" in answer.text
    assert "<script>__x" not in answer.text


def test_a_tab_of_a_dag_leads_to_the_use_case(world, monkeypatch):
    """And a run's tab to the day that the run builds, whatever signs its id has."""
    monkeypatch.setattr(
        runs, "day_of_run", lambda dag_id, run_id: DAY if run_id == "manual__2026-03-02T00:00:00+00:00" else None
    )
    client = mounted(logged_in=True)
    places = [
        client.get(f"/perennial/dags/toy__feature_build/{path}").headers["location"]
        for path in ("model", "data", "runs/manual__2026-03-02T00:00:00+00:00/drift")
    ]

    assert places == [
        "/perennial/models/toy",
        "/perennial/models/toy/data",
        "/perennial/models/toy/drift?day=2026-03-01",
    ]


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


def test_a_report_is_for_who_may_read_its_use_case(pages, monkeypatch):
    """The second part of its path is the use case, however the path is spelt."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    (pages / "drift" / "toy").mkdir()
    (pages / "drift" / "toy" / "b.html").write_text("secret")
    asked = []
    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", lambda self, **what: asked.append(what["details"].id))
    answers = [
        mounted(logged_in=True).get(f"/perennial/pages/{path}")
        for path in ("drift/toy/b.html", "drift/x%2f..%2ftoy/b.html")
    ]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert set(asked) == {"toy__drift_monitoring"}


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
