"""Plans of backfills and what became of their parts: small JSON files beside the lake, each written whole or not.

A part that is done has a file of its own, so that parts may end beside each other and a plan goes on where it stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from perennial.changes import BackfillPlan, Chunk, ChunkRecord
from perennial.errors import DataError, nearest

PLAN = "plan.json"


@dataclass(frozen=True, slots=True)
class Plans:
    """The folder of all plans; one below it a use case, and in that one a plan."""

    root: Path

    def save(self, plan: BackfillPlan) -> Path:
        """Write a plan and return its file."""
        return self._write(self._folder(plan.case, plan.id) / PLAN, plan.to_json())

    def load(self, case: str, plan: str) -> BackfillPlan:
        """Return a plan.

        Raises:
            DataError: there is none of that name, or its file is not one of ours.
        """
        path = self._folder(case, plan) / PLAN
        if not path.is_file():
            raise DataError(f"{case!r} has no backfill plan {plan!r}. {nearest(plan, self.names(case))}")
        try:
            return TypeAdapter(BackfillPlan).validate_json(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            told = str(error).partition("\n")[0]
            raise DataError(f"The backfill plan {path} cannot be read: {told}. Make another one.") from error

    def names(self, case: str) -> tuple[str, ...]:
        """Return the ids of a use case's plans, oldest first."""
        return tuple(sorted(path.parent.name for path in (self.root / case).glob(f"*/{PLAN}")))

    def finish(self, case: str, plan: str, chunk: Chunk, record: ChunkRecord) -> None:
        """Write down that a part is done."""
        self._write(self._folder(case, plan) / f"{chunk.id}.json", record.to_json())

    def finished(self, case: str, plan: str, chunk: Chunk) -> ChunkRecord | None:
        """Return what a part did, None where it is not done."""
        path = self._folder(case, plan) / f"{chunk.id}.json"
        return TypeAdapter(ChunkRecord).validate_json(path.read_text("utf-8")) if path.is_file() else None

    def records(self, case: str) -> Iterator[ChunkRecord]:
        """Yield what the parts of all plans did, the newest plan first: the rates that estimates are made of."""
        for plan in reversed(self.names(case)):
            for path in sorted(self._folder(case, plan).glob("*.json")):
                if path.name != PLAN:
                    yield TypeAdapter(ChunkRecord).validate_json(path.read_text("utf-8"))

    def _folder(self, case: str, plan: str) -> Path:
        return self.root / case / Path(plan).name

    def _write(self, path: Path, content: object) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.part")
        draft.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        draft.replace(path)
        return path
