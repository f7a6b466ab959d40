"""The Explain page: who may look, what is told at once and what on demand, and what hostile entities come to."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from perennial.errors import DataError, LakeError, LedgerError, RegistryError
from perennial.io.warehouse import Warehouse
from perennial.stages.explain import Explanation, FeatureExplained, RowBehind
from perennial.views import prediction
from perennial.views.opinions import Explained, Part
from perennial.views.prediction import PredictionPage
from perennial.views.scored import Scored
from perennial.views.shelf import Shelf
from perennial_airflow.ui import explain, runs
from servedworlds import Dead, Served, served_world
from test_drift_pages import BROWSER, HOSTILE, Seen, client

DAY = date(2026, 2, 19)


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Served:
    """Return a world with scores of two champions and no source rows; MLflow is a server."""
    found = served_world(tmp_path_factory, tmp_path)
    found.adapters.settings.mlflow = "http://mlflow:5000"
    found.adapters.warehouse = Warehouse(found.adapters.lake)
    return found


@pytest.fixture
def case(served: Served):
    """Return its use case, which the catalog then knows."""
    return served.case


@pytest.fixture
def adapters(served: Served, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return its outside world, with no model at hand; no run is known to Airflow."""
    monkeypatch.setattr(explain, "MODELS", Shelf(most=3))
    monkeypatch.setattr(runs, "dags_of_runs", lambda case, run_ids: {})
    return served.adapters


def shown(**asked: str):
    """Return the page as a browser gets it."""
    return client().get("/perennial/models/toy/explain", params=asked, headers=BROWSER)


def test_the_empty_form_names_some_to_begin_with(served: Served):
    """And brings the champion to hand meanwhile."""
    answer = shown()

    assert answer.status_code == 200
    assert f"The highest scores of {served.days[-1]}" in answer.text
    assert answer.text.count("/perennial/models/toy/explain?entity=") == 5
    assert ("toy", "2") in explain.MODELS
    assert Seen(answer.text).active == []


def test_a_score_is_shown_at_once_and_its_parts_on_demand(served: Served, monkeypatch: pytest.MonkeyPatch):
    """Without scripts a link loads the model."""
    quick = shown(entity="3", day=str(served.days[0]))
    address = f"/perennial/models/toy/explain?entity=3&amp;day={served.days[0]}&amp;part=model"

    assert quick.status_code == 200
    assert f'data-load="{address}"' in quick.text
    assert f'<a href="{address}#model">' in quick.text
    assert f"run run of {served.days[0]}" in quick.text
    assert "Shapley values" not in quick.text

    whole = shown(entity="3", day=str(served.days[0]), part="model")
    assert "Shapley values against 100 rows" in whole.text
    assert "data-load" not in whole.text
    assert 'href="http://mlflow:5000/#/runs/run1"' in whole.text
    assert "Version 1 was the first champion" in whole.text
    assert Seen(whole.text).active == []


def test_once_the_model_is_at_hand_the_page_has_its_parts_at_once(served: Served):
    """The champion before is asked, too."""
    shown(entity="3", part="model")
    answer = shown(entity="4")

    assert "Shapley values" in answer.text
    assert "The champion before" in answer.text
    assert "not asked yet" not in answer.text


def test_the_page_says_the_same_as_json(served: Served):
    """With its parts; rows only where they are asked for."""
    found = client().get("/perennial/api/models/toy/explain", params={"entity": "3"}).json()

    parts = sum(part["adds"] for part in found["explained"]["parts"])
    assert found["explained"]["base"] + parts == pytest.approx(found["scored"]["score"])
    assert (found["scored"]["model_version"], found["sources"]) == ("2", None)
    assert [each["role"] for each in found["opinions"]] == ["the champion before"]


def test_the_run_that_scored_is_linked_where_airflow_knows_it(served: Served, monkeypatch: pytest.MonkeyPatch):
    """In the window around the page."""
    monkeypatch.setattr(runs, "dags_of_runs", lambda case, run_ids: dict.fromkeys(run_ids, f"{case}__batch_scoring"))
    answer = shown(entity="3")

    run = f"run%20of%20{served.days[-1]}"
    assert f'<a target="_top" href="/dags/toy__batch_scoring/runs/{run}">' in answer.text


def test_source_rows_are_shown_where_they_are_asked_for(served: Served, monkeypatch: pytest.MonkeyPatch):
    """Each with its role, its keys, and what is read of it; hostile content is text."""
    row = RowBehind(
        "visits", date(2026, 2, 1), {"person": 3, "note": "<script>alert(1)</script>"}, "decides", {"x": None}
    )
    feature = FeatureExplained("recency", 3.0, (row,) * 60, {"visits": ("note",)}, ("towns",), other_entities=True)
    found = Explanation("toy", 3, served.days[-1], (feature,), ("only the newest rows",))
    monkeypatch.setattr(prediction, "explain", SimpleNamespace(run=lambda *_: found))
    without, answer = shown(entity="3"), shown(entity="3", part="rows")

    assert "Find the rows" in without.text
    for words in (
        "decides",
        "looks up towns",
        "depends on others too",
        "only the newest rows",
        "x missing",
        "Reads note of visits",
    ):
        assert words in answer.text
    assert answer.text.count("&lt;script&gt;") == 40
    assert "perennial explain-row toy 3" in answer.text
    assert Seen(answer.text).active == []


