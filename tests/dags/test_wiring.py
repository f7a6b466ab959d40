"""What the DAG files wire: one DAG a use case and stage, the vital edges, keys, retries, and silence in backfills."""

from __future__ import annotations

import pendulum
import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import ParamValidationError
from perennial import errors
from perennial_airflow import defaults
from perennial_airflow.notices import FailureNotice, keep_error

STAGES = (
    "feature_build", "continuous_training", "model_promotion", "batch_scoring", "drift_monitoring", "lake_maintenance",
)  # fmt: skip
BY_HAND = ("backfill", "redrive")
DAILY = ("feature_build", "batch_scoring", "drift_monitoring")


def upstream(dag, task: str) -> set[str]:
    """Return the ids of all tasks before this one."""
    return dag.get_task(task).get_flat_relative_ids(upstream=True)


def test_each_use_case_has_its_nine_dags(dags):
    """Six that run by themselves and three with a form; a broken use case takes nobody else's DAGs away."""
    expected = {f"{case}__{stage}" for case in ("toy", "other") for stage in (*STAGES, *BY_HAND, "rollback")}

    assert set(dags) - {"errors", "perennial__mail"} == expected


@pytest.mark.parametrize("name", BY_HAND)
def test_a_dag_with_a_form_starts_by_hand_only_and_mails_nobody_by_itself(dags, name):
    """No schedule, one run at a time, a runbook, no mail about a failed run but the one that was asked for."""
    dag = dags[f"toy__{name}"]

    assert type(dag.timetable).__name__ == "NullTimetable"
    assert dag.max_active_runs == 1
    assert not dag.on_failure_callback
    assert "|---|---|" in dag.doc_md
    assert not [task.task_id for task in dag.tasks if task.outlets]


def test_a_rollback_waits_for_nothing_and_tells_everyone(dags):
    """Started by hand, several at a time, before other tasks; the mail comes after and holds nothing up."""
    dag = dags["toy__rollback"]

    assert type(dag.timetable).__name__ == "NullTimetable"
    assert dag.max_active_runs == defaults.AT_ONCE
    assert dag.is_paused_upon_creation is False
    assert {task.priority_weight for task in dag.tasks} == {defaults.FIRST}
    assert upstream(dag, "tell") == {"rollback"}
    assert [asset.name for asset in dag.get_task("rollback").outlets] == ["toy/champion"]
    assert "|---|---|" in dag.doc_md


@pytest.mark.parametrize(("name", "wrong"), [("to_version", ""), ("to_version", "newest"), ("reason", "")])
def test_the_form_of_a_rollback_refuses_what_says_nothing(dags, name, wrong):
    """The stage refuses it as well, whoever asks."""
    params = dags["toy__rollback"].params

    with pytest.raises(ParamValidationError):
        params.get_param(name).resolve(wrong)
    assert params.get_param("to_version").resolve("12") == "12"


@pytest.mark.parametrize("stage", ["batch_scoring", "model_promotion"])
def test_watching_the_aliases_holds_nothing_up(dags, stage):
    """A mail server that is down stops neither scores nor promotions."""
    task = dags[f"toy__{stage}"].get_task("tell_decisions")

    assert not task.upstream_task_ids
    assert not task.downstream_task_ids


@pytest.mark.parametrize("name", [*BY_HAND, "rollback"])
def test_what_a_form_leaves_empty_may_be_null(dags, name):
    """Airflow's form takes an empty text that may not be null for a missing one, and refuses to start."""
    params = dags[f"toy__{name}"].params

    assert [key for key in params if params.get_param(key).value == ""] == []


def test_the_parts_of_a_backfill_share_a_pool_and_keep_their_order(dags):
    """Raw days come before features, features before scores; the summary is written whatever happened."""
    dag = dags["toy__backfill"]

    assert {dag.get_task(product).pool for product in ("raw", "features", "predictions")} == {defaults.BACKFILL_POOL}
    assert {"plan", "raw", "features"} < upstream(dag, "predictions")
    assert upstream(dag, "features") == {"plan", "raw", "remaining_features"}
    assert dag.get_task("summary").trigger_rule == "all_done"


