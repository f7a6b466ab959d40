"""The statistics of the gates, held against simulated holdouts whose truth is known (`benchmarks.gate_worlds`).

Each proof here is a small one with fixed seeds; `make bench-gates` repeats it at full size. Its tolerance is three
binomial standard errors, so that it fails for a wrong formula and not for chance.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from perennial.core import resampling
from perennial.core.comparison import against_champion, gain_of
from perennial.core.deviations import FloatArray, mean_of
from perennial.core.metrics import Scored, measure
from perennial.core.resampling import Estimate, Ties
from perennial.errors import DataError
from perennial.spec import ChampionGate, SuperiorityGate

from benchmarks.gate_worlds import View, World

CONFIDENCE = 0.9
PEOPLE = World(people=150, days=4)
DAYS = World(people=60, days=14, every=1, horizon=2, mood=0.5, intercept=-1.5)


def spread(rate: float, draws: int) -> float:
    """Return three standard errors of a share that was counted in so many draws."""
    return 3 * math.sqrt(rate * (1 - rate) / draws)


def covered(world: World, view: View, *, unit: str, draws: int, metric: str = "roc_auc") -> float:
    """Return how often a 90 % lower bound of the gain lies at or below the truth, which is 0: the models are alike."""
    held = 0
    for seed in range(draws):
        drawn = world.draw(view, view, seed=seed)
        assert drawn.champion is not None
        gain = gain_of(metric, drawn.challenger, drawn.champion)
        scored = drawn.challenger.scored
        rows = np.arange(scored.label.size)
        tied = Ties.by(rows) if unit == "rows" else drawn.ties(unit)
        held += resampling.estimate(gain, tied, resamples=100, seed=seed).lower(CONFIDENCE) <= 0
    return held / draws


def test_resampling_entities_keeps_its_promise_where_resampling_rows_does_not():
    """Snapshots of one person, labels sharing days, say nearly the same: rows taken for independent are too sure."""
    draws = 300

    assert covered(PEOPLE, View(), unit="entity", draws=draws) == pytest.approx(0.9, abs=spread(0.9, draws))
    assert covered(PEOPLE, View(), unit="rows", draws=100) < 0.85


def test_where_days_matter_entities_alone_are_too_sure():
    """What a day does to all entities alike is seen by resampling days as well, and only so."""
    view, draws = View(day=0.6), 100

    assert covered(DAYS, view, unit="both", draws=draws, metric="log_loss") >= 0.9 - spread(0.9, draws)
    assert covered(DAYS, view, unit="entity", draws=draws, metric="log_loss") < 0.85


def two_ways(generator: np.random.Generator, *, lasting: float, daily: float, overlap: int = 1) -> FloatArray:
    """Return figures of 40 entities on 12 days: what lasts, what a day does to all, and what is new in each row.

    What a day does is the mean of so many draws that the days before share.
    """
    draws = generator.normal(size=12 + overlap - 1)
    days = np.convolve(draws, np.ones(overlap) / math.sqrt(overlap), mode="valid")
    persons = generator.normal(size=(40, 1))
    return (lasting * persons + daily * days + generator.normal(size=(40, 12))).ravel()


@pytest.mark.parametrize(
    ("lasting", "daily", "overlap"), [(0.0, 0.0, 1), (1.0, 0.0, 1), (0.5, 0.5, 1), (0.0, 1.0, 1), (0.0, 1.0, 3)]
)
def test_intervals_of_both_are_neither_too_narrow_nor_too_wide(lasting, daily, overlap):
    """Whatever of a mean's spread is due to entities, to days new each day or shared by labels, or to single rows."""
    draws, generator = 400, np.random.default_rng(9)
    day, entity = np.tile(np.arange(12), 40), np.repeat(np.arange(40), 12)
    tied = resampling.ties(Scored(day / 12, day / 12, day, entity, "number"), horizon_days=3, unit="both")
    found = [
        resampling.estimate(
            mean_of(two_ways(generator, lasting=lasting, daily=daily, overlap=overlap)), tied, resamples=100, seed=seed
        )
        for seed in range(draws)
    ]
    held = np.mean([each.lower(0.95) <= 0 <= each.upper(0.95) for each in found])

    assert held == pytest.approx(0.9, abs=spread(0.9, draws))


def test_equal_models_are_promoted_on_superiority_no_oftener_than_stated():
    """A/A: the limit is all but 0, so that the rate is that of the confidence and not of the margin."""
    gate = SuperiorityGate(metric="roc_auc", better_than_champion_by=1e-9, confidence=0.95, resamples=100)
    draws = 300
    outcomes = [against_champion(gate, PEOPLE.draw(View(), View(), seed=seed)) for seed in range(draws)]

    assert sum(outcome.passed for outcome in outcomes if outcome) / draws <= 0.05 + spread(0.05, draws)


