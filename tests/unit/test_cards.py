"""What stands on a model card, and where it comes from."""

from __future__ import annotations

import pytest
from card_facts import CASE, COST, NOW, entry, evaluated, made, manifest
from fakes import make_case
from perennial.cards import Rate, Term, path
from perennial.receipts import Outcome, Receipt
from perennial.verdicts import GatePart, GateResult

TRAINED = entry("trained", 1, report=manifest() | {"cost": COST})
SLICES = GateResult(
    "log_loss by town against champion", 1.0, 0.1, 0.9, "too few rows or labels in town east",
    parts=(GatePart("town west", -0.1, 300),),
)  # fmt: skip
FAIR = GateResult("demographic parity by sex", 0.05, 0.1, 0.05, parts=(GatePart("f", 0.4, 300),))


def receipt(state: str, *, number: int):
    """Return the entry of a reproduction whose model stage came out as `state`."""
    outcome = Outcome("model", state, "a", "b", "coef_ differs" if state == "differs" else "")
    kept = Receipt("toy", "2", NOW, "eve", "abc123", "abc124", (outcome,), ("numpy was 1, is 2",))
    action = "not reproduced" if state == "differs" else "reproduced"
    return entry(action, number, who="eve", report=kept.to_json())


def test_a_trained_version_has_a_card_without_gates_receipt_or_champion():
    """The figures are those of the training; what is not there is said."""
    card = made(TRAINED)

    assert (card.kind, card.terms, card.report, card.receipt, card.judged) == ("challenger", (), None, None, ())
    assert [(each.metric, each.value, dict(each.baselines)) for each in card.measures] == [
        ("roc_auc", 0.8, {"dummy": 0.5}), ("log_loss", 0.4, {"dummy": 0.6}),
    ]  # fmt: skip
    assert card.figures == {"base_rate": 0.2}
    assert "It was not evaluated yet: no gate has judged it." in card.caveats
    assert "Nobody has reproduced it yet." in card.caveats


def test_the_training_is_told_by_its_manifest():
    """Parts stand in the order of time, whatever order they were kept in."""
    training = made(TRAINED).training

    assert [(part.name, part.rows) for part in training.parts] == [("fit", 1350), ("validation", 450), ("holdout", 450)]
    assert (training.label["column"], training.label["horizon_days"], training.entity) == ("returns", 5, "person")
    assert (training.winner, training.params, training.trials, training.validation) == ("linear", {"C": 0.5}, 4, 0.85)
    assert (training.tables, training.code, training.spec) == ({"features/toy": 49}, "abc123", "5" * 12)
    assert training.baselines == {"dummy": "sklearn.D on no feature"}


def test_a_manifest_of_an_earlier_version_makes_a_card_too():
    """It has neither the words of then nor the recipes; the label's kind was always binary."""
    old = manifest()
    for name in ("declared", "label_kind", "baseline_recipes", "libraries"):
        del old[name]
    card = made(entry("trained", 1), manifest=old, today=None)

    assert card.words.title == "toy"
    assert card.training.label == {"kind": "binary"}
    assert card.training.baselines == {"dummy": "not recorded"}
    assert "What its training took was not recorded." in card.caveats


def test_the_words_are_those_of_today_and_of_then_where_the_use_case_is_gone():
    """Whoever answers today is asked today."""
    today = make_case(card={"owner": "the new team", "purpose": "the same"})

    assert made(TRAINED, today=today).words.owner == "the new team"
    assert (made(TRAINED, today=None).words.owner, made(TRAINED, today=None).words.then) == (CASE.card.owner, True)
    assert made(TRAINED, today=make_case()).words.owner == ""


def test_metrics_stand_beside_the_champion_of_then_with_the_interval_of_their_gate():
    """Only an absolute gate with a confidence has an interval of the metric itself."""
    card = made(TRAINED, evaluated())
    auc, error = card.measures

    assert (auc.metric, auc.value, auc.low, auc.high, auc.champion) == ("roc_auc", 0.8, 0.77, 0.83, 0.81)
    assert (error.low, error.champion, dict(error.baselines)) == (None, None, {})
    assert card.calibration == (error,)
    assert "rows" not in card.figures
    assert card.fingerprint == "f" * 64


