"""Frozen values about reproductions: what became of each stage, and the receipt that is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perennial.errors import NotReproducedError
from perennial.records import Record

Stage = Literal["manifest", "definition", "sources", "features", "rows", "model", "predictions"]
State = Literal["equal", "differs", "not compared"]
LAST: Stage = "predictions"


@dataclass(frozen=True, slots=True)
class Outcome(Record):
    """One stage of a reproduction: the fingerprint that was recorded, the one found now, and what differs in words."""

    stage: Stage
    state: State
    recorded: str
    found: str
    detail: str = ""

    @classmethod
    def of(cls, stage: Stage, recorded: str, found: str, *, detail: str = "") -> Outcome:
        """Return the outcome of comparing two fingerprints; `detail` is kept where they differ."""
        equal = recorded == found
        return cls(stage, "equal" if equal else "differs", recorded, found, "" if equal else detail)


@dataclass(frozen=True, slots=True)
class Rebuilt(Record):
    """What a clean process found: the stages as far as they were equal, and what is worth knowing beside them."""

    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt(Record):
    """A reproduction: of which version, by whom and when, with which code, and what came of each stage in order.

    A stage behind the first that differs was not reached. `entry` is the ledger's, 0 before it is written.
    """

    case: str
    version: str
    at: datetime
    who: str
    trained_with: str
    rebuilt_with: str
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()
    entry: int = 0

    @property
    def difference(self) -> Outcome | None:
        """Return the first stage that differs, None where the model was rebuilt as it was."""
        return next((outcome for outcome in self.outcomes if outcome.state == "differs"), None)

    @property
    def reason(self) -> str:
        """Return what came of it in a line."""
        first = self.difference
        return "rebuilt, every stage equal" if first is None else f"{first.stage} differs: {first.detail}"

    def raise_if_different(self) -> None:
        """Raise NotReproducedError where a stage differs, with its name and what differs."""
        if self.difference is not None:
            raise NotReproducedError(f"{self.case} version {self.version} is not reproduced: {self.reason}")
