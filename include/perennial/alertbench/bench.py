"""What was found, how soon, by how many mails, and with the right triage; and what the calm days cost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from perennial import chunks
from perennial.adapters import Adapters
from perennial.alertbench.faults import Fault, category, faults
from perennial.alertbench.peer import Peer
from perennial.alertbench.world import RUN, Day, World
from perennial.contracts import Source
from perennial.errors import DataError
from perennial.incidents import DAY_KINDS, Incident
from perennial.records import Record, Window
from perennial.settings import Settings
from perennial.spec import UseCase
from perennial.stages import backfill, evaluate, promote, score, train

FOUND_LEAST = 11  # of twelve
CALM_MAILS_MOST = 2
Progress = Callable[[str, int, int], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CalmRecord(Record):
    """The days as they are: every mail of them, about incidents that nobody has put there."""

    days: int
    mails: int
    incidents: tuple[str, ...]
    peer_mails: int
    failed: int


@dataclass(frozen=True, slots=True)
class FaultRecord(Record):
    """What became of one fault.

    `days` is how long it took, 1 on its first day; None where it was not found. `opened` and `closed` are the mails
    about the incident that found it.
    """

    name: str
    found: bool
    days: int | None
    triage: str
    is_right: bool
    mails: int
    opened: int
    closed: int
    is_over: bool
    peer_days: int | None
    peer_mails: int


@dataclass(frozen=True, slots=True)
class BenchRecord(Record):
    """The whole table."""

    case: str
    seed: int
    start: date
    calm: CalmRecord
    faults: tuple[FaultRecord, ...]

    @property
    def found(self) -> int:
        """Return how many faults were found."""
        return sum(each.found for each in self.faults)

    @property
    def passes(self) -> bool:
        """Tell whether the bars are reached: 11 of 12 found, 2 mails on calm days, one opening and one end an incident.

        Of fewer faults all but one have to be found.
        """
        least = min(FOUND_LEAST, max(len(self.faults) - 1, 1))
        threads = all(each.opened == 1 and each.closed == int(each.is_over) for each in self.faults if each.found)
        return self.found >= least and self.calm.mails <= CALM_MAILS_MOST and threads


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run.

    Attributes:
        start: the first calm day; the champion is trained as of the day before.
        days: calm days.
        faulty_from: how many calm days are lived before the faults begin.
        names: of the faults, empty for all.
        seed: of what is drawn.
        with_peer: whether Evidently is asked too.
    """

    start: date
    days: int = 60
    faulty_from: int = 30
    names: tuple[str, ...] = ()
    seed: int = 1
    with_peer: bool = True

    def chosen(self) -> tuple[Fault, ...]:
        """Return the faults to put in.

        Raises:
            DataError: one is not known.
        """
        known = {fault.name: fault for fault in faults()}
        unknown = [name for name in self.names if name not in known]
        if unknown:
            raise DataError(f"There is no fault {unknown[0]!r}. Known: {', '.join(known)}.")
        return tuple(known[name] for name in self.names or known)


def run(
    case: UseCase, settings: Settings, plan: Plan, *, folder: Path, progress: Progress | None = None
) -> BenchRecord:
    """Live the calm days and each fault, and return the table.

    Args:
        case: whose days; promoted by its gates alone, since nobody is there to ask.
        settings: where its sources are.
        plan: what is run.
        folder: below it every world has a home, made anew; a champion that was trained there before is used again.
        progress: told the step, how many are done, and how many there are.

    Raises:
        DataError: the history is too short, or a fault cannot be put into this use case's main source.
        GateFailedError: no champion passes its gates as of the day before the first calm one.
    """
    told = progress or (lambda *_: None)
    chosen, by_gates = plan.chosen(), case.model_copy(update={"approval": "automatic", "probation": None})
    # From a copy: days that were lived before would be looked at again, and no incident would come of them.
    world = _begun(by_gates, settings, plan, folder=folder, progress=told).copy(folder / "calm")
    peer = Peer.of(by_gates, world.adapters) if plan.with_peer else None
    before = [_lived(world, peer, day, told, plan) for day in _days(plan.start, plan.faulty_from)]
    start = plan.start + timedelta(days=plan.faulty_from)
    found = []
    for place, fault in enumerate(chosen, start=1):
        found.append(_faulty(world.copy(folder / fault.name.replace(" ", "-")), peer, fault, start))
        told("faults", place, len(chosen))
    rest = [_lived(world, peer, day, told, plan) for day in _days(start, plan.days - plan.faulty_from)]
    calm = _calm(world, [*before, *rest])
    return BenchRecord(case.name, plan.seed, plan.start, calm, tuple(found))


def main_source(case: UseCase, adapters: Adapters, day: date) -> Source:
    """Return the source that faults are put into: of those with rows every day, the one with the most.

    Raises:
        DataError: every source is sparse, or a table without time.
    """
    daily = [source for source in case.sources if not source.sparse and source.time_column is not None]
    if not daily:
        raise DataError(f"{case.name} has no source with rows every day: nothing could be broken in it.")
    rows = {source.name: adapters.sources.read_day(case, source, day).num_rows for source in daily}
    return max(daily, key=lambda source: rows[source.name])


