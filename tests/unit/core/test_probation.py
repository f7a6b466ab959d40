"""A new champion on probation, held against simulated ones whose truth is known (`benchmarks.probation_worlds`).

Small proofs with fixed seeds; `make bench-probation` repeats them at full size.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from perennial.core import probation
from perennial.core.metrics import Scored, evaluate
from perennial.core.probation import Paired, Terms, look
from perennial.errors import DataError
from perennial.spec import Value

from benchmarks.gate_worlds import View
from benchmarks.probation_worlds import naive_day, trial

TERMS = Terms(loss=0.2, horizon_days=1, days=30)
DAILY = trial("next day", people=150, horizon=1, worse=View(person=1.4, day=0.3))
SHARED = trial("three days", people=150, horizon=3, worse=View(person=1.6, day=0.3))


def rows(days: range, *, mean: float, people: int = 50, seed: int = 0) -> Paired:
    """Return paired losses of these days: a mean, and noise of days and rows."""
    generator = np.random.default_rng(seed)
    day = np.repeat(np.array(days), people)
    noise = 0.05 * np.repeat(generator.normal(size=len(days)), people) + 0.1 * generator.normal(size=day.size)
    return Paired(day, np.tile(np.arange(people), len(days)), mean + noise)


BEFORE = rows(range(30), mean=0.0)


@pytest.mark.parametrize("kind", [DAILY, SHARED], ids=lambda kind: kind.name)
def test_equal_champions_are_rolled_back_no_oftener_than_stated(kind):
    """Sixty daily looks at people who stay, at days with moods, at labels that share days; tolerance: three errors."""
    draws = 40
    caught = [kind.caught(kind.view, loss=0.1, seed=seed) is not None for seed in range(draws)]

    assert np.mean(caught) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


def test_a_test_repeated_each_day_cries_wolf():
    """What the bounds are for: the same days, with a t-test of 5 % each morning."""
    drawn = [DAILY.draw(DAILY.view, seed=seed)[0] for seed in range(40)]
    caught = [naive_day(paired, horizon=1) is not None for paired in drawn]

    assert np.mean(caught) > 0.2


@pytest.mark.parametrize(("kind", "loss"), [(DAILY, 0.12), (SHARED, 0.25)], ids=["next day", "three days"])
def test_a_loss_is_caught_about_when_it_was_foreseen(kind, loss):
    """Everybody loses what was declared; half of such champions are caught within one and a half of those days."""
    terms, caught, foreseen = Terms(loss=loss, horizon_days=kind.world.horizon, days=60), [], []
    for seed in range(15):
        paired, before = kind.draw(kind.view, seed=seed)
        worse = Paired(paired.day, paired.entity, paired.difference + loss)
        caught.append(kind.day_of(worse, before, loss=loss) or 99)
        foreseen.append(probation.foreseen_days(before, terms=terms) or 99)

    assert np.median(foreseen) <= 40
    assert np.median(foreseen) / 1.5 <= np.median(caught) <= 1.5 * np.median(foreseen)


@pytest.mark.parametrize("kind", [DAILY, SHARED], ids=lambda kind: kind.name)
def test_a_model_that_is_really_worse_is_caught_within_the_probation(kind):
    """Its errors vary more as well, which takes longer; four in five in sixty days."""
    loss = kind.true_loss(kind.worse, draws=10)
    caught = [kind.caught(kind.worse, loss=loss, seed=seed) is not None for seed in range(20)]

    assert np.mean(caught) >= 0.8


def test_a_worse_champion_is_told_with_its_loss_and_its_bound():
    """The verdict, its figures, and the sentence that people read."""
    found = look(rows(range(30, 50), mean=0.2, seed=1), BEFORE, terms=TERMS, start=30, through=49)

    assert (found.verdict, found.days, found.labels, found.entities, found.blocks) == ("decayed", 20, 1000, 50, 20)
    assert found.loss == pytest.approx(0.2, abs=0.04)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 0.2 < found.high
    assert "Worse than the former champion by +0.1955 a row, surely by more than 0.16" in found.reason


def test_a_decay_that_was_seen_stays_seen():
    """Later days that look better change nothing: the probation ended on the day the bound passed 0."""
    bad, good = rows(range(30, 45), mean=0.2, seed=1), rows(range(45, 60), mean=-0.4, seed=2)
    both = Paired(*(np.concatenate([getattr(bad, name), getattr(good, name)]) for name in Paired.__slots__))

    assert look(both, BEFORE, terms=TERMS, start=30, through=59).verdict == "decayed"


@pytest.mark.parametrize(("days", "verdict"), [(29, "going on"), (30, "survived")])
def test_exactly_the_declared_days_end_the_probation(days, verdict):
    """Of a champion that is no worse; what was declared is ruled out by then."""
    found = look(rows(range(30, 30 + days), mean=0.0), BEFORE, terms=TERMS, start=30, through=29 + days)

    assert found.verdict == verdict
    assert "0.2 is ruled out" in found.reason


@pytest.mark.parametrize(("labels", "verdict"), [(501, "going on"), (500, "survived")])
def test_exactly_the_declared_labels_end_the_probation(labels, verdict):
    """Ten days of fifty people are 500 labels."""
    terms = Terms(loss=0.2, horizon_days=1, labels=labels)

    assert look(rows(range(30, 40), mean=0.0), BEFORE, terms=terms, start=30, through=39).verdict == verdict


@pytest.mark.parametrize(
    ("ends", "day"),
    [({"days": 3}, 32), ({"days": 10}, 39), ({"days": 11}, None),
     ({"labels": 500}, 39), ({"labels": 450}, 38), ({"labels": 451}, 39), ({"labels": 501}, None)],
)  # fmt: skip
def test_the_day_that_meets_the_terms_is_the_last(ends, day):
    """Ten days of fifty people from day 30 on; a day counts whole."""
    terms = Terms(loss=0.2, horizon_days=1, **ends)

    assert probation.last_day(rows(range(30, 40), mean=0.0), terms) == day


def test_only_matured_days_of_the_probation_count():
    """Days before it tell how much days vary, days after `through` have no labels yet."""
    everything = rows(range(20, 50), mean=0.2)
    found = look(everything, BEFORE, terms=TERMS, start=30, through=34)

    assert (found.days, found.labels, found.through) == (5, 250, 34)


def test_a_probation_without_days_goes_on_and_says_so():
    """Nothing has matured, or nobody knows how much days vary: no bound, and a record that JSON can carry."""
    nothing = Paired(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    first = look(nothing, BEFORE, terms=TERMS, start=30, through=29)
    unknown = look(rows(range(30, 32), mean=0.2), nothing, terms=TERMS, start=30, through=31)

    assert (first.verdict, first.loss, first.low) == ("going on", None, None)
    assert (unknown.verdict, unknown.low, unknown.high) == ("going on", None, None)
    assert "Too little to bound the loss: 2 days and 100 labels" in unknown.reason
    assert "Infinity" not in json.dumps([first.to_json(), unknown.to_json()])


def test_what_lasts_in_few_customers_is_not_taken_for_a_loss():
    """Twenty people of whom ten will always prefer the old champion's scores: other people might not."""
    generator = np.random.default_rng(4)
    lasting = np.tile(generator.normal(0.05, 0.4, 20), 30)
    few = Paired(np.repeat(np.arange(30, 60), 20), np.tile(np.arange(20), 30), lasting)
    found = look(few, BEFORE, terms=TERMS, start=30, through=59)

    assert found.loss == pytest.approx(lasting[:20].mean())
    assert found.verdict == "survived"
    assert found.low is not None
    assert found.low < 0


