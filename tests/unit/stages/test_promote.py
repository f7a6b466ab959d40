"""Promotion: nothing without a passing report, nothing twice, nothing lost."""

from __future__ import annotations

import pytest
from fakes import make_case
from perennial.errors import GateFailedError, RefusedError, RegistryError
from perennial.io.ledger import Entry
from perennial.stages import promote, rollback
from worlds import NOW, World


def run(world: World, version: str, *, who: str = "ada") -> object:
    """Promote a version."""
    return promote.run(world.case, version, world.adapters, who=who, reason="passed", now=NOW)


def test_a_version_that_passed_becomes_champion(world: World):
    """In the ledger and as an alias."""
    world.train()
    world.evaluate()
    record = promote.run(world.case, "1", world.adapters, who="ada", reason="passed", now=NOW)

    assert (record.version, record.previous, record.who, record.at, record.changed) == ("1", None, "ada", NOW, True)
    assert world.adapters.registry.aliases("toy") == {"challenger": "1", "champion": "1"}
    assert world.adapters.ledger.champion("toy") == "1"


def test_the_champion_before_becomes_previous(reigning: World):
    """So that there is something to go back to."""
    reigning.train()
    reigning.evaluate()
    record = promote.run(reigning.case, "2", reigning.adapters, who="ada", reason="better", now=NOW)

    assert record.previous == "1"
    assert reigning.adapters.registry.aliases("toy") == {"challenger": "2", "champion": "2", "previous": "1"}


def test_promoting_twice_changes_nothing(reigning: World):
    """One entry, the same record, and `previous` is not overwritten by the champion itself."""
    entries = len(reigning.adapters.ledger.history("toy"))
    again = promote.run(reigning.case, "1", reigning.adapters, who="bob", reason="again", now=NOW)

    assert (again.changed, again.who) == (False, "ada")
    assert len(reigning.adapters.ledger.history("toy")) == entries
    assert "previous" not in reigning.adapters.registry.aliases("toy")


def test_a_version_that_was_never_evaluated_is_refused(reigning: World):
    """Names the next step."""
    reigning.train()

    with pytest.raises(GateFailedError, match=r"version 2 was never evaluated.*perennial evaluate toy --version 2"):
        run(reigning, "2")
    assert reigning.adapters.registry.aliases("toy")["champion"] == "1"


def test_a_version_that_failed_is_refused(world: World):
    """The newest report counts."""
    world.train()
    world.evaluate()
    world.case = make_case(gates=[{"metric": "roc_auc", "at_least": 0.99}])
    world.evaluate()

    with pytest.raises(GateFailedError, match="failed 1 gate"):
        run(world, "1")


def test_a_report_against_another_champion_is_worth_nothing(reigning: World):
    """Version 2 and 3 both beat version 1; after 2 is champion, 3 has to meet it."""
    for _ in range(2):
        reigning.train()
        reigning.evaluate()
    run(reigning, "2")

    with pytest.raises(GateFailedError, match="evaluated against champion 1, and the champion is version 2 now"):
        run(reigning, "3")
    reigning.evaluate("3")
    run(reigning, "3")
    assert reigning.adapters.registry.aliases("toy")["previous"] == "2"


def test_of_two_promotions_at_once_one_is_refused(reigning: World):
    """Another process writes between reading and writing: the ledger takes only the first of the two."""
    for _ in range(2):
        reigning.train()
        reigning.evaluate()
    ledger, standing = reigning.adapters.ledger, reigning.adapters.ledger.latest_promotion("toy")
    ledger.crown(Entry("toy", NOW, "promoted", "bob", "faster", "other", "1", "3"), after=standing)

    with pytest.raises(RefusedError, match=r"version 2 is not promoted: version 3 was promoted by bob.*evaluation"):
        ledger.crown(Entry("toy", NOW, "promoted", "ada", "slower", "this", "1", "2"), after=standing)
    assert ledger.champion("toy") == "3"


