"""Days whose data have really changed, for the demonstration: made of the real rows, and said to be injected.

The files lie in `<home>/injected` beside a manifest that says what was done; taking them away and building the days
again brings the real ones back, and the manifest then says since when.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.core.nearness import Nearness
from perennial.io.lake import Lake
from perennial.io.sources import Sources
from perennial.local.steps import Steps
from perennial.settings import Settings
from perennial.spec import UseCase

SOURCE = "transactions"
CHANGED = """
    select * replace (
        sales_value * $factor as sales_value,
        0.0 as retail_disc,
        'injected' as origin
    )
    from rows
    where hash(household_id) % 1000 >= 1000 * $gone
"""


@dataclass(frozen=True, slots=True)
class Change:
    """How the feed breaks: most rows are missing, amounts come in another unit, discounts not at all."""

    households_gone: float = 0.9
    price_factor: float = 2.0

    def describe(self) -> str:
        """Return the change in a sentence."""
        return (
            f"the feed breaks: the rows of {self.households_gone:.0%} of the households are missing, amounts are "
            f"{self.price_factor:g} times as high and discounts are all 0"
        )

    def apply(self, rows: pa.Table) -> pa.Table:
        """Return the rows of a day as they would have been; which households are missing is the same every day."""
        with duckdb.connect() as connection:
            connection.register("rows", rows)
            return connection.sql(
                CHANGED, params={"factor": self.price_factor, "gone": self.households_gone}
            ).to_arrow_table()


@dataclass(frozen=True, slots=True)
class Injection:
    """Which days were replaced, when, and how; `mended` is when the real ones were put back."""

    days: tuple[date, ...]
    at: datetime
    what: str
    rows: int
    rows_before: int
    mended: datetime | None = None


class Replayed:
    """The demonstration's shop whose past year is replayed; its newest days are changed in files beside it."""

    def __init__(self, case: UseCase, settings: Settings) -> None:
        self.case = case
        self.settings = settings

    def prepare(self, _steps: Steps) -> None:
        """Do nothing: the recorded year is there."""

    def changed(self) -> Injection | None:
        """Return what was changed before, None where nothing was."""
        return injected(self.settings.injected_root)

    def change(self, days: Sequence[date]) -> Injection:
        """Change the days, in the way that `Change` says."""
        folder, weeks = self.settings.injected_root, self.settings.replay_weeks
        return inject(self.case, days, replay_weeks=weeks, folder=folder, change=Change())

    def mend(self) -> Injection | None:
        """Take the change back, once; None where nothing was changed."""
        return mend(self.settings.injected_root)

    def nearness(self, _case: UseCase, _lake: Lake, _days: Sequence[date]) -> dict[date, Nearness]:
        """Return nothing: nobody knows the true probabilities of real people."""
        return {}

    def tell(self, change: Injection) -> str:
        """Say what was changed in a line."""
        return f"Injected {change.days[0]} to {change.days[-1]}: {change.what} ({self.settings.injected_root})."


def inject(case: UseCase, days: Sequence[date], *, replay_weeks: int, folder: Path, change: Change) -> Injection:
    """Write the changed days where the sources look first; the file is whole or is not there."""
    sources = Sources(replay_weeks=replay_weeks)
    recorded = [sources.read_day(case, case.source(SOURCE), day) for day in days]
    changed = pa.concat_tables([change.apply(rows) for rows in recorded])
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{SOURCE}.{os.getpid()}.part"
    pq.write_table(changed, draft)
    draft.replace(folder / f"{SOURCE}.parquet")
    rows_before = sum(rows.num_rows for rows in recorded)
    done = Injection(tuple(days), datetime.now(UTC), change.describe(), changed.num_rows, rows_before)
    _keep(folder, done)
    return done


def mend(folder: Path) -> Injection | None:
    """Put the real days in the place of the changed ones, and write down since when; None where nothing was changed."""
    done = injected(folder)
    if done is None:
        return None
    # The file goes first: what is written down as mended is mended, also where this is cut off.
    (folder / f"{SOURCE}.parquet").unlink(missing_ok=True)
    if done.mended is None:
        done = replace(done, mended=datetime.now(UTC))
        _keep(folder, done)
    return done


def injected(folder: Path) -> Injection | None:
    """Return what was injected before, None where nothing was."""
    path = manifest_path(folder)
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    days = tuple(date.fromisoformat(day) for day in found["days"])
    mended = found.get("mended")
    return Injection(
        days, datetime.fromisoformat(found["at"]), found["what"], found["rows"], found["rows_before"],
        datetime.fromisoformat(mended) if mended else None,
    )  # fmt: skip


def _keep(folder: Path, done: Injection) -> None:
    manifest_path(folder).write_text(json.dumps(asdict(done), indent=2, default=str) + "\n")


def manifest_path(folder: Path) -> Path:
    """Return the file that says what was injected."""
    return folder / "manifest.json"
