"""Look at the probation of a day and do what follows: roll back where it has failed, enter where it is over.

Airflow's task and the command line both run this. It rolls back as people do, by the same stage with the same checks,
and only upon the very promotion that it has looked at: a decision that was faster stays.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from perennial import projection
from perennial.errors import RefusedError
from perennial.probations import WHO, ProbationLook
from perennial.records import PromotionRecord, Record
from perennial.spec import UseCase
from perennial.stages import probation, rollback

if TYPE_CHECKING:
    from perennial.adapters import Adapters

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watched(Record):
    """What became of a probation on a day.

    `look` is None where none is on; `rolled_back` is the rollback of this run; `refused` why one was refused, as it was
    before.
    """

    look: ProbationLook | None
    rolled_back: PromotionRecord | None = None
    refused: str = ""

    def told(self) -> str:
        """Return it in a line."""
        if self.rolled_back is not None:
            return f"rolled back to version {self.rolled_back.version}: {self.rolled_back.reason}"
        if self.look is None:
            return "no probation is on"
        stands = f"version {self.look.new} on probation, {self.look.verdict}: {self.look.reason}"
        return f"{stands} {self.refused}".strip()


def run(case: UseCase, day: date, adapters: Adapters, *, run: str, now: datetime) -> Watched:
    """Return what became of the probation; safe to repeat, a run that has rolled back finds its own rollback again.

    Raises:
        RefusedError: the probation has failed, and the rollback was refused for a reason that is new; the ledger has
            it. For the same reason again nothing is raised: `refused` says it.
        AliasMovedError: somebody has moved the champion's alias by hand; that is not rolled over.
        LedgerError: the ledger does not answer.
        RegistryError: MLflow does not answer.
    """
    newest = adapters.ledger.latest_promotion(case.name)
    if newest is not None and (newest.action, newest.who, newest.run) == ("rolled back", WHO, run):
        projection.project(case.name, adapters)
        return Watched(None, PromotionRecord.of(newest, changed=False))
    look = probation.run(case, day, adapters, run=run, now=now)
    if look is None or look.verdict != "decayed":
        return Watched(look)
    projection.watch(case.name, adapters, now=now, who=WHO, run=run).raise_if_moved()
    before = _refused_before(look, adapters)
    try:
        record = rollback.run(
            case, look.former, adapters, who=WHO, reason=look.reason, now=now, run=run, upon=look.crowning
        )
    except RefusedError as error:
        if before == f"rollback: {error}":
            log.warning("%s: refused as before: %s", case.name, error)
            return Watched(look, refused=str(error))
        raise RefusedError(
            f"Version {look.new} of {case.name} has failed its probation and stays champion. {look.reason} But {error} "
            f"Roll back by hand to another version: perennial rollback {case.name} --to … --reason …"
        ) from error
    return Watched(look, record)


def _refused_before(look: ProbationLook, adapters: Adapters) -> str | None:
    """Return why the newest rollback of this probation was refused, None where none was."""
    entry = adapters.ledger.latest(look.case, "refused", version=look.former)
    return entry.reason if entry is not None and entry.id > look.crowning and entry.who == WHO else None
