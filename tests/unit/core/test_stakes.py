"""How much of what a model rests on has drifted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.core.stakes import at_stake
from perennial.records import ColumnDrift


def column(name: str, psi: float | None, verdict: Any = "stable", limit: float | None = 0.25) -> ColumnDrift:
    """Return a column's verdict."""
    return ColumnDrift(name, verdict, psi, None, "wasserstein", "20 rows, 50 needed", limit)


COLUMNS = (column("a", 0.5), column("b", 0.1), column("c", 0.3), column("d", 0.0))


def test_the_share_is_weighted_by_importance():
    """A and c have drifted, with 1 and 2 of 4 + 0: a feature that makes it worse has no weight."""
    found, *told = at_stake(COLUMNS, {"a": 1.0, "b": 1.0, "c": 2.0, "d": -3.0}, limit=0.3)

    assert (found.value, found.over) == (0.75, True)
    assert found.detail == "75% of what the scores rest on has drifted, limit 30%: c (PSI 0.30), a (PSI 0.50)."
    assert [(each.name, each.value, each.over) for each in told] == [
        ("a", 0.5, False), ("b", 0.1, False), ("c", 0.3, False), ("d", 0.0, False)
    ]  # fmt: skip


@pytest.mark.parametrize(("limit", "over"), [(0.75, True), (0.7501, False)])
def test_a_share_at_its_limit_has_reached_it(limit: float, *, over: bool):
    """As a PSI at its limit counts as drift."""
    assert at_stake(COLUMNS, {"a": 1.0, "b": 1.0, "c": 2.0}, limit=limit)[0].over is over


@pytest.mark.parametrize("importance", [None, {}, {"a": 0.0, "b": -1.0}])
def test_without_importances_each_feature_has_the_same(importance: dict[str, float] | None):
    """Two of four, and the sentence says so."""
    found = at_stake(COLUMNS, importance, limit=0.3)[0]

    assert found.value == 0.5
    assert "50% of the features (their importance is not known) has drifted" in found.detail


def test_a_missing_column_counts_and_is_named_first():
    """It has no PSI."""
    columns = (column("a", None, "missing column", None), column("b", 9.0))
    found = at_stake(columns, {"a": 0.5, "b": 0.5}, limit=0.3)[0]

    assert found.value == 1
    assert "a (gone), b (PSI 9.00)" in found.detail


def test_where_nothing_can_be_judged_it_is_unknown():
    """Too few rows; or no features at all."""
    found = at_stake((column("a", None, "too few rows", None),), None, limit=0.3)[0]

    assert (found.value, found.over) == (None, False)
    assert found.detail == "None of 1 features can be judged: 20 rows, 50 needed."
    assert at_stake((), None, limit=0.3)[0].value is None


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(-1, 1)), min_size=1, max_size=20))
def test_it_is_a_share(pairs: list[tuple[float, float]]):
    """Whatever the importances; 0 where nothing drifted, 1 where all did."""
    columns = [column(f"f{at}", psi) for at, (psi, _) in enumerate(pairs)]
    found = at_stake(columns, {f"f{at}": weight for at, (_, weight) in enumerate(pairs)}, limit=0.3)[0]

    assert found.value is not None
    assert 0 <= found.value <= 1 + 1e-12
    if all(psi >= 0.25 for psi, _ in pairs):
        assert found.value == pytest.approx(1)
