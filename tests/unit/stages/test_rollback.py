"""Rollback: at once, checked before anything changes, and whole wherever it breaks off."""

from __future__ import annotations

import pytest
from fakes import make_case
from perennial import projection
from perennial.errors import GateFailedError, RefusedError, RegistryError
from perennial.io.ledger import Entry
from perennial.stages import promote, rollback, score
from worlds import NOW, World, with_column


def run(world: World, version: str, *, reason: str = "it loses money") -> object:
    """Roll back."""
    return rollback.run(world.case, version, world.adapters, who="ada", reason=reason, now=NOW)


def test_the_former_champion_is_champion_again(second: World):
    """In the ledger, by the aliases, and for whoever scores next."""
    record = rollback.run(second.case, "1", second.adapters, who="ada", reason=" it loses money ", now=NOW)

    assert (record.version, record.previous, record.reason, record.changed) == ("1", "2", "it loses money", True)
    assert second.adapters.registry.aliases("toy") == {"challenger": "3", "champion": "1", "previous": "2"}
    assert second.adapters.ledger.history("toy")[0].action == "rolled back"
    assert score.run(second.case, second.today, second.adapters, run="manual").model_version == "1"


def test_a_rollback_can_be_taken_back(second: World):
    """The version that was left was champion too."""
    run(second, "1")
    run(second, "2", reason="the data were at fault")

    assert second.adapters.registry.aliases("toy")["champion"] == "2"


def test_a_training_in_between_does_not_matter(second: World):
    """It holds nothing that a rollback waits for, and changes nothing that it looks at."""
    with second.adapters.registry.training_run("toy", name="open", tags={}):
        run(second, "1")

    assert second.adapters.ledger.champion("toy") == "1"


REFUSALS = [
    ("1", " \n", "a reason is needed"),
    ("33", "so", "MLflow has no such version. Did you mean '3'?"),
    ("", "so", r"not rolled back to version (none): MLflow has no such version. Known: 1, 2, 3."),
    ("2", "so", "it is the champion already"),
    ("3", "so", "it never was champion, so it has to pass its gates: perennial evaluate toy --version 3"),
]


def unchanged(world: World, refused: str) -> None:
    """Check that a refusal has changed nothing and is in the ledger."""
    newest = world.adapters.ledger.history("toy")[0]
    assert (newest.action, newest.who) == ("refused", "ada")
    assert refused in newest.reason
    assert world.adapters.ledger.champion("toy") == "2"
    assert world.adapters.registry.aliases("toy") == {"challenger": "3", "champion": "2", "previous": "1"}


@pytest.mark.parametrize(("version", "reason", "message"), REFUSALS)
def test_what_cannot_be_is_refused_before_anything_changes(second: World, version: str, reason: str, message: str):
    """The message says why and what to do; the ledger has it."""
    moves = list(second.adapters.registry.moves)
    with pytest.raises(RefusedError) as caught:
        run(second, version, reason=reason)

    assert message in str(caught.value)
    assert second.adapters.registry.moves == moves
    unchanged(second, message)


def test_an_artifact_that_is_gone_is_refused(second: World):
    """Somebody has cleaned up."""
    second.adapters.registry.down = {"load"}
    with pytest.raises(
        RefusedError, match=r"version 1: its artifact cannot be loaded. MLflow at memory could not load"
    ):
        run(second, "1")

    unchanged(second, "its artifact cannot be loaded")


UNFIT = [
    ({"numeric": ["recency", "visits"], "categorical": ["town"]}, r"it needs spend \(numeric\)"),
    ({"numeric": ["recency", "visits"], "categorical": ["town", "spend"]}, r"it needs spend \(numeric\)"),
]


@pytest.mark.parametrize(("features", "message"), UNFIT)
def test_a_feature_that_is_declared_otherwise_today_is_refused(second: World, features: dict, message: str):
    """Gone, or of another kind."""
    second.case = make_case(features={"sql": "features.sql", "lookback_days": 30, **features})
    with pytest.raises(RefusedError, match=message):
        run(second, "1")

    unchanged(second, "its signature does not fit today's features")


