"""The page of one use case: what happened to its model, and buttons that act through Airflow in the reader's name."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
from pageclient import client
from perennial import raising
from perennial.errors import LakeError, LedgerError, SpecError
from perennial.io.ledger import Entry
from perennial.raising import By, Raised
from perennial.records import Measure, Window
from perennial.verdicts import GateReport, GateResult
from perennial_airflow.ui import runs
from perennial_airflow.ui.runs import Facts

AT = datetime(2026, 3, 1, 4, tzinfo=UTC)
HERE = {"Sec-Fetch-Site": "same-origin", "Authorization": "Bearer of-ann"}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def airflow_knows(monkeypatch):
    """Let Airflow's database know nothing."""
    monkeypatch.setattr(runs, "facts", lambda root, case=None: Facts())


@pytest.fixture
def world(adapters, make_finding):
    """Return an outside world in which version 8 has followed version 7."""
    today = datetime.now(UTC).date()
    adapters.lake.known = (today,)
    results = (
        GateResult("roc_auc at least", 0.8, 0.6, 0.2, low=0.7, high=0.9),
        GateResult(f"profit by {HOSTILE}", 1.0, 2.0, -1.0, mode="dry_run", detail=f"slice {HOSTILE}"),
    )
    figures = {"challenger": {"roc_auc": 0.81}, "champion": {"roc_auc": 0.79}}
    report = GateReport("toy", "8", "7", date(2026, 3, 1), results, figures, Window.of_day(date(2026, 3, 1)), 1234)
    now = datetime.now(UTC)
    first = Entry("toy", now - timedelta(days=9), "promoted", "bob", "first", "run 0", to_version="7")
    trained = Entry("toy", now - timedelta(days=2), "trained", "ann", HOSTILE, "run 1", to_version="8")
    for entry in (
        first, trained, replace(trained, action="evaluated", report=report.to_json()),
        replace(trained, action="approved", who="eve", reason="good"),
        replace(trained, action="promoted", from_version="7", who="eve", reason="its gates are passed"),
    ):  # fmt: skip
        adapters.ledger.add(entry)
    measures = (
        Measure("performance", "roc_auc", "value", 0.8, 0.78, 0.82, limit=0.55),
        Measure("estimate", "roc_auc", "value", 0.81, 0.79, 0.83),
        Measure("inputs", "features", "drift at stake", 0.15, limit=0.3),
        Measure("scores", "score", "psi", 0.5, limit=0.25, over=True),
        Measure("value", "expected_profit", "realised", 9.0), Measure("value", "expected_profit", "expected", 10.0),
    )  # fmt: skip
    adapters.ledger.add_monitor(make_finding(day=today, verdict="stable", measures=measures), at=now, run="run 2")
    return adapters


def page(role: str = "USER") -> str:
    """Return the page as somebody sees it."""
    return client(role).get("/perennial/models/toy").text


def chart() -> dict:
    """Return the timeline as data."""
    return client().get("/perennial/api/models/toy").json()["chart"]


def test_everything_that_was_measured_is_on_one_axis(world):
    """Performance as realised and estimated with its limit, drift by its own limits, money."""
    performance, drift, profit = chart()["panels"]

    assert [trace["name"] for trace in performance["traces"]] == ["on matured labels", "estimated"]
    assert (performance["traces"][0]["low"], performance["limit"]) == ([0.78], 0.55)
    assert [trace["y"] for trace in drift["traces"]] == [[0.5], [2.0]]
    assert [trace["y"] for trace in profit["traces"]] == [[9.0], [10.0]]
    assert profit["unit"] == "USD a thousand rows and day"


def test_everything_that_happened_has_its_lane(world):
    """Champions, trainings, approvals and data; an incident reaches from its first day to today."""
    raised = Raised("toy", "feed broken", "feed broken", "warning", date(2026, 3, 1), "sales has no rows")
    raising.raise_incident(raised, world, by=By("airflow", "run 1", AT), after=0)
    lanes = {mark["lane"]: mark for mark in chart()["marks"]}

    assert set(lanes) == {"champion", "training", "approval", "incident"}
    assert lanes["incident"]["until"] == str(datetime.now(UTC).date())
    assert "promoted version 8, by eve: its gates are passed" in lanes["champion"]["text"]


