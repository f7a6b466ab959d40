"""What a source promises: its files, names, types and times. No file access."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from perennial.errors import nearest

ColumnType = Literal["string", "integer", "number", "boolean", "date", "timestamp"]
IDENTIFIER = r"^[a-z][a-z0-9_]{0,39}$"
Name = Annotated[str, Field(pattern=IDENTIFIER)]
Share = Annotated[float, Field(ge=0, le=1)]


class Strict(BaseModel):
    """Base of the spec's models: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Replay(Strict):
    """A past span of whole weeks, replayed as if it were now: PERENNIAL_REPLAY_WEEKS later, again and again."""

    first: date
    weeks: Annotated[int, Field(ge=1)] = 52


RESERVED = {"day", "origin", "place", "reasons", "suite", "ingest_run", "payload", "trace"}  # columns that the lake adds to a source's own


class Source(Strict):
    """Files of an installed package or of a folder, read day by day.

    Without `time_column` the source is a reference table: each day sees its newest snapshot. A path with
    `{day}` in it is a daily drop: one file a day, every row of which must lie in that day.
    """

    name: Name
    package: str | None = Field(None, description="installed package that `files` are relative to")
    files: Annotated[Mapping[Name, str], Field(min_length=1, description="view name: path of a Parquet or CSV file")]
    select: str | None = Field(None, description="SQL file over those views; may be left out for a single file")
    time_column: str | None = Field(None, description="UTC time or date that puts a row into its day")
    keys: Annotated[tuple[str, ...], Field(min_length=1, description="columns that name a row")]
    columns: Annotated[Mapping[str, ColumnType], Field(min_length=1)]
    suite: str | None = Field(
        None, description="name of the expectation suite in suite.json; default: the source's name"
    )
    sparse: bool = Field(default=False, description="days without rows are normal, the newest ones too")
    quarantine_limit: Share = Field(0.2, description="a day with a larger share of refused rows stops")
    replay: Replay | None = None
    known_ahead_days: Annotated[
        int, Field(ge=0, le=366, description="a plan: rows of so many days after a snapshot are known at it")
    ] = 0
    lateness_days: Annotated[
        int, Field(ge=0, le=366, description="rows may come so many days late: a daily run reads those days again")
    ] = 0
    valid_from: str | None = Field(None, description="column of a reference table: the row is not known before it")

    @model_validator(mode="after")
    def _columns_hold_together(self) -> Self:
        for role, names in (("keys", self.keys), ("time_column", filter(None, [self.time_column]))):
            for name in names:
                if name not in self.columns:
                    raise ValueError(f"{role} names {name!r}, which is no column. {nearest(name, self.columns)}")
        taken = sorted(RESERVED & set(self.columns))
        if taken:
            raise ValueError(f"columns names {', '.join(taken)}, which the lake adds itself: rename it in `select`.")
        if self.time_column and self.columns[self.time_column] not in {"date", "timestamp"}:
            raise ValueError(f"time_column {self.time_column!r} must be a date or timestamp column.")
        if self.select is None and len(self.files) > 1:
            raise ValueError(f"source {self.name!r} joins {len(self.files)} files and needs `select`, a SQL file.")
        if self.replay is not None and (self.is_reference or self.daily_drop):
            raise ValueError(f"source {self.name!r} can only be replayed with a time_column and whole files.")
        if self.daily_drop and self.is_reference:
            raise ValueError(f"source {self.name!r} has {{day}} in a path and needs a time_column.")
        return self

    @property
    def daily_drop(self) -> bool:
        """Tell whether there is one file a day."""
        return any("{day}" in path for path in self.files.values())

    @property
    def is_reference(self) -> bool:
        """Tell whether the source has no time of its own."""
        return self.time_column is None
