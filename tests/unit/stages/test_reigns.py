"""Who was champion when: half-open times, from the ledger alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from perennial.errors import DataError
from perennial.io.ledger import Entry, Ledger
from perennial.stages import reigns
from worlds import NOW

HOUR = timedelta(hours=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return a ledger in which version 1 was promoted, an hour later 2, and an hour after that 1 came back."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.add(Entry("toy", NOW - HOUR, "evaluated", "ada", "passed all 3 gates", "r1", None, "1"))
    ledger.add(Entry("toy", NOW, "promoted", "ada", "first", "r1", None, "1"))
    ledger.add(Entry("toy", NOW, "evaluated", "bob", "passed all 3 gates", "r2", "1", "2"))
    ledger.add(Entry("toy", NOW + HOUR, "promoted", "bob", "better", "r2", "1", "2"))
    ledger.add(Entry("other", NOW + HOUR, "promoted", "eve", "another use case", "r", None, "9"))
    ledger.add(Entry("toy", NOW + 2 * HOUR, "rolled back", "cid", "it was not", "r3", "2", "1"))
    return ledger


@pytest.mark.parametrize(
    ("offset", "version", "who", "evaluation"),
    [
        (timedelta(0), "1", "ada", 1),
        (HOUR - timedelta(microseconds=1), "1", "ada", 1),
        (HOUR, "2", "bob", 3),
        (2 * HOUR, "1", "cid", 1),
        (99 * HOUR, "1", "cid", 1),
    ],
)
def test_a_decision_counts_from_its_own_moment_on(ledger: Ledger, offset, version, who, evaluation):
    """The champion of a moment, who made it so, and the gates that it passed for that."""
    found = reigns.at("toy", NOW + offset, ledger)

    assert found is not None
    assert (found.version, found.by.who) == (version, who)
    assert found.evaluation is not None
    assert found.evaluation.id == evaluation


def test_a_reign_knows_its_end_and_who_ended_it(ledger: Ledger):
    """The last one goes on."""
    second, last = reigns.at("toy", NOW + HOUR, ledger), reigns.at("toy", NOW + 3 * HOUR, ledger)

    assert second is not None
    assert last is not None
    assert (second.since, second.until) == (NOW + HOUR, NOW + 2 * HOUR)
    assert second.ended_by == last.by
    assert (last.until, last.ended_by) == (None, None)


def test_before_the_first_promotion_nobody_was_champion(ledger: Ledger):
    """Which is an answer."""
    assert reigns.at("toy", NOW - timedelta(microseconds=1), ledger) is None


def test_a_use_case_that_the_ledger_does_not_know_is_an_error(ledger: Ledger):
    """With the one that was probably meant."""
    with pytest.raises(DataError, match=r"no entry about a use case 'tyo'. Did you mean 'toy'\?"):
        reigns.at("tyo", NOW, ledger)
