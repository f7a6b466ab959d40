"""The limits of calm days, held against simulated days whose truth is known (`benchmarks.drift_worlds`).

Each proof is a small one with fixed seeds; `make bench-limits` repeats it at full size. Its tolerance is three standard
errors over the draws, since days and features of one draw hang together.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from perennial.core import drift, nulls
from perennial.core.nulls import Null

from benchmarks.bench_limits import alarms
from benchmarks.drift_worlds import World

RATE = 0.02
DRAWS = 24
CALM = {
    "rows alone": (World(features=10), 7),
    "few rows": (World(features=10, rows=100), 7),
    "weekdays": (World(features=10, weekday=0.3), 7),
    "moods": (World(features=10, mood=0.3), 7),
    "moods that last": (World(features=10, mood=0.3, lasting=0.7), 7),
    "season": (World(features=10, season=0.3, mood=0.1), 7),
    "entities": (World(features=10, people=0.8, mood=0.1), 14),
}


def counts_of(world: World, *, seed: int = 0, **changes: int) -> Null:
    """Return the draws of a world's reference."""
    drawn = world.draw(seed=seed, later=1)
    asked = {"rows": drawn.rows, "lag": 7} | changes
    found = nulls.draw(drawn.reference, drawn.days, **asked)
    assert found is not None
    return found


@pytest.mark.parametrize("name", CALM)
def test_calm_days_alarm_no_more_often_than_declared(name: str):
    """Features at their limits, and days by the share; the fixed 0.1 alarms far more often where days differ."""
    world, lag = CALM[name]
    found = [alarms(world.draw(seed=seed, lag=lag, later=4), false_alarms=RATE, seed=seed) for seed in range(DRAWS)]
    for rates in (np.array([each.features for each in found]), np.array([each.days for each in found])):
        assert rates.mean() <= RATE + 3 * max(rates.std(), RATE) / np.sqrt(DRAWS)
    if world.mood >= 0.3 or world.weekday >= 0.3:
        assert np.mean([each.fixed[0] for each in found]) > 5 * RATE


def test_a_shift_is_found_where_days_are_alike():
    """Half a standard deviation among 400 rows: on each of the days; the fixed 0.25 finds about half of them."""
    drawn = [World(features=5).draw(seed=seed, later=2, moved=0.5) for seed in range(10)]

    assert np.mean([alarms(each, false_alarms=RATE, seed=0).first for each in drawn]) == 1.0


def test_where_days_differ_only_a_larger_shift_is_found():
    """Moods of 0.3: what a day does by itself is no finding, three times as much is one."""
    found = [
        [alarms(World(features=5, mood=0.3).draw(seed=seed, later=2, moved=moved), false_alarms=RATE, seed=0).first
         for seed in range(12)]
        for moved in (0.3, 1.5)
    ]  # fmt: skip

    assert np.mean(found[0]) < 0.3
    assert np.mean(found[1]) > 0.9


def test_the_limit_is_the_bound_of_the_cube_roots():
    """Worked by hand: four blocks alike are worth all eight days, Student's t with seven degrees of freedom."""
    roots = np.tile([1.0, 2.0], 4)
    null = Null((roots**3)[None, :, None], np.repeat(np.arange(4), 2))
    reach = 1.894579 * roots.std(ddof=1) * np.sqrt(1 + 1 / 8)

    assert nulls.limit(null, false_alarms=0.05)[0] == pytest.approx((1.5 + reach) ** 3, rel=1e-6)
    assert nulls.limit(replace(null, beyond=8.0), false_alarms=0.05)[0] > (1.5 + reach) ** 3


def test_days_of_one_block_that_are_alike_are_worth_one():
    """Each block has one value: the days are worth their blocks, four, and Student's t has three degrees of freedom."""
    roots = np.repeat([1.0, 2.0, 1.0, 2.0], 2)
    null = Null((roots**3)[None, :, None], np.repeat(np.arange(4), 2))
    reach = 2.353363 * roots.std(ddof=1) * np.sqrt(1 + 1 / 4)

    assert nulls.limit(null, false_alarms=0.05)[0] == pytest.approx((1.5 + reach) ** 3, rel=1e-6)


def test_enough_days_give_the_order_statistic():
    """99 days at 2 %: the 98th smallest, where it is larger than the bound; one day of a hundred may be beyond."""
    values = np.r_[np.zeros(90), np.full(9, 8.0)]
    generator = np.random.default_rng(0)
    null = Null(generator.permutation(values)[None, :, None], np.arange(99))

    assert nulls.limit(null, false_alarms=0.02)[0] == 8.0


