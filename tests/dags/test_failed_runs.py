"""A failed run, told as Airflow's DAG processor tells it: one mail with day and task, none for a backfill."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import structlog
from fakes import FakeRegistry, make_case
from perennial.errors import SpecError
from perennial.io.ledger import Ledger
from perennial.io.outbox import Outbox

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def outbox(monkeypatch) -> list:
    """Keep the mails instead of handing them to a server."""
    from perennial_airflow.hooks import MailHook

    sent: list = []
    monkeypatch.setattr(MailHook, "deliver", lambda _hook, mail: sent.append(mail))
    return sent


@pytest.fixture(autouse=True)
def world(monkeypatch, tmp_path) -> SimpleNamespace:
    """Be the use case and the outside world that the processor finds; the ledger is a real one on SQLite."""
    case, ledger = make_case(), Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    settings = SimpleNamespace(airflow_url="http://airflow", pages_root=tmp_path, home=tmp_path)
    world = SimpleNamespace(ledger=ledger, outbox=Outbox(ledger), settings=settings, registry=FakeRegistry())
    monkeypatch.setattr("perennial.catalog.load_use_case", lambda _name: case)
    monkeypatch.setattr("perennial.catalog.use_cases", lambda: (case,))
    monkeypatch.setattr("perennial.adapters.Adapters", SimpleNamespace(from_env=lambda: world))
    return world


@pytest.fixture(autouse=True)
def kept(monkeypatch) -> dict[str, str]:
    """Be the XComs that the processor reads through its supervisor."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    kept: dict[str, str] = {}
    monkeypatch.setattr(RuntimeTaskInstance, "xcom_pull", lambda _ti, *, task_ids, key: kept.get(f"{task_ids}.{key}"))
    monkeypatch.setattr(
        RuntimeTaskInstance, "xcom_push", lambda ti, *, key, value: kept.update({f"{ti.task_id}.{key}": value})
    )
    return kept


def tell(dags, *, run_type: str, knows_task: bool = True) -> None:
    """Run the callback of `toy__feature_build` in the way the processor does."""
    from airflow.callbacks.callback_requests import DagCallbackRequest, DagRunContext
    from airflow.dag_processing.processor import _execute_dag_callbacks
    from airflow.sdk.api.datamodels import _generated as models

    run = models.DagRun.model_construct(
        dag_id="toy__feature_build", run_id=f"{run_type}__2026-03-02", logical_date=None, data_interval_start=None,
        data_interval_end=None, run_after=NOW, start_date=NOW, end_date=None, clear_number=0, run_type=run_type,
        state="failed", conf={}, consumed_asset_events=[], partition_key="2026-03-01", partition_date=NOW,
    )  # fmt: skip
    ti = models.TaskInstance.model_construct(
        id=uuid.uuid4(), task_id="ingest", dag_id="toy__feature_build", run_id=run.run_id, try_number=3, map_index=-1
    )
    told = DagRunContext.model_construct(dag_run=run, last_ti=ti if knows_task else None)
    request = DagCallbackRequest.model_construct(
        filepath="feature_build.py", bundle_name="dags-folder", bundle_version=None, msg="task_failure",
        dag_id="toy__feature_build", run_id=run.run_id, context_from_server=told, is_failure_callback=True,
        type="DagCallbackRequest",
    )  # fmt: skip
    _execute_dag_callbacks(SimpleNamespace(dags=dags, get_dag=dags.get), request, structlog.get_logger())


@pytest.mark.parametrize("run_type", ["scheduled", "manual", "asset_triggered"])
def test_a_failed_run_is_told_once(dags, outbox, run_type):
    """With what the processor knows, the mail names the day, the task and the run."""
    tell(dags, run_type=run_type)

    (mail,) = outbox
    assert mail.to == ("ops@example.org",)
    assert mail.subject == "[Perennial] toy: runs fail since 2026-03-01"
    assert "toy__feature_build.ingest of 2026-03-01 failed: task failure" in mail.text
    assert f"/dags/toy__feature_build/runs/{run_type}__2026-03-02" in mail.text


def test_the_mail_says_what_the_task_failed_with(dags, outbox, kept):
    """What the task's own callback keeps is what the run's mail says."""
    kept["ingest.error"] = "DataError: sales of 2026-03-01 has no column <amount>"
    tell(dags, run_type="scheduled")

    assert "DataError: sales of 2026-03-01 has no column <amount>" in outbox[0].text
    assert "no column &lt;amount&gt;" in outbox[0].html


def test_a_task_keeps_its_error(kept):
    """Class and message; a task without an exception keeps nothing."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from perennial_airflow.notices import keep_error

    ti = RuntimeTaskInstance.model_construct(task_id="ingest")
    keep_error({"ti": ti})
    assert kept == {}
    keep_error({"ti": ti, "exception": ValueError("x" * 9000)})
    assert kept["ingest.error"].startswith("ValueError: xxx")
    assert len(kept["ingest.error"]) == 4000


@pytest.mark.parametrize("knows_task", [True, False])
def test_a_failed_backfill_is_not_told(dags, outbox, knows_task):
    """Its page in the UI is open before whoever started it."""
    tell(dags, run_type="backfill", knows_task=knows_task)

    assert outbox == []


def test_a_failed_run_without_a_task_is_told(dags, outbox):
    """A run that timed out has no failed task; Airflow then says little more than its id."""
    tell(dags, run_type="scheduled", knows_task=False)

    assert outbox[0].subject.startswith("[Perennial] toy: runs fail since ")
    assert "toy__feature_build failed: task failure" in outbox[0].text


def test_a_use_case_that_is_gone_is_told_without_the_ledger(dags, outbox, monkeypatch):
    """Its folder was deleted or broken while it ran: whoever its DAG knows is mailed, once a cause and day."""

    def gone(name):
        raise SpecError(f"There is no use case {name!r}.")

    monkeypatch.setattr("perennial.catalog.load_use_case", gone)
    for _ in range(2):
        tell(dags, run_type="scheduled")

    (mail,) = outbox
    assert (mail.subject, mail.to) == ("[Perennial] failed: toy__feature_build of 2026-03-01", ("ops@example.org",))
