"""Asks parts of the outside world that may be out of order: what answers is shown, what does not is named once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from perennial.errors import PerennialError

Fact = TypeVar("Fact")


@dataclass
class Inquiry:
    """A part that has failed once is not asked again, so that a page stays quick.

    Attributes:
        failed: what each part that does not answer says, by the class of its error.
    """

    failed: dict[type[PerennialError], str] = field(default_factory=dict)

    def ask(self, kind: type[PerennialError], question: Callable[[], Fact], *, otherwise: Fact) -> Fact:
        """Return the answer, or `otherwise` where that part of the world is out of order."""
        if kind in self.failed:
            return otherwise
        try:
            return question()
        except kind as error:
            self.failed[kind] = str(error)
            return otherwise

    @property
    def outages(self) -> tuple[str, ...]:
        """Return a sentence for each part that does not answer."""
        return tuple(self.failed.values())