def test_source_rows_that_cannot_be_found_say_why(monkeypatch: pytest.MonkeyPatch):
    """The rest of the page is there."""

    def run(*_: object) -> None:
        raise DataError("person 3 has no snapshot")

    monkeypatch.setattr(prediction, "explain", SimpleNamespace(run=run))
    answer = shown(entity="3", part="rows")

    assert answer.status_code == 200
    assert "<b>They cannot be found.</b>person 3 has no snapshot" in answer.text


@pytest.mark.parametrize(
    "hostile", [*HOSTILE[:-1], "999", "-1", "9" * 200, "\N{RIGHT-TO-LEFT OVERRIDE} 3", "3\r\nX: y"]
)
def test_a_hostile_entity_is_text(hostile: str):
    """The page says that it has no score; the form holds it as it was typed."""
    answer = shown(entity=hostile)

    assert answer.status_code == 200
    assert "There is no score of this person." in answer.text
    assert Seen(answer.text).active == []
    assert client().get("/perennial/api/models/toy/explain", params={"entity": hostile}).json()["scored"] is None


def test_an_entity_of_ten_thousand_characters_is_not_taken():
    """422: no id is that long."""
    assert shown(entity="x" * 10_000).status_code == 422


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ("2999-12-31", "has not come yet"),
        ("2026-02-01", "lies before the first day"),
        ("1999-01-01", "no snapshot either"),
    ],
)
def test_a_day_without_scores_says_why(served: Served, day: str, words: str):
    """And leads to the newest one, of the same entity."""
    answer = shown(entity="3", day=day)

    assert answer.status_code == 200
    assert words in answer.text
    assert f'href="/perennial/models/toy/explain?entity=3&amp;day={served.days[-1]}"' in answer.text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_day_is_refused_in_words(hostile: str):
    """422, and nothing of it is markup."""
    answer = shown(entity="3", day=hostile)

    assert answer.status_code == 422
    assert Seen(answer.text).active == []


def test_nobody_looks_without_a_login_or_the_right_to(monkeypatch: pytest.MonkeyPatch):
    """The entity does not follow to the login page."""
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

    browser = client(None).get("/perennial/models/toy/explain?entity=3", headers=BROWSER)
    assert browser.headers["location"] == "/api/v2/auth/login?next=/perennial/models/toy/explain"
    assert client(None).get("/perennial/api/models/toy/explain?entity=3").status_code == 401

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", lambda self, **what: False)
    assert client().get("/perennial/api/models/toy/explain?entity=3").status_code == 403


@pytest.mark.parametrize(
    "asked", [{}, {"entity": "3"}, {"entity": "3", "part": "model"}, {"entity": "3", "part": "rows"}]
)
@pytest.mark.parametrize(("part", "error"), [("lake", LakeError), ("ledger", LedgerError), ("registry", RegistryError)])
def test_a_dead_part_of_the_world_is_no_mistake_of_ours(served: Served, part: str, error: type[Exception], asked: dict):
    """What is known is shown; the lake's silence leaves nothing."""
    setattr(served.adapters, part, Dead(error))
    answer = shown(**asked)

    assert answer.status_code == 200
    assert ("Predictions are not known now." in answer.text) is (part == "lake")
    if part == "lake" or asked.get("part") == "model" or (part == "ledger" and asked):
        assert "does not answer</p>" in answer.text


def test_nothing_scored_yet_says_what_comes_first(served: Served):
    """There is a champion, and no day."""
    served.adapters.lake = type(served.adapters.lake)(served.adapters.folder / "empty")
    answer = shown()

    assert answer.status_code == 200
    assert "Nothing has been scored yet." in answer.text


def test_nobody_writes_the_entity_into_a_log(caplog: pytest.LogCaptureFixture):
    """Whatever is asked for."""
    caplog.set_level(logging.DEBUG, logger="perennial")
    for part in ("", "model", "rows"):
        shown(entity="137", part=part)

    assert not any("137" in record.getMessage() for record in caplog.records if record.name.startswith("perennial"))


def test_a_predicted_number_has_its_label_for_a_unit(monkeypatch: pytest.MonkeyPatch):
    """It is no probability; a part that lowers it has its sign, and a drawing to the left."""
    told = Explained(10.0, 7.5, (Part("wind", None, 3.0, -2.5, 0.2),), 100)
    found = PredictionPage(
        "toy", "How late?", "flight", "minutes_late", "number", "UA 1", DAY, DAY, DAY,
        scored=Scored("UA 1", DAY, 7.5, "1", 4, 1, 0.0), explained=told,
    )  # fmt: skip
    monkeypatch.setattr(prediction, "page", lambda *_, **__: found)
    answer = shown(entity="UA 1")

    assert answer.status_code == 200
    for words in (
        "minutes late, predicted",
        "The lowest of the 1 scores",
        "Lowered most by wind (missing)",
        "\N{MINUS SIGN}2.5",
        "± 0.200",
    ):
        assert words in answer.text
    assert '<rect class="down" x="-100.0"' in answer.text


def test_making_the_app_loads_no_library_of_models():
    """They cost every reader of any page some ten seconds and 150 MB: the first explanation loads them."""
    code = "import sys; from perennial_airflow.ui.app import make_app; make_app(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    heavy = {"mlflow", "sklearn", "lightgbm", "scipy", "skops", "evidently", "great_expectations"}
    assert heavy.isdisjoint(done.stdout.split())
