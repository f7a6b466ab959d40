"""Entities that asked to be forgotten: their salted hashes, so that nothing brings them back.

The salt is made once a use case and lies beside the hashes: it keeps them from being looked up in a table made
beforehand. Who holds the lake and guesses an id can test the guess, which is what ingest has to do as well.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from perennial.io.lake import Lake
from perennial.records import Window
from perennial.spec import UseCase

HOME = date(1970, 1, 1)  # the whole list is one partition, written whole


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The hashes of one use case; empty where nobody was forgotten."""

    salt: str
    hashes: frozenset[str]

    @classmethod
    def of(cls, case: UseCase, lake: Lake) -> Forgotten:
        """Return what the lake holds."""
        rows = lake.read_or_empty(case.forgotten_table, Window.of_day(HOME), columns=["salt", "hash"]).to_pylist()
        return cls(rows[0]["salt"] if rows else secrets.token_hex(16), frozenset(row["hash"] for row in rows))

    def __bool__(self) -> bool:
        """Tell whether anybody was forgotten."""
        return bool(self.hashes)

    def hashed(self, entity: object) -> str:
        """Return the hash of one id."""
        return hashlib.sha256(f"{self.salt}:{entity}".encode()).hexdigest()

    def left_out(self, rows: pa.Table, column: str) -> pa.Table:
        """Return the rows of all other entities."""
        present = rows.column(column).unique().to_pylist()
        gone = {value for value in present if value is not None and self.hashed(value) in self.hashes}
        if not gone:
            return rows
        return rows.filter(pa.array([value not in gone for value in rows.column(column).to_pylist()]))

    def add(self, case: UseCase, lake: Lake, entity: object) -> None:
        """Keep one more hash."""
        hashes = sorted({*self.hashes, self.hashed(entity)})
        rows = pa.table({"salt": [self.salt] * len(hashes), "hash": hashes})
        lake.write_day(case.forgotten_table, HOME, rows, metadata={"case": case.name})
