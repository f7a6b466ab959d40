"""The arguments reach the stage, its record comes back, its error comes through."""

from __future__ import annotations

from datetime import date, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException
from perennial.errors import DataError, GateFailedError, NoModelError, SetupError
from perennial.records import (
    FeaturesRecord,
    IngestRecord,
    PromotionRecord,
    RetrainDecision,
    ScoreRecord,
    TrainRecord,
    Window,
)
from perennial.verdicts import GateReport, GateResult
from perennial_airflow import operators

DAY = date(2026, 3, 1)


def train_record(**fields):
    """Return a train record of version 7."""
    defaults = {
        "case": "toy", "as_of": DAY, "version": "7", "run_id": "m", "winner": "logistic", "candidates": (),
        "holdout": {"roc_auc": 0.8}, "baselines": {"constant": {"roc_auc": float("nan")}},
    }  # fmt: skip
    return TrainRecord(**(defaults | fields))


def gate_report(*, margin: float) -> GateReport:
    """Return the report of one gate."""
    result = GateResult("roc_auc at least 0.6", 0.6 + margin, 0.6, margin)
    return GateReport("toy", "7", None, DAY, (result,), {}, Window.of_day(DAY), 100)


@pytest.mark.parametrize("key", [None, "", "soon", "2026-13-01"])
def test_a_daily_run_without_a_day_is_refused(key, make_context):
    """The message says what the key was and how to start the run rightly."""
    task = operators.IngestOperator(task_id="ingest", case="toy")

    with pytest.raises(SetupError, match=r"does not know its day. Trigger it again with a day such as 2026-01-31"):
        task.execute(make_context(partition_key=key))


def test_an_empty_context_is_refused_too():
    """A task that is run outside of Airflow gets the same words."""
    with pytest.raises(SetupError, match="has the partition key None"):
        operators.IngestOperator(task_id="ingest", case="toy").execute({})


def test_ingest_hands_over_case_day_and_run(case, adapters, fake_stage, make_context):
    """The stage gets its four arguments, its records come back as plain data."""
    record = IngestRecord("toy", "sales", DAY, 10, 2, 1, changed=True)
    stage = fake_stage("ingest", gives=(record,))

    handed_on = operators.IngestOperator(task_id="ingest", case="toy").execute(make_context())

    assert (stage.args, stage.kwargs) == ((case, DAY, adapters), {"run": "run 1", "late": True})
    assert handed_on[0]["day"] == "2026-03-01"


def test_a_backfilled_day_reads_no_days_for_late_rows(fake_stage, make_context):
    """Each day of a backfill has a run of its own."""
    stage = fake_stage("ingest", gives=())
    operators.IngestOperator(task_id="ingest", case="toy").execute(make_context("backfill"))

    assert stage.kwargs["late"] is False


def test_features_tell_their_asset_what_they_published(fake_stage, make_context):
    """The event of the asset carries day, rows and version."""
    fake_stage(
        "features",
        gives=FeaturesRecord(
            "toy", DAY, 5, 4, changed=True, source_versions={"raw/toy/sales": 1}, leak_checked_day=None
        ),
    )
    context, asset = make_context(), Asset("toy/features")

    operators.FeaturesOperator(task_id="features", case="toy", outlets=[asset]).execute(context)

    assert context["outlet_events"][asset].extra == {"day": "2026-03-01", "rows": 5, "version": 4}


def test_training_takes_the_newest_feature_day(adapters, fake_stage, make_context):
    """Without a parameter the newest published day is the `as_of`; NaN does not reach the XCom."""
    stage = fake_stage("train", gives=train_record())

    context, asset = make_context(user="ann"), Asset("toy/challenger")
    handed_on = operators.TrainOperator(task_id="train", case="toy", outlets=[asset]).execute(context)

    assert stage.args[1] == DAY
    assert stage.kwargs == {"run": "run 1", "reason": "on demand: started by ann", "who": "ann"}
    assert context["outlet_events"][asset].extra["who"] == "ann"
    assert handed_on["baselines"]["constant"]["roc_auc"] is None


def test_training_obeys_its_parameter_and_says_who_asked(fake_stage, make_context):
    """`as_of` wins over the newest day; the reason is the one in the event that started the run."""
    stage = fake_stage("train", gives=train_record())
    events = {Asset("toy/retrain_request"): [SimpleNamespace(extra={"reason": "spend_30d drifted"})]}
    context = make_context(params={"as_of": "2026-02-01"}, triggering_asset_events=events)

    operators.TrainOperator(task_id="train", case="toy").execute(context)

    assert stage.args[1] == date(2026, 2, 1)
    assert stage.kwargs["reason"] == "spend_30d drifted"


def test_training_without_features_says_what_to_run(adapters, make_context, fake_stage):
    """An empty lake is an error that names the DAG to run first."""
    adapters.lake.known = ()
    fake_stage("train", gives=None)

    with pytest.raises(DataError, match=r"no published feature day in 'features/toy'.*Run toy__feature_build first"):
        operators.TrainOperator(task_id="train", case="toy").execute(make_context())


