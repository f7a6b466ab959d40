"""One prediction explained, as the Explain page shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from perennial.errors import DataError, LakeError, LedgerError, RegistryError
from perennial.io.entries import Entry
from perennial.io.warehouse import Warehouse
from perennial.records import Window
from perennial.stages.explain import Explanation
from perennial.views import models, opinions, prediction, scored
from perennial.views.models import Models
from perennial.views.prediction import Asked, PredictionPage
from perennial.views.shelf import Shelf
from servedworlds import NOW, Dead, Served, served_world
from worlds import everything_moved

TODAY = date(2026, 3, 1)


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Served:
    """Return a world with three days of scores by version 1 and one by version 2, which is the champion."""
    return served_world(tmp_path_factory, tmp_path)


@pytest.fixture
def shelf() -> Models:
    """Return an empty shelf."""
    return Shelf(most=4)


def ask(served: Served, shelf: Models, entity: str = "3", day: date | None = None, **wanted: bool) -> PredictionPage:
    """Return the page; of the newest day and with the model, unless a test says otherwise."""
    asked = Asked(entity, day, TODAY, **({"model": True} | wanted))
    return prediction.page(served.case, asked, served.adapters, models=shelf)


def test_a_score_is_told_as_it_was_published(served: Served, shelf: Models):
    """With the version that made it, the commit and run that wrote it, and where it stands among the others."""
    found = ask(served, shelf, day=served.days[1]).scored

    rows = served.adapters.lake.read("predictions/toy", Window.of_day(served.days[1])).to_pylist()
    mine = next(row for row in rows if row["person"] == 3)
    lower = sum(row["score"] < mine["score"] for row in rows)
    assert found is not None
    assert (found.entity, found.score, found.model_version, found.rows) == (3, mine["score"], "1", 150)
    assert found.below == pytest.approx(lower / 150)
    assert found.place == f"Higher than {100 * lower // 150} % of the 150 scores of the day."
    assert found.written is not None
    assert (found.written.run, found.written.version) == (f"run of {served.days[1]}", 2)
    assert found.stale == ""


@pytest.mark.parametrize(
    ("below", "words"),
    [(0.0, "The lowest of the 150"), (149 / 150, "The highest of the 150"), (148 / 150, "Higher than 98 % of the 150")],
)
def test_the_ends_of_a_day_have_words_of_their_own(below: float, words: str):
    """Nothing is higher than all of a day's scores, itself among them."""
    found = scored.Scored(3, TODAY, 0.5, "1", 1, 150, below)

    assert found.place.startswith(words)


def test_the_parts_add_up_to_the_published_score(served: Served, shelf: Models):
    """To the version that scored, not to today's champion; the largest part first."""
    found = ask(served, shelf, day=served.days[0])

    assert found.explained is not None
    assert found.scored is not None
    assert found.explained.differs == ""
    total = found.explained.base + sum(part.adds for part in found.explained.parts)
    assert total == pytest.approx(found.scored.score, abs=1e-9)
    sizes = [abs(part.adds) for part in found.explained.parts]
    assert sizes == sorted(sizes, reverse=True)
    assert {part.feature for part in found.explained.parts} == set(served.case.features.columns)
    assert found.origin is not None
    assert (found.origin.reigns, found.origin.run_id) == (False, "run1")


def test_each_feature_has_its_value_and_what_is_usual(served: Served, shelf: Models):
    """The snapshot's value; the training's median, or its most frequent text."""
    found = ask(served, shelf)
    row = served.adapters.lake.read("features/toy", Window.of_day(served.days[-1])).to_pylist()[3]

    assert found.explained is not None
    parts = {part.feature: part for part in found.explained.parts}
    assert {name: part.value for name, part in parts.items()} == {name: row[name] for name in parts}
    assert parts["town"].usual in {"north", "south", "west"}
    assert isinstance(parts["recency"].usual, float)


def test_the_champion_before_says_what_it_would_have_said(served: Served, shelf: Models):
    """Of a score by version 2, that is version 1; version 2 itself is today's."""
    found = ask(served, shelf)

    (before,) = found.opinions
    assert (before.role, before.version, before.why) == ("the champion before", "1", "")
    assert found.scored is not None
    assert before.score is not None
    assert before.difference == pytest.approx(before.score - found.scored.score)
    assert found.notes == ()


def test_the_first_champion_had_none_before_it_and_today_has_another(served: Served, shelf: Models):
    """Both are told."""
    found = ask(served, shelf, day=served.days[0])

    assert [(each.role, each.version) for each in found.opinions] == [("today's champion", "2")]
    assert found.notes == ("Version 1 was the first champion: there was none before it.",)