def test_the_room_for_other_entities_is_that_of_the_textbook():
    """Each of n entities once a day, the same figure each day: t · s / sqrt(n)."""
    figures = np.array([1.0, 2.0, 4.0, 7.0])
    same = Paired(np.repeat([0, 1, 2], 4), np.tile(np.arange(4), 3), np.tile(figures, 3))
    found = probation.allowances(same, alpha=0.025)

    assert list(found) == [0, 1, 2]
    assert found[2] == pytest.approx(3.182446 * figures.std(ddof=1) / 2, rel=1e-5)


def test_one_entity_says_nothing_about_others():
    """The room is endless."""
    assert probation.allowances(Paired(np.arange(3), np.zeros(3, np.int64), np.ones(3)), alpha=0.025)[2] == math.inf


def test_a_loss_that_no_year_would_show_is_foreseen_by_nobody():
    """None, so that whoever declares it can be told."""
    assert probation.foreseen_days(BEFORE, terms=Terms(loss=1e-4, horizon_days=1, days=30)) is None


@pytest.mark.parametrize("metric", ["log_loss", "brier_score", "expected_profit"])
def test_the_mean_of_a_days_losses_is_the_days_metric(metric):
    """With the sign of a loss."""
    generator, value = np.random.default_rng(2), Value(currency="EUR", conversion=10, contact=2)
    score = generator.random(40)
    scored = Scored((generator.random(40) < score) * 1.0, score, np.zeros(40, np.int64), np.arange(40))
    found = probation.losses(metric, scored, value=value, share=0.3).mean()
    told = evaluate(scored, value=value, share=0.3)[metric]

    assert found == pytest.approx(-told if metric == "expected_profit" else told)


@pytest.mark.parametrize(("metric", "power"), [("mae", 1), ("rmse", 2)])
def test_losses_of_numbers_are_absolute_or_squared_errors(metric, power):
    """By row."""
    scored = Scored(np.array([1.0, 5.0]), np.array([3.0, 4.5]), np.zeros(2, np.int64), np.arange(2), "number")

    assert list(probation.losses(metric, scored)) == [2.0**power, 0.5**power]


def test_a_ranking_has_no_loss_a_row():
    """The message names what can be taken."""
    scored = Scored(np.zeros(2), np.zeros(2), np.zeros(2, np.int64), np.arange(2))

    with pytest.raises(DataError, match="cannot be held on 'roc_auc': no loss a row"):
        probation.losses("roc_auc", scored)


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"days": 3, "labels": 3}, "either days or labels"), ({}, "either days or labels"),
     ({"days": 3, "loss": 0.0}, "loss > 0"), ({"days": 3, "alpha": 1.0}, "alpha < 1")],
)  # fmt: skip
def test_terms_that_cannot_be_held_are_refused(fields, said):
    """Before a probation begins."""
    with pytest.raises(ValueError, match=said):
        Terms(**({"loss": 0.1, "horizon_days": 1} | fields))


def test_losses_that_are_no_numbers_are_refused():
    """With their count."""
    with pytest.raises(DataError, match="got 1 of 2 that are not"):
        Paired(np.arange(2), np.arange(2), np.array([0.1, math.nan]))
