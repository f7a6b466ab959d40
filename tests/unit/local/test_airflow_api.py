"""The client of Airflow's API, against answers that a test gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from perennial.errors import SetupError
from perennial.local import airflow_api
from perennial.local.airflow_api import Airflow, Run
from perennial.local.layout import Layout


@pytest.fixture
def airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Airflow]:
    """Return a builder of clients that get the given answers in turn, and do not wait for long."""
    monkeypatch.setattr(airflow_api, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(airflow_api, "RECOVERY_SECONDS", 0.2)

    def make(answers: Iterator[httpx.Response]) -> Airflow:
        client = Airflow(Layout(home=tmp_path, airflow_port=1, mlflow_port=2, smtp_port=3))
        transport = httpx.MockTransport(lambda _request: next(answers))
        client._client = httpx.Client(base_url="http://airflow", transport=transport)
        return client

    return make


def test_a_question_is_asked_again_while_the_database_comes_back(airflow: Callable[..., Airflow]) -> None:
    """Airflow answers 500 for a moment after its database was gone."""
    answers = [httpx.Response(500), httpx.Response(503), httpx.Response(200, json={"dags": []})]

    assert airflow(iter(answers)).ask("GET", "/dags") == {"dags": []}


def test_a_question_that_is_never_answered_ends_with_airflows_words(airflow: Callable[..., Airflow]) -> None:
    """Patience has an end, and the message says what Airflow said."""
    ill = airflow(httpx.Response(500, text="Database error") for _ in iter(int, 1))

    with pytest.raises(SetupError, match="HTTP 500 Database error"):
        ill.ask("GET", "/dags")


def test_a_state_is_set_again_where_the_scheduler_wrote_the_same_row(airflow: Callable[..., Airflow]) -> None:
    """Said twice it means the same, and the database refuses one of two writers at once."""
    answers = [httpx.Response(500, text="deadlock detected"), httpx.Response(200, json={"state": "failed"})]

    assert airflow(iter(answers)).ask("PATCH", "/dags/a/dagRuns/b", json={"state": "failed"}) == {"state": "failed"}


def test_what_makes_something_is_asked_for_once(airflow: Callable[..., Airflow]) -> None:
    """The first request may have done its work before its answer was lost."""
    answers = [httpx.Response(500, text="Database error"), httpx.Response(200, json={})]

    with pytest.raises(SetupError, match="Database error"):
        airflow(iter(answers)).ask("POST", "/backfills")


def states(state: str) -> httpx.Response:
    """Return what Airflow says of a run with one task."""
    return httpx.Response(200, json={"task_instances": [{"task_id": "approve", "state": state, "try_number": 1}]})


def test_an_answer_that_airflow_has_lost_is_given_again(airflow: Callable[..., Airflow]) -> None:
    """It came before the scheduler knew of the question: the task failed, and asks once more."""
    lost = httpx.Response(200, json={"hitl_details": [{"response_received": False}]})
    taken = httpx.Response(200, json={})
    answers = [taken, states("queued"), states("awaiting_input"), lost, taken, states("running"), states("success")]
    waiting = iter(answers)

    airflow(waiting).answer(Run("promotion", "run", "running", None, None), "approve", "Approve", reason="better")

    assert list(waiting) == []


def test_an_answer_that_is_never_taken_is_an_error(airflow: Callable[..., Airflow]) -> None:
    """The message says which task, and where to look."""
    stuck = (states("queued") if at else httpx.Response(200, json={}) for at in range(1000))

    with pytest.raises(SetupError, match="approve of promotion has not taken its answer after 0 s"):
        airflow(stuck).answer(Run("promotion", "run", "running", None, None), "approve", "Approve", seconds=0.05)
