"""Who decides what becomes champion, on the live stack: approvals that count, those that do not, and the way back.

The tests tell one story, in the order they stand here, on the stack of `test_1_the_loop`, whose demonstration
has promoted by an approval already.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from decisions import Desk
from live import Browser, await_mails, await_true
from perennial.adapters import Adapters
from perennial.errors import RefusedError
from perennial.local.airflow_api import Airflow
from perennial.local.demo import APPROVAL, REASON, Demo
from perennial.local.layout import Layout
from perennial.local.mailbox import mails
from perennial.local.stack import SetupError
from perennial.settings import Settings
from perennial.stages import evaluate, promote, rollback

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def desk(demo: Demo, airflow: Airflow) -> Desk:
    """Return the desk of the small use case, with a new challenger on it; trainings by the monitor are over."""
    found = Desk(demo.plan.case, Adapters(demo.settings), demo, airflow)
    found.challenger()
    airflow.unpause(f"{found.case.name}__rollback")
    return found


@pytest.fixture
def now() -> datetime:
    """Return when a test begins."""
    return datetime.now(UTC)


def test_the_demonstration_was_promoted_by_a_second_person(desk: Desk, layout: Layout) -> None:
    """The engineer trained; the approver was mailed, answered over REST, and stands in the ledger with the reason."""
    told = [mail for mail in mails(layout.mail) if mail.message["To"] == "approvers@example.org"]
    first = desk.adapters.ledger.reigns("coupons")[0]
    answered = [entry for entry in desk.adapters.ledger.history("coupons", limit=1000) if entry.action == "approved"]

    assert (first.who, first.to_version) == ("approver", "1")
    assert first.reason == f"{REASON} (approved in entry {answered[-1].id})"
    assert desk.demo.outcome.approval["responded_by_user"]["name"] == "approver"
    assert "coupons version 1" in told[0].subject
    assert "/required_actions" in told[0].message.get_body(("plain",)).get_content()


def test_who_is_not_on_the_list_cannot_answer(desk: Desk) -> None:
    """Airflow refuses them at once; the question stays."""
    desk.ask(by="admin")

    for login in ("viewer", "engineer", "operator"):
        with pytest.raises(SetupError, match="403"):
            desk.approve(by=login)
    with pytest.raises(SetupError, match="HTTP 4"):
        desk.login("approver").answer(desk.asked(), APPROVAL, reason="nothing was chosen")
    assert desk.engineer.question(desk.asked(), APPROVAL)["response_received"] is False


def test_a_question_marked_as_answered_by_hand_promotes_nothing(desk: Desk, now: datetime) -> None:
    """Airflow lets whoever may edit a task do so; `promote` finds no approval in the ledger."""
    run = desk.asked()
    path = f"/dags/{run.dag}/dagRuns/{run.id}/taskInstances/{APPROVAL}"
    desk.login("engineer").ask("PATCH", path, json={"new_state": "success"})

    assert "marked as successful by hand approves nothing" in desk.refusal(since=now)


def test_whoever_started_it_does_not_approve_it(desk: Desk, now: datetime) -> None:
    """Four eyes: the admin is on the list, and has started this run."""
    desk.ask_again()
    desk.approve(by="admin")

    assert "admin started what led to this promotion" in desk.refusal(since=now)


def test_an_approval_without_a_reason_does_not_count(desk: Desk, now: datetime) -> None:
    """The form asks for one; REST can leave it out."""
    desk.ask_again()
    desk.approve(reason=None)

    assert "without a reason" in desk.refusal(since=now)


def test_an_approval_of_another_version_promotes_nothing(desk: Desk, now: datetime) -> None:
    """The XCom that names the version is overwritten by hand while people are asked."""
    desk.ask_again()
    asked = str(desk.engineer.results(desk.asked(), "evaluate")["version"])
    desk.set_xcom("evaluate", "version", "1")
    desk.approve()
    refused = desk.refusal(since=now)
    desk.set_xcom("evaluate", "version", asked)

    assert "version 1" in refused


def test_an_evaluation_that_people_did_not_see_promotes_nothing(desk: Desk, now: datetime) -> None:
    """The version is evaluated again while they are asked."""
    desk.ask_again()
    asked = str(desk.engineer.results(desk.asked(), "evaluate")["version"])
    evaluate.run(desk.case, desk.adapters, version=asked, now=now, who="engineer", run="by hand")
    desk.approve()

    assert "evaluated again while people were asked" in desk.refusal(since=now)


def test_a_stale_evaluation_promotes_nothing(desk: Desk, now: datetime, stack_settings: Settings) -> None:
    """It has grown older than the use case allows by the time that it is approved."""
    declared = stack_settings.use_cases / "coupons" / "use_case.yaml"
    text = declared.read_text()
    desk.ask()
    declared.write_text(text.replace("max_age_days: 1}", "max_age_days: 0.00001}"))
    try:
        desk.approve()
        refused = desk.refusal(since=now)
    finally:
        declared.write_text(text)

    assert "more than approval.max_age_days 1e-05 before" in refused


def test_a_rejection_leaves_the_champion(desk: Desk, now: datetime) -> None:
    """With its reason; the run ends well, and `promote` is skipped."""
    desk.ask()
    desk.login("approver").answer(desk.asked(), APPROVAL, "Reject", reason="not before the holidays")

    assert desk.ends()["promote"] == "skipped"
    refused = [entry for entry in desk.entries(since=now) if entry.action == "refused"]
    assert [(entry.who, entry.reason) for entry in refused] == [
        ("approver", "approval: rejected: not before the holidays")
    ]


def test_of_promotions_that_race_one_is_written(desk: Desk, now: datetime) -> None:
    """Airflow's task and four hands promote the approved version at once: one entry, and the alias is there."""
    run = desk.ask()
    version = str(desk.engineer.results(run, "evaluate")["version"])
    desk.approve()
    await_true(lambda: desk.adapters.ledger.answer("coupons", run=run.id) is not None)

    def promoted(who: int) -> bool:
        adapters = Adapters(desk.demo.settings)
        return promote.run(
            desk.case, version, adapters, who=f"hand {who}", reason="at once", now=datetime.now(UTC), run=run.id
        ).changed

    with ThreadPoolExecutor(4) as hands:
        changed = [_outcome(hand.result) for hand in [hands.submit(promoted, who) for who in range(4)]]

    assert desk.ends()["promote"] == "success"
    assert sum(each is True for each in changed) <= 1
    made = [entry for entry in desk.entries(since=now) if entry.action == "promoted"]
    assert [(entry.to_version, entry.who) for entry in made] == [(version, "approver")]
    assert desk.adapters.registry.aliases("coupons")["champion"] == version