def test_features_that_move_together_need_a_larger_share():
    """Ten independent ones reach their limits three at a time once in a hundred days; those that share moods, more."""
    generator = np.random.default_rng(1)
    apart, mood = generator.normal(size=(200, 10)), generator.normal(size=(200, 1))
    together = np.sqrt(0.2) * apart + np.sqrt(0.8) * mood
    found = [Null((3 + each)[None] ** 3, np.arange(200) // 7) for each in (apart, together)]
    shares = [nulls.calibrate(each, false_alarms=0.05).share for each in found]

    assert shares[0] == pytest.approx(0.3)
    assert shares[1] >= 0.5


def test_a_column_that_never_differs_has_the_least_limit():
    """0 would call each day drifted."""
    null = Null(np.zeros((1, 30, 2)), np.arange(30) // 7)

    assert nulls.calibrate(null, false_alarms=0.01).psi.tolist() == [nulls.LEAST_PSI] * 2


@pytest.mark.parametrize(("days", "there"), [(13, False), (14, True)])
def test_fewer_than_two_weeks_of_days_give_no_limit(days: int, there: bool):  # noqa: FBT001
    """Exactly fourteen days do."""
    counts = np.full((days, 1, 3), 50)

    assert (nulls.draw(counts, np.arange(days), rows=150, lag=1) is not None) is there


def test_a_day_of_fewer_rows_has_a_larger_psi():
    """The reference's days are thinned to as many, and the mean PSI is nearly bins less one, over rows."""
    counts = np.random.default_rng(0).multinomial(4000, np.full(10, 0.1), size=(90, 4))
    found = nulls.draw(counts, np.arange(90), rows=200, lag=1)
    assert found is not None

    assert found.psi.shape[0] == 6
    assert found.psi.mean() == pytest.approx(9 / 200, rel=0.1)


def test_a_thinned_day_has_the_rows_asked_for():
    """None is drawn twice, and a day with fewer stays as it is."""
    counts = np.random.default_rng(0).poisson(9, size=(20, 3, 5))
    thinned = nulls._thinned(counts, rows=40, times=3, seed=1)

    assert (thinned <= counts).all()
    assert (thinned.sum(axis=3) == np.minimum(counts.sum(axis=2), 40)).all()


def test_equal_seeds_give_equal_limits():
    """And another seed nearly the same."""
    one, again, other = (counts_of(World(features=3), rows=100, seed=0) for _ in range(3))
    other = nulls.draw(*_reference(World(features=3)), rows=100, lag=7, seed=5) or other
    limits = [nulls.calibrate(each, false_alarms=0.05).psi for each in (one, again, other)]

    assert np.array_equal(limits[0], limits[1])
    assert limits[2] == pytest.approx(limits[0], rel=0.1)


def _reference(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Return a world's counts by day and its days."""
    drawn = world.draw(seed=0, later=1)
    return drawn.reference, drawn.days


def test_the_block_between_a_day_and_its_reference_is_as_long_as_the_lag():
    """Day 29 of thirty at a lag of 5 is measured against days 0 to 24, day 0 against days 5 to 29."""
    side = nulls._sides(np.arange(30), 5)

    assert side.held.tolist() == list(range(30))
    assert (side.start[29], side.stop[29]) == (0, 25)
    assert (side.start[0], side.stop[0]) == (5, 30)
    assert side.distance[29] == 17.0


def test_draws_are_moved_to_the_real_distance():
    """A feature that wanders steadily: 21 days later its PSI is larger than any day of the reference's ever was."""
    spot = np.arange(84) / 84
    share = np.stack([0.6 - 0.4 * spot, 0.4 + 0.4 * spot], axis=1)
    counts = np.round(share * 1000).astype(int)[:, None]
    null = nulls.draw(counts, np.arange(84), rows=1000, lag=21)
    later = drift.psi(counts.sum(axis=0)[0], [105, 895])
    assert null is not None

    assert later > max(drift.psi(counts[np.arange(84) != day].sum(axis=0)[0], counts[day, 0]) for day in range(84))
    assert nulls.limit(null, false_alarms=0.02)[0] >= later


def test_forty_features_and_a_hundred_days_take_well_under_a_second():
    """With 500 resamples, thinned ones too."""
    counts = np.random.default_rng(0).poisson(30, size=(100, 40, 13))
    began = time.perf_counter()
    null = nulls.draw(counts, np.arange(100), rows=300, lag=10, resamples=500)
    assert null is not None
    nulls.calibrate(null, false_alarms=0.01)

    assert time.perf_counter() - began < 2  # 0.1 s on a quiet machine, once scipy is imported