def test_the_evaluated_version_is_that_of_the_event(fake_stage, make_context):
    """The newest challenger event names the version; the clock is handed over with its zone."""
    stage = fake_stage("evaluate", gives=gate_report(margin=0.0))
    events = {Asset("toy/challenger"): [SimpleNamespace(extra={"version": 6}), SimpleNamespace(extra={"version": 7})]}

    handed_on = operators.EvaluateOperator(task_id="evaluate", case="toy").execute(
        make_context(triggering_asset_events=events)
    )

    assert (stage.kwargs["version"], stage.kwargs["who"]) == ("7", "airflow")
    assert isinstance(stage.kwargs["now"], datetime)
    assert stage.kwargs["now"].tzinfo is not None
    assert handed_on["version"] == "7"


def test_a_run_by_hand_evaluates_the_newest_challenger(fake_stage, make_context):
    """Without an event the stage is asked for whatever version is the challenger."""
    stage = fake_stage("evaluate", gives=gate_report(margin=0.1))

    operators.EvaluateOperator(task_id="evaluate", case="toy").execute(make_context(user="ann"))

    assert (stage.kwargs["version"], stage.kwargs["who"]) == (None, "ann")


def test_a_failed_gate_fails_the_task(fake_stage, make_context):
    """The error says the gate's value and limit."""
    fake_stage("evaluate", gives=gate_report(margin=-0.1))

    with pytest.raises(GateFailedError, match=r"version 7 failed 1 gate\(s\):\n.*0.5000, needed 0.6000"):
        operators.EvaluateOperator(task_id="evaluate", case="toy").execute(make_context())


def test_promotion_hands_over_version_and_reason(fake_stage, make_context, now):
    """The version is the evaluated one; the event says what it replaced."""
    stage = fake_stage("promote", gives=PromotionRecord("toy", "7", "5", "ann", now, "gates", 3, changed=True))
    context, asset = make_context(user="ann"), Asset("toy/champion")

    operators.PromoteOperator(task_id="promote", case="toy", version="7", outlets=[asset]).execute(context)

    assert stage.args[1] == "7"
    assert (stage.kwargs["reason"], stage.kwargs["run"]) == ("passed every gate in run 1", "run 1")
    assert context["outlet_events"][asset].extra == {"version": "7", "previous": "5", "who": "ann"}


def test_scoring_hands_over_the_day(fake_stage, make_context):
    """The day of the run's partition key is scored."""
    stage = fake_stage("score", gives=ScoreRecord("toy", DAY, 5, "7", 3, 2, changed=True))

    handed_on = operators.ScoreOperator(task_id="score", case="toy").execute(make_context())

    assert stage.args[1] == DAY
    assert handed_on["model_version"] == "7"


def test_scoring_skips_before_there_is_a_champion(fake_stage, make_context):
    """That is no failure, and the reason names the next step."""
    fake_stage("score", gives=NoModelError("toy has no champion yet: train one first."))

    with pytest.raises(AirflowSkipException, match="Nothing to score with: toy has no champion yet: train one"):
        operators.ScoreOperator(task_id="score", case="toy").execute(make_context())


def test_monitoring_hands_over_the_day_and_the_clock(fake_stage, make_context, make_finding):
    """The record comes back as plain data."""
    stage = fake_stage("monitor", gives=make_finding())

    handed_on = operators.MonitorOperator(task_id="monitor", case="toy").execute(make_context())

    assert stage.args[1] == DAY
    assert stage.kwargs["now"].tzinfo is not None
    assert handed_on["verdict"] == "drifted"


def test_a_wanted_retraining_is_asked_for_with_its_reason(fake_stage, make_context):
    """The event carries the reason to the training run."""
    fake_stage(
        "retrain",
        gives=RetrainDecision("toy", DAY, wanted=True, trigger="distribution change", reason="spend_30d drifted"),
    )
    context, asset = make_context(), Asset("toy/retrain_request")

    handed_on = operators.RequestRetrainOperator(task_id="r", case="toy", outlets=[asset]).execute(context)

    why = "distribution change: spend_30d drifted"
    assert context["outlet_events"][asset].extra["reason"] == handed_on["why"] == why


def test_an_unwanted_retraining_skips(fake_stage, make_context):
    """A skipped task emits no event; it says why."""
    fake_stage(
        "retrain", gives=RetrainDecision("toy", DAY, wanted=False, trigger="none", reason="cool-down until 2026-03-08")
    )

    with pytest.raises(AirflowSkipException, match="cool-down until 2026-03-08"):
        operators.RequestRetrainOperator(task_id="r", case="toy").execute(make_context())


def test_a_backfill_asks_for_no_retraining(fake_stage, make_context):
    """The stage is not even asked."""
    stage = fake_stage("retrain", gives=None)

    with pytest.raises(AirflowSkipException, match="a backfill asks for no retraining"):
        operators.RequestRetrainOperator(task_id="r", case="toy").execute(make_context("backfill"))
    assert stage.args == ()


def test_an_error_of_the_stage_comes_through(fake_stage, make_context):
    """The operator neither catches nor wraps."""
    fake_stage("score", gives=DataError("no champion"))

    with pytest.raises(DataError, match="no champion"):
        operators.ScoreOperator(task_id="score", case="toy").execute(make_context())