def test_a_known_gain_is_found_at_the_stated_power():
    """The challenger sees habits better; its true gain is measured on forty thousand people."""
    better, worse = View(person=0.5), View(person=0.9)
    large = World(people=40_000, days=4).draw(better, worse, seed=0)
    assert large.champion is not None
    truth = large.challenger.metrics["roc_auc"] - large.champion.metrics["roc_auc"]
    gate = SuperiorityGate(
        metric="roc_auc", better_than_champion_by=1e-9, expected_gain=truth, confidence=0.9, resamples=100
    )
    draws = 150
    outcomes = [against_champion(gate, PEOPLE.draw(better, worse, seed=seed)) for seed in range(draws)]
    stated = float(np.mean([outcome.power for outcome in outcomes if outcome]))

    assert 0.5 < stated < 0.97
    assert sum(outcome.passed for outcome in outcomes if outcome) / draws == pytest.approx(
        stated, abs=spread(stated, draws)
    )


def test_the_rows_that_would_be_enough_are_enough():
    """Power at so many times the entities, by the same arithmetic, is the one asked for."""
    found = Estimate(value=0.0, error=0.02, freedom=1e6)
    times = found.times_enough(0.02, confidence=0.9, power=0.8)
    larger = Estimate(value=0.0, error=0.02 / math.sqrt(times), freedom=1e6)

    assert times == pytest.approx((1.2816 + 0.8416) ** 2, rel=1e-3)
    assert larger.power(0.02, confidence=0.9) == pytest.approx(0.8, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    error=st.floats(0.001, 10), distance=st.floats(0.001, 10), freedom=st.floats(2, 500),
    confidence=st.floats(0.6, 0.99), power=st.floats(0.55, 0.95),
)  # fmt: skip
def test_enough_rows_reach_the_power_also_with_few_degrees_of_freedom(error, distance, freedom, confidence, power):
    """More entities narrow the error and give the t distribution more degrees of freedom at once."""
    found = Estimate(0.0, error, freedom)
    times = found.times_enough(distance, confidence=confidence, power=power)
    larger = Estimate(0.0, error / math.sqrt(times), freedom * times)

    assert larger.power(distance, confidence=confidence) >= power - 0.01
    assert times == 1.0 or larger.power(distance, confidence=confidence) <= power + 0.01


def test_no_number_of_rows_shows_a_difference_of_nothing():
    """Where the expected gain is the limit itself."""
    assert Estimate(0.0, 0.1, 50).times_enough(0.0, confidence=0.9, power=0.8) == math.inf


def test_the_variance_of_a_mean_is_that_of_the_textbook():
    """Clusters of one row: s² / n, which for 0 .. 9 is 55/60."""
    values = np.arange(10.0)
    found = resampling.variance(mean_of(values), np.arange(10), resamples=40_000, seed=1)

    assert found == pytest.approx(values.var(ddof=1) / 10, rel=0.03)


def test_a_single_cluster_says_nothing_about_its_spread():
    """Infinite, so that no gate passes on it and the power is nil."""
    assert resampling.variance(mean_of(np.arange(5.0)), np.zeros(5, dtype=np.int64), resamples=100, seed=1) == math.inf
    assert Estimate(0.3, math.inf, 1.0).lower(0.9) == -math.inf
    assert Estimate(0.3, math.inf, 1.0).power(0.1, confidence=0.9) < 0.5


def test_resamples_without_a_value_are_drawn_again():
    """As many values as were asked for, none of them NaN."""
    asked = []

    def undefined_at_first(weights):
        asked.append(len(weights))
        values = weights.mean(axis=-1) + np.arange(len(weights))
        values[:6] = math.nan if len(asked) == 1 else values[:6]
        return values

    assert 0 < resampling.variance(undefined_at_first, np.arange(20), resamples=100, seed=1) < math.inf
    assert asked == [100, 6]


def test_what_is_never_defined_is_endlessly_uncertain():
    """The draws end, and the bound is no NaN."""
    never = resampling.variance(lambda weights: np.full(len(weights), math.nan), np.arange(20), resamples=100, seed=1)

    assert never == math.inf