def test_the_champion_before_is_that_of_the_last_time_it_was_made_champion():
    """After a rollback the version before is the one that it was rolled back from."""
    entries = [
        Entry("toy", NOW, "promoted", "ann", "", "", None, "1"),
        Entry("toy", NOW, "promoted", "ann", "", "", "1", "2"),
        Entry("toy", NOW, "rolled back", "ann", "", "", "2", "1"),
    ]

    assert [(each.role, each.version) for each in opinions.others("1", entries)] == [("the champion before", "2")]
    assert [(each.role, each.version) for each in opinions.others("2", entries)] == [("the champion before", "1")]
    assert [(each.role, each.version) for each in opinions.others("7", entries)] == [("today's champion", "1")]


def test_a_champion_before_that_needs_other_features_says_so(served: Served, shelf: Models):
    """It is named which."""
    model = served.adapters.registry.load("toy", "1")
    model.manifest["features"]["numeric"].append("gone")
    (before,) = ask(served, shelf).opinions

    assert (before.score, before.why) == (
        None, "It needs gone, which the snapshot does not have as it learnt it.",
    )  # fmt: skip


def test_a_champion_before_that_is_gone_says_so(served: Served, shelf: Models):
    """The score is explained all the same."""
    kept = served.adapters.registry.load

    def load(model: str, version: str) -> object:
        if version == "1":
            raise RegistryError("MLflow could not load toy version 1: no such artifact")
        return kept(model, version)

    served.adapters.registry.load = load
    found = ask(served, shelf)

    assert found.explained is not None
    assert found.opinions[0].why.startswith(
        "It cannot score this row: MLflow does not give version 1: MLflow could not"
    )


def test_a_score_that_the_model_would_not_give_now_is_said(served: Served, shelf: Models):
    """The parts are those of what it gives now."""
    rows = served.adapters.lake.read("predictions/toy", Window.of_day(served.days[-1]))
    place = rows.schema.get_field_index("score")
    served.write("predictions/toy", served.days[-1], rows.set_column(place, "score", pa.array([0.5] * 150)))
    found = ask(served, shelf)

    assert found.explained is not None
    assert found.explained.differs.startswith(f"The model gives {found.explained.score:.4g} for this row now, and 0.5")


def test_a_snapshot_that_was_built_again_is_read_as_it_was_scored(served: Served, shelf: Models):
    """The score is that of the old rows, and it is said that it would be made anew."""
    rows = served.adapters.lake.read("features/toy", Window.of_day(served.days[-1]))
    served.write("features/toy", served.days[-1], everything_moved(rows))
    found = ask(served, shelf)

    assert found.explained is not None
    assert found.explained.differs == ""
    assert found.scored is not None
    assert found.scored.stale == "its snapshot changed"


def test_a_version_of_the_features_that_is_gone_is_replaced_by_the_newest(served: Served, shelf: Models):
    """Which is said."""
    rows = served.adapters.lake.read("predictions/toy", Window.of_day(served.days[-1]))
    place = rows.schema.get_field_index("data_version")
    served.write("predictions/toy", served.days[-1], rows.set_column(place, "data_version", pa.array([99] * 150)))
    found = ask(served, shelf)

    assert found.notes == ("Version 99 of the features is gone; these are the newest ones.",)
    assert found.explained is not None


def test_a_snapshot_row_that_was_forgotten_cannot_be_explained(served: Served, shelf: Models):
    """The score stays."""
    rows = served.adapters.lake.read("predictions/toy", Window.of_day(served.days[-1]))
    other = rows.set_column(rows.schema.get_field_index("person"), "person", pa.array(np.arange(150) + 1000))
    served.write("predictions/toy", served.days[-1], other)
    found = ask(served, shelf, "1003")

    assert found.scored is not None
    assert (found.explained, found.outages) == (None, ())
    assert found.unexplained.startswith("The snapshot row that it was made from is gone")


def test_without_the_model_at_hand_the_page_does_not_wait_for_it(served: Served, shelf: Models):
    """Nothing is loaded, unless it is asked for; then all of it is at hand."""
    served.adapters.registry, kept = Dead(RegistryError), served.adapters.registry
    quick = ask(served, shelf, model=False)
    served.adapters.registry = kept
    ask(served, shelf)

    assert (quick.explained, quick.unexplained, quick.outages) == (None, "", ())
    assert [each.score for each in quick.opinions] == [None]
    assert quick.origin is not None
    assert quick.origin.data_versions == {"features/toy": 49}
    assert ask(served, shelf, model=False).explained is not None


