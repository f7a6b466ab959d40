"""What matured labels say: past its limit is only what is so with its whole interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from perennial.core import promises
from perennial.core.evidence import Contender
from perennial.core.metrics import Scored, evaluate
from perennial.core.promises import Interval, Judge
from perennial.modelling import Monitoring, Performance, Value
from perennial.records import Measure

MONEY = Value(currency="EUR", conversion=10.0, contact=1.0)
AT_LEAST = Performance(metric="roc_auc", at_least=0.6)
AT_MOST = Performance(metric="mae", at_most=2.0)


def world(*, rows: int = 2000, wrong: float = 1.0, seed: int = 0) -> Scored:
    """Return scores that are as good as promised; with `wrong` so many times as many labels are positive."""
    generator = np.random.default_rng(seed)
    score = generator.uniform(0.02, 0.4, rows)
    label = (generator.random(rows) < np.minimum(wrong * score, 1)).astype(float)
    return Scored(label, score, np.arange(rows) % 10, np.arange(rows) // 5)


def judge(scored: Scored, **fields: Any) -> Judge:
    """Return a judge of rows whose labels look a day ahead."""
    monitoring = Monitoring(performance=fields.pop("performance", AT_LEAST), resamples=100, **fields)
    return Judge(scored, 1, monitoring, seed=0)


def contender(scored: Scored, *, value: Value | None = MONEY, share: float = 0.3) -> Contender:
    """Return a model that made the scores."""
    return Contender(scored, share, value, evaluate(scored, value=value, share=share))


@pytest.mark.parametrize(
    ("limit", "found", "past"),
    [
        (AT_LEAST, Interval(0.6, 0.5, 0.7), (False, False)),
        (AT_LEAST, Interval(0.59, 0.5, 0.6), (True, False)),
        (AT_LEAST, Interval(0.55, 0.5, 0.599), (True, True)),
        (AT_LEAST, Interval(0.5, -np.inf, np.inf), (True, False)),
        (AT_MOST, Interval(2.0, 1.0, 3.0), (False, False)),
        (AT_MOST, Interval(2.1, 2.0, 3.0), (True, False)),
        (AT_MOST, Interval(2.1, 2.01, 3.0), (True, True)),
    ],
)
def test_a_metric_is_past_its_limit_where_its_whole_interval_is(
    limit: Performance, found: Interval, past: tuple[bool, bool]
):
    """At the limit neither is; of an interval whose ends are not known nothing is sure."""
    assert promises.past(limit, found) == past


def test_the_declared_metric_has_an_interval_and_the_others_are_told():
    """The interval holds the value; the rest has neither limit nor interval."""
    scored = world()
    first, *others = promises.performance(judge(scored), contender(scored))

    assert (first.name, first.limit, first.over) == ("roc_auc", 0.6, False)
    assert first.value is not None
    assert first.low is not None
    assert first.high is not None
    assert first.low < first.value < first.high
    assert {each.name for each in others} >= {"log_loss", "brier_score", "expected_profit"}
    assert {(each.limit, each.over) for each in others} == {(None, False)}


@pytest.mark.parametrize(("days", "window", "known"), [(3, 7, False), (4, 7, True), (3, 3, True), (1, 3, True)])
def test_in_its_first_days_nothing_is_sure_of_a_champion(days: int, window: int, *, known: bool):
    """One bad day is no decay: of days whose labels look a day ahead there have to be four, if the window has them."""
    scored = world(wrong=3.0)
    scored = Scored(scored.label, scored.score, np.arange(2000) % days, scored.entity)
    limit = Performance(metric="roc_auc", at_least=0.6, window_days=window)
    ratio, _ = promises.calibration(judge(scored, performance=limit))

    assert ratio.over is known
    assert (ratio.low is None) is not known


def test_a_sentence_says_whether_it_is_sure():
    """Below the limit with the interval, or with the value alone."""
    sure = promises.against_limit(Interval(0.5, 0.45, 0.55), AT_LEAST, about="performance", what="is", source="rows")
    unsure = promises.against_limit(Interval(0.5, 0.4, 0.65), AT_LEAST, about="performance", what="is", source="rows")

    assert (sure.over, sure.detail) == (True, "roc_auc is is 0.5000, below 0.6 (rows 0.4500 to 0.5500).")
    assert not unsure.over
    assert unsure.detail.endswith("(rows 0.4000 to 0.6500, which reaches the limit).")


@pytest.mark.parametrize(("wrong", "over"), [(1.0, False), (1.1, False), (1.8, True), (0.4, True)])
def test_calibration_is_told_that_is_surely_off(wrong: float, *, over: bool):
    """Observed through expected outside of 0.8 to 1.25 with its whole interval; the slope has no limit by default."""
    ratio, slope = promises.calibration(judge(world(wrong=wrong)))

    assert (ratio.measure, ratio.over) == ("observed / expected", over)
    assert ratio.value == pytest.approx(wrong, rel=0.15)
    assert (slope.measure, slope.limit, slope.over) == ("slope", None, False)


def test_the_ratio_is_as_worked_by_hand():
    """Two of four are positive where 0.8 were expected; twice the weight on a negative makes it 2 / 1.0."""
    scored = Scored(np.array([1.0, 1, 0, 0]), np.full(4, 0.2), np.arange(4), np.arange(4))
    found = promises.observed_to_expected(scored)

    assert float(found(np.ones(4))) == pytest.approx(2.5)
    assert float(found(np.array([1.0, 1, 2, 1]))) == pytest.approx(2.0)


def test_a_number_has_a_bias():
    """Half a unit too high; past a declared limit of 0.3, and only told without one."""
    generator = np.random.default_rng(0)
    label = generator.normal(10, 2, 1000)
    scored = Scored(label, label + 0.5, np.arange(1000) % 10, np.arange(1000) // 5, "number")
    told, _ = promises.calibration(judge(scored, performance=AT_MOST))
    held, _ = promises.calibration(judge(scored, performance=AT_MOST, calibration={"bias": 0.3}))

    assert (told.measure, told.value, told.over) == ("bias", pytest.approx(0.5), False)
    assert (held.limit, held.over) == (0.3, True)


def of_profit(found: tuple[Measure, ...], measure: str) -> Measure:
    """Return the measure of the profit."""
    return next(each for each in found if (each.name, each.measure) == ("expected_profit", measure))


def test_realised_value_is_told_beside_what_was_expected():
    """Scores that hold what they promise: both are near each other, and nothing is past a limit."""
    scored = world(rows=5000)
    found = tuple(promises.value(judge(scored), contender(scored)))
    realised, expected = of_profit(found, "realised"), of_profit(found, "expected")

    assert expected.value is not None
    assert realised.value == pytest.approx(expected.value, rel=0.15)
    assert not any(each.over for each in found)
    assert {each.name for each in found} == {"expected_profit", "return_on_ad_spend"}


def test_a_surely_negative_profit_is_past_its_limit():
    """Nobody converts, and three in ten are contacted."""
    scored = world(wrong=0.05)
    realised = of_profit(tuple(promises.value(judge(scored), contender(scored))), "realised")

    assert realised.over
    assert realised.detail.endswith("contacting costs more than it brings.")


def test_a_declared_share_of_the_expected_profit_is_a_limit():
    """Half of the promised labels come: surely less than nine tenths of the profit, surely more than nothing."""
    scored = world(rows=5000, wrong=0.6)
    told = of_profit(tuple(promises.value(judge(scored), contender(scored))), "realised")
    held = of_profit(tuple(promises.value(judge(scored, value_share=0.9), contender(scored))), "realised")

    assert not told.over
    assert held.over
    assert held.detail.endswith("less than the declared 90% of it.")


def test_without_money_there_is_no_value():
    """The spec has none."""
    scored = world()

    assert tuple(promises.value(judge(scored), contender(scored, value=None))) == ()


@pytest.mark.parametrize(
    ("expected", "came", "late"),
    [
        ([30.0, 30.0, 30.0], [1, 1, 0], 1),
        ([30.0, 30.0, 30.0], [1, 0, 0], 2),
        ([30.0, 30.0, 30.0], [0, 0, 0], 3),
        ([30.0, 30.0, 30.0], [0, 0, 1], None),
        ([30.0, 30.0, 20.0], [1, 1, 0], 1),
        ([30.0, 30.0, 19.9], [1, 1, 0], None),
    ],
)
def test_labels_that_have_not_come_are_late_and_no_zeros(expected: list[float], came: list[int], late: int | None):
    """From the newest day on, until one has labels; twenty have to be expected of a day, 19.9 are too few."""
    found = promises.missing_labels(np.arange(3), np.array(expected), np.array(came, dtype=float), name="buys")

    assert (None if found is None else found.value) == late
    if found is not None:
        assert found.over
        assert (
            f"of the newest {late} matured days has come, where {sum(expected[-late:]):,.0f} were expected"
            in found.detail
        )
