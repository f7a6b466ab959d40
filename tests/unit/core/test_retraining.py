"""When evidence asks for a new model, by which trigger, and when it is too soon."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.core.retraining import History, cooldown_of, decide
from perennial.incidents import Triage, Verdict
from perennial.records import RetrainDecision
from perennial.spec import Retraining

DAY = date(2026, 3, 10)


def ask(
    verdict: Verdict = "world changed", history: History | None = None, *, hurts: bool = False, **rules: int
) -> RetrainDecision:
    """Decide about a day."""
    triage = Triage(verdict, "Because.", hurts=hurts)
    return decide("toy", DAY, triage, history or History(None), retraining=Retraining(**rules))


@pytest.mark.parametrize(
    ("verdict", "hurts", "trigger"),
    [
        ("nothing to do", False, "none"),
        ("feed broken", True, "none"),
        ("labels late", True, "none"),
        ("world changed", False, "distribution change"),
        ("world changed", True, "performance drop"),
        ("model decayed", True, "performance drop"),
    ],
)
def test_decay_and_a_changed_world_ask_by_name(verdict: Verdict, trigger: str, *, hurts: bool):
    """A broken feed never does: a model would learn it."""
    found = ask(verdict, hurts=hurts)

    assert (found.trigger, found.wanted) == (trigger, trigger != "none")
    assert "Because." in found.reason


@pytest.mark.parametrize(("labels", "wanted"), [(4_999, False), (5_000, True), (None, False)])
def test_new_labels_ask_where_the_use_case_says_so(labels: int | None, *, wanted: bool):
    """At the declared number, not one before; without anything being wrong."""
    found = ask("nothing to do", History(date(2026, 3, 1), new_labels=labels), every_new_labels=5_000)

    assert (found.wanted, found.trigger) == (wanted, "new data" if wanted else "none")


@pytest.mark.parametrize(("requested", "wanted"), [(date(2026, 3, 4), False), (date(2026, 3, 3), True)])
def test_a_request_is_repeated_when_the_cool_down_is_over(requested: date, *, wanted: bool):
    """Seven days after the last one, not six."""
    found = ask(history=History(None, (requested,)), cooldown_days=7)

    assert found.wanted is wanted
    assert wanted or "lasts until 2026-03-11" in found.reason


@pytest.mark.parametrize(("in_vain", "days"), [(0, 3), (1, 6), (2, 12), (3, 24), (4, 24), (9, 24)])
def test_each_training_in_vain_doubles_the_cool_down_up_to_eightfold(in_vain: int, days: int):
    """Data that gave no better model yesterday give none tomorrow."""
    assert cooldown_of(History(None, in_vain=in_vain), retraining=Retraining(cooldown_days=3)) == days
    found = ask(history=History(None, (DAY - timedelta(days=days - 1),), in_vain=in_vain), cooldown_days=3)
    assert not found.wanted
    assert ask(history=History(None, (DAY - timedelta(days=days),), in_vain=in_vain), cooldown_days=3).wanted


def test_one_retraining_at_a_time():
    """What runs may be the answer already."""
    assert "has not ended yet" in ask(history=History(None, running=True)).reason


@pytest.mark.parametrize(("ago", "wanted"), [(29, False), (30, True)])
def test_the_budget_counts_the_last_thirty_days(ago: int, *, wanted: bool):
    """Two are allowed; of two requests the older one lies 29 or 30 days back."""
    requests = (DAY - timedelta(days=ago), DAY - timedelta(days=15))
    found = ask(history=History(None, requests), max_requests=2)

    assert found.wanted is wanted
    assert wanted or "are the budget" in found.reason


@pytest.mark.parametrize(("trained", "wanted"), [(date(2026, 3, 8), False), (date(2026, 3, 7), True)])
def test_a_model_is_asked_for_when_there_is_something_new_to_learn(trained: date, *, wanted: bool):
    """Three newly matured days, not two."""
    found = ask("model decayed", History(trained), min_new_days=3)

    assert found.wanted is wanted
    assert wanted or "Labels of 2 days have matured" in found.reason


@pytest.mark.parametrize(("labels", "wanted"), [(99, False), (100, True)])
def test_too_few_new_labels_change_no_model(labels: int, *, wanted: bool):
    """A hundred are needed, and are enough."""
    found = ask(history=History(date(2026, 3, 1), new_labels=labels), min_new_labels=100)

    assert found.wanted is wanted


def test_training_again_on_the_same_labels_is_not_asked_for():
    """A model trained as of today would come out the same."""
    assert not ask(history=History(DAY)).wanted


@given(st.lists(st.integers(1, 60), max_size=8), st.integers(0, 6), st.integers(0, 14), st.integers(1, 6))
def test_no_two_requests_lie_closer_than_the_cool_down(ago: list[int], in_vain: int, cooldown: int, most: int):
    """Whatever was asked before: what is asked keeps distance and budget."""
    requests = tuple(DAY - timedelta(days=days) for days in ago)
    history = History(None, requests, in_vain=in_vain)
    rules = Retraining(cooldown_days=cooldown, max_requests=most)
    if decide("toy", DAY, Triage("world changed", ""), history, retraining=rules).wanted:
        assert all((DAY - asked).days >= cooldown_of(history, retraining=rules) for asked in requests)
        assert sum((DAY - asked).days < 30 for asked in requests) < most
