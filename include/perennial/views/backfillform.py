"""What somebody asks a backfill for, read from a form or an address; what cannot be built is refused in a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import get_args

from perennial.changes import Product, Wanted
from perennial.errors import DataError
from perennial.records import Record, Window

PRODUCTS: tuple[Product, ...] = get_args(Product)
CHOICES: tuple[Wanted, ...] = get_args(Wanted)
OLDEST = date(1975, 1, 1)  # its snapshot looks at no day before the lake's partition of stray rows
MOST_DAYS = 1100  # three years
MOST_OF_AN_ADDRESS = 254  # characters, as mail servers take them
ADDRESS = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\"]+")
SHOWN = 40  # characters of what was wrong


@dataclass(frozen=True, slots=True)
class Asked(Record):
    """Days, both ends in it; what to build; and which of the days."""

    first_day: date
    last_day: date
    what: tuple[Product, ...] = ("features",)
    which: Wanted = "missing and stale"

    @property
    def window(self) -> Window:
        """Return the days as a window."""
        return Window(self.first_day, self.last_day + timedelta(days=1))

    @property
    def days(self) -> int:
        """Return how many days."""
        return (self.last_day - self.first_day).days + 1


def read(first_day: str, last_day: str, what: Sequence[str], which: str) -> Asked:
    """Return what a form asks for; a day, a product or a choice that is none is refused.

    Raises:
        DataError: says which, and what to write instead.
    """
    unknown = [name for name in what if name not in PRODUCTS]
    if unknown:
        raise DataError(f"{_short(unknown[0])} cannot be built. Choose of {', '.join(PRODUCTS)}.")
    if which not in CHOICES:
        raise DataError(f"{_short(which)} is no choice of days. Choose one of: {'; '.join(CHOICES)}.")
    products = tuple(product for product in PRODUCTS if product in what)
    return Asked(_day("first", first_day), _day("last", last_day), products, next(it for it in CHOICES if it == which))


def check(asked: Asked, *, newest: date, has_champion: bool) -> None:
    """Refuse what cannot be built.

    Args:
        asked: what is asked for.
        newest: the newest day that is over.
        has_champion: whether there is a model to score with; True where nobody knows.

    Raises:
        DataError: says why, and what to do.
    """
    first, last = asked.first_day, asked.last_day
    if last < first:
        raise DataError(f"The last day {last} is before the first day {first}. Swap them.")
    if first < OLDEST:
        raise DataError(f"{first} is before {OLDEST}, the oldest day that can be built.")
    if last > newest:
        raise DataError(f"{last} is not over yet (UTC). The newest day that can be built is {newest}.")
    if asked.days > MOST_DAYS:
        raise DataError(
            f"{first} to {last} are {asked.days:,} days, and a plan holds {MOST_DAYS:,} at most. Build them in parts."
        )
    if not asked.what:
        raise DataError(f"Nothing is chosen to be built. Choose at least one of {', '.join(PRODUCTS)}.")
    if "predictions" in asked.what and not has_champion:
        raise DataError("There is no champion to score with. Train and promote one, or leave predictions out.")


def address(text: str) -> str | None:
    """Return the address that a summary goes to, None where none is given.

    >>> address(" ada@example.org "), address("")
    ('ada@example.org', None)

    Raises:
        DataError: it is not one address.
    """
    given = text.strip()
    if not given:
        return None
    if len(given) > MOST_OF_AN_ADDRESS or not ADDRESS.fullmatch(given):
        raise DataError(f"{_short(given)} is not one mail address. Write it as ada@example.org, or leave it empty.")
    return given


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise DataError(f"The {name} day {_short(text)} is no day. Write it as 2026-01-31.") from error


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
