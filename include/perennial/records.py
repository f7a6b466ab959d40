"""Frozen values that cross a border between stages, Airflow and the ledger: JSON-ready, no frames, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal, Protocol

from perennial.errors import Crowning, GateFailedError

Json = dict[str, Any]

DriftVerdict = Literal[
    "stable", "drifted", "too few rows", "all null", "constant", "missing column", "new column", "new categories"
]

Mode = Literal["enforce", "dry_run"]
Verdict = Literal["passed", "failed", "cannot tell"]


def plain(value: Any) -> Any:
    """Return `value` with dates as ISO text, all the way down, so that JSON and XCom can carry it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, (date, datetime)) else value


@dataclass(frozen=True, slots=True)
class Record:
    """Base of the records: anything a stage returns can be written as JSON."""

    def to_json(self) -> Json:
        """Return the record as plain data; dates are ISO text, tuples are lists."""
        return dict(plain(asdict(self)))


@dataclass(frozen=True, slots=True)
class Window(Record):
    """A half-open span of UTC days: `start` is in it, `end` is not."""

    start: date
    end: date

    def __post_init__(self) -> None:
        """Refuse a window that ends before it starts; an empty one (`start == end`) is fine."""
        if self.end < self.start:
            raise ValueError(f"a window ends at or after its start, got {self.start} to {self.end}.")

    def __len__(self) -> int:
        """Return the number of days."""
        return (self.end - self.start).days

    def __contains__(self, day: date) -> bool:
        """Tell whether `start <= day < end`."""
        return self.start <= day < self.end

    def days(self) -> Iterator[date]:
        """Yield each day, oldest first."""
        return (self.start + timedelta(days=offset) for offset in range(len(self)))

    @classmethod
    def of_day(cls, day: date) -> Window:
        """Return the window that holds `day` alone."""
        return cls(day, day + timedelta(days=1))

    @classmethod
    def ending(cls, day: date, *, days: int) -> Window:
        """Return the `days` days of which `day` is the last.

        >>> [str(day) for day in Window.ending(date(2026, 3, 1), days=2).days()]
        ['2026-02-28', '2026-03-01']
        """
        end = day + timedelta(days=1)
        return cls(end - timedelta(days=days), end)


@dataclass(frozen=True, slots=True)
class Commit(Record):
    """What writing one partition did; `changed` is False where the same content was there already."""

    table: str
    day: date
    rows: int
    version: int
    changed: bool


@dataclass(frozen=True, slots=True)
class IngestRecord(Record):
    """One day of one source, as published; `quarantined` rows are not among `rows`."""

    case: str
    source: str
    day: date
    rows: int
    quarantined: int
    version: int
    changed: bool
    warnings: tuple[str, ...] = ()
    page: str | None = None


@dataclass(frozen=True, slots=True)
class ValidationRecord(Record):
    """What the expectations say about one day of one source; `reasons` counts refused rows by reason."""

    case: str
    source: str
    day: date
    rows: int
    refused: int
    reasons: Mapping[str, int]
    critical: tuple[str, ...]
    warnings: tuple[str, ...]
    page: str


@dataclass(frozen=True, slots=True)
class FeaturesRecord(Record):
    """One day's snapshot of all entities, and the versions of the sources it was computed from."""

    case: str
    day: date
    rows: int
    version: int
    changed: bool
    source_versions: Mapping[str, int]
    leak_checked_day: date | None


@dataclass(frozen=True, slots=True)
class CandidateResult(Record):
    """One candidate's or baseline's figures on the validation rows."""

    name: str
    run_id: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrainRecord(Record):
    """A trained challenger: its registry version, and everything needed to train it again (`manifest`).

    `profile` is the page about the rows and sources that it read, below the pages folder; None where it failed.
    """

    case: str
    as_of: date
    version: str
    run_id: str
    winner: str
    candidates: tuple[CandidateResult, ...]
    holdout: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    manifest: Json = field(default_factory=dict)
    profile: str | None = None


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


class CrowningEntry(Crowning, Protocol):
    """What is read of an entry that made a champion."""

    @property
    def from_version(self) -> str | None:
        """Return the champion before."""

    @property
    def reason(self) -> str:
        """Return why."""

    @property
    def id(self) -> int:
        """Return the entry's number."""


@dataclass(frozen=True, slots=True)
class PromotionRecord(Record):
    """A ledger entry that made a champion; `changed` is False where the version was the champion already."""

    case: str
    version: str
    previous: str | None
    who: str
    at: datetime
    reason: str
    entry: int
    changed: bool

    @classmethod
    def of(cls, entry: CrowningEntry, *, changed: bool) -> PromotionRecord:
        """Return the record of an entry."""
        return cls(
            entry.case, str(entry.to_version), entry.from_version, entry.who, entry.at, entry.reason, entry.id, changed
        )


@dataclass(frozen=True, slots=True)
class LedgerCheck(Record):
    """What became of checking the ledger: how many entries, where each hash stands, and a sentence a fault.

    `notes` says what could not be looked at.
    """

    entries: int
    places: dict[str, int]
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def newest(self) -> str | None:
        """Return the newest entry as `ID:HASH`, to be kept elsewhere; None where there is none."""
        return next((f"{place}:{digest}" for digest, place in reversed(self.places.items())), None)

    def knows(self, anchor: str) -> bool:
        """Tell whether an entry that was kept elsewhere, as `ID:HASH` or as its hash alone, is still there."""
        place, _, digest = anchor.rpartition(":")
        return digest in self.places and place in {"", str(self.places[digest])}


@dataclass(frozen=True, slots=True)
class ScoreRecord(Record):
    """One day's predictions and what made them."""

    case: str
    day: date
    rows: int
    model_version: str
    data_version: int
    version: int
    changed: bool


@dataclass(frozen=True, slots=True)
class ColumnDrift(Record):
    """One column's current distribution against its reference; the measures are None where they have no meaning."""

    column: str
    verdict: DriftVerdict
    psi: float | None
    distance: float | None
    measure: Literal["wasserstein", "jensen-shannon"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class MonitorRecord(Record):
    """One day's findings about the champion.

    `verdict` is "drifted" where the score or the share of drifted features is over its limit, "decayed"
    where performance on matured labels is below its limit, "unknown" where too little can be judged.
    `opens_alert` is True on the first day of such a finding only, so that one finding has one mail.
    """

    case: str
    day: date
    model_version: str
    verdict: Literal["stable", "drifted", "decayed", "unknown"]
    reason: str
    drifted_share: float
    score: ColumnDrift
    columns: tuple[ColumnDrift, ...]
    performance: Mapping[str, float]
    performance_window: Window | None
    since: date | None
    opens_alert: bool
    report: str | None


@dataclass(frozen=True, slots=True)
class RetrainDecision(Record):
    """Whether a retraining is asked for, and why or why not."""

    case: str
    day: date
    wanted: bool
    trigger: Literal["drift", "performance", "none"]
    reason: str


@dataclass(frozen=True, slots=True)
class AlertRecord(Record):
    """A mail about a finding that the mail server took; a finding is one verdict `since` one day."""

    case: str
    verdict: str
    since: date
    day: date
    subject: str
    to: tuple[str, ...]
    at: datetime
