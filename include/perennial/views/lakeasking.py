"""Asks tables of the lake that may be out of order: one that cannot be read is named once, the others are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from perennial.errors import LakeError
from perennial.io.lake import reading

Fact = TypeVar("Fact")


@dataclass
class Tables:
    """A table that has failed once is not asked again.

    Attributes:
        failed: what each table that cannot be read says, by its name.
    """

    failed: dict[str, str] = field(default_factory=dict)

    def ask(self, table: str, question: Callable[[], Fact], *, otherwise: Fact) -> Fact:
        """Return the answer, or `otherwise` where the table cannot be read."""
        if table in self.failed:
            return otherwise
        try:
            with reading(table):
                return question()
        except LakeError as error:
            self.failed[table] = str(error)
            return otherwise

    @property
    def outages(self) -> tuple[str, ...]:
        """Return a sentence for each table that cannot be read."""
        return tuple(dict.fromkeys(self.failed.values()))
