"""The outside world as one value that stages are handed; each part connects when it is first used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa

from perennial.incidents import Incident
from perennial.io.expectations import Expectations
from perennial.io.glances import Glance, glance
from perennial.io.incidents import open_incidents
from perennial.io.lake import Lake
from perennial.io.ledger import Ledger
from perennial.io.lineage import Lineage
from perennial.io.newest import newest_days
from perennial.io.outbox import Outbox
from perennial.io.plans import Plans
from perennial.io.registry import Registry
from perennial.io.reports import Reports
from perennial.io.sources import Sources
from perennial.io.vitals import SourceVitals
from perennial.io.warehouse import Warehouse
from perennial.settings import Settings, connection, load_settings

GRACE = timedelta(minutes=20)  # perennial__mail looks every quarter of an hour


class Adapters:
    """Lake, warehouse, sources, expectations, registry, ledger and reports of one configured stack."""

    def __init__(self, settings: Settings, *, connections: Callable[[str], str] = connection) -> None:
        self.settings = settings
        self.connections = connections

    @classmethod
    def from_env(cls, *, connections: Callable[[str], str] = connection) -> Adapters:
        """Return the adapters that `PERENNIAL_*` and the home folder's `stack.env` describe.

        Args:
            connections: gives the SQLAlchemy URL of a source's connection by its name.
        """
        return cls(load_settings(), connections=connections)

    @cached_property
    def lake(self) -> Lake:
        """Return the Delta tables."""
        # Arrow's own pool keeps for good what a large read once took; this one gives it back.
        if "jemalloc" in pa.supported_memory_backends():
            pa.set_memory_pool(pa.jemalloc_memory_pool())
        return Lake(self.settings.lake_root)

    @cached_property
    def warehouse(self) -> Warehouse:
        """Return the SQL engine over pinned table versions."""
        return Warehouse(self.lake)

    @cached_property
    def vitals(self) -> SourceVitals:
        """Return the counts of sources by day."""
        return SourceVitals(self.lake)

    @cached_property
    def plans(self) -> Plans:
        """Return the plans of backfills."""
        return Plans(self.settings.lake_root / ".plans")

    @cached_property
    def lineage(self) -> Lineage:
        """Return what derived days were made from."""
        return Lineage(self.lake)

    @property
    def source_options(self) -> dict[str, Any]:
        """Return what the reader of sources is made with."""
        settings, key = self.settings, self.settings.personal_key
        return {
            "replay_weeks": settings.replay_weeks,
            "injected": settings.injected_root,
            "data": settings.data_root,
            "connections": self.connections,
            "personal_key": None if key is None else key.get_secret_value(),
        }

    @cached_property
    def sources(self) -> Sources:
        """Return the reader of source files and databases."""
        return Sources(**self.source_options)

    @cached_property
    def expectations(self) -> Expectations:
        """Return the row checks."""
        return Expectations(self.settings.pages_root)

    @cached_property
    def registry(self) -> Registry:
        """Return the model registry."""
        return Registry(self.settings.mlflow)

    @cached_property
    def ledger(self) -> Ledger:
        """Return the ledger."""
        return Ledger(self.settings.ledger)

    @cached_property
    def outbox(self) -> Outbox:
        """Return the mails that are to go out."""
        return Outbox(self.ledger)

    def open_incidents(self) -> tuple[Incident, ...]:
        """Return the incidents that are not over, the newest first."""
        return open_incidents(self.ledger)

    def overdue(self, now: datetime) -> tuple[datetime, ...]:
        """Return since when each mail waits that should have gone out by `now`, a quarter of an hour's grace given."""
        due = (each.not_before for each in self.outbox.waiting())
        return tuple(since for since in due if since < now - GRACE)

    def glance(self, *, today: date, names: frozenset[str], only: str | None = None) -> Glance:
        """Return the newest of each use case in the ledger."""
        return glance(self.ledger, today=today, names=names, only=only)

    def newest_days(self, tables: Sequence[str]) -> dict[str, date | None]:
        """Return the newest day with rows of each table."""
        return newest_days(self.lake, tables)

    def shadow_days(self, case: str) -> tuple[date, ...]:
        """Return the days that a use case's former champion has scored beside the one on probation."""
        return self.lake.days(f"shadow/{case}")

    @cached_property
    def reports(self) -> Reports:
        """Return the writer of report pages."""
        return Reports(self.settings.pages_root)
