"""Cards are written whenever something about a version is entered, and never in a decision's way."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from fakes import make_case
from perennial import carding
from perennial.approving import Answer, Asked
from perennial.errors import DataError, GateFailedError, RefusedError
from perennial.receipts import Outcome, Rebuilt
from perennial.stages import approval, reproduce, rollback
from worlds import NOW, World


def card(world: World, version: str) -> str:
    """Return the Markdown of a version's card as it lies there."""
    return (world.adapters.settings.pages_root / "cards" / "toy" / f"version-{version}.md").read_text()


def test_a_version_has_a_card_from_its_training_on(world: World):
    """It says that no gate has judged it; the evaluation writes it anew, the promotion too."""
    world.train()
    assert "**toy version 1**: challenger." in card(world, "1")
    assert "It was not evaluated yet" in card(world, "1")
    world.evaluate()
    assert "Passed every enforced gate" in card(world, "1")
    world.promote("1")

    assert "**toy version 1**: champion." in card(world, "1")
    assert "Champion since 2026-03-01 12:00 UTC, by entry 3 of the ledger." in card(world, "1")


def test_a_new_champion_writes_the_card_of_the_former_one(reigning: World):
    """And a new challenger that of the one before: what they say of themselves has changed."""
    reigning.train()
    reigning.evaluate()
    reigning.promote("2")
    reigning.train()
    assert "Champion from 2026-03-01 12:00 UTC to 2026-03-01 12:00 UTC" in card(reigning, "1")
    reigning.train()

    assert "**toy version 3**: never champion." in card(reigning, "3")
    assert "**toy version 4**: challenger." in card(reigning, "4")


def test_a_rollback_is_on_both_cards(second: World):
    """Who, when and why; the former champion reigns again."""
    late = NOW + timedelta(hours=1)
    rollback.run(second.case, "1", second.adapters, who="bob", reason="2 loses money", now=late)

    assert "It was rolled back by bob" in card(second, "2")
    assert "2 loses money" in card(second, "2")
    assert "Champion since 2026-03-01 13:00 UTC" in card(second, "1")


def test_refusals_are_on_the_card(second: World):
    """Of a promotion without a report, and of a rollback to what never was champion."""
    with pytest.raises(GateFailedError):
        second.promote("3")
    assert "refused (entry" in card(second, "3")
    with pytest.raises(RefusedError):
        rollback.run(second.case, "3", second.adapters, who="bob", reason="so", now=NOW)

    assert "rollback: toy is not rolled back to version 3" in card(second, "3")


@pytest.mark.parametrize(("answer", "action"), [("Approve", "approved"), ("Reject", "refused")])
def test_an_answer_is_on_the_card(reigning: World, answer: str, action: str):
    """By whom, and why."""
    reigning.case = make_case(approval={"approvers": ["ann"]})
    reigning.train()
    reigning.evaluate()
    shown = reigning.adapters.ledger.latest_evaluation("toy", version="2").anchor
    asked, given = Asked("2", shown, ("airflow",)), Answer((answer,), "ann", "my reason")
    approval.run(reigning.case, given, reigning.adapters, asked=asked, now=NOW, run="manual")

    assert f"**{action}** by ann" in card(reigning, "2")
    assert "my reason" in card(reigning, "2")


def test_a_receipt_is_on_the_card(reigning: World):
    """With its stages and what it noted; here a rebuild that differs."""
    rebuilt = Rebuilt((Outcome("rows", "differs", "a" * 64, "b" * 64, "fit has 2 | 3 rows"),), ("numpy was 1, is 2",))
    reproduce.run(
        "toy", "1", reigning.adapters, rebuild=lambda name, version: rebuilt, code="abc123", who="eve", now=NOW
    )
    carding.keep("toy", "1", reigning.adapters, case=reigning.case)

    assert "| rows | differs | aaaaaaaaaaaa | bbbbbbbbbbbb | fit has 2 \\| 3 rows |" in card(reigning, "1")
    assert "- numpy was 1, is 2" in card(reigning, "1")
    assert "did not give the same model: rows differs" in card(reigning, "1")


def test_the_same_card_is_written_the_same_way(reigning: World):
    """No clock is asked: what changed is an entry."""
    before = card(reigning, "1") if (reigning.adapters.settings.pages_root / "cards").exists() else None
    texts = [carding.write("toy", "1", reigning.adapters, case=reigning.case).markdown for _ in range(2)]

    assert texts[0] == texts[1] == card(reigning, "1")
    assert before in {None, texts[0]}


def test_a_card_that_cannot_be_written_costs_no_decision(world: World, caplog: pytest.LogCaptureFixture):
    """The promotion is done, the log says why there is no card, and the next entry writes it."""
    world.train()
    world.evaluate()
    root = world.adapters.settings.pages_root
    root.rename(root.with_name("away"))
    root.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        world.promote("1")
    assert "toy version 1: its card is not written, the next entry writes it" in caplog.text
    assert world.adapters.ledger.champion("toy") == "1"
    root.unlink()
    carding.keep("toy", "1", world.adapters, case=world.case)

    assert "**toy version 1**: champion." in card(world, "1")


def test_a_registry_that_is_down_costs_no_decision(world: World, caplog: pytest.LogCaptureFixture):
    """Nobody knows then which versions there are."""
    world.train()
    world.adapters.registry.down = {"versions"}
    with caplog.at_level(logging.WARNING):
        carding.keep("toy", "1", world.adapters, case=world.case)

    assert "MLflow at memory could not versions" in caplog.text


def test_a_manifest_that_cannot_be_read_is_named(world: World):
    """By hand it is an error with the next step; a decision goes on without the card."""
    world.train()
    world.adapters.ledger.latest = lambda *arguments, **options: None
    del world.adapters.registry.models["toy"][0].manifest["winner"]

    with pytest.raises(DataError, match=r"toy version 1 has no card: .*KeyError: 'winner'.*perennial ledger show toy"):
        carding.write("toy", "1", world.adapters, case=world.case)
    carding.keep("toy", "1", world.adapters, case=world.case)


def test_a_card_without_its_picture_is_a_card(world: World):
    """A training that kept none."""
    world.train()
    (run,) = world.adapters.registry.runs.values()
    del run.kept["plots/calibration.png"]
    page = carding.write("toy", "1", world.adapters, case=world.case).html.read_text()

    assert "<img" not in page
    assert 'id="calibration"' in page


def test_money_follows_the_rate_of_the_settings(world: World):
    """As it is when the card is written."""
    world.train()
    assert "CPU hour" not in card(world, "1")
    world.adapters.settings.compute_rate, world.adapters.settings.compute_currency = 3600.0, "EUR"
    carding.keep("toy", "1", world.adapters, case=world.case)

    assert "At 3600.0 EUR a CPU hour." in card(world, "1")