def test_old_events_are_on_a_long_axis_only(world):
    """The commit of the first of March 2026 is not within ninety days."""
    long = client().get("/perennial/api/models/toy?days=1000").json()["chart"]

    assert "data" not in {mark["lane"] for mark in chart()["marks"]}
    assert "features version 3" in {mark["text"] for mark in long["marks"]}


@pytest.mark.parametrize("days", ["6", "9999", "x", "-1", "<b>"])
def test_an_axis_has_a_sensible_length(world, days):
    """Anything else is refused in words, as a page for people."""
    answer = client().get(f"/perennial/models/toy?days={days}", headers={"Accept": "text/html"})

    assert answer.status_code == 422
    assert "<b>" not in answer.text


def test_the_page_says_it_all_without_scripts(world):
    """Champions with who and why, gates with their limits, the ledger; values of the chart as a table."""
    text = page()

    for expected in (
        "champion now", "promoted by eve", "its gates are passed", "roc_auc at least", "0.700 to 0.900", "1,234",
        "(dry run)", "0.8 (0.78 to 0.82)", "promoted version 8, by eve",
    ):  # fmt: skip
        assert expected in text


def test_every_value_of_the_page_is_escaped(world):
    """Also within the data of the chart, which is a script element."""
    text = page()

    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "\\u003cscript\\u003ealert(1)" in text


def test_who_may_not_act_sees_no_buttons(world):
    """And may read everything else."""
    text = page("VIEWER")

    assert "champion now" in text
    assert "<form" not in text


def test_a_use_case_without_history_says_what_comes(adapters):
    """No champion, no evaluation, no entry: each place says what will be there."""
    adapters.lake.known = ()
    adapters.lake.commits = lambda table, limit=20: []
    text = page()

    for expected in ("No champion yet.", "Nothing was evaluated yet.", "The ledger has no entry about it.",
                     "Nothing has happened in these days.", "There is no former champion to go back to."):  # fmt: skip
        assert expected in text


def test_a_dead_ledger_and_lake_are_named_once(world, monkeypatch):
    """The page comes all the same."""

    def refuse(*args, **options):
        raise LedgerError("the ledger <does not> answer")

    def lost(*args, **options):
        raise LakeError("the lake <does not> answer")

    for name in ("history", "measures", "latest_report", "transaction"):
        monkeypatch.setattr(type(world.ledger), name, refuse)
    world.lake.commits, world.newest_days = lost, lost
    answer = client().get("/perennial/models/toy")

    assert answer.status_code == 200
    assert answer.text.count("the ledger &lt;does not&gt; answer") == 1
    assert answer.text.count("the lake &lt;does not&gt; answer") == 1


@pytest.fixture
def airflow(monkeypatch) -> Iterator[SimpleNamespace]:
    """Serve Airflow's own API for starting runs; what was asked is kept, and what is answered can be set."""
    seen = SimpleNamespace(asked=[], status=200, answer={"dag_run_id": "manual__1"})

    class Handler(BaseHTTPRequestHandler):
        """Answers as told."""

        def do_POST(self):
            """Note what was asked."""
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.asked.append((self.path, self.headers["Authorization"], body))
            self.send_response(seen.status)
            self.end_headers()
            self.wfile.write(json.dumps(seen.answer).encode())

        def log_message(self, *args):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    seen.here = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(runs, "_here", lambda request: seen.here)
    yield seen
    server.shutdown()
    server.server_close()


def retrain(reason: str = "new prices", **options):
    """Send the form that trains."""
    sent = {"headers": HERE} | options
    return client(sent.pop("role", "USER")).post("/perennial/models/toy/retrain", data={"reason": reason}, **sent)


def test_a_training_starts_in_the_readers_name(world, airflow):
    """Over Airflow's API with the reader's own login, for the reason given; the page says so."""
    answer = retrain()

    assert answer.headers["location"] == "/perennial/models/toy?done=training"
    ((path, login, body),) = airflow.asked
    assert (path, login) == ("/api/v2/dags/toy__continuous_training/dagRuns", "Bearer of-ann")
    assert (body["conf"], body["note"], body["logical_date"]) == ({"reason": "new prices"}, "new prices", None)
    assert "Airflow has started the training" in client().get(answer.headers["location"]).text


