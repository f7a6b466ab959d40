"""The peer: a mail whenever Evidently's default drift preset says that the day's rows have drifted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from perennial.adapters import Adapters
from perennial.io.reports import default_preset
from perennial.records import Window
from perennial.spec import UseCase


@dataclass
class Peer:
    """Evidently with its defaults, on the rows that our monitor looks at and the sample of the reference."""

    case: UseCase
    adapters: Adapters
    reference: pa.Table

    @classmethod
    def of(cls, case: UseCase, adapters: Adapters) -> Peer:
        """Return the peer of the champion of now."""
        version = adapters.registry.required_version_of(case.name, "champion")
        return cls(case, adapters, adapters.registry.sample(adapters.registry.load(case.name, version).run_id))

    def mails(self, day: date) -> bool:
        """Tell whether it would mail; not on a day without rows."""
        if not self.adapters.lake.has_day(self.case.features_table, day):
            return False
        rows = self.adapters.lake.read(self.case.features_table, Window.of_day(day))
        return default_preset(self.case, current=rows, reference=self.reference)
