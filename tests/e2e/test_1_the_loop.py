"""The live stack from its start to a model that is monitored; the tests tell one story, in the order they stand here.

The files of this folder are its chapters, on one stack: `test_2_decisions` goes on from here.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import backfills
import httpx
import psutil
import pyarrow as pa
import pytest
from live import Browser, await_mails, await_true
from perennial.adapters import Adapters
from perennial.io import rows
from perennial.io.lake import Lake
from perennial.local import credentials, stack
from perennial.local.airflow_api import Airflow
from perennial.local.demo import AT_WORK, HELPER, Demo
from perennial.local.layout import Layout
from perennial.local.mailbox import mails
from perennial.local.steps import Steps
from perennial.local.supervision import Supervisor
from perennial.stages import quarantine

# `make test` gives this folder to one worker, in its order: all of it runs on one live stack.
pytestmark = pytest.mark.e2e


def test_everything_is_healthy_and_listens_on_this_machine_only(layout: Layout) -> None:
    """Nothing of the stack can be reached from another machine."""
    members = Supervisor(layout).members()
    listening = [
        connection.laddr.ip
        for process in members
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]

    assert set(stack.health(layout).values()) == {"healthy"}
    assert set(listening) == {"127.0.0.1"}


def test_secrets_can_be_read_by_their_owner_only(layout: Layout) -> None:
    """Keys, passwords and addresses lie in files of mode 0600."""
    for path in (layout.passwords, layout.secrets, layout.stack_env):
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_each_login_has_its_role(layout: Layout) -> None:
    """A viewer may look and not trigger; nobody gets in with a wrong password."""
    viewer = Airflow(layout, login="viewer")
    assert viewer.ask("GET", "/dags")["dags"]
    refused = httpx.post(f"{layout.airflow_url}/auth/token", json={"username": "admin", "password": "admin"})
    allowed = [Airflow(layout, login=login).ask("GET", "/dags")["total_entries"] for login in credentials.ROLES]

    assert refused.status_code == httpx.codes.UNAUTHORIZED
    assert len(allowed) == 5
    with pytest.raises(stack.SetupError, match="403"):
        viewer.trigger("coupons__continuous_training")


def test_days_are_built_by_a_backfill(demo: Demo) -> None:
    """Airflow's own backfill builds every day of the plan, with rows in the lake."""
    demo.prepare()
    demo.build_days()

    days = Lake(demo.settings.lake_root).days(demo.plan.case.features_table)
    assert set(demo.plan.built.days()) <= set(days)


def test_a_model_is_trained_and_promoted_through_its_gates(demo: Demo) -> None:
    """The challenger's event starts the promotion; the champion is better than chance on days it has not seen."""
    demo.train_first()

    assert demo.outcome.champion["version"] == "1"
    assert demo.outcome.champion["metrics"]["challenger"]["roc_auc"] > 0.6


def test_the_training_links_the_profile_of_what_it_read(demo: Demo, airflow: Airflow) -> None:
    """The task's page has a button, and the page behind it is there."""
    runs = airflow.runs(demo.plan.dag("continuous_training"))
    (run,) = [run for run in runs if airflow.results(run, "train").get("version") == "1"]
    links = airflow.ask("GET", f"/dags/{run.dag}/dagRuns/{run.id}/taskInstances/train/links")["extra_links"]
    page = "profile/coupons/version-1.html"

    assert links == {"Profile": f"{demo.settings.airflow_url.rstrip('/')}/perennial/pages/{page}"}
    assert "redeem" in (demo.settings.pages_root / page).read_text()


def test_a_quiet_day_sends_no_mail(demo: Demo, layout: Layout) -> None:
    """Silence is a feature."""
    begun = datetime.now(UTC)
    demo.score_days()
    demo.look_at_a_quiet_day()

    assert demo.outcome.before["verdict"] == "stable"
    assert mails(layout.mail, since=begun) == []