def test_the_forms_refuse_what_cannot_be(dags):
    """A product that is none, a day that is none, and a mode that is none do not start a run."""
    params = dags["toy__backfill"].params

    for name, wrong in (("what", ["models"]), ("which", "some"), ("first_day", "yesterday"), ("mail_to", 3)):
        with pytest.raises(ParamValidationError):
            params.get_param(name).resolve(wrong)
    assert params.get_param("what").resolve(["raw", "features"]) == ["raw", "features"]


def test_a_broken_use_case_is_an_import_error_of_its_own(dags):
    """The only import error is the file that shows broken use cases; it says which, where and why."""
    ((file, said),) = dags["errors"].items()

    assert file.endswith("broken_use_cases.py")
    assert "1 use case(s) cannot be used" in said
    assert "broken/use_case.yaml is wrong" in said
    assert "colour: unknown key" in said


@pytest.mark.parametrize("stage", DAILY)
def test_a_daily_dag_has_one_key_a_day(dags, stage):
    """The run at midnight UTC has the day before as its key, as a backfill of that day has."""
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable

    timetable = decode_timetable(encode_timetable(dags[f"toy__{stage}"].timetable))
    midnight = pendulum.datetime(2026, 11, 20, tz="UTC")
    run = timetable.next_dagrun_info_v2(last_dagrun_info=None, restriction=_since(midnight))

    assert run.run_after == midnight
    assert run.partition_key == "2026-11-19"
    assert run.partition_date == pendulum.datetime(2026, 11, 19, tz="UTC")


def _since(moment):
    from airflow.timetables.base import TimeRestriction

    return TimeRestriction(earliest=moment, latest=None, catchup=True)


@pytest.mark.parametrize("stage", STAGES)
def test_every_dag_says_what_it_does_and_whom_to_tell(dags, stage):
    """Runbook, tags, owner, a name for people, one mail a failed run, nothing caught up."""
    dag = dags[f"toy__{stage}"]

    assert "|---|---|" in dag.doc_md
    assert {"perennial", "toy", stage} == set(dag.tags)
    assert dag.dag_display_name.startswith("toy · ")
    assert dag.on_failure_callback == FailureNotice("toy", to=("ops@example.org",))
    assert dag.catchup is False
    for task in dag.tasks:
        assert (task.owner, task.retries, task.on_failure_callback) == ("perennial", 2, [keep_error])
        assert task.execution_timeout.total_seconds() == 3600


def test_nothing_is_promoted_before_its_gates(dags):
    """The one edge this project exists for."""
    dag = dags["toy__model_promotion"]

    assert "evaluate" in upstream(dag, "promote")
    assert dag.get_task("promote").trigger_rule == "all_success"


def test_where_people_approve_nothing_is_promoted_before_their_answer(dags):
    """Evaluate, approve, promote; the mail holds nothing up; silence is a rejection."""
    dag = dags["other__model_promotion"]
    approve = dag.get_task("approve")

    assert upstream(dag, "promote") == {"evaluate", "approve"}
    assert upstream(dag, "approve") == upstream(dag, "tell_approvers") == {"evaluate"}
    assert not dag.get_task("tell_approvers").downstream_task_ids
    assert dag.get_task("promote").trigger_rule == "all_success"
    assert (approve.defaults, approve.response_timeout.days) == (["Reject"], 2)
    assert approve.assigned_users == [{"id": name, "name": name} for name in ("ann", "bob")]
    assert list(approve.params) == ["reason"]


def test_where_the_gates_decide_nobody_is_asked(dags):
    """The promotion follows the evaluation at once, as it always has."""
    dag = dags["toy__model_promotion"]

    assert {task.task_id for task in dag.tasks} == {"evaluate", "promote", "tell_decisions"}


def test_features_come_after_ingest_and_scores_after_features(dags):
    """A day goes down the spine in order."""
    assert upstream(dags["toy__feature_build"], "features") == {"ingest"}
    assert upstream(dags["toy__batch_scoring"], "score") == {"wait_for_features"}


