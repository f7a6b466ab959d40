"""Frozen values about changes of the lake beside the daily runs: states of days, the quarantine, and backfills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from perennial.records import Record, Window


@dataclass(frozen=True, slots=True)
class DayState(Record):
    """Whether a derived day is there, and still agrees with what it was made from; `reason` is empty where it does."""

    day: date
    state: Literal["missing", "stale", "fresh"]
    reason: str


@dataclass(frozen=True, slots=True)
class QuarantineRecord(Record):
    """How many rows of one day of a source are in quarantine for the same reasons, by one version of the suite."""

    case: str
    source: str
    day: date
    reasons: tuple[str, ...]
    suite: str
    rows: int


@dataclass(frozen=True, slots=True)
class RedriveRecord(Record):
    """What became of the refused rows of a day.

    Attributes:
        asked: rows in quarantine that were asked for.
        moved: how many of those were re-driven or discarded.
        in_quarantine: all rows of the day that are in quarantine afterwards, asked for or not.
    """

    case: str
    source: str
    day: date
    asked: int
    moved: int
    in_quarantine: int
    version: int


@dataclass(frozen=True, slots=True)
class ForgetRecord(Record):
    """What held a forgotten entity: rows by table over all versions, files, and the models that read one of them."""

    case: str
    entity: str
    rows: Mapping[str, int]
    files: int
    broken_models: tuple[str, ...]
    dry_run: bool


@dataclass(frozen=True, slots=True)
class FreedRecord(Record):
    """What a vacuum deleted of a table, or would delete, beside the versions whose files it kept."""

    table: str
    pinned: tuple[int, ...]
    files: int
    bytes: int
    dry_run: bool


Product = Literal["raw", "features", "predictions"]
Wanted = Literal["missing", "missing and stale", "all"]


@dataclass(frozen=True, slots=True)
class Chunk(Record):
    """A part of a backfill that one task does: some days of one product, of raw days those of one source."""

    id: str
    product: Product
    days: tuple[date, ...]
    source: str | None = None


@dataclass(frozen=True, slots=True)
class ChunkRecord(Record):
    """What a part of a backfill did: days that needed work, days whose content changed, rows, seconds, bytes."""

    id: str
    product: Product
    days: int
    changed: int
    rows: int
    seconds: float
    bytes: int
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Effect(Record):
    """What a backfill would do to one product: its days by state, and what the work would cost.

    `rows`, `seconds` and `bytes` are estimates from what such days took and held before; None where nothing is known.
    `tried` says that one of them comes from a single day that was tried for the plan.
    """

    product: Product
    source: str | None
    missing: tuple[date, ...]
    stale: tuple[DayState, ...]
    fresh: int
    todo: tuple[date, ...]
    rows: int | None
    seconds: float | None
    bytes: int | None
    tried: bool = False


@dataclass(frozen=True, slots=True)
class TouchedModel(Record):
    """A model version whose training set holds days that the backfill builds again."""

    version: str
    aliases: tuple[str, ...]
    days: int
    already_changed: int


@dataclass(frozen=True, slots=True)
class BackfillPlan(Record):
    """The blast radius of a backfill, and the parts it is done in."""

    id: str
    case: str
    window: Window
    products: tuple[Product, ...]
    wanted: Wanted
    who: str
    at: datetime
    effects: tuple[Effect, ...]
    models: tuple[TouchedModel, ...]
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class BackfillSummary(Record):
    """What came of a backfill: parts done of those planned, days that needed work, and days that changed."""

    plan: str
    case: str
    window: Window
    parts: int
    done: int
    days: int
    changed: int
    rows: int
    seconds: float
    models: tuple[TouchedModel, ...]
