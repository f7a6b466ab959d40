"""The aliases against the ledger: who moved them by hand is noticed, once, and no score is made by it."""

from __future__ import annotations

import pytest
from perennial import projection
from perennial.errors import AliasMovedError, NoModelError
from perennial.io.ledger import Entry
from perennial.io.registry import FOLLOWED
from perennial.projection import Standing
from perennial.stages import monitor, rollback, score
from worlds import NOW, World


def watch(world: World) -> Standing:
    """Look at the aliases."""
    return projection.watch("toy", world.adapters, now=NOW, who="run 1", run="run 1")


def incidents(world: World) -> list[str]:
    """Return the actions of all incidents, oldest first."""
    history = world.adapters.ledger.history("toy")[::-1]
    return [entry.action for entry in history if entry.action.startswith("incident")]


def test_aliases_that_follow_are_no_incident(second: World):
    """And nothing is moved."""
    moves = list(second.adapters.registry.moves)

    assert watch(second).moved == ""
    assert incidents(second) == []
    assert second.adapters.registry.moves == moves


MOVED = [
    (
        "champion",
        "3",
        "alias 'champion' of toy is at version 3, and entry 6 of the ledger .promoted by ada. says version 2",
    ),
    ("champion", "1", "alias 'champion' of toy is at version 1"),
    ("previous", "3", "alias 'previous' of toy is at version 3, .* says version 1"),
]


@pytest.mark.parametrize(("alias", "version", "message"), MOVED)
def test_an_alias_that_was_moved_by_hand_is_one_incident_and_scores_nothing(second: World, alias, version, message):
    """However often it is looked at; also where it was moved to the champion before."""
    second.adapters.registry.set_alias("toy", alias, version)
    for _ in range(3):
        assert watch(second).moved

    assert incidents(second) == ["incident opened"]
    with pytest.raises(AliasMovedError, match=message):
        score.run(second.case, second.today, second.adapters, run="manual")
    assert not second.adapters.lake.has_day("predictions/toy", second.today)


@pytest.mark.parametrize(("declared", "severity"), [({}, "critical"), ({"aliases moved": "warning"}, "warning")])
def test_moved_aliases_are_as_serious_as_the_use_case_says(second: World, monkeypatch, declared, severity):
    """As every other kind of incident; one whose folder is gone has the usual severity."""
    alerts = second.case.alerts.model_copy(update={"severity": declared})
    known = second.case.model_copy(update={"alerts": alerts})
    monkeypatch.setattr(projection, "declared_today", lambda name: known)
    second.adapters.registry.set_alias("toy", "champion", "1")
    watch(second)

    (opened,) = (each for each in second.adapters.ledger.history("toy") if each.action == "incident opened")
    assert opened.report["severity"] == severity


def test_the_error_says_what_can_be_done(second: World):
    """Put it back, roll back, or go through the gates."""
    second.adapters.registry.set_alias("toy", "champion", "3")

    with pytest.raises(AliasMovedError, match=r"perennial aliases toy --repair.*perennial rollback toy --to"):
        projection.champion("toy", second.adapters)


def test_an_alias_that_was_deleted_is_an_incident_too(second: World):
    """Nobody but us takes it away."""
    second.adapters.registry.delete_alias("toy", "champion")

    assert "is gone" in watch(second).moved


def test_an_incident_is_over_when_the_aliases_are_back(second: World):
    """Whoever put them back; the next one is another incident."""
    for _ in range(2):
        second.adapters.registry.set_alias("toy", "champion", "3")
        watch(second)
        second.adapters.registry.set_alias("toy", "champion", "2")
        watch(second)
        watch(second)

    assert incidents(second) == ["incident opened", "incident closed"] * 2


def test_a_decision_ends_the_incident(second: World):
    """A rollback to where somebody has put the alias makes it lawful."""
    second.adapters.registry.set_alias("toy", "champion", "1")
    watch(second)
    rollback.run(second.case, "1", second.adapters, who="ada", reason="it was right", now=NOW)

    assert incidents(second) == ["incident opened", "incident closed"]
    assert projection.champion("toy", second.adapters) == "1"


def test_the_gates_measure_against_the_champion_of_the_ledger(second: World):
    """Also while an alias lies about it; the incident is entered."""
    second.adapters.registry.set_alias("toy", "champion", "1")

    assert second.evaluate("3").champion == "2"
    assert incidents(second) == ["incident opened"]


def test_the_daily_check_looks_at_the_champion_of_the_ledger(second: World):
    """Whose scores these are."""
    score.run(second.case, second.today, second.adapters, run="manual")
    second.adapters.registry.set_alias("toy", "champion", "1")
    found = monitor.run(second.case, second.today, second.adapters, run="manual", now=NOW)

    assert found.model_version == "2"
    assert incidents(second) == ["incident opened"]


def test_a_champion_that_the_ledger_does_not_know_scores_nothing(world: World):
    """Its alias was set by hand, around the gates."""
    world.train()
    world.adapters.registry.set_alias("toy", "champion", "1")

    with pytest.raises(AliasMovedError, match="the ledger knows of no champion: somebody has set it by hand"):
        score.run(world.case, world.today, world.adapters, run="manual")
    projection.repair("toy", world.adapters, reason="a slip", now=NOW, who="ada", run="manual")
    assert incidents(world) == ["incident opened", "incident closed"]
    with pytest.raises(NoModelError):
        score.run(world.case, world.today, world.adapters, run="manual")


def test_a_ledger_that_has_lost_what_the_aliases_follow_is_an_incident(second: World):
    """It was cut, or a backup was put in its place: nothing is moved after it, which would wipe out the trace."""
    second.adapters.registry.note("toy", {FOLLOWED: "99:beef"})

    assert "follow the entry 99:beef, which the ledger does not hold" in watch(second).moved
    assert second.adapters.registry.notes("toy")[FOLLOWED] == "99:beef"


def test_a_ledger_of_a_version_without_notes_is_taken_over(second: World):
    """The aliases agree, so the note is made."""
    second.adapters.registry.kept_notes.clear()

    assert watch(second).moved == ""
    assert second.adapters.registry.notes("toy")[FOLLOWED] == second.adapters.ledger.reigns("toy")[-1].anchor


def test_two_decisions_that_both_broke_off_are_no_incident(second: World):
    """The aliases follow the first of three; the newest counts."""
    ledger = second.adapters.ledger
    for before, after in (("2", "1"), ("1", "2"), ("2", "1")):
        ledger.crown(Entry("toy", NOW, "rolled back", "ada", "so", "r", before, after), after=ledger.reigns("toy")[-1])

    assert watch(second).champion == "1"
    assert second.adapters.registry.aliases("toy") == {"challenger": "3", "champion": "1", "previous": "2"}


def test_a_repair_puts_the_aliases_back_and_says_who_and_why(second: World):
    """The incident is over by it."""
    second.adapters.registry.set_alias("toy", "champion", "3")
    projection.repair("toy", second.adapters, reason="a slip", now=NOW, who="ada", run="command line")
    closed = second.adapters.ledger.latest("toy", "incident closed")

    assert second.adapters.registry.aliases("toy") == {"challenger": "3", "champion": "2", "previous": "1"}
    assert closed is not None
    assert (closed.who, closed.reason, closed.to_version) == ("ada", "a slip", "3")
    assert watch(second).moved == ""