@settings(max_examples=40, deadline=None)
@given(
    carriers=st.integers(1, 4), entities=st.integers(6, 40), days=st.integers(1, 12),
    unit=st.sampled_from(["auto", "entity", "days", "both"]), metric=st.sampled_from(["roc_auc", "average_precision"]),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_rare_labels_give_bounds_that_are_numbers(carriers, entities, days, unit, metric, seed):
    """Of a few converters many a resample holds none; where one alone decides, nothing is claimed."""
    generator = np.random.default_rng(seed)
    entity, day = np.repeat(np.arange(entities), days), np.tile(np.arange(days), entities)
    label = ((entity < carriers) & (day == entity % days)).astype(np.float64)
    scored = Scored(label, generator.random(label.size), day, entity)
    assume(unit in {"auto", "entity"} or days > 3)
    tied = resampling.ties(scored, horizon_days=3, unit=unit)
    measured = measure(metric, scored, value=None, share=None)
    found = resampling.estimate(measured, tied, resamples=100, seed=seed)

    assert not math.isnan(found.lower(0.9))
    assert not math.isnan(found.upper(0.9))
    if tied.unit != "days" and carriers == 1:
        assert found.lower(0.9) == -math.inf
        assert found.power(0.1, confidence=0.9) < 0.5


def snapshots(days: list[int]) -> Scored:
    """Return two people on each of these days, one of whom converts."""
    day = np.repeat(days, 2)
    label = np.tile([0.0, 1.0], len(days))
    return Scored(label, label, day, np.tile([0, 1], len(days)))


@pytest.mark.parametrize(
    ("days", "horizon", "unit", "blocks"),
    [
        ([0, 3, 6, 9], 15, "entity", 1),
        ([0, 7, 14], 7, "entity", 1),
        ([0, 7, 14, 21], 7, "both", 4),
        (range(14), 2, "both", 7),
    ],
)
def test_days_are_resampled_where_there_are_four_blocks_of_them(days, horizon, unit, blocks):
    """A block is as long as the label's horizon: weekly snapshots of a label of seven days are one each."""
    tied = resampling.ties(snapshots(list(days)), horizon_days=horizon, unit="auto")

    assert (tied.unit, 1 if tied.known is None else tied.known.count) == (unit, blocks)


def test_one_block_of_days_cannot_be_resampled():
    """Asked for all the same, the message says what to change."""
    with pytest.raises(DataError, match=r"resamples days, and the 3 holdout days are one block of 15 days.*30 or more"):
        resampling.ties(snapshots([0, 3, 6]), horizon_days=15, unit="days")


def test_blocks_that_share_no_label_day_need_no_correction_but_that_for_their_number():
    """Four weeks with labels of a week each: φ is 1 and there are three degrees of freedom."""
    known = resampling.ties(snapshots([0, 7, 14, 21]), horizon_days=7, unit="both").known

    assert known is not None
    assert (known.apart, known.shared, known.freedom) == (pytest.approx(1.0), pytest.approx(1.0), pytest.approx(3.0))


@pytest.mark.parametrize("shared", [False, True])
def test_blocks_are_corrected_by_what_the_days_show(*, shared):
    """An effect of the labels' days, averaged over blocks as long as the horizon, looks smaller than it is."""
    generator, horizon, draws = np.random.default_rng(5), 5, 2000
    days = np.arange(40)
    known = resampling.ties(snapshots(days.tolist()), horizon_days=horizon, unit="both").known
    assert known is not None
    shocks = generator.normal(size=(draws, days.size + horizon))
    span = horizon if shared else 1
    effect = np.stack([shocks[:, day + 1 : day + 1 + span].sum(axis=1) for day in days], axis=1)
    by_blocks = float((effect.reshape(draws, 8, 5).mean(axis=2).var(axis=1, ddof=1) / 8).mean())
    found = float(np.mean([known.inflation(pull) for pull in effect / 40]))

    assert effect.mean(axis=1).var() / by_blocks == pytest.approx(known.shared if shared else known.apart, rel=0.1)
    assert found == pytest.approx(known.shared if shared else known.apart, rel=0.1)


def test_the_days_decide_nothing_that_the_labels_rule_out():
    """Days that swing say that each is new, days that rise throughout that labels share them; never more than that."""
    known = resampling.ties(snapshots(list(range(40))), horizon_days=5, unit="both").known
    assert known is not None

    assert known.inflation(np.arange(40.0)) == known.shared
    assert known.inflation(np.tile([-1.0, 1.0], 20)) == known.apart


def test_a_missed_gate_is_unsure_where_the_holdout_is_too_small():
    """Forty people cannot show a hundredth of AUC: not "failed", and how many rows would be enough."""
    small = World(people=40, days=3).draw(View(), View(), seed=2)
    gate = ChampionGate(metric="roc_auc", no_worse_than_champion_by=0.01, resamples=200)
    found = against_champion(gate, small)

    assert found is not None
    assert (found.verdict, found.passed, found.blocks) == ("cannot tell", False, True)
    assert found.power is not None
    assert found.power < 0.5
    assert found.rows_needed is not None
    assert found.rows_needed > 10 * 120
    assert "rows would give 80%" in found.detail


def test_a_proven_loss_is_no_matter_of_power():
    """A challenger far worse has failed, however small the holdout."""
    drawn = World(people=60, days=3).draw(View(person=6.0), View(person=0.1, row=0.1), seed=1)
    gate = ChampionGate(metric="roc_auc", no_worse_than_champion_by=0.001, resamples=200)
    found = against_champion(gate, drawn)

    assert found is not None
    assert found.power is not None
    assert (found.verdict, found.power < 0.8) == ("failed", True)


def test_a_dry_run_gate_holds_nothing_back():
    """It is computed and shown with its verdict."""
    small = World(people=40, days=3).draw(View(), View(), seed=2)
    gate = ChampionGate(metric="roc_auc", no_worse_than_champion_by=0.01, resamples=100, mode="dry_run")
    found = against_champion(gate, small)

    assert found is not None
    assert (found.passed, found.blocks, found.mode) == (False, False, "dry_run")