def test_a_broken_feed_is_one_incident_and_one_mail_and_asks_for_no_model(demo: Demo, layout: Layout) -> None:
    """Two days are broken: a mail that says what broke and leads to the runbook; no training is asked for."""
    begun = datetime.now(UTC)
    demo.change_days()
    demo.look_at_the_changed_day()
    caught = await_mails(layout, since=begun)

    incident = demo.outcome.incident
    assert incident is not None
    assert (incident.kind, incident.severity, incident.since) == ("feed broken", "warning", demo.plan.injected.start)
    assert [mail.subject for mail in caught] == [f"[Perennial] coupons: feed broken since {incident.since}"]
    assert "text/html" in {part.get_content_type() for part in caught[0].message.walk()}
    assert "/perennial/runbook#feed-broken" in caught[0].message.get_body(("plain",)).get_content()
    assert demo.outcome.request == {}


def test_a_person_is_at_work_on_it_by_the_form(demo: Demo) -> None:
    """The ledger has who and why; a second walk of the step says nothing again; who only looks is refused."""
    incident = demo.outcome.incident
    assert incident is not None
    with pytest.raises(stack.SetupError, match="403"):
        Airflow(demo.layout, login="viewer").submit(f"incidents/{incident.id}/acknowledge", reason="me too")
    for _ in range(2):
        demo.acknowledge()

    entries = Adapters(demo.settings).ledger.history("coupons", actions=("incident acknowledged",))
    assert [(entry.who, entry.reason, entry.report["opened"]) for entry in entries] == [(HELPER, AT_WORK, incident.id)]


def test_mended_days_end_the_incident_in_its_thread(demo: Demo, layout: Layout) -> None:
    """The days are read again as they are: one mail more, an answer to the first; still no training is asked for."""
    begun = datetime.now(UTC)
    demo.mend_days()
    opening, closing = [mail for mail in mails(layout.mail) if "feed broken" in mail.subject]

    incident = demo.outcome.incident
    assert incident is not None
    assert incident.closed_at is not None
    assert incident.acknowledged_by == HELPER
    assert [mail.subject for mail in mails(layout.mail, since=begun)] == [f"Re: {opening.subject}"]
    assert closing.message["In-Reply-To"] == opening.message["Message-ID"]
    assert demo.outcome.mended["verdict"] == "stable"
    requested = Adapters(demo.settings).ledger.history("coupons", actions=("retrain requested",))
    assert requested == ()


def test_a_training_on_demand_leads_to_a_new_model(demo: Demo) -> None:
    """The loop closes: a person trains, the gates decide, a second person approves."""
    demo.train_again()

    assert demo.outcome.champion["version"] == "2"
    assert "is champion" in demo.outcome.retrained


def test_the_demonstration_finds_its_own_work_done(demo: Demo, layout: Layout, airflow: Airflow) -> None:
    """A second walk starts no run, sends no mail and enters nothing."""
    ledger, ours = Adapters(demo.settings).ledger, {"limit": 1, "dag_id_pattern": "coupons__"}
    before = airflow.ask("GET", "/dags/~/dagRuns", params=ours)["total_entries"]
    entries, caught = ledger.history("coupons", limit=None), mails(layout.mail)
    again = Demo(demo.plan, layout, Steps(), demo.settings)
    for step in (again.build_days, again.train_first, again.score_days, again.look_at_a_quiet_day, again.change_days,
                 again.look_at_the_changed_day, again.acknowledge, again.mend_days, again.train_again):  # fmt: skip
        step()

    assert airflow.ask("GET", "/dags/~/dagRuns", params=ours)["total_entries"] == before
    assert ledger.history("coupons", limit=None) == entries
    assert [mail.path for mail in mails(layout.mail)] == [mail.path for mail in caught]
    assert again.outcome.incident == demo.outcome.incident
    assert again.outcome.retrained == demo.outcome.retrained


def test_a_crashed_process_comes_back(layout: Layout) -> None:
    """A scheduler that is killed is replaced, and its workers do not live on beside the new one's."""
    supervisor = Supervisor(layout)
    old = psutil.Process(supervisor.states()["scheduler"]["pid"])
    workers = old.children(recursive=True)
    old.kill()

    with Steps().step("Come back") as bar:
        stack.await_healthy(layout, bar=bar)
    await_true(lambda: not any(worker.is_running() for worker in workers))
    await_true(lambda: supervisor.states()["scheduler"]["statename"] == "RUNNING")

    assert supervisor.states()["scheduler"]["pid"] != old.pid


