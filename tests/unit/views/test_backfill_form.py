"""What somebody asks a backfill for: read as it is written, refused in a sentence that says what to do."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from perennial.errors import DataError
from perennial.views import backfillform
from perennial.views.backfillform import Asked, address, check, read

NEWEST = date(2026, 3, 1)


def asked(first: date = NEWEST - timedelta(days=9), last: date = NEWEST, **fields) -> Asked:
    """Return what asks for ten days of features."""
    return Asked(first, last, **fields)


def refusal(what: Asked, *, has_champion: bool = True) -> str:
    """Return why it is refused; empty where it is not."""
    try:
        check(what, newest=NEWEST, has_champion=has_champion)
    except DataError as error:
        return str(error)
    return ""


def test_a_form_is_read_in_the_order_in_which_products_are_built():
    """Whatever the order, and however often one is named."""
    found = read(" 2026-02-20 ", "2026-03-01", ["predictions", "raw", "raw"], "all")

    assert found == Asked(date(2026, 2, 20), NEWEST, ("raw", "predictions"), "all")
    assert (found.days, len(found.window)) == (10, 10)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("", "2026-03-01", ["raw"], "all"), "The first day '' is no day. Write it as 2026-01-31."),
        (("2026-03-01", "yesterday", ["raw"], "all"), "The last day 'yesterday' is no day."),
        (("2026-02-30", "2026-03-01", ["raw"], "all"), "The first day '2026-02-30' is no day."),
        (("2026-03-01", "2026-03-01", ["labels"], "all"), "'labels' cannot be built. Choose of raw, features, predict"),
        (
            ("2026-03-01", "2026-03-01", ["raw"], "some"),
            "'some' is no choice of days. Choose one of: missing; missing ",
        ),
        (("x" * 10_000, "2026-03-01", ["raw"], "all"), f"The first day '{'x' * 40}…' is no day."),
    ],
)
def test_what_cannot_be_read_is_named(words, told):
    """The field, what stood in it, and what to write; of a long text the beginning."""
    with pytest.raises(DataError) as refused:
        read(*words)

    assert str(refused.value).startswith(told)
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (asked(NEWEST, NEWEST - timedelta(days=1)), "The last day 2026-02-28 is before the first day 2026-03-01. Swap"),
        (asked(last=NEWEST + timedelta(days=1)), "2026-03-02 is not over yet (UTC). The newest day that can be built"),
        (asked(last=NEWEST), ""),
        (asked(NEWEST), ""),
        (asked(NEWEST - timedelta(days=backfillform.MOST_DAYS - 1)), ""),
        (asked(NEWEST - timedelta(days=backfillform.MOST_DAYS)), "2023-02-25 to 2026-03-01 are 1,101 days, and a plan"),
        (asked(date.min, date.min), "0001-01-01 is before 1975-01-01, the oldest day that can be built."),
        (asked(date.max, date.max), "9999-12-31 is not over yet (UTC)."),
        (asked(what=()), "Nothing is chosen to be built. Choose at least one of raw, features, predictions."),
    ],
)
def test_days_that_cannot_be_built_are_refused(what, told):
    """The newest day that is over, and as many days as a plan holds, are still fine."""
    found = refusal(what)

    assert found.startswith(told)
    assert bool(found) is bool(told)


@pytest.mark.parametrize(("has_champion", "refused"), [(True, False), (False, True)])
def test_scores_need_a_champion(*, has_champion, refused):
    """Features do not."""
    found = refusal(asked(what=("features", "predictions")), has_champion=has_champion)

    assert found.startswith("There is no champion to score with.") is refused
    assert refusal(asked(), has_champion=has_champion) == ""


@pytest.mark.parametrize("text", ["ada", "a@b", "a@b.c,d@e.f", "a@b.c\nBcc: x@y.z", "<a@b.c>", f"{'a' * 250}@b.org"])
def test_what_is_not_one_address_is_refused(text):
    """Nothing of it can become a second recipient or a header."""
    with pytest.raises(DataError, match="is not one mail address"):
        address(text)
