"""Failed and late runs: one incident a cause, over when all that it hit has recovered."""

from __future__ import annotations

from datetime import date

import pytest
from incidents import Watch
from perennial.io.incidents import open_incidents
from perennial.records import AlertRecord
from perennial.stages import failures
from perennial.stages.failures import Failure
from worlds import World

DAY = date(2026, 3, 1)
DOWN = "RegistryError: MLflow at http://127.0.0.1:5000 does not answer"


@pytest.fixture
def watch(reigning: World) -> Watch:
    """Return a world with a champion, and nothing mailed yet."""
    watch = Watch(reigning)
    watch.mail()
    watch.server.inbox.clear()
    return watch


def fail(watch: Watch, dag: str = "toy__batch_scoring", task: str | None = "score", error: str | None = DOWN) -> None:
    """Let a task fail and mail what is due."""
    failures.run(watch.world.case, Failure(dag, task, error, "task failure", DAY), watch.world.adapters, by=watch.by())
    watch.mail()


def mend(watch: Watch, dag: str = "toy__batch_scoring", task: str = "score", *, ends_run: bool = True) -> None:
    """Let a task end well and mail what is due."""
    failures.recovered(dag, task, watch.world.adapters, by=watch.by(), ends_run=ends_run)
    watch.mail()


def test_forty_tasks_that_fail_for_one_reason_are_one_incident_and_one_mail(watch: Watch):
    """Five DAGs with eight tasks each, on ports and days of their own."""
    for dag in range(5):
        for task in range(8):
            fail(watch, f"toy__dag_{dag}", f"task_{task}", DOWN.replace("5000", str(5000 + task)))

    (incident,) = watch.incidents
    assert (incident.kind, len(incident.parts)) == ("run failed", 40)
    assert len(watch.subjects) == 1
    assert DOWN.replace("5000", "5000") in watch.server.inbox[0].text


def test_it_is_over_when_the_last_part_has_recovered(watch: Watch):
    """And then one mail says so."""
    fail(watch)
    fail(watch, "toy__drift_monitoring", "monitor")
    mend(watch)
    assert len(watch.subjects) == 1

    mend(watch, "toy__drift_monitoring", "monitor")
    assert len(watch.subjects) == 2
    assert "nothing of it fails any more" in watch.server.inbox[1].text
    assert open_incidents(watch.world.adapters.ledger) == ()


def test_two_reasons_are_two_incidents(watch: Watch):
    """The second is news."""
    fail(watch)
    fail(watch, error="DataError: features/toy has no snapshot")

    assert [incident.kind for incident in watch.incidents] == ["run failed", "run failed"]
    assert len(watch.subjects) == 2


def test_a_part_that_fails_again_and_again_is_told_once(watch: Watch):
    """Every day the same, until somebody mends it."""
    for _ in range(5):
        fail(watch)

    assert len(watch.subjects) == 1


def test_a_reason_that_comes_back_is_a_new_incident(watch: Watch):
    """After it was over."""
    fail(watch)
    mend(watch)
    fail(watch)

    assert len(watch.incidents) == 2
    assert [mail.thread is None for mail in watch.server.inbox] == [True, False, True]


def test_a_challenger_that_its_gates_held_back_is_nobodys_mail(watch: Watch):
    """The champion stays, and nobody has to act; the page shows it, and the next evaluation that passes ends it."""
    fail(watch, "toy__model_promotion", "evaluate", "GateFailedError: Version 7 failed 1 gates")

    assert watch.incidents[0].kind == "challenger held back"
    assert watch.subjects == []
    mend(watch, "toy__model_promotion", "evaluate")
    assert not watch.incidents[0].is_open
    assert watch.subjects == []


def test_a_late_run_is_an_incident_until_the_main_task_of_its_dag_ends_well(watch: Watch):
    """Another task of it does not end it."""
    failures.late(
        watch.world.case, Failure("toy__feature_build", None, None, "late", DAY), watch.world.adapters, by=watch.by()
    )
    watch.mail()
    mend(watch, "toy__feature_build", "ingest", ends_run=False)
    assert watch.incidents[0].is_open
    mend(watch, "toy__feature_build", "features")

    assert [incident.kind for incident in watch.incidents] == ["deadline missed"]
    assert "a run is late since 2026-03-01" in watch.subjects[0]
    assert "toy__feature_build of 2026-03-01 is not done 6 hours after its start." in watch.server.inbox[0].text
    assert len(watch.subjects) == 2


