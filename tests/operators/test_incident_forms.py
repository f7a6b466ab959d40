"""The forms of incidents on the Models page, and the runbook: who may send them, from where, and what is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest
from pageclient import client
from perennial import raising
from perennial.incidents import KINDS
from perennial.io.incidents import incidents
from perennial.io.ledger import Entry, Ledger
from perennial.raising import By, Raised
from perennial.stages import tell

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
HERE = {"Sec-Fetch-Site": "same-origin"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "first line\r\nBcc: everyone@example.org\r\n\r\n<b>",
    "'); drop table ledger_entries; --",
    "x" * 500,
    "{{ 7 * 7 }} \N{RIGHT-TO-LEFT OVERRIDE} Grüße",
]


@pytest.fixture
def number(adapters: SimpleNamespace) -> int:
    """Return the number of an open incident."""
    raised = Raised("toy", "feed broken", "feed broken", "warning", date(2026, 3, 1), "sales has no rows")
    return raising.raise_incident(raised, adapters, by=By("airflow", "run 1", NOW), after=0).id


def acknowledge(number: int, *, role: str | None = "USER", reason: str = "on it", headers: dict[str, str] = HERE):
    """Send the form that says that somebody is at work."""
    return client(role).post(f"/perennial/incidents/{number}/acknowledge", data={"reason": reason}, headers=headers)


def snooze(number: int, days: str, reason: str = "campaign"):
    """Send the form that asks for silence."""
    return client().post(f"/perennial/incidents/{number}/snooze", data={"reason": reason, "days": days}, headers=HERE)


def written(adapters: SimpleNamespace) -> tuple[Entry, ...]:
    """Return what the ledger holds beside the opening."""
    return adapters.ledger.history()[:-1]


def test_who_is_at_work_is_kept_with_the_name(number: int, adapters: SimpleNamespace):
    """And the page comes back at the incident."""
    answer = acknowledge(number, reason=" asked the shop ")

    location = f"/perennial/models?done=acknowledged#incident-{number}"
    assert (answer.status_code, answer.headers["location"]) == (303, location)
    (entry,) = written(adapters)
    assert (entry.action, entry.who, entry.reason, entry.run) == (
        "incident acknowledged", "ann", "asked the shop", "Models page",
    )  # fmt: skip
    assert entry.report["opened"] == number


def test_a_snooze_is_kept_with_its_day(number: int, adapters: SimpleNamespace):
    """The longest one there is."""
    answer = snooze(number, "30")

    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/perennial/models?done=snoozed#incident-{number}",
    )
    (entry,) = written(adapters)
    until = date.fromisoformat(entry.report["until"])
    assert (entry.action, entry.who, (until - entry.at.date()).days) == ("incident snoozed", "ann", 30)


def test_nobody_acts_without_a_login(number: int, adapters: SimpleNamespace):
    """A program gets 401; a browser goes to the login and comes back to the page, not to the form's address."""
    assert acknowledge(number, role=None).status_code == 401
    browser = acknowledge(number, role=None, headers={**HERE, "Accept": "text/html"})

    assert browser.status_code == 303
    assert browser.headers["location"] == "/api/v2/auth/login?next=/perennial/models"
    assert written(adapters) == ()


@pytest.mark.parametrize(("role", "status"), [("VIEWER", 403), ("USER", 303), ("OP", 303), ("ADMIN", 303)])
def test_only_who_may_start_runs_may_act(number: int, adapters: SimpleNamespace, role: str, status: int):
    """As Airflow's own manager of rights decides; a viewer looks."""
    assert acknowledge(number, role=role).status_code == status
    assert len(written(adapters)) == (status == 303)