def test_without_mlflow_all_but_the_parts_is_told(served: Served, shelf: Models):
    """And nothing is asked twice."""
    served.adapters.registry = Dead(RegistryError)
    found = ask(served, shelf)

    assert found.scored is not None
    assert found.origin is not None
    assert found.outages == ("MLflow does not give version 2: load does not answer",)
    assert found.unexplained == "Version 2 cannot be loaded: see the notice above."


def test_without_the_ledger_the_score_is_told_and_explained(served: Served, shelf: Models):
    """Where the version comes from, and who was before it, is not known."""
    served.adapters.ledger = Dead(LedgerError)
    found = ask(served, shelf)

    assert (found.origin, found.opinions, found.notes) == (None, (), ())
    assert found.explained is not None
    assert found.outages == ("reigns does not answer",)


def test_without_the_lake_nothing_is_known(served: Served, shelf: Models):
    """Which is said."""
    served.adapters.lake = Dead(LakeError)
    found = ask(served, shelf)

    assert (found.scored, found.problem, found.outages) == (None, None, ("days does not answer",))


def test_files_of_the_predictions_that_are_gone_are_an_outage(served: Served, shelf: Models):
    """The log still names them."""
    for file in (served.adapters.lake.root / "predictions/toy").rglob("*.parquet"):
        file.unlink()
    found = ask(served, shelf)

    assert found.scored is None
    assert "predictions/toy" in found.outages[0]


@pytest.mark.parametrize(
    ("entity", "words"),
    [
        ("999", "person 999 has no score on 2026-02-19; 150 others have one."),
        ("x", "person is a whole number; 'x' is none."),
        ("9" * 30, "person is a whole number"),
        ("9" * 9_000, "person is a whole number"),
        ("1.5", "person is a whole number"),
        ("-1", "person -1 has no score"),
        ("<script>alert(1)</script>", "person is a whole number"),
        ("'; drop table x; --", "person is a whole number"),
        ("a\0b", "person is a whole number"),
        ("../../etc/passwd", "person is a whole number"),
    ],
)
def test_somebody_who_has_no_score_is_said_so(served: Served, shelf: Models, entity: str, words: str):
    """With some who have one."""
    found = ask(served, shelf, entity)

    assert found.problem is not None
    assert found.problem.text.startswith(words)
    assert len(found.problem.text) < 300
    assert len(found.examples) == 5


@pytest.mark.parametrize(
    ("day", "head", "words"),
    [
        (date(2026, 3, 2), "2026-03-02 has not come yet.", "The newest day with scores is 2026-02-19."),
        (date(2026, 2, 20), "2026-02-20 has no scores yet.", "The newest day that has is 2026-02-19."),
        (date(2026, 2, 1), "2026-02-01 lies before the first day with scores.", "Its snapshot is there, but was not"),
        (date(1900, 1, 1), "1900-01-01 lies before the first day with scores.", "It has no snapshot either."),
    ],
)
def test_a_day_without_scores_says_why(served: Served, shelf: Models, day: date, head: str, words: str):
    """And what is nearest to it."""
    found = ask(served, shelf, day=day)

    assert found.problem is not None
    assert found.problem.head == head
    assert words in found.problem.text


def test_a_day_between_that_was_not_scored_says_so(served: Served, shelf: Models):
    """A backfill scores it."""
    served.write("predictions/toy", served.days[1], served.adapters.lake.read(
        "predictions/toy", Window.of_day(served.days[1])).slice(0, 0))  # fmt: skip
    found = ask(served, shelf, day=served.days[1])

    assert found.problem is not None
    assert found.problem.head == f"{served.days[1]} was not scored."


@pytest.mark.parametrize(
    ("name", "head"), [("new", "There is no champion yet."), ("toy", "Nothing has been scored yet.")]
)
def test_before_anything_is_scored_the_next_step_is_told(served: Served, shelf: Models, name: str, head: str):
    """Whether there is a champion, or not."""
    case = served.case.model_copy(update={"name": name})
    served.adapters.lake = type(served.adapters.lake)(served.adapters.folder / "empty")
    found = prediction.page(case, Asked("3", None, TODAY), served.adapters, models=shelf)

    assert found.problem is not None
    assert found.problem.head == head


def test_nobody_asked_for_shows_the_highest_scores_of_the_day(served: Served, shelf: Models):
    """To begin with."""
    found = ask(served, shelf, "  ")
    rows = served.adapters.lake.read("predictions/toy", Window.of_day(served.days[-1])).to_pylist()

    best = sorted(rows, key=lambda row: (-row["score"], row["person"]))[:5]
    assert [(each.entity, each.score) for each in found.examples] == [(row["person"], row["score"]) for row in best]
    assert (found.day, found.first, found.newest) == (served.days[-1], served.days[0], served.days[-1])


