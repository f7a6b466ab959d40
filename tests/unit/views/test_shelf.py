"""A few things at hand that cost seconds to fetch."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest
from perennial.errors import RegistryError
from perennial.views.shelf import Shelf


def test_a_thing_is_fetched_once():
    """And then is at hand."""
    shelf: Shelf[object] = Shelf(most=2)
    first = shelf.get(("toy", "1"), object)

    assert ("toy", "1") in shelf
    assert shelf.get(("toy", "1"), object) is first


def test_the_one_that_was_not_asked_for_longest_goes():
    """Of three, where there is room for two."""
    shelf: Shelf[str] = Shelf(most=2)
    for version in ("1", "2", "1", "3"):
        shelf.get(("toy", version), lambda version=version: version)

    assert [("toy", version) in shelf for version in ("1", "2", "3")] == [True, False, True]


def test_what_cannot_be_fetched_is_asked_for_again():
    """Its error comes through."""
    shelf: Shelf[str] = Shelf(most=2)

    def down() -> str:
        raise RegistryError("MLflow does not answer")

    with pytest.raises(RegistryError, match="does not answer"):
        shelf.get(("toy", "1"), down)
    assert shelf.get(("toy", "1"), lambda: "up") == "up"


def test_two_who_ask_at_once_wait_for_one_fetching():
    """Both get the same thing."""
    shelf: Shelf[object] = Shelf(most=2)
    together, fetched, got = Barrier(2), [], []

    def fetch() -> object:
        fetched.append(object())
        return fetched[-1]

    def ask() -> None:
        together.wait()
        got.append(shelf.get(("toy", "1"), fetch))

    threads = [Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(fetched) == 1
    assert got == [fetched[0], fetched[0]]
