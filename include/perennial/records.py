"""Frozen values that cross a border between stages, Airflow and the ledger: JSON-ready, no frames, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal, Protocol

from perennial.errors import Crowning

Json = dict[str, Any]

DriftVerdict = Literal[
    "stable", "drifted", "too few rows", "all null", "constant", "missing column", "new column", "new categories"
]
# What starts a training: by name, as in Google's levels of MLOps.
Trigger = Literal["on demand", "schedule", "new data", "performance drop", "distribution change", "none"]
Concern = Literal[
    "feed",  # a source that the features read: rows, nulls, units, categories, quarantine, age
    "labels",  # a source that only the label reads, or labels that are due and have not come
    "inputs",  # features against the champion's reference
    "scores",  # the champion's scores against the reference
    "performance",  # the champion's metric on matured labels
    "estimate",  # the same before labels have matured
    "calibration",  # matured labels against what the scores promised
    "value",  # money: realised against expected
    "response",  # the shape of the scores by itself
    "parity",  # features and scores as served against those as they would be built now
]


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
    """One day's predictions and what made them.

    While the champion is on probation `shadow` is the former one that scored the day too, or `shadow_missing` says why
    it did not.
    """

    case: str
    day: date
    rows: int
    model_version: str
    data_version: int
    version: int
    changed: bool
    shadow: str | None = None
    shadow_missing: str = ""


@dataclass(frozen=True, slots=True)
class ColumnDrift(Record):
    """One column's current distribution against its reference; the measures are None where they have no meaning.

    Attributes:
        column: its name.
        verdict: by its PSI and what it holds.
        psi: on counts.
        distance: Wasserstein or Jensen-Shannon, told beside the PSI.
        measure: which of them.
        detail: what else is to be said.
        limit: the PSI at which it counts as drifted; None where it was not measured, and in records of before.
        distance_limit: what the distance is held against; None where its side is not known, and in records of before.
        exact: whether the distance is that of the rows themselves, since counts did not tell its side of the limit.
    """

    column: str
    verdict: DriftVerdict
    psi: float | None
    distance: float | None
    measure: Literal["wasserstein", "jensen-shannon"]
    detail: str = ""
    limit: float | None = None
    distance_limit: float | None = None
    exact: bool = False

    @property
    def far(self) -> bool | None:
        """Tell whether the distance reaches its limit; None where that is not known. It decides nothing by itself."""
        if self.distance is None or self.distance_limit is None:
            return None
        return self.distance >= self.distance_limit


@dataclass(frozen=True, slots=True)
class Measure(Record):
    """One thing that was measured on one day.

    Attributes:
        about: what it says something of.
        name: of what: `transactions`, `transactions.sales_value`, a feature, `score`, a metric.
        measure: what was measured: `rows`, `null share`, `scale`, `psi`, `drift at stake`, `mean` ...
        value: None where it is not known; `detail` says why.
        low: lower end of its interval, or of what is usual; None where there is none.
        high: upper end of the same.
        limit: what it was held against; None where it is only told.
        over: whether it is past its limit; where it has an interval, all of it is.
        detail: one sentence with the numbers, as a mail would say it; empty where there is nothing to say.
    """

    about: Concern
    name: str
    measure: str
    value: float | None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    over: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class MonitorRecord(Record):
    """One day's findings about the champion.

    `verdict` is "drifted" where the score or the share of drifted features is over its limit, "decayed"
    where performance on matured labels is below its limit, "unknown" where too little can be judged.
    `since` is the first day of such a finding. `share_limit` is the share of drifted features that is a finding,
    `limits` how the limits came about; records of before have neither.
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
    report: str | None
    share_limit: float | None = None
    limits: str = ""
    measures: tuple[Measure, ...] = ()


@dataclass(frozen=True, slots=True)
class RetrainDecision(Record):
    """Whether a retraining is asked for, and why or why not."""

    case: str
    day: date
    wanted: bool
    trigger: Trigger
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
