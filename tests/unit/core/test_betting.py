"""Bounds on a mean at every look: a bet worked by hand, what a bet may know, and how often the bounds err."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.core import betting
from perennial.core.betting import Bet, Series

LONG_AGO = Series(np.arange(-60, -20), np.sin(np.arange(40.0)))


def one_stream(values, *, variance: float, size: float = 0.5) -> list[Bet]:
    """Return bets on blocks of a day each whose variance is known."""
    stakes = betting.stakes(size, variance)
    return [Bet(0, day, float(value), variance, stakes) for day, value in enumerate(values)]


def test_a_bet_is_worth_what_is_worked_out_by_hand():
    """Stake 2 on 0.5 against 0 is φ(1) = ln 2.5, less ln(1 + 4 · 0.04 / 2); a loss of as much is its mirror."""
    won, lost = (Bet(0, 0, mean, 0.04, (2.0, 2.0, 2.0)) for mean in (0.5, -0.5))
    found = betting.wealth([won, lost], np.zeros(2))

    assert found[0] == pytest.approx(math.log(2.5) - math.log(1.08))
    assert found[1] == pytest.approx(-2 * math.log(1.08))


def test_the_bound_is_where_the_bets_are_worth_just_enough():
    """Against the bound they are worth one over alpha, against anything above less."""
    bets = one_stream([0.6, 0.4, 0.5, 0.7, 0.5], variance=0.02)
    bound = betting.lower(bets, alpha=0.05, count=1)

    assert betting.wealth(bets, bound)[-1] == pytest.approx(math.log(20), abs=1e-9)
    assert betting.wealth(bets, bound + 0.01)[-1] < math.log(20)
    assert 0 < bound[-1] < 0.54


@pytest.mark.parametrize("kind", ["normal", "t with three degrees", "rare losses", "rare gains"])
def test_the_bounds_err_no_oftener_than_stated_at_all_looks_together(kind):
    """Sixty looks at means of 0, whatever the tails: only the variance has to be right."""
    draws, generator = 1500, np.random.default_rng(3)
    drawn = {
        "normal": generator.normal(size=(draws, 60)),
        "t with three degrees": generator.standard_t(3, size=(draws, 60)) / math.sqrt(3),
        "rare losses": 1 - generator.exponential(size=(draws, 60)),
        "rare gains": generator.exponential(size=(draws, 60)) - 1,
    }[kind]
    refuted = [betting.wealth(one_stream(row, variance=1.0), np.zeros(60)).max() >= math.log(10) for row in drawn]

    assert np.mean(refuted) <= 0.1 + 3 * math.sqrt(0.09 / draws)


def test_equal_bets_need_no_history():
    """Five bets that each lie 0.3 above the mean, at once and one after another."""
    at_once = betting.steady(0.3, variance=0.02, size=0.5, times=5)

    assert at_once == pytest.approx(betting.wealth(one_stream([0.5] * 5, variance=0.02), np.full(5, 0.2))[-1])
    assert betting.steady(0.3, variance=math.inf, size=0.5, times=5) == 0.0


def test_upper_bounds_are_lower_ones_of_the_opposite():
    """What bounds gains from below bounds losses from above."""
    bets = one_stream([0.6, 0.4, 0.5], variance=0.02)
    turned = one_stream([-0.6, -0.4, -0.5], variance=0.02)

    assert (betting.upper(turned, alpha=0.05, count=1) == -betting.lower(bets, alpha=0.05, count=1)).all()


@settings(max_examples=50, deadline=None)
@given(horizon=st.integers(1, 20), days=st.integers(1, 90), start=st.integers(-5, 5))
def test_a_block_is_known_before_the_next_of_its_stream_begins(horizon, days, start):
    """The label of the last day is known a horizon later; blocks are whole, and none reaches beyond the labels."""
    own = Series(np.arange(start, start + days), np.ones(days))
    bets = betting.settle(own, LONG_AGO, start=start, through=start + days - 1, horizon_days=horizon, size=1.0)

    for stream in range(betting.streams(horizon)):
        last = [bet.last for bet in bets if bet.stream == stream]
        assert all(after - horizon + 1 >= before + horizon for before, after in itertools.pairwise(last))
    assert all(bet.last <= start + days - 1 for bet in bets)
    assert len(bets) == days // horizon


@settings(max_examples=30, deadline=None)
@given(horizon=st.integers(1, 7), changed=st.integers(0, 39), seed=st.integers(0, 100))
def test_a_stake_knows_nothing_that_was_not_known_when_it_was_placed(horizon, changed, seed):
    """Whatever a day's figure becomes, the bets placed before it was known are the same."""
    own = Series(np.arange(40), np.random.default_rng(seed).normal(size=40))
    other = Series(own.day, np.where(own.day >= changed, own.value + 9, own.value))
    first, second = (
        betting.settle(each, LONG_AGO, start=0, through=39, horizon_days=horizon, size=1.0) for each in (own, other)
    )

    for bet, again in zip(first, second, strict=True):
        if bet.last - horizon + 1 < changed + horizon:
            assert bet.stakes == again.stakes


def test_a_day_without_rows_is_neither_better_nor_worse():
    """The block's mean is over all of its days."""
    own = Series(np.array([0, 2]), np.array([0.3, 0.3]))
    bets = betting.settle(own, LONG_AGO, start=0, through=2, horizon_days=3, size=1.0)

    assert [bet.mean for bet in bets] == [pytest.approx(0.2)]


def test_nothing_is_staked_where_nobody_knows_how_much_days_vary():
    """Two days say nothing about weeks: the variance is unbounded, and so is the mean."""
    few = Series(np.array([0, 1]), np.array([0.1, 0.3]))
    bets = betting.settle(few, few, start=10, through=30, horizon_days=7, size=1.0)

    assert {bet.stakes for bet in bets} == {(0.0, 0.0, 0.0)}
    assert (betting.lower(bets, alpha=0.05, count=2) == -math.inf).all()


@pytest.mark.parametrize(("horizon", "shared"), [(1, False), (5, False), (5, True)])
def test_the_bound_on_the_variance_holds_as_often_as_stated(horizon, shared):
    """Of the mean of as many days as the horizon, whether days are new or share labels; tolerance: three errors."""
    draws, days, generator = 400, 40, np.random.default_rng(8)
    span = horizon if shared else 1
    noise = generator.normal(size=(draws, days + span - 1)) / math.sqrt(span)
    values = np.stack([np.convolve(row, np.ones(span), mode="valid") for row in noise])
    weights = np.convolve(np.ones(horizon), np.ones(span)) / horizon / math.sqrt(span)
    found = [betting.spread((Series(np.arange(days), row),), length=horizon, horizon_days=horizon) for row in values]

    assert np.mean(np.array(found) >= (weights**2).sum()) >= betting.SURE - 3 * math.sqrt(0.16 / draws)
