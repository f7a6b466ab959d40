"""A probation from its promotion to its end: begun, looked at, survived or rolled back, and never by force."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fakes import make_case
from perennial import probations, supervising
from perennial.errors import AliasMovedError, RefusedError
from perennial.io.ledger import Entry
from perennial.stages import probation, promote, rollback, tell
from test_label_kinds import number_case, spend
from trying import DAYS, GATES, LABEL, live, on_probation, promoted
from worlds import NOW, World


def made(world: World, folder: Path, *, worse: float, days: int) -> World:
    """Return a copy whose champion 2 is on probation, and has scored that many days since."""
    found = promoted(world.copy(folder), worse=worse)
    live(found, days)
    return found


@pytest.fixture(scope="module")
def kept_good(reigning_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the world that `good` copies."""
    return made(reigning_world, tmp_path_factory.mktemp("good"), worse=0.0, days=DAYS + 1)


@pytest.fixture(scope="module")
def kept_bad(reigning_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the world that `bad` copies."""
    return made(reigning_world, tmp_path_factory.mktemp("bad"), worse=0.3, days=DAYS + 1)


@pytest.fixture
def good(kept_good: World, tmp_path: Path) -> World:
    """Return a world whose new champion is as good, and has been looked at for long enough."""
    (tmp_path / "good").mkdir()
    return kept_good.copy(tmp_path / "good")


@pytest.fixture
def bad(kept_bad: World, tmp_path: Path) -> World:
    """Return a world whose new champion loses more than was declared."""
    (tmp_path / "bad").mkdir()
    return kept_bad.copy(tmp_path / "bad")


def look(world: World, *, back: int = 0, enters: bool = True) -> probations.ProbationLook | None:
    """Look at the day that lies so many days back."""
    day = world.today - timedelta(days=back)
    return probation.run(world.case, day, world.adapters, run="manual", now=NOW, enters=enters)


def watch(world: World, run: str = "manual") -> supervising.Watched:
    """Look at the last day and do what follows."""
    return supervising.run(world.case, world.today, world.adapters, run=run, now=NOW)


def actions(world: World) -> list[str]:
    """Return what the ledger's newest entries are, the newest first."""
    return [entry.action for entry in world.adapters.ledger.history("toy")]


def test_a_promotion_begins_a_probation_once(good: World):
    """With the terms of that day, from the first day that neither the training nor a score has known."""
    found = probations.running("toy", good.adapters.ledger)
    begun = good.adapters.ledger.latest("toy", "probation begun")
    good.promote("2")

    assert begun is not None
    assert found is not None
    assert (begun.from_version, begun.to_version, begun.report["promotion"]) == ("1", "2", found.crowning.id)
    assert begun.report["terms"] == found.declared.terms.to_json()
    assert found.declared.start == good.today - timedelta(days=DAYS)
    assert "log_loss worse by 0.03 a row, for 12 days with labels from 2026-02-20 on" in begun.reason
    assert actions(good).count("probation begun") == 1


def test_a_probation_begins_behind_the_days_that_the_former_champion_has_scored(reigning: World):
    """They have scores of version 1, and no labels of it count for or against version 2."""
    live(reigning, 3)
    scored = reigning.today
    reigning.today -= timedelta(days=3)
    promoted(reigning, worse=0.0)

    assert probations.running("toy", reigning.adapters.ledger).declared.start == scored + timedelta(days=1)


def test_the_first_champion_and_a_rollback_begin_none(world: World):
    """There is nobody to compare with; and nobody who comes back is tried anew."""
    world.case = on_probation()
    world.train()
    world.evaluate()
    world.promote("1")
    assert look(world) is None
    promoted(world, worse=0.0)
    assert look(world) is not None
    rollback.run(world.case, "1", world.adapters, who="ada", reason="so", now=NOW)

    assert look(world) is None
    assert watch(world).told() == "no probation is on"


def test_without_the_key_there_is_none(second: World):
    """As it always was: promotions of before have no terms."""
    assert look(second) is None


def test_a_promotion_that_was_killed_behind_its_entry_has_begun_its_probation(good: World):
    """The terms are in the promotion's own entry; whoever looks next says that it has begun."""
    ledger = good.adapters.ledger
    terms = probations.declared(good.case, trained=good.today, scored=())
    entry = Entry("toy", NOW, "promoted", "ada", "so", "r", "2", "1", report={probations.PROBATION: terms.to_json()})
    ledger.crown(entry, after=ledger.latest_promotion("toy"))
    look(good, enters=False)
    assert ledger.latest("toy", "probation begun").to_version == "2"
    look(good)

    assert ledger.latest("toy", "probation begun").to_version == "1"


def test_a_champion_that_is_no_worse_survives_once(good: World):
    """An entry, no mail, no rollback; the next look finds no probation."""
    assert look(good, back=1).verdict == "going on"
    found = watch(good)
    again = watch(good)

    assert found.look.verdict == "survived"
    assert (found.look.labels.days, found.look.by, found.rolled_back) == (DAYS, None, None)
    assert again.look is None
    assert actions(good)[0] == "probation survived"
    assert actions(good).count("probation survived") == 1
    assert good.adapters.ledger.champion("toy") == "2"
    assert _told(good) == []


def test_a_champion_that_is_worse_is_rolled_back(bad: World):
    """By the same stage as people do it, with the numbers as the reason; a mail is due, exactly one."""
    found = watch(bad)
    entry = bad.adapters.ledger.latest_promotion("toy")

    assert (found.look.verdict, found.look.by) == ("decayed", "matured labels")
    assert (entry.action, entry.who, entry.from_version, entry.to_version) == ("rolled back", "probation", "2", "1")
    assert "On probation by log_loss against version 1. Worse than the former champion by +0.04" in entry.reason
    assert bad.adapters.registry.aliases("toy")["champion"] == "1"
    assert _told(bad) == ["[Perennial] toy: rolled back to version 1"]


def test_a_run_that_is_tried_again_finds_its_own_rollback(bad: World):
    """Its mail may not have gone out; another run finds no probation."""
    first, again, other = watch(bad), watch(bad), watch(bad, "tomorrow")

    assert first.rolled_back.changed
    assert again.rolled_back == replace(first.rolled_back, changed=False)
    assert (other.look, other.rolled_back) == (None, None)
    assert actions(bad).count("rolled back") == 1


def test_a_version_that_failed_its_probation_is_not_promoted_again(bad: World):
    """Its gates have not seen why."""
    watch(bad)

    with pytest.raises(RefusedError, match=r"probation rolled it back at .* On probation by log_loss"):
        promote.run(bad.case, "2", bad.adapters, who="ada", reason="again", now=NOW)


def test_what_is_far_worse_is_seen_before_labels_can_tell(reigning: World):
    """Three days in a row the estimates differ by the declared loss, and the intervals do not touch."""
    live(promoted(reigning, worse=0.9), 2)
    assert watch(reigning).look.verdict == "going on"
    live(reigning, 1)
    found = watch(reigning)

    assert (found.look.verdict, found.look.by, found.look.labels.days) == ("decayed", "estimate", 2)
    assert "Before labels have matured it is expected to be worse" in found.rolled_back.reason


def test_whoever_only_asks_changes_nothing(good: World, bad: World):
    """A backfill, and the command line without --apply."""
    before = [actions(world) for world in (good, bad)]
    found = [look(world, enters=False).verdict for world in (good, bad)]

    assert found == ["survived", "decayed"]
    assert [actions(world) for world in (good, bad)] == before


def test_days_may_be_looked_at_in_any_order(bad: World):
    """An older day knows fewer labels; looking at it later says the same as looking at it then."""
    newest, older, again = look(bad), look(bad, back=9), look(bad)

    assert (older.verdict, older.labels.days) == ("going on", 3)
    assert newest == again


def test_a_late_look_ends_with_the_day_that_ended_the_probation(good: World):
    """The task was paused: labels behind the last day of the terms change nothing."""
    on_time = look(good, enters=False)
    live(good, 3)
    late = look(good, enters=False)

    assert late.labels == on_time.labels


@pytest.mark.parametrize(("labels", "verdict"), [(1800, "survived"), (1801, "going on")])
def test_exactly_the_declared_labels_end_it(reigning: World, labels: int, verdict: str):
    """Twelve days of 150 people."""
    case = on_probation(days=None, labels=labels)
    live(promoted(reigning, worse=0.0, case=case), DAYS + 1)

    assert look(reigning).verdict == verdict


def test_the_terms_are_those_of_the_promotion(bad: World, good: World):
    """A spec that has since lost its probation, or has another loss, changes nothing."""
    bad.case = make_case(label=LABEL, gates=GATES)
    good.case = on_probation(days=300, loss=9.0)

    assert watch(bad).rolled_back is not None
    assert look(good).verdict == "survived"
    assert probations.running("toy", bad.adapters.ledger) is None


def test_a_shadow_that_is_missing_is_told_with_its_day(good: World):
    """The days without it do not count, so the probation takes longer."""
    gone = good.today - timedelta(days=4)
    for day in (gone, good.today):
        del good.adapters.lake.tables["shadow/toy"][day]
    found = look(good)

    assert (found.missing_since, found.verdict, found.labels.days) == (gone, "going on", DAYS - 1)
    assert found.notes == (f"the shadow of version 1 is missing since {gone}: see the log of `score`",)


def test_a_former_champion_that_cannot_be_loaded_leaves_the_labels(bad: World):
    """No holdout and no estimate; what was scored before still counts, and says what it lacks."""
    registry, load = bad.adapters.registry, bad.adapters.registry.load

    def gone(model: str, version: str) -> object:
        registry.down = {"load"} if version == "1" else set()
        return load(model, version)

    registry.load = gone  # type: ignore[method-assign]
    found = look(bad)

    assert found.estimates is None
    assert found.labels.days == DAYS
    assert "the holdout of version 2 is not scored by both: MLflow at memory could not load" in found.notes[0]


def test_a_refused_rollback_fails_once_and_is_told_again_without_failing(bad: World):
    """The former champion does not fit today's features: people are mailed once, and each try is in the ledger."""
    for day, rows in list(bad.adapters.lake.tables["features/toy"].items()):
        where = rows.schema.get_field_index("visits")
        bad.alter(rows.set_column(where, "visits", rows["visits"].cast("string")), day)
    bad.adapters.warehouse.snapshots = bad.adapters.warehouse.labelled = _as_numbers(bad)
    with pytest.raises(RefusedError, match=r"Version 2 of toy has failed its probation and stays champion.*visits is"):
        watch(bad)
    again = watch(bad, "tomorrow")

    assert "does not fit features/toy" in again.refused
    assert again.rolled_back is None
    assert bad.adapters.ledger.champion("toy") == "2"
    assert actions(bad)[:2] == ["refused", "refused"]


def _as_numbers(world: World) -> object:
    """Return a reader of labelled snapshots that takes the texts for numbers, as the pinned version would give them."""
    labelled = type(world.adapters.warehouse).labelled

    def read(case: object, days: object, *, pins: object) -> object:
        tables = world.adapters.lake.tables["features/toy"]
        kept = dict(tables)
        for day, rows in kept.items():
            where = rows.schema.get_field_index("visits")
            tables[day] = rows.set_column(where, "visits", rows["visits"].cast("double"))
        try:
            warehouse = type(world.adapters.warehouse)(world.adapters.lake)
            warehouse.returning = world.adapters.warehouse.returning
            return labelled(warehouse, case, days, pins=pins)
        finally:
            tables.update(kept)

    return read


def test_a_promotion_that_was_faster_is_not_rolled_back(bad: World):
    """Somebody has promoted version 3 between the look and the rollback; the ledger has both."""
    ledger, run = bad.adapters.ledger, rollback.run

    def overtaken(*arguments: object, **options: object) -> object:
        entry = Entry("toy", NOW, "promoted", "bob", "faster", "other", "2", "3")
        ledger.crown(entry, after=ledger.latest_promotion("toy"))
        return run(*arguments, **options)  # type: ignore[arg-type]

    supervising.rollback.run = overtaken
    try:
        with pytest.raises(RefusedError, match="version 3 was promoted by bob"):
            watch(bad)
    finally:
        supervising.rollback.run = run

    assert ledger.champion("toy") == "3"
    assert actions(bad)[0] == "refused"


def test_an_alias_that_was_moved_by_hand_is_not_rolled_over(bad: World):
    """Somebody wanted another champion: that incident comes first."""
    bad.adapters.registry.alias["toy"]["champion"] = "1"
    with pytest.raises(AliasMovedError):
        watch(bad)

    assert bad.adapters.ledger.champion("toy") == "2"
    assert bad.adapters.registry.alias["toy"]["champion"] == "1"


def test_the_next_promotion_ends_it_and_begins_its_own(good: World):
    """The former champion of now is the one that was on probation."""
    good.train()
    good.evaluate()
    good.promote("3")
    found = probations.running("toy", good.adapters.ledger)

    assert (found.new, found.former) == ("3", "2")
    assert look(good).labels.days == 0


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_a_number_is_on_probation_by_its_error(world: World, metric: str):
    """Estimated from the features, and by labels where they have matured."""
    rules = {"metric": metric, "loss": 0.5, "days": 10}
    world.case = number_case(probation=rules, gates=[{"metric": "bias", "at_most": 5.0}])
    spend(world.adapters, world.case)
    for version in ("1", "2"):
        world.train()
        world.evaluate()
        world.promote(version)
    live(world, 8)
    spend(world.adapters, world.case)
    found = look(world)

    assert (found.verdict, found.labels.days, found.labels.labels) == ("going on", 3, 3 * 135)
    assert found.estimates is not None
    assert found.estimates[0].low < found.estimates[0].value < found.estimates[0].high


def test_money_is_compared_at_the_share_of_each_model(reigning: World):
    """Profit per 1,000; the value is that of the promotion."""
    live(promoted(reigning, worse=0.0, case=on_probation(metric="expected_profit", loss=100.0)), 4)
    reigning.case = make_case(label=LABEL, gates=GATES, value={"currency": "EUR", "conversion": 1.0, "contact": 0.9})
    found = look(reigning)

    assert found.labels.days == 3
    assert found.estimates[0].value > 100  # of the value of then; at that of now nobody would earn it


def _told(world: World) -> list[str]:
    """Write the mails that are due, and return the subjects of all that have not gone out."""
    tell.run(world.case, world.adapters, now=NOW)
    return [each.mail.subject for each in world.adapters.outbox.waiting()]