def test_a_feature_that_is_text_in_the_lake_today_is_refused(second: World):
    """As declared it would fit; the table says otherwise."""
    for day, rows in list(second.adapters.lake.tables["features/toy"].items()):
        second.alter(with_column(rows, "spend", ["much"] * rows.num_rows), day)
    with pytest.raises(RefusedError, match="does not fit features/toy: spend is text there, and was a number"):
        run(second, "1")

    unchanged(second, "does not fit features/toy")


def test_another_kind_of_label_is_refused(second: World):
    """Nothing it says could be compared."""
    label = {"sql": "label.sql", "column": "returns", "horizon_days": 5, "kind": "number"}
    limit = {"metric": "mae", "at_most": 1.0, "window_days": 4}
    second.case = make_case(
        label=label, value=None, gates=[{"metric": "mae", "at_most": 1.0}], training={"metric": "mae"},
        monitoring={"min_rows": 50, "performance": limit},
    )  # fmt: skip
    with pytest.raises(RefusedError, match=r"predicts a label of kind binary, and label.kind is number"):
        run(second, "1")


def test_without_any_champion_there_is_nothing_to_roll_back_to(world: World):
    """A challenger is no former champion."""
    world.train()

    with pytest.raises(RefusedError, match=r"never was champion.*Champions so far: none"):
        run(world, "1")


def overtaking(world: World, entry: Entry) -> None:
    """Let another decision be written just before the next one."""
    ledger = world.adapters.ledger
    crown = ledger.crown

    def late(wanted: Entry, *, after: Entry | None) -> Entry:
        ledger.crown = crown  # type: ignore[method-assign]
        ledger.crown(entry, after=after)
        return crown(wanted, after=after)

    ledger.crown = late  # type: ignore[method-assign]


def test_a_rollback_that_a_promotion_overtakes_is_refused(second: World):
    """Whoever decided did not know of the new champion; the ledger has both."""
    overtaking(second, Entry("toy", NOW, "promoted", "bob", "faster", "other", "2", "3"))
    with pytest.raises(RefusedError, match="version 1 is not rolled back: version 3 was promoted by bob"):
        run(second, "1")

    assert second.adapters.ledger.champion("toy") == "3"
    assert [entry.action for entry in second.adapters.ledger.history("toy")[:2]] == ["refused", "promoted"]


def test_a_promotion_that_a_rollback_overtakes_is_refused(second: World):
    """The gates were passed against a champion who is not the champion any more."""
    second.evaluate("3")
    overtaking(second, Entry("toy", NOW, "rolled back", "bob", "at once", "other", "2", "1"))
    with pytest.raises(RefusedError, match="version 3 is not promoted: version 1 was rolled back by bob"):
        second.promote("3")

    assert second.adapters.ledger.champion("toy") == "1"
    with pytest.raises(GateFailedError, match="evaluated against champion 2, and the champion is version 1 now"):
        promote.run(second.case, "3", second.adapters, who="ada", reason="again", now=NOW)


@pytest.mark.parametrize("broken", ["alias previous", "alias champion", "note"])
@pytest.mark.parametrize("healer", ["score", "evaluate", "watch"])
def test_a_rollback_that_broke_off_heals_by_whatever_runs_next(second: World, broken: str, healer: str):
    """The decision is in the ledger, so it counts: the next run finishes it, and nobody has to know."""
    second.adapters.registry.down = {broken}
    with pytest.raises(RegistryError, match="could not"):
        run(second, "1")
    assert second.adapters.ledger.champion("toy") == "1"
    second.adapters.registry.down = set()

    heal = {
        "score": lambda: score.run(second.case, second.today, second.adapters, run="manual").model_version,
        "evaluate": lambda: second.evaluate("3").champion,
        "watch": lambda: projection.watch("toy", second.adapters, now=NOW, who="ada", run="manual").champion,
    }

    assert heal[healer]() == "1"
    assert second.adapters.registry.aliases("toy") == {"challenger": "3", "champion": "1", "previous": "2"}
    assert second.adapters.ledger.latest("toy", "incident opened") is None


def test_a_rollback_that_breaks_off_before_its_entry_has_not_happened(second: World):
    """The aliases are where they were; there is nothing to heal."""
    second.adapters.registry.down = {"versions"}
    with pytest.raises(RegistryError):
        run(second, "1")

    assert second.adapters.ledger.champion("toy") == "2"
    assert second.adapters.registry.aliases("toy")["champion"] == "2"
