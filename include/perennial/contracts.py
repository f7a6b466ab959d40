"""What a source promises: where it lies, names, types, times, and what a change of them means. No file access."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from string import Formatter
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, model_validator

from perennial.errors import nearest

ColumnType = Literal["string", "integer", "number", "boolean", "date", "timestamp"]
Format = Literal["parquet", "csv", "json"]
Change = Literal["refuse", "add", "ignore"]
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


# Columns that the lake adds to a source's own.
RESERVED = {"day", "origin", "place", "reasons", "suite", "ingest_run", "payload", "trace"}


# Keys that say how files are read.
OF_FILES = ("package", "select", "complete", "format")


class Database(Strict):
    """A query over a database; its window comes in as the bound parameters `:start` and `:end`, half-open."""

    connection: Annotated[
        str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="name of a connection, never a URL")
    ]
    query: Annotated[str, Field(description="SQL file of the use case's folder")]


class Complete(Strict):
    """When a day's files have arrived whole; with both, both have to hold."""

    marker: str | None = Field(None, description="path of a file that is written last; a bare name lies beside files")
    min_age_minutes: Annotated[int, Field(ge=1, description="a file changed later is still being written")] | None = (
        None
    )

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        if self.marker is None and self.min_age_minutes is None:
            raise ValueError("complete needs `marker`, `min_age_minutes`, or both.")
        return self


class Csv(Strict):
    """How a CSV file is written; its first line names the columns."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    null_text: str = Field("", description="text that means no value, beside the empty one")


class SchemaChanges(Strict):
    """What happens on a column that is new, missing or of another type; docs/sources.md defines all nine."""

    new: Change = "ignore"
    missing: Change = "refuse"
    retyped: Change = "refuse"


class Source(Strict):
    """Files of an installed package, of a folder or behind a URL, or a database's query; read day by day.

    Declared with both, it is read from the files, or from the database where PERENNIAL_LIVE has its connection.

    Without `time_column` the source is a reference table: each day sees its newest snapshot. A path with
    `{day}` in it is a daily drop: one file a day, every row of which must lie in that day.
    """

    name: Name
    package: str | None = Field(None, description="installed package that `files` are relative to")
    files: Mapping[Name, str] = Field({}, description="view name: path or URL of Parquet, CSV or JSON lines")
    format: Format | None = Field(None, description="of the files; default: by the ending of each")
    csv: Csv = Csv()
    encoding: str = Field("utf-8", description="of CSV and JSON files, by Python's name")
    complete: Complete | None = None
    database: Database | None = None
    select: str | None = Field(None, description="SQL file over those views; may be left out for a single file")
    time_column: str | None = Field(None, description="UTC time or date that puts a row into its day")
    time_zone: str | None = Field(None, description="zone of times that are written without one; default UTC")
    keys: Annotated[tuple[str, ...], Field(min_length=1, description="columns that name a row")]
    columns: Annotated[Mapping[str, ColumnType], Field(min_length=1)]
    schema_changes: SchemaChanges = SchemaChanges()
    personal: Mapping[str, Literal["drop", "hash"]] = Field(
        {}, description="columns of personal data, dropped or replaced by a keyed hash before anything is written"
    )
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

    @model_validator(mode="after")
    def _lies_in_one_place(self) -> Self:
        if not self.files and self.database is None:
            raise ValueError(f"source {self.name!r} needs `files`, `database`, or both.")
        if self.database is not None:
            keys = ("replay",) if self.files else (*OF_FILES, "replay")
            given = [key for key in keys if getattr(self, key)]
            if given:
                raise ValueError(f"source {self.name!r} is a database's query, {', '.join(given)} are for files.")
        for path in (*self.files.values(), (self.complete and self.complete.marker) or ""):
            unknown = sorted(set(_fields(path)) - {"day", "data"})
            if unknown:
                raise ValueError(f"the path {path!r} has {{{unknown[0]}}} in it. Known: {{day}}, {{data}}.")
        return self

    @model_validator(mode="after")
    def _zone_is_known(self) -> Self:
        try:
            ZoneInfo(self.time_zone or "UTC")
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"time_zone {self.time_zone!r} is none; write it like Europe/Berlin.") from error
        return self

    @model_validator(mode="after")
    def _encoding_is_known(self) -> Self:
        try:
            codecs.lookup(self.encoding)
        except LookupError as error:
            raise ValueError(f"encoding {self.encoding!r} is none that Python knows; write it like cp1252.") from error
        return self

    @model_validator(mode="after")
    def _personal_columns_hold_together(self) -> Self:
        for name, treatment in self.personal.items():
            declared = self.columns.get(name)
            if treatment == "drop" and declared is not None:
                raise ValueError(f"personal drops {name!r}: take it out of columns.")
            if treatment == "hash" and declared != "string":
                raise ValueError(f"personal hashes {name!r}, which becomes text: declare it in columns as string.")
        return self

    def read_from(self, live: Collection[str]) -> Source:
        """Return the source in the one place where it is read: of two, the database where `live` has its connection."""
        if not self.lies_in_two_places or self.database is None:
            return self
        if self.database.connection in live:
            return self.model_copy(update={"files": {}, **dict.fromkeys(OF_FILES)})
        return self.model_copy(update={"database": None})

    @property
    def lies_in_two_places(self) -> bool:
        """Tell whether the same rows lie in files and in a database."""
        return bool(self.files) and self.database is not None

    @property
    def daily_drop(self) -> bool:
        """Tell whether there is one file a day."""
        return any("day" in _fields(path) for path in self.files.values())

    @property
    def hashed(self) -> tuple[str, ...]:
        """Return the columns that are replaced by a keyed hash."""
        return tuple(name for name, treatment in self.personal.items() if treatment == "hash")

    @property
    def is_reference(self) -> bool:
        """Tell whether the source has no time of its own."""
        return self.time_column is None


def _fields(path: str) -> Iterator[str]:
    """Yield what stands in braces in a path.

    >>> list(_fields("{data}/{day:%Y/%m}/{day}.csv"))
    ['data', 'day', 'day']
    """
    return (name for _, name, _, _ in Formatter().parse(path) if name is not None)