def test_postgres_killed_during_a_backfill_heals(demo: Demo, layout: Layout, airflow: Airflow) -> None:
    """The database comes back, and every day of the backfill is built in the end."""
    first: date = demo.plan.built.start
    days = [first - timedelta(days=offset) for offset in range(8, 0, -1)]
    dag = demo.plan.dag("feature_build")
    number = airflow.backfill(dag, days, at_once=2)
    await_true(lambda: len(airflow.built(dag, days)) >= 1, seconds=120)
    killed = Supervisor(layout).states()["postgres"]["pid"]
    os.kill(killed, signal.SIGKILL)

    with Steps().step("Heal") as bar:
        stack.await_healthy(layout, bar=bar)
        assert number is not None
        airflow.await_backfill(number, dag, days, bar=bar, seconds=600)

    assert Supervisor(layout).states()["postgres"]["pid"] != killed
    assert set(airflow.built(dag, days)) == set(days)


def test_a_range_is_planned_built_and_summed_up_in_one_mail(demo: Demo, layout: Layout, airflow: Airflow) -> None:
    """One run builds the days before all others; nothing else runs, nobody else is mailed, and a second run is idle."""
    case, first = demo.plan.case, demo.plan.built.start
    days = [first - timedelta(days=offset) for offset in range(16, 8, -1)]
    dag, begun = f"{case.name}__backfill", datetime.now(UTC)
    form = {"first_day": str(days[0]), "last_day": str(days[-1]), "mail_to": "ada@example.org"}
    others = [f"{case.name}__{stage}" for stage in ("continuous_training", "model_promotion", "drift_monitoring")]
    before = {other: len(airflow.runs(other)) for other in others}
    lake = Lake(demo.settings.lake_root)
    airflow.unpause(dag)

    dry = airflow.await_success(airflow.trigger(dag, conf={**form, "mail_to": None, "dry_run": True}))
    assert set(days).isdisjoint(lake.days(case.features_table))
    built = airflow.await_success(airflow.trigger(dag, conf=form))
    caught = await_mails(layout, since=begun)
    again = airflow.await_success(airflow.trigger(dag, conf={**form, "mail_to": None}))

    assert set(days) <= set(lake.days(case.features_table))
    assert airflow.results(built, "summary")["changed"] >= len(days)
    assert airflow.results(dry, "summary")["done"] == airflow.results(again, "summary")["parts"] == 0
    assert [mail.message["To"] for mail in caught] == ["ada@example.org"]
    assert {other: len(airflow.runs(other)) for other in others} == before


@pytest.fixture(scope="module")
def story(demo: Demo, airflow: Airflow) -> backfills.Story:
    """Return the days that the daily DAGs are backfilled over, and what may not move meanwhile."""
    return backfills.Story.begun(demo.plan.case, demo.plan.built.start, Adapters(demo.settings), airflow)


def test_missing_days_are_backfilled_backwards_in_every_daily_dag(story: backfills.Story) -> None:
    """All three at once, by what the button posts; a day that its source spoils fails and takes no other with it."""
    days, lake = story.days["feature_build"], story.adapters.lake
    with story.without_households(days[1]):
        made = story.post(reprocess_behavior="none", run_backwards=True)
        story.await_ends()
    built, scored = story.runs("feature_build", since=made), story.runs("batch_scoring", since=made)

    assert built[0].key == days[-1]
    assert {run.key: run.state for run in built} == dict.fromkeys(days, "success") | {days[1]: "failed"}
    assert backfills.most_at_once(built) == 2
    assert lake.missing_days(story.case.features_table, days) == (days[1],)
    assert lake.missing_days(story.case.predictions_table, [run.key for run in scored]) == ()