def test_slices_and_fairness_are_told_apart_by_their_gates():
    """Each with its groups; other gates are in neither."""
    card = made(TRAINED, evaluated(SLICES, FAIR, GateResult("roc_auc against champion", 0.0, 0.0, 0.0)))

    assert (card.slices, card.fairness) == ((SLICES,), (FAIR,))


def test_only_the_newest_evaluation_and_reproduction_count():
    """The older ones stay among the entries."""
    card = made(TRAINED, receipt("differs", number=2), evaluated(number=3), receipt("equal", number=4))

    assert card.receipt is not None
    assert (card.receipt.entry, card.receipt.reason) == (4, "rebuilt, every stage equal")
    assert [each.id for each in card.entries] == [1, 2, 3, 4]
    assert card.newest == card.entries[-1]


def test_a_champion_has_its_terms_and_says_by_which_entries_they_began_and_ended():
    """A rollback to a former champion begins another term."""
    first, second = entry("promoted", 3, "1", hours=1), entry("promoted", 5, hours=2, from_version="1")
    back = entry("rolled back", 7, "1", hours=3, from_version="2")
    reigns = (first, second, back)
    left, returned = made(*reigns), made(*reigns, version="1")

    assert left.kind == "former champion"
    assert left.terms == (Term(second.at, back.at, 5, 7),)
    assert returned.kind == "champion"
    assert returned.terms == (Term(first.at, second.at, 3, 5), Term(back.at, None, 7, None))
    assert left.caveats[0] == "It was rolled back by ada (entry 7, 2026-03-01): because."
    assert not any("rolled back" in each for each in returned.caveats)


@pytest.mark.parametrize(("newest", "kind"), [("2", "challenger"), ("3", "never champion"), (None, "never champion")])
def test_who_never_was_champion_is_the_challenger_until_another_is_trained(newest, kind):
    """By the ledger, not by where an alias was moved."""
    assert made(TRAINED, newest=newest).kind == kind


def test_an_entry_about_another_version_is_not_on_the_card():
    """That version 3 was measured against it is about version 3; that 3 took its place is about both."""
    against = entry("evaluated", 8, "3", from_version="2")
    instead = entry("promoted", 9, "3", from_version="2")
    card = made(TRAINED, entry("promoted", 5), against, instead)

    assert [each.id for each in card.entries] == [1, 5, 9]
    assert (card.entries[-1].change, card.entries[-1].hash) == ("2 → 3", "0" * 12)


def test_what_people_decided_is_listed_by_itself():
    """Approvals and refusals beside promotions and rollbacks."""
    answers = (entry("approved", 4, who="ann"), entry("refused", 5, who="bob", reason="promotion: too early"))
    card = made(TRAINED, evaluated(), *answers, entry("promoted", 6))

    assert [(each.action, each.who) for each in card.judged] == [
        ("approved", "ann"), ("refused", "bob"), ("promoted", "ada"),
    ]  # fmt: skip


def test_money_is_compute_hours_at_the_rate():
    """Two hours of compute at 0.05 the hour; an evaluation that kept no cost is left out."""
    bare = entry("evaluated", 2, report={name: value for name, value in evaluated().report.items() if name != "cost"})
    card = made(TRAINED, bare, rate=Rate(0.05, "EUR"))

    (cost,) = card.costs
    assert (cost.work, cost.compute_seconds, cost.wall_seconds, cost.rows) == ("training", 7200.0, 90.0, 2250)
    assert cost.money == pytest.approx(0.1)


def test_without_a_rate_there_is_no_money():
    """Seconds and rows are told all the same, of training and evaluation."""
    card = made(TRAINED, evaluated())

    assert [(each.work, each.money, each.rows) for each in card.costs] == [
        ("training", None, 2250), ("newest evaluation", None, 450),
    ]  # fmt: skip


def test_the_words_of_a_card_change_no_fingerprint():
    """A reworded purpose is not another model; everything else that is declared is."""
    assert CASE.fingerprint() == make_case().fingerprint()
    assert make_case(title="Other").fingerprint() != make_case().fingerprint()


def test_a_version_has_one_place_for_each_kind_of_file():
    """Beside each other, by use case."""
    assert path("toy", "7", ending="md") == "cards/toy/version-7.md"