def test_a_task_that_ends_well_while_nothing_is_wrong_writes_nothing(watch: Watch):
    """Which is every task, every day."""
    before = watch.world.adapters.ledger.history()
    mend(watch)

    assert watch.world.adapters.ledger.history() == before


def test_a_cause_that_reaches_another_use_case_tells_its_people_once(watch: Watch):
    """The same people are not told twice, others are; all who were told hear of the end."""
    from fakes import make_case
    from perennial.stages import send, tell

    fail(watch)
    same, other = make_case(name="shop"), make_case(name="bank", alerts={"to": ["bank@example.org"]})
    for case in (same, other):
        failure = Failure(f"{case.name}__batch_scoring", "score", DOWN, "task failure", DAY)
        failures.run(case, failure, watch.world.adapters, by=watch.by())
        tell.run(case, watch.world.adapters, now=watch.now)
        send.run(watch.world.adapters, deliver=watch.server.deliver, now=watch.now)
    assert [mail.to for mail in watch.server.inbox] == [("ops@example.org",), ("bank@example.org",)]

    for case in ("toy", "shop", "bank"):
        mend(watch, f"{case}__batch_scoring")
    for case in (same, other):
        tell.run(case, watch.world.adapters, now=watch.now)
    send.run(watch.world.adapters, deliver=watch.server.deliver, now=watch.now)
    assert [mail.to for mail in watch.server.inbox[2:]] == [("ops@example.org",), ("bank@example.org",)]
    told = [alert for case in ("toy", "shop", "bank") for alert in watch.world.adapters.ledger.alerts(case)]
    assert all(isinstance(alert, AlertRecord) for alert in told)


def late(watch: Watch, dag: str) -> None:
    """Let a run miss its deadline and mail what is due."""
    failures.late(watch.world.case, Failure(dag, None, None, "late", DAY), watch.world.adapters, by=watch.by())
    watch.mail()


def test_what_waits_for_a_broken_feed_is_part_of_its_incident(watch: Watch):
    """Ingestion fails, scoring and monitoring are late for it, and give up waiting: one incident, one mail, one end."""
    fail(watch, "toy__feature_build", "ingest", "DataError: Source 'sales' has no rows for 2026-03-01")
    late(watch, "toy__batch_scoring")
    late(watch, "toy__drift_monitoring")
    fail(watch, "toy__batch_scoring", "wait_for_features", "TaskDeferralTimeout: 12 hours")
    assert [incident.kind for incident in watch.incidents] == ["feed broken"]
    assert len(watch.subjects) == 1

    mend(watch, "toy__feature_build", "ingest", ends_run=False)
    mend(watch, "toy__batch_scoring", "wait_for_features", ends_run=False)
    mend(watch, "toy__batch_scoring", "score")
    assert len(watch.subjects) == 1
    mend(watch, "toy__drift_monitoring", "monitor")
    assert len(watch.subjects) == 2


def test_a_run_that_is_late_by_itself_is_an_incident_of_its_own(watch: Watch):
    """Nothing before it has failed."""
    late(watch, "toy__batch_scoring")
    late(watch, "toy__drift_monitoring")

    assert [incident.kind for incident in watch.incidents] == ["deadline missed"]
    assert watch.incidents[0].parts == ("toy__batch_scoring", "toy__drift_monitoring")


@pytest.mark.parametrize(
    ("task", "error", "kind"),
    [
        ("ingest", "DataError: no rows", "feed broken"),
        ("ingest", "SourceError: no answer", "feed broken"),
        ("ingest", "LakeError: disk full", "run failed"),
        ("features", "DataError: no entity", "run failed"),
    ],
)
def test_a_source_that_ingest_refuses_is_a_broken_feed(watch: Watch, task: str, error: str, kind: str):
    """Other errors, and those of other tasks, are failed runs."""
    fail(watch, "toy__feature_build", task, error)

    assert watch.incidents[0].kind == kind