def test_the_incident_knows_of_the_request_and_waits_for_nothing_to_succeed(dags):
    """Its mail says what was done by itself; neither holds the other up."""
    dag = dags["toy__drift_monitoring"]

    assert upstream(dag, "request_retrain") == {"wait_for_predictions", "monitor"}
    assert dag.get_task("alert").upstream_task_ids == {"request_retrain"}
    assert dag.get_task("alert").trigger_rule == "all_done"


@pytest.mark.parametrize(
    ("stage", "has"), [("feature_build", 1), ("batch_scoring", 1), ("drift_monitoring", 1), ("continuous_training", 0)]
)
def test_a_daily_run_has_a_deadline(dags, stage, has):
    """Six hours after its start, unless the use case says otherwise; a training takes as long as it takes."""
    deadlines = dags[f"toy__{stage}"].deadline or []

    assert [each.interval.total_seconds() for each in deadlines] == [6 * 3600] * has


def test_a_request_starts_the_training_and_nothing_else_does(dags):
    """The event of a run with a partition key starts no run, so a task does, and only once the request was made."""
    dag = dags["toy__drift_monitoring"]

    assert dag.get_task("start_training").trigger_dag_id == "toy__continuous_training"
    assert dag.get_task("start_training").trigger_rule == "all_success"
    assert dag.get_task("start_training").upstream_task_ids == {"request_retrain"}


def test_events_start_training_and_promotion_only(dags):
    """Features and predictions carry lineage; if they started runs, a backfill would start a storm."""
    from airflow.serialization.encoders import ensure_serialized_asset

    started = {
        dag_id: [key.name for key, _ in ensure_serialized_asset(dag.timetable.asset_condition).iter_assets()]
        for dag_id, dag in dags.items()
        if dag_id.startswith("toy") and getattr(dag.timetable, "asset_condition", None)
    }

    assert started == {"toy__continuous_training": ["toy/retrain_request"], "toy__model_promotion": ["toy/challenger"]}


@pytest.mark.parametrize(
    ("dag", "task", "asset"),
    [
        ("feature_build", "features", "features"),
        ("continuous_training", "train", "challenger"),
        ("model_promotion", "promote", "champion"),
        ("batch_scoring", "score", "predictions"),
        ("drift_monitoring", "request_retrain", "retrain_request"),
    ],
)
def test_each_asset_has_one_producer(dags, dag, task, asset):
    """The task that publishes a thing is the one that says so; a probation may give a champion back."""
    outlets = {t.task_id: [a.name for a in t.outlets] for t in dags[f"toy__{dag}"].tasks if t.outlets}
    back = {"watch_probation": ["toy/champion"]} if dag == "drift_monitoring" else {}

    assert outlets == {task: [f"toy/{asset}"], **back}


def test_a_probation_is_watched_each_day_beside_the_monitor(dags):
    """It waits for the day's scores, and neither a drift report nor a mail about drift holds it up."""
    dag = dags["toy__drift_monitoring"]

    assert upstream(dag, "watch_probation") == {"wait_for_predictions"}
    assert not dag.get_task("watch_probation").downstream_task_ids


def test_training_runs_on_the_cron_of_its_use_case(dags):
    """Each use case has its own."""
    crons = [dags[f"{case}__continuous_training"].timetable.timetable.expression for case in ("toy", "other")]

    assert crons == ["0 4 * * 1", "30 5 * * *"]


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (errors.GateFailedError("x"), RetryAction.FAIL),
        (errors.LeakError("x"), RetryAction.FAIL),
        (errors.SetupError("x"), RetryAction.FAIL),
        (errors.MailError("x"), RetryAction.RETRY),
        (errors.RegistryError("x"), RetryAction.RETRY),
        (ValueError("x"), RetryAction.DEFAULT),
    ],
)
def test_only_what_may_heal_is_tried_again(error, action):
    """A failed gate fails at once, a server that refuses may recover, and the unforeseen gets its retries."""
    assert defaults.RETRY_POLICY.evaluate(error, 1, 2).action == action
