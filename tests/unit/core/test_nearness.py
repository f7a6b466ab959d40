"""How near scores come to the truth, by values worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from perennial.core.nearness import nearness
from perennial.errors import DataError

TRUE = np.array([0.1, 0.5, 0.9])


def test_the_truth_is_as_near_as_one_can_come():
    """All of the way; its loss is the entropy, worked by hand."""
    found = nearness(TRUE, TRUE)
    by_hand = (2 * -(0.1 * math.log(0.1) + 0.9 * math.log(0.9)) + math.log(2)) / 3

    assert found.scores == found.truth == pytest.approx(by_hand, rel=1e-12)
    assert (found.share, found.area) == (1.0, found.area_of_truth)


def test_a_constant_goes_nothing_of_the_way():
    """The mean for everybody: no share, and half of the area."""
    found = nearness(np.full(3, 0.5), TRUE)

    assert found.share == pytest.approx(0.0, abs=1e-12)
    assert found.area == pytest.approx(0.5)


def test_the_expected_area_counts_each_pair_by_its_chance():
    """Two rows of 0.2 and 0.6, ordered rightly: 0.6·0.8 of pairs are in order, 0.2·0.4 are not, the rest are ties."""
    right, wrong = (nearness(np.array(score), np.array([0.2, 0.6])).area for score in ([0.1, 0.2], [0.2, 0.1]))
    ties = 0.2 * 0.8 / 2 + 0.6 * 0.4 / 2

    assert right == pytest.approx((0.6 * 0.8 + ties) / (0.8 * 1.2))
    assert wrong == pytest.approx((0.2 * 0.4 + ties) / (0.8 * 1.2))


def test_a_score_that_is_sure_and_wrong_is_worse_than_a_constant():
    """It stays finite."""
    assert -100 < nearness(np.array([1.0, 0.5, 0.0]), TRUE).share < 0


@pytest.mark.parametrize("chance", [[], [0.3, 0.3]])
def test_without_a_difference_there_is_nothing_to_come_near_to(chance):
    """It says how many there are."""
    with pytest.raises(DataError, match=rf"differ, got {len(chance)} that do not"):
        nearness(np.zeros(len(chance)), np.array(chance))