def test_failed_days_are_backfilled_forwards(story: backfills.Story) -> None:
    """Only what failed runs again: the spoilt day, and one of each other DAG that somebody marked as failed."""
    failed = {"feature_build": 1, "batch_scoring": 0, "drift_monitoring": 0}
    for stage in ("batch_scoring", "drift_monitoring"):
        story.mark_failed(stage, story.days[stage][0])
    made = story.post(reprocess_behavior="failed")
    story.await_ends()

    for stage, position in failed.items():
        again = [(run.key, run.state) for run in story.runs(stage, since=made)]
        assert again == [(story.days[stage][position], "success")], stage
    monitored = {record.day for record in story.adapters.ledger.monitors(story.case.name)}
    assert set(story.days["drift_monitoring"]) <= monitored


def test_all_days_are_backfilled_again_beside_other_runs_and_nothing_moves(story: backfills.Story) -> None:
    """By the button and the command line, while people build the same days: no day is written again or twice."""
    before = story.partitions()
    made = story.post(["feature_build", "drift_monitoring"], reprocess_behavior="completed", max_active_runs=3)
    by_hand = [story.airflow.trigger(story.dag("feature_build"), key=day) for day in story.days["feature_build"][:2]]
    story.command("batch_scoring", "--reprocess-behavior", "completed", "--run-backwards", "--max-active-runs", "2")
    story.await_ends()
    for run in by_hand:
        story.airflow.await_success(run)

    for stage, days in story.days.items():
        again = [run for run in story.runs(stage, since=made) if run.kind == "backfill"]
        assert sorted((run.key, run.state) for run in again) == [(day, "success") for day in days], stage
    assert story.partitions() == before


def test_backfills_mail_nobody_promote_nothing_and_start_no_other_dag(story: backfills.Story, demo: Demo) -> None:
    """Not even where a day failed; and a day that the schedule has built gets no second run from a backfill."""
    yesterday = [demo.plan.yesterday]
    kinds = {run.kind for run in story.runs("feature_build", days=yesterday)}

    assert backfills.Surroundings.now(story.case, story.adapters, story.airflow) == story.before
    assert "scheduled" in kinds
    assert "backfill" not in kinds
    assert [story.dry_run(stage, yesterday, reprocess_behavior="none") for stage in backfills.DAILY] == [[], [], []]


def test_refused_rows_are_redriven_from_a_form(demo: Demo, airflow: Airflow) -> None:
    """A row that an older suite refused passes the one of now: the form's run publishes it, and says so."""
    case, day = demo.plan.case, demo.plan.built.start
    dag, adapters = f"{case.name}__redrive", Adapters(demo.settings)
    marks = rows.Marks(suite="an older one", run="test")

    def refused(stored: Mapping[date, pa.Table]) -> dict[date, pa.Table]:
        return {day: rows.refuse(stored[day], {0: ("an old limit",)}, marks)}

    adapters.lake.update_days(case.raw_table("transactions"), [day], refused, metadata={"run": "test"})
    assert [record.rows for record in quarantine.listed(case, adapters)] == [1]
    airflow.unpause(dag)
    run = airflow.await_success(airflow.trigger(dag, conf={"reason": "the limit was wrong"}))
    found = airflow.results(run, "redrive")

    assert [(each["asked"], each["moved"], each["in_quarantine"]) for each in found["redriven"]] == [(1, 1, 0)]
    assert str(day) in found["stale"]
    assert quarantine.listed(case, adapters) == ()


def test_the_models_page_shows_the_champion(layout: Layout, browser: Browser, pictures: Path) -> None:
    """A person who logs in finds the use case and its champion under Models; pictures are kept."""
    with browser("viewer") as page:
        page.wait_for_selector("text=coupons · 1 build features", timeout=30_000)
        page.screenshot(path=pictures / "dags.png")
        page.goto(f"{layout.airflow_url}/plugin/models")
        frame = page.frame_locator("iframe")
        frame.locator("text=coupons").first.wait_for(timeout=30_000)
        page.screenshot(path=pictures / "models.png")
        text = frame.locator("body").inner_text()

    assert "coupons" in text
    assert "healthy" in text.lower()
    assert "feed broken" not in text.lower()  # it is over