def test_an_entity_may_be_a_text():
    """It is taken as it is, blanks and all."""
    case = SimpleNamespace(entity="visitor")
    rows = pa.table({
        "visitor": ["7", " a b ", "<b>"], "score": [0.1, 0.2, 0.3], "model_version": ["1"] * 3, "data_version": [4] * 3,
    })  # fmt: skip

    for entity, score in (("7", 0.1), (" a b ", 0.2), ("<b>", 0.3)):
        assert scored.of_entity(case, entity, rows, day=TODAY).score == score
    with pytest.raises(DataError, match="visitor a b has no score on 2026-03-01; 3 others have one"):
        scored.of_entity(case, "a b", rows, day=TODAY)


def test_a_commit_of_an_earlier_release_names_a_span_of_days():
    """Both forms are read."""
    assert scored._names("2026-01-01..2026-01-05", date(2026, 1, 5))
    assert not scored._names("2026-01-01..2026-01-05", date(2026, 1, 6))
    assert scored._names("2026-01-01,2026-01-03", date(2026, 1, 3))
    assert not scored._names("", date(2026, 1, 3))


def test_source_rows_are_found_where_they_are_asked_for(served: Served, shelf: Models, monkeypatch: pytest.MonkeyPatch):
    """By the stage, of the very entity and day."""
    asked = []

    def run(case, entity, day, adapters):
        asked.append((case.name, entity, day))
        return Explanation("toy", 3, day, (), ("a note",))

    monkeypatch.setattr(prediction, "explain", SimpleNamespace(run=run))
    without, found = ask(served, shelf), ask(served, shelf, rows=True)

    assert without.sources is None
    assert found.sources is not None
    assert found.sources.notes == ("a note",)
    assert asked == [("toy", "3", served.days[-1])]


def test_source_rows_that_cannot_be_found_say_why(served: Served, shelf: Models):
    """Here no source was ever ingested."""
    served.adapters.warehouse = Warehouse(served.adapters.lake)
    found = ask(served, shelf, rows=True)

    assert found.sources is None
    assert found.unfound.startswith("There is no table 'raw/toy/visits' yet.")
    assert found.explained is not None


def test_one_reader_at_a_time_has_rows_taken_away(served: Served, shelf: Models, monkeypatch: pytest.MonkeyPatch):
    """The next one waits, and is told so after a minute."""
    monkeypatch.setattr(prediction, "PATIENCE", 0.01)
    with prediction.AT_WORK:
        found = ask(served, shelf, rows=True)

    assert found.unfound == "Rows are being looked for, for another reader. Try again in a minute."
    assert prediction.AT_WORK.acquire(blocking=False)
    prediction.AT_WORK.release()


def test_the_page_is_json(served: Served, shelf: Models):
    """With all its parts."""
    found = json.loads(json.dumps(ask(served, shelf).to_json()))

    assert found["scored"]["day"] == served.days[-1].isoformat()
    assert len(found["explained"]["parts"]) == 4


def test_the_champion_comes_to_hand_beforehand(served: Served, shelf: Models):
    """Where it cannot, nobody is told: the question itself will be."""
    prediction.warm(served.case, served.adapters, models=shelf)
    assert ("toy", "2") in shelf

    served.adapters.registry = Dead(RegistryError)
    prediction.warm(served.case, served.adapters, models=Shelf(most=1))
    served.adapters.ledger = Dead(LedgerError)
    prediction.warm(served.case, served.adapters, models=Shelf(most=1))


def test_what_raises_and_what_lowers_is_told_in_words():
    """Three of each, the largest first; a missing value is called that."""
    parts = (
        opinions.Part("a", 3.0, 1.0, 0.3, 0.0), opinions.Part("b", None, 1.0, -0.2, 0.0),
        opinions.Part("c", "north", "south", 0.1, 0.0), opinions.Part("d", 1.0, 1.0, 0.0, 0.0),
    )  # fmt: skip
    told = opinions.Explained(0.1, 0.3, parts, 100)

    assert told.said == ("a (3), c (north)", "b (missing)")
    assert told.largest == 0.3
    assert replace(told, parts=()).largest == 1.0


def test_the_background_is_the_same_each_time_and_goes_through_the_whole_sample(served: Served):
    """At most a hundred rows, evenly."""
    loaded = models.Loaded.fetch("toy", "1", served.adapters)
    background = loaded.background()

    assert len(background) == 100
    assert background.equals(loaded.background())
    assert list(background.columns) == ["recency", "spend", "visits", "town"]
