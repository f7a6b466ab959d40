"""What the gates say of a challenger: a verdict each, and the report of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from perennial.errors import GateFailedError
from perennial.records import Record, Window

Mode = Literal["enforce", "dry_run"]
Verdict = Literal["passed", "failed", "cannot tell"]


@dataclass(frozen=True, slots=True)
class GatePart(Record):
    """One slice, feature or probe of a gate; what `value` is, the gate's name says."""

    name: str
    value: float
    rows: int = 0
    margin: float = 0.0
    low: float | None = None
    high: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GateResult(Record):
    """One gate's outcome; `margin` is how far the value lies on the good side of the limit.

    Attributes:
        name: what was held against what, such as "roc_auc against champion".
        value: what was measured.
        limit: what it was held against.
        margin: 0 or more passes.
        detail: in words, what the figures do not say.
        mode: a gate that is `dry_run` holds nothing back.
        low: lower end of the value's interval, where it has one.
        high: upper end.
        power: how likely this holdout was to show what the gate expects; None where nothing was resampled.
        unsure: the value misses the limit, but the holdout could hardly have shown it otherwise.
        rows_needed: how many rows like these would be enough; None where these are, or where none would be.
        parts: the same by slice, feature or probe, the worst first.
    """

    name: str
    value: float
    limit: float
    margin: float
    detail: str = ""
    mode: Mode = "enforce"
    low: float | None = None
    high: float | None = None
    power: float | None = None
    unsure: bool = False
    rows_needed: int | None = None
    parts: tuple[GatePart, ...] = ()

    @property
    def passed(self) -> bool:
        """Tell whether the value reaches the limit; equal passes, NaN does not."""
        return self.margin >= 0

    @property
    def verdict(self) -> Verdict:
        """Return the outcome in words; a holdout with too little power says that it cannot tell."""
        if self.passed:
            return "passed"
        return "cannot tell" if self.unsure else "failed"

    @property
    def blocks(self) -> bool:
        """Tell whether it keeps the challenger from being promoted: it did not pass, and is enforced."""
        return self.mode == "enforce" and not self.passed

    def line(self) -> str:
        """Return verdict, name, value, limit and margin in one line."""
        told = self.verdict if self.mode == "enforce" else f"{self.verdict}, dry run"
        return f"{told}  {self.name}: {self.value:.4f}, limit {self.limit:.4f}, margin {self.margin:+.4f}"


@dataclass(frozen=True, slots=True)
class GateReport(Record):
    """A challenger held against its gates, on the same holdout rows as the champion.

    `champion` is None where nothing is in production yet; then the gates against it are left out. `page` is its path
    below the folder of pages, None where it could not be written.
    """

    case: str
    version: str
    champion: str | None
    as_of: date
    results: tuple[GateResult, ...]
    metrics: Mapping[str, Mapping[str, float]]
    holdout: Window
    rows: int
    page: str | None = None

    @property
    def failed(self) -> tuple[GateResult, ...]:
        """Return the enforced gates that did not pass."""
        return tuple(result for result in self.results if result.blocks)

    @property
    def warned(self) -> tuple[GateResult, ...]:
        """Return the dry-run gates that did not pass."""
        return tuple(result for result in self.results if not result.passed and not result.blocks)

    def summary(self) -> str:
        """Return one line a gate: its verdict, name, value, limit and margin."""
        return "\n".join(result.line() for result in self.results)

    def raise_if_failed(self) -> None:
        """Raise GateFailedError with each failed gate's value and limit."""
        if self.failed:
            lines = "\n".join(f"  {r.name}: {r.value:.4f}, needed {r.limit:.4f}{_unsure(r)}" for r in self.failed)
            raise GateFailedError(f"{self.case} version {self.version} failed {len(self.failed)} gate(s):\n{lines}")


def _unsure(result: GateResult) -> str:
    """Return what a gate that cannot tell adds to its line."""
    if result.verdict != "cannot tell":
        return ""
    enough = f"; {result.rows_needed:,} rows would be enough" if result.rows_needed else ""
    return f" (cannot tell: power {result.power or 0.0:.0%}{enough})"