def _outcome(result) -> bool | str:
    """Return whether a promotion has changed the champion, or why it was refused."""
    try:
        return bool(result())
    except RefusedError as error:
        return str(error)


def test_a_champion_that_has_changed_since_ends_the_question(desk: Desk, now: datetime) -> None:
    """A rollback waits for nobody; the gates have not seen the champion that it brought back."""
    desk.challenger(days_ago=1)
    desk.ask()
    rollback.run(desk.case, "1", desk.adapters, who="engineer", reason="it loses money", now=now, run="by hand")
    desk.approve()

    assert "the champion is version 1 now" in desk.refusal(since=now)


def test_an_approver_decides_in_the_browser(desk: Desk, layout: Layout, browser: Browser, pictures: Path) -> None:
    """The Models page leads to the form, which shows what will change and the gates; its answer counts."""
    run = desk.ask()
    version = str(desk.engineer.results(run, "evaluate")["version"])
    with browser("approver") as page:
        page.goto(f"{layout.airflow_url}/plugin/models")
        page.frame_locator("iframe").get_by_role("link", name="Open the approval").click(timeout=30_000)
        page.wait_for_url(f"**/dags/{run.dag}/runs/**/tasks/{APPROVAL}/required_actions*")
        page.wait_for_selector(f"text=With your approval it is version {version}", timeout=30_000)
        page.screenshot(path=pictures / "approval.png", full_page=True)
        page.locator("textarea, input[name='element_reason']").last.fill("holds on this month's households")
        page.get_by_role("button", name="Approve").click()
        await_true(lambda: desk.engineer.question(run, APPROVAL)["response_received"])

    assert desk.ends()["promote"] == "success"
    crowned = desk.adapters.ledger.reigns("coupons")[-1]
    assert (crowned.to_version, crowned.who) == (version, "approver")
    assert crowned.reason.startswith("holds on this month's households")