def test_the_session_of_a_browser_is_handed_on(world, airflow):
    """As the header that Airflow's API takes: its own check of cookies is not asked for."""
    answer = client(cookies={"_token": "of-a-browser"}).post(
        "/perennial/models/toy/retrain", data={"reason": "x"}, headers={"Sec-Fetch-Site": "same-origin"}
    )

    assert answer.status_code == 303
    assert airflow.asked[0][1] == "Bearer of-a-browser"


def test_a_rollback_names_version_and_reason(world, airflow):
    """Its run checks both, and enters who asked."""
    form = {"to_version": "7", "reason": " worse since Monday "}
    answer = client().post("/perennial/models/toy/rollback", data=form, headers=HERE)

    assert answer.headers["location"] == "/perennial/models/toy?done=rollback"
    ((path, _, body),) = airflow.asked
    assert path == "/api/v2/dags/toy__rollback/dagRuns"
    assert body["conf"] == {"to_version": "7", "reason": "worse since Monday"}


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"role": "VIEWER"}, 403),
        ({"headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
        ({"headers": {"Origin": "http://evil.example.org"}}, 403),
        ({"headers": {}}, 403),
        ({"reason": "   "}, 422),
        ({"reason": "x" * 501}, 422),
    ],
)  # fmt: skip
def test_what_may_not_be_started_is_not_asked_for(world, airflow, options, status):
    """Who may not, a form from elsewhere, and one without a reason."""
    assert retrain(**options).status_code == status
    assert airflow.asked == []


def test_what_airflow_refuses_is_told_in_its_words(world, airflow):
    """Such as a DAG that is not there, or a parameter that its form does not take."""
    airflow.status, airflow.answer = 404, {"detail": f"no DAG {HOSTILE}"}
    answer = retrain(headers={**HERE, "Accept": "text/html"})

    assert answer.status_code == 404
    assert "Airflow refuses to start toy__continuous_training: no DAG &lt;script&gt;" in answer.text


def test_an_airflow_that_does_not_answer_is_told(world, monkeypatch):
    """Nothing was started, so it may be tried again."""
    monkeypatch.setattr(runs, "_here", lambda request: "http://127.0.0.1:9")
    answer = retrain()

    assert answer.status_code == 503
    assert "Airflow does not answer: ConnectError" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("server", "address"),
    [
        (("127.0.0.1", 8080), "http://127.0.0.1:8080"),
        (("0.0.0.0", 8080), "http://127.0.0.1:8080"),  # noqa: S104
        (("::", 8080), "http://[::1]:8080"),
        (("10.0.0.7", 80), "http://10.0.0.7:80"),
    ],
)
def test_the_login_goes_to_this_servers_own_socket(server, address):
    """Whatever the request says its host is: the login must not be led elsewhere."""
    request = SimpleNamespace(scope={"server": server, "scheme": "https", "headers": [(b"host", b"evil.example.org")]})

    assert runs._here(request) == address


@pytest.mark.parametrize("name", ["<script>", "..%2f..", "toy'; drop table ledger_entries; --", "x" * 10_000])
def test_a_use_case_that_is_none_is_a_page_that_says_so(world, monkeypatch, name):
    """Whatever its name is; nothing of it becomes markup."""

    def unknown(asked):
        raise SpecError.unknown_case(asked, ["toy"])

    monkeypatch.setattr(sys.modules["perennial.catalog"], "load_use_case", unknown)
    answer = client().get(f"/perennial/models/{name}", headers={"Accept": "text/html"})

    assert answer.status_code == 404
    assert "<script>" not in answer.text.replace('<script src="', "")
    assert len(answer.text) < 6_000


def test_an_incident_is_acknowledged_where_it_was_seen(world):
    """The form on the model's page leads back to it."""
    raised = Raised("toy", "feed broken", "feed broken", "warning", date(2026, 3, 1), "sales has no rows")
    number = raising.raise_incident(raised, world, by=By("airflow", "run 1", AT), after=0).id
    assert '<input type="hidden" name="case" value="toy">' in page()
    answer = client().post(
        f"/perennial/incidents/{number}/acknowledge", data={"reason": "on it", "case": "toy"}, headers=HERE
    )

    assert answer.headers["location"] == f"/perennial/models/toy?done=acknowledged#incident-{number}"
