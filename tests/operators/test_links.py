"""The buttons on a task's page lead to what the task wrote, and nowhere where it wrote nothing."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time import xcom
from perennial.settings import load_settings
from perennial_airflow import operators
from perennial_airflow.links import page_of

KEY = SimpleNamespace(dag_id="toy__x", task_id="task", run_id="run 1", map_index=-1)
LINKS = [
    (operators.TrainOperator, "Profile", {"profile": "profile/toy/version-7.html"}),
    (operators.MonitorOperator, "Drift report", {"report": "drift/toy/2026-03-01/version-7.html"}),
    (operators.IngestOperator, "Validation", [{"page": None}, {"page": "validation/toy/sales/a b.html"}]),
]


@pytest.fixture(autouse=True)
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return where Airflow is, whatever other tests have said of it before."""
    monkeypatch.setenv("PERENNIAL_AIRFLOW_URL", "http://127.0.0.1:8080")
    load_settings.cache_clear()
    yield load_settings().airflow_url
    load_settings.cache_clear()


@pytest.fixture
def returns(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that sets what the task has returned."""

    def put(record: Any) -> None:
        monkeypatch.setattr(xcom.XCom, "get_value", lambda *, ti_key, key: {"return_value": record}[key])

    return put


@pytest.mark.parametrize(("operator", "name", "record"), LINKS, ids=lambda each: getattr(each, "__name__", None))
def test_a_task_links_the_page_of_its_record(operator: Any, name: str, record: Any, returns: Any, address: str):
    """The address is that of the plugin's own page below Airflow's address, quoted."""
    returns(record)
    task = operator(task_id="task", case="toy")
    (link,) = task.operator_extra_links
    page = page_of(record, link.field)

    assert link.name == name
    assert page is not None
    assert link.get_link(task, ti_key=KEY) == f"{address}/perennial/pages/{page.replace(' ', '%20')}"


@pytest.mark.parametrize("record", [None, {}, {"profile": None}, []])
def test_without_a_page_there_is_no_address(record: Any, returns: Any):
    """A failed task has returned nothing; a profile that could not be made has no page."""
    returns(record)
    task = operators.TrainOperator(task_id="task", case="toy")

    assert task.operator_extra_links[0].get_link(task, ti_key=KEY) == ""


@pytest.mark.parametrize("operator", [operators.EvaluateOperator, operators.PromoteOperator])
def test_evaluation_and_promotion_lead_to_the_card_of_their_version(operator, returns, address, monkeypatch, tmp_path):
    """By case and version of the record; nowhere where the card could not be written, or the task has failed."""
    monkeypatch.setenv("PERENNIAL_PAGES", str(tmp_path))
    load_settings.cache_clear()
    options = {"version": "7"} if operator is operators.PromoteOperator else {}
    task = operator(task_id="task", case="toy", **options)
    link = task.operator_extra_links[-1]
    returns({"case": "toy", "version": "7"})
    assert (link.name, link.get_link(task, ti_key=KEY)) == ("Model card", "")
    (tmp_path / "cards" / "toy").mkdir(parents=True)
    (tmp_path / "cards" / "toy" / "version-7.html").write_text("card")

    assert link.get_link(task, ti_key=KEY) == f"{address}/perennial/pages/cards/toy/version-7.html"
    returns(None)
    assert link.get_link(task, ti_key=KEY) == ""


def test_airflow_keeps_each_link_under_its_own_key():
    """The serialised DAG names the XCom; the user interface reads the address there."""
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG(dag_id="linked", schedule=None) as dag:
        operators.TrainOperator(task_id="train", case="toy")
        operators.EvaluateOperator(task_id="evaluate", case="toy")
    train, evaluate = DagSerialization.to_dict(dag)["dag"]["tasks"]

    assert train["__var"]["_operator_extra_links"] == {"Profile": "_link_profile"}
    assert evaluate["__var"]["_operator_extra_links"] == {"Gate report": "_link_page", "Model card": "_link_card"}