def test_the_right_to_one_dag_is_not_the_right_to_act(number: int, monkeypatch: pytest.MonkeyPatch):
    """What is asked for is the right to start runs at all: no parameter of the address narrows it."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    asked = []
    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", lambda self, **what: asked.append(what) or True)
    client().post(f"/perennial/incidents/{number}/acknowledge?dag_id=mine", data={"reason": "x"}, headers=HERE)

    assert [(each["method"], each["access_entity"].value, each["details"].id or None) for each in asked] == [
        ("POST", "RUN", None)
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://airflow"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example.org"},
        {"Origin": "http://airflow.evil.example.org"},
        {"Origin": "http://airflow@evil.example.org"},
        {"Origin": "null"},
        {"Origin": "http://airflow:8081"},
    ],
)
def test_a_form_of_another_site_is_refused(number: int, adapters: SimpleNamespace, headers: dict[str, str]):
    """Nor one that does not say where it comes from."""
    answer = acknowledge(number, headers=headers)

    assert answer.status_code == 403
    assert "was not sent by a page of Airflow" in answer.text
    assert written(adapters) == ()


def test_without_host_and_origin_nothing_is_the_same():
    """A request of HTTP/1.0 has neither: two that are missing are not equal."""
    from fastapi import HTTPException
    from perennial_airflow.ui.security import same_origin
    from starlette.requests import Request

    with pytest.raises(HTTPException, match="403"):
        same_origin(Request({"type": "http", "headers": []}))


def test_a_browser_without_fetch_headers_tells_its_origin(number: int):
    """Over plain HTTP browsers send no Sec-Fetch-Site."""
    assert acknowledge(number, headers={"Origin": "http://airflow"}).status_code == 303


@pytest.mark.parametrize(
    ("send", "words"),
    [
        (lambda number: acknowledge(9_999), "There is no incident 9999"),
        (lambda number: acknowledge(number, reason="  "), "without a reason, which the others read"),
        (lambda number: acknowledge(number, reason="a\0b"), "a character that cannot be kept"),
        (lambda number: snooze(number, "31"), "choose 1 to 30"),
        (lambda number: snooze(number, "0"), "choose 1 to 30"),
        (lambda number: snooze(number, "-1"), "choose 1 to 30"),
        (lambda number: snooze(number, "9" * 30), "choose 1 to 30"),
    ],
)
def test_what_is_refused_says_why(number: int, adapters: SimpleNamespace, send: Callable, words: str):
    """In words, and nothing is written."""
    answer = send(number)

    assert answer.status_code == 409
    assert words in answer.json()["detail"]
    assert written(adapters) == ()


def test_what_is_over_is_not_acknowledged(number: int, adapters: SimpleNamespace):
    """It says since when."""
    (incident,) = incidents(adapters.ledger)
    raising.close(incident, adapters, reason="calm", by=By("airflow", "run 2", NOW))
    answer = acknowledge(number)

    assert answer.status_code == 409
    assert "is over since 2026-03-02 06:00 UTC" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("one/acknowledge", {"reason": "x"}),
        ("1/acknowledge", {}),
        ("1/acknowledge", {"reason": "x" * 501}),
        ("1/snooze", {"reason": "x", "days": "three"}),
        ("1/snooze", {"reason": "x"}),
    ],
)
def test_what_is_no_form_of_ours_is_not_understood(number: int, adapters: SimpleNamespace, path: str, form: dict):
    """422, as for every route of Airflow's."""
    assert client().post(f"/perennial/incidents/{path}", data=form, headers=HERE).status_code == 422
    assert written(adapters) == ()


def test_a_dead_ledger_is_said(number: int, adapters: SimpleNamespace):
    """503, and what to do, without a password."""
    adapters.ledger = Ledger("postgresql://nobody:secret@127.0.0.1:9/none")
    answer = acknowledge(number)

    assert answer.status_code == 503
    assert "does not answer" in answer.json()["detail"]
    assert "secret" not in answer.text


@pytest.mark.parametrize("reason", HOSTILE)
def test_a_hostile_reason_is_text_wherever_it_is_shown(number: int, adapters: SimpleNamespace, case, reason: str):
    """In the ledger as it was sent; on the page and in the mail nothing of it is markup, nor a header."""
    assert acknowledge(number, reason=reason).status_code == 303
    assert written(adapters)[0].reason == reason

    raised = Raised("toy", "labels late", "labels late", "warning", date(2026, 3, 1), reason)
    raising.raise_incident(raised, adapters, by=By(reason[:200], "run 1", NOW), after=0)
    tell.run(case, adapters, now=NOW)
    page, mail = client("VIEWER").get("/perennial/models").text, adapters.outbox.waiting()[-1].mail
    assert "labels late" in page
    for text in (page, mail.html):
        assert not any(bad in text for bad in ("<script>alert", "<img src=x", "\r\n<b>"))
    assert len(mail.subject.splitlines()) == 1
    assert reason.split("\r")[0] in mail.text


def test_the_ledger_is_whole_after_all_that(number: int, adapters: SimpleNamespace):
    """Its chain holds every reason."""
    for reason in HOSTILE:
        acknowledge(number, reason=reason)

    assert adapters.ledger.check().faults == ()
    assert len(written(adapters)) == len(HOSTILE)


def test_the_runbook_has_an_anchor_for_each_kind():
    """Every mail leads to one; a viewer may read it."""
    answer = client("VIEWER").get("/perennial/runbook")

    assert answer.status_code == 200
    for kind in (*KINDS, "rollback"):
        assert f'<h2 id="{kind.replace(" ", "-")}">' in answer.text


def test_the_runbook_is_no_place_for_scripts():
    """Its policy allows one style sheet, and only Airflow frames it."""
    headers = client("VIEWER").get("/perennial/runbook").headers

    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'nonce-")
    assert "frame-ancestors 'self'" in policy
    assert "script" not in policy
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("SAMEORIGIN", "nosniff")


def test_the_runbook_needs_a_login():
    """As every page."""
    assert client(None).get("/perennial/runbook").status_code == 401


def test_a_runbook_that_is_not_deployed_is_not_found(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """It names the file."""
    monkeypatch.setattr("perennial.io.runbook.PLACE", tmp_path / "runbook.md")
    answer = client("VIEWER").get("/perennial/runbook")

    assert answer.status_code == 404
    assert "docs/runbook.md is not deployed here" in answer.json()["detail"]