def source_of(fault: Fault, case: UseCase, adapters: Adapters, day: date) -> Source:
    """Return the source that a fault is put into: the main one, or where it takes texts the first that has them.

    Raises:
        DataError: no source has what it takes.
    """
    main = main_source(case, adapters, day)
    if fault.needs == "rows":
        return main
    for source in (main, *(each for each in case.sources if each.name != main.name and not each.sparse)):
        if category(adapters.sources.read_day(case, source, day), source, entity=case.entity) is not None:
            return source
    raise DataError(f"{case.name} has no source with texts that repeat: leave out the fault {fault.name!r}.")


def _begun(case: UseCase, settings: Settings, plan: Plan, *, folder: Path, progress: Progress) -> World:
    """Return a world with a champion that is trained as of the day before the first calm one."""
    home, as_of = folder / "begun", plan.start - timedelta(days=1)
    own = settings.model_copy(update={"mlflow_uri": f"sqlite:///{folder / 'mlflow.db'}", "ledger_url": None})
    folder.mkdir(parents=True, exist_ok=True)
    source = main_source(case, Adapters(own), as_of)
    world = World.at(home, case, own, source=source, seed=plan.seed)
    if world.adapters.ledger.champion(case.name) is None:
        _train(case, as_of, world, progress)
    return world


def _train(case: UseCase, as_of: date, world: World, progress: Progress) -> None:
    """Build the days that a training needs, train, and promote by the gates."""
    adapters, now = world.adapters, datetime.now(UTC)
    first = Window.ending(as_of - case.horizon, days=case.training.window_days).start
    planned = backfill.plan(
        case, Window(first, as_of + timedelta(days=1)), adapters, products=["features"], who=RUN, now=now
    )
    for chunk in planned.chunks:
        chunks.run(case, planned, chunk, adapters, run=RUN, progress=progress)
    trained = train.run(case, as_of, adapters, run=RUN, reason="alertbench", progress=progress)
    evaluate.run(case, adapters, version=trained.version, now=now, who=RUN, run=RUN).raise_if_failed()
    promote.run(case, trained.version, adapters, who=RUN, reason="alertbench", now=now, run=RUN)
    # What was scored before the first calm day: the labels that mature from it on are of these days.
    scored = Window.ending(as_of, days=case.label.horizon_days + case.monitoring.performance.window_days)
    known = set(adapters.lake.days(case.features_table))
    score.run_days(case, [day for day in scored.days() if day in known], adapters, run=RUN)


def _days(start: date, count: int) -> list[date]:
    return [start + timedelta(days=place) for place in range(count)]


def _lived(world: World, peer: Peer | None, day: date, progress: Progress, plan: Plan) -> tuple[Day, bool]:
    found = world.live(day)
    progress("calm days", (day - plan.start).days + 1, plan.days)
    return found, peer is not None and peer.mails(day)


def _calm(world: World, days: Sequence[tuple[Day, bool]]) -> CalmRecord:
    told = tuple(
        f"{each.since} {each.kind} ({each.severity}): {each.reason}"
        for each in world.incidents
        if each.kind in DAY_KINDS
    )
    return CalmRecord(
        days=len(days),
        mails=sum(len(day.mails) for day, _ in days),
        incidents=told,
        peer_mails=sum(mails for _, mails in days),
        failed=sum(bool(day.failed) for day, _ in days),
    )


def _faulty(world: World, peer: Peer | None, fault: Fault, start: date) -> FaultRecord:
    """Live with a fault, mend it where people would, and say what became of it."""
    known = {incident.id for incident in world.incidents}
    mine = Peer(peer.case, world.adapters, peer.reference) if peer is not None else None
    world.break_by(fault, source_of(fault, world.case, world.adapters, start - timedelta(days=1)), start)
    lived: list[tuple[Day, bool]] = []
    for day in _days(start, fault.lived):
        if fault.is_mended and (day - start).days == fault.lasts:
            world.mend(_days(start, fault.lasts))
        found = world.live(day)
        lived.append((found, mine is not None and mine.mails(day)))
    new = [incident for incident in world.incidents if incident.id not in known]
    return _record(fault, start, lived, new)


def _record(fault: Fault, start: date, lived: Sequence[tuple[Day, bool]], new: Sequence[Incident]) -> FaultRecord:
    """Return what became of a fault; the first incident that opened is what found it."""
    first = new[0] if new else None
    mails = [mail for day, _ in lived for mail in day.mails]
    peer = [day.day for day, would in lived if would]
    thread = f"<incident-{first.id}-" if first else ""
    mine = [mail for mail in mails if first and (mail.thread or mail.message_id or "").startswith(thread)]
    return FaultRecord(
        name=fault.name,
        found=first is not None,
        days=(first.opened_at.date() - timedelta(days=1) - start).days + 1 if first else None,
        triage=first.kind if first else "",
        is_right=first is not None and first.kind in fault.expects,
        mails=len(mails),
        opened=sum(mail.thread is None for mail in mine),
        closed=sum("is over" in mail.text for mail in mine),
        is_over=first is not None and not first.is_open,
        peer_days=(peer[0] - start).days + 1 if peer else None,
        peer_mails=len(peer),
    )
