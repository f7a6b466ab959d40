"""What failures have in common: one reason is one cause, whatever names and numbers its message holds."""

from __future__ import annotations

import pytest
from perennial.core.causes import cause

NAMES = ("toy", "shop", "toy__batch_scoring")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("LedgerError: no answer at port 5432", "LedgerError: no answer at port 5433", True),
        ("SourceError: toy has no rows", "SourceError: shop has no rows", True),
        ("DataError: 'spend' is null", "DataError: 'visits' is null", True),
        ("DataError: rows of 2026-03-01", "DataError: rows of 2026-11-30", True),
        ("KeyError: 0xdeadbeef01", "KeyError: 0xabad1dea22", True),
        ("LedgerError: no answer\nline 7", "LedgerError: no answer\nline 9 of elsewhere", True),
        ("LedgerError: no answer", "RegistryError: no answer", False),
        ("DataError: too few rows", "DataError: a column is missing", False),
    ],
)
def test_errors_that_differ_in_names_and_numbers_have_one_cause(one: str, other: str, *, same: bool):
    """Class and words decide."""
    first, second = (cause(error, names=NAMES, otherwise="x") for error in (one, other))

    assert (first == second) is same


def test_a_cause_begins_with_the_class_of_the_error():
    """So that people recognise it."""
    assert cause("LakeError: disk full", otherwise="x").startswith("LakeError ")


def test_failures_nobody_knows_the_error_of_are_one_cause_a_part():
    """Two tasks that die without a word may have nothing in common."""
    assert cause(None, otherwise="toy__a.score") == cause("", otherwise="toy__a.score")
    assert cause(None, otherwise="toy__a.score") != cause(None, otherwise="toy__b.score")