@pytest.mark.parametrize("broken", ["alias previous", "alias champion", "note"])
def test_a_promotion_that_broke_off_is_repaired_by_repeating_it(reigning: World, broken: str):
    """The ledger has the entry, the aliases lag behind; the same call again moves them and writes nothing new."""
    reigning.train()
    reigning.evaluate()
    reigning.adapters.registry.down = {broken}
    with pytest.raises(RegistryError, match=f"could not {broken}"):
        run(reigning, "2")
    assert reigning.adapters.registry.aliases("toy")["champion"] == ("2" if broken == "note" else "1")
    entries = len(reigning.adapters.ledger.history("toy"))

    reigning.adapters.registry.down = set()
    run(reigning, "2")

    assert reigning.adapters.registry.aliases("toy") == {"challenger": "2", "champion": "2", "previous": "1"}
    assert len(reigning.adapters.ledger.history("toy")) == entries


def test_the_aliases_follow_the_ledger(reigning: World):
    """An alias that somebody moved by hand is put back by the next promotion."""
    reigning.train()
    reigning.adapters.registry.set_alias("toy", "champion", "2")
    run(reigning, "1")

    assert reigning.adapters.registry.aliases("toy")["champion"] == "1"


def test_a_champion_that_the_ledger_does_not_know_is_taken_up(world: World):
    """Its alias was set by hand; it passes its gates, and is not its own predecessor."""
    world.train()
    world.adapters.registry.set_alias("toy", "champion", "1")
    world.evaluate()
    record = promote.run(world.case, "1", world.adapters, who="ada", reason="known now", now=NOW)

    assert (record.version, record.previous) == ("1", None)
    assert world.adapters.ledger.champion("toy") == "1"


def test_a_champion_outlives_its_use_case(reigning: World):
    """The folder may be deleted: the ledger still tells everything, and asks for no spec."""
    ledger = reigning.adapters.ledger

    assert ledger.cases() == ("toy",)
    assert ledger.champion("toy") == "1"
    assert [entry.action for entry in ledger.history("toy")] == ["promoted", "evaluated", "trained"]
    assert ledger.latest_monitor("toy") is None


def test_what_is_refused_is_an_entry(reigning: World):
    """Who wanted what, and why not."""
    reigning.train()
    with pytest.raises(GateFailedError):
        run(reigning, "2", who="eve")
    refused = reigning.adapters.ledger.latest("toy", "refused")

    assert refused is not None
    assert (refused.who, refused.from_version, refused.to_version) == ("eve", "1", "2")
    assert refused.reason.startswith("promotion: toy version 2 was never evaluated")


def test_a_version_that_was_rolled_back_does_not_come_back_by_an_old_report(reigning: World):
    """A promotion that is tried again after the rollback is refused, whatever gates it had passed."""
    reigning.train()
    reigning.evaluate()
    run(reigning, "2")
    rollback.run(reigning.case, "1", reigning.adapters, who="bob", reason="it loses money", now=NOW)

    with pytest.raises(RefusedError, match=r"bob rolled it back at 2026-03-01 12:00 UTC \(entry \d+\): it loses money"):
        run(reigning, "2")
    reigning.evaluate("2")
    with pytest.raises(RefusedError, match="perennial rollback toy --to 2"):
        run(reigning, "2")
    assert reigning.adapters.ledger.champion("toy") == "1"


def test_a_report_of_before_the_champion_came_back_is_worth_nothing(reigning: World):
    """Version 3 met version 1 before 2 was champion and 1 came back: it has to meet it again."""
    for _ in range(2):
        reigning.train()
        reigning.evaluate()
    run(reigning, "2")
    rollback.run(reigning.case, "1", reigning.adapters, who="bob", reason="it loses money", now=NOW)

    with pytest.raises(GateFailedError, match=r"version 3 was evaluated before version 1 was rolled back by bob"):
        run(reigning, "3")
    reigning.evaluate("3")
    run(reigning, "3")
    assert reigning.adapters.ledger.champion("toy") == "3"