def test_a_rollback_from_the_form_is_done_and_told(
    desk: Desk, layout: Layout, browser: Browser, pictures: Path, now: datetime
) -> None:
    """Champion, alias, entry and one mail; the form says what it wants."""
    dag = f"{desk.case.name}__rollback"
    with browser("operator") as page:
        page.goto(f"{layout.airflow_url}/dags/{dag}")
        page.get_by_role("button", name="Trigger Dag").click(timeout=30_000)
        page.locator("#element_to_version").fill("1")
        page.locator("#element_reason").fill("version 2 loses money")
        page.screenshot(path=pictures / "rollback-form.png")
        page.get_by_role("button", name="Trigger", exact=True).click()
        await_true(lambda: len(desk.engineer.runs(dag)) == 1)
    desk.engineer.await_success(desk.engineer.runs(dag)[0])
    told = await_mails(layout, since=now)

    crowned = desk.adapters.ledger.reigns("coupons")[-1]
    assert (crowned.action, crowned.to_version, crowned.who) == ("rolled back", "1", "operator")
    assert desk.adapters.registry.aliases("coupons")["champion"] == "1"
    assert len(told) == 1
    assert "version 2 loses money" in told[0].message.get_body(("plain",)).get_content()


def test_a_rollback_to_what_never_was_champion_changes_nothing(desk: Desk, now: datetime) -> None:
    """The run fails, the ledger has the refusal, and the champion stays."""
    version = desk.challenger().version
    dag = f"{desk.case.name}__rollback"
    run = desk.engineer.await_run(
        desk.engineer.trigger(dag, conf={"to_version": version, "reason": "a try"}), seconds=120
    )

    assert run.state == "failed"
    assert desk.adapters.ledger.champion("coupons") == "1"
    assert [entry.action for entry in desk.entries(since=now)][-1] == "refused"


def test_an_alias_moved_by_hand_stops_the_scores_until_it_is_back(desk: Desk, layout: Layout, now: datetime) -> None:
    """The day's scoring fails, one mail tells of it; `perennial aliases --repair` ends the incident, and its thread."""
    registry, dag = desk.adapters.registry, f"{desk.case.name}__batch_scoring"
    registry.set_alias("coupons", "champion", "2")
    run = desk.engineer.await_run(desk.engineer.trigger(dag, key=desk.demo.plan.yesterday))
    opened = desk.adapters.ledger.open_incident("coupons", about="aliases")
    told = await_mails(layout, since=now)
    _command("aliases", "coupons", "--repair", "--reason", "nobody decided it")
    desk.engineer.await_success(desk.engineer.trigger(dag, key=desk.demo.plan.yesterday))
    over = [mail.subject for mail in mails(layout.mail, since=now)[1:]]

    assert run.state == "failed"
    assert opened is not None
    day = opened.at.date()
    assert [mail.subject for mail in told] == [f"[Perennial] coupons: aliases moved since {day}"]
    assert over == [f"Re: [Perennial] coupons: aliases moved since {day}"]
    assert registry.aliases("coupons")["champion"] == "1"
    assert desk.adapters.ledger.open_incident("coupons", about="aliases") is None


def test_the_ledger_of_it_all_is_one_chain_and_the_champion_reproduces(desk: Desk) -> None:
    """By the commands that an auditor has."""
    assert "version 1" in _command("champion", "coupons")
    assert "each as it was written and in its place" in _command("ledger", "verify")
    assert "every stage equal" in _command("reproduce", "coupons")


def test_the_card_of_the_champion_is_behind_its_version(
    desk: Desk, layout: Layout, browser: Browser, pictures: Path
) -> None:
    """On its model page; it shows the approval, the rollbacks and the receipt. Nobody reads it without a login."""
    with browser("viewer") as page:
        page.goto(f"{layout.airflow_url}/dags/{desk.dag}/plugin/perennial_dag_model")
        link = page.frame_locator("iframe").get_by_title("Model card").first
        link.wait_for(timeout=30_000)
        address = str(link.get_attribute("href"))
        page.goto(f"{layout.airflow_url}{address}")
        text = page.locator("body").inner_text()
        page.screenshot(path=pictures / "card.png", full_page=True)

    assert "coupons version 1" in text
    assert "version 2 loses money" in text
    assert "every stage equal" in text
    assert httpx.get(f"{layout.airflow_url}{address}", trust_env=False).status_code == httpx.codes.UNAUTHORIZED


def _command(*words: str) -> str:
    """Run `perennial` and return what it prints."""
    program = str(Path(sys.executable).parent / "perennial")
    done = subprocess.run([program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
