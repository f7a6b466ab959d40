"""One prediction explained: the score and what made it, what each feature adds, other champions, and the source rows.

What lies in the lake and in the ledger is told at once. What a model has to be loaded for, and what takes seconds to be
found, is told when it is asked for: `Wanted` says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

import pyarrow as pa

from perennial.errors import DataError, LakeError, LedgerError, PerennialError, RegistryError
from perennial.io.entries import Entry
from perennial.records import Json, Record
from perennial.spec import UseCase
from perennial.stages import explain
from perennial.stages.explain import Explanation
from perennial.views import opinions, scored
from perennial.views.asking import Inquiry
from perennial.views.models import Loaded, Models
from perennial.views.opinions import Explained, Opinion
from perennial.views.scored import Example, Scored

if TYPE_CHECKING:
    from perennial.adapters import Adapters

# To take rows away one by one keeps a core busy for seconds, and the SQL may take up to 1.5 GB: one reader at a time.
AT_WORK = BoundedSemaphore(1)
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reader wants to see.

    Attributes:
        entity: as it was typed; empty where nobody is asked about.
        day: None for the newest scored day.
        today: no day after it can have been scored.
        model: also what has to be loaded from the registry; without it only what is at hand.
        rows: also the source rows.
    """

    entity: str
    day: date | None
    today: date
    model: bool = False
    rows: bool = False


@dataclass(frozen=True, slots=True)
class Problem(Record):
    """Why there is no prediction to show."""

    head: str
    text: str


@dataclass(frozen=True, slots=True)
class Origin(Record):
    """Where the version that scored comes from, as the ledger knows it.

    Attributes:
        estimator: what was trained.
        as_of: the day up to which labels counted.
        rows: how many it was trained on, all parts together.
        data_versions: of the tables that it was trained on.
        code: commit of the code.
        run: Airflow's, or whatever else started the training.
        run_id: MLflow's; empty where the model is not at hand.
        champion_since: the entry that made it the champion last.
        reigns: whether it is the champion now.
    """

    estimator: str
    as_of: str
    rows: int
    data_versions: Mapping[str, int]
    code: str
    run: str
    run_id: str
    champion_since: Entry | None
    reigns: bool


@dataclass(frozen=True, slots=True)
class PredictionPage(Record):
    """What the Explain page shows.

    Attributes:
        entity_name: what an entity is called.
        unit: the label.
        asked: the entity as it was typed.
        day: asked for, or the newest scored one; None where nothing was scored.
        first: first scored day.
        newest: newest scored day.
        examples: the highest scores of the day, where no entity was asked for.
        problem: why there is no prediction.
        scored: the prediction as it was published.
        origin: of its version; None where the ledger does not know.
        explained: what each feature adds; None where it was not asked for, or cannot be told.
        unexplained: why it cannot be told.
        opinions: what other champions say.
        sources: the rows behind each feature; None where they were not asked for, or cannot be found.
        unfound: why they cannot.
        notes: what else is to be said.
        outages: what does not answer.
    """

    case: str
    title: str
    entity_name: str
    unit: str
    kind: str
    asked: str
    day: date | None = None
    first: date | None = None
    newest: date | None = None
    examples: tuple[Example, ...] = ()
    problem: Problem | None = None
    scored: Scored | None = None
    origin: Origin | None = None
    explained: Explained | None = None
    unexplained: str = ""
    opinions: tuple[Opinion, ...] = ()
    sources: Explanation | None = None
    unfound: str = ""
    notes: tuple[str, ...] = ()
    outages: tuple[str, ...] = field(default=())


def page(case: UseCase, asked: Asked, adapters: Adapters, *, models: Models) -> PredictionPage:
    """Return the page; what cannot be shown says why, and nothing but our own mistakes raises."""
    inquiry = Inquiry()
    blank = PredictionPage(
        case.name, case.title, case.entity, case.label.column, case.label.kind, asked.entity, asked.day
    )
    days = inquiry.ask(LakeError, lambda: adapters.lake.days(case.predictions_table), otherwise=None)
    if days is None:
        return replace(blank, outages=inquiry.outages)
    if not days:
        return replace(blank, problem=_nothing_scored(case, adapters, inquiry), outages=inquiry.outages)
    whole = replace(blank, day=asked.day or days[-1], first=days[0], newest=days[-1])
    return replace(_of_day(case, asked, whole, adapters, models, inquiry, days=days), outages=inquiry.outages)


def _nothing_scored(case: UseCase, adapters: Adapters, inquiry: Inquiry) -> Problem:
    known: bool = inquiry.ask(LedgerError, lambda: adapters.ledger.champion(case.name) is not None, otherwise=True)
    if not known:
        return Problem("There is no champion yet.", "Nothing is scored before a model has been promoted.")
    return Problem(
        "Nothing has been scored yet.", f"{case.name}__batch_scoring scores a day once its features are built."
    )


def _of_day(
    case: UseCase, asked: Asked, whole: PredictionPage, adapters: Adapters, models: Models, inquiry: Inquiry, *,
    days: Sequence[date],
) -> PredictionPage:  # fmt: skip
    day = whole.day or days[-1]
    if day not in days:
        return replace(whole, problem=_no_scores(case, day, adapters, days=days, today=asked.today))
    rows = inquiry.ask(LakeError, lambda: scored.scores(case, day, adapters.lake), otherwise=None)
    if rows is None:
        return whole
    if not asked.entity.strip():
        return replace(whole, examples=scored.highest(case, rows))
    try:
        found = scored.of_entity(case, asked.entity, rows, day=day)
    except DataError as error:
        head = f"There is no score of this {case.entity}."
        return replace(whole, problem=Problem(head, str(error)), examples=scored.highest(case, rows))
    return _Told(case, asked, adapters, models, inquiry).of(whole, found)


def _no_scores(case: UseCase, day: date, adapters: Adapters, *, days: Sequence[date], today: date) -> Problem:
    """Return why a day has no scores, and what is nearest to it."""
    if day > today:
        return Problem(f"{day} has not come yet.", f"The newest day with scores is {days[-1]}.")
    if day > days[-1]:
        return Problem(f"{day} has no scores yet.", f"The newest day that has is {days[-1]}.")
    built = adapters.lake.has_day(case.features_table, day)
    why = "Its snapshot is there, but was not scored." if built else "It has no snapshot either."
    if day < days[0]:
        return Problem(f"{day} lies before the first day with scores.", f"That is {days[0]}. {why}")
    return Problem(f"{day} was not scored.", f"{why} A backfill scores it.")


@dataclass
class _Told:
    """A prediction that is being told."""

    case: UseCase
    asked: Asked
    adapters: Adapters
    models: Models
    inquiry: Inquiry

    def of(self, whole: PredictionPage, found: Scored) -> PredictionPage:
        """Return the page with all that was asked for."""
        found = self._as_kept(found)
        crownings = self.inquiry.ask(LedgerError, lambda: self.adapters.ledger.reigns(self.case.name), otherwise=None)
        whole = replace(whole, scored=found, origin=self._origin(found, crownings))
        asked = opinions.others(found.model_version, crownings or ())
        row, said = self.inquiry.ask(
            LakeError, lambda: scored.snapshot(self.case, found, self.adapters.lake), otherwise=(None, "")
        )
        notes = tuple(filter(None, [said, _no_former(found, crownings)]))
        whole = self._explained(replace(whole, opinions=asked, notes=notes), found, row)
        return self._with_rows(whole, found) if self.asked.rows else whole

    def _as_kept(self, found: Scored) -> Scored:
        """Return a score with what the lake's logs say of it."""
        case, lake = self.case, self.adapters.lake
        commit = self.inquiry.ask(LakeError, lambda: scored.written(case, found.day, lake), otherwise=None)
        stale = self.inquiry.ask(LakeError, lambda: scored.stale(case, found.day, self.adapters.lineage), otherwise="")
        return replace(found, written=commit, stale=stale, sources=scored.sources(case, found.day, lake))

    def _origin(self, found: Scored, crownings: Sequence[Entry] | None) -> Origin | None:
        """Return where the version comes from; None where the ledger does not answer, or has no such training."""
        version, ledger = found.model_version, self.adapters.ledger
        trained = self.inquiry.ask(
            LedgerError, lambda: ledger.latest(self.case.name, "trained", version=version), otherwise=None
        )
        if trained is None:
            return None
        made = next((entry for entry in reversed(crownings or ()) if entry.to_version == version), None)
        reigns = bool(crownings) and crownings is not None and crownings[-1].to_version == version
        return _origin(trained.report, run=trained.run, run_id=self._run_id(version), made=made, reigns=reigns)

    def _run_id(self, version: str) -> str:
        if (self.case.name, version) not in self.models:
            return ""
        return self._load(version).model.run_id

    def _load(self, version: str) -> Loaded:
        name = self.case.name
        return self.models.get((name, version), lambda: Loaded.fetch(name, version, self.adapters))

    def _explained(self, whole: PredictionPage, found: Scored, row: pa.Table | None) -> PredictionPage:
        """Return the page with what models say, where they are at hand or may be loaded."""
        if row is None:
            why = "The snapshot row that it was made from is gone, so no model can be asked about it."
            return replace(whole, unexplained="" if self.inquiry.outages else why)
        wanted = [found.model_version, *(each.version for each in whole.opinions)]
        if not self.asked.model and any((self.case.name, version) not in self.models for version in wanted):
            return whole
        loaded = self.inquiry.ask(RegistryError, lambda: self._load(found.model_version), otherwise=None)
        if loaded is None:
            return replace(whole, unexplained=f"Version {found.model_version} cannot be loaded: see the notice above.")
        told = tuple(opinions.asked(each, self._load, row, published=found.score) for each in whole.opinions)
        origin = None if whole.origin is None else replace(whole.origin, run_id=loaded.model.run_id)
        whole = replace(whole, opinions=told, origin=origin)
        try:
            return replace(whole, explained=opinions.explained(loaded, row, published=found.score))
        except opinions.BREAKS as error:
            first_line = str(error).partition("\n")[0]
            return replace(whole, unexplained=f"Version {found.model_version} cannot score the row: {first_line}")

    def _with_rows(self, whole: PredictionPage, found: Scored) -> PredictionPage:
        """Return the page with the source rows behind each feature, or why they cannot be found."""
        if not AT_WORK.acquire(timeout=PATIENCE):
            return replace(whole, unfound="Rows are being looked for, for another reader. Try again in a minute.")
        try:
            sources = explain.run(self.case, str(found.entity), found.day, self.adapters)
        except (PerennialError, OSError, pa.ArrowException) as error:
            return replace(whole, unfound=str(error))
        finally:
            AT_WORK.release()
        return replace(whole, sources=sources)


def _origin(report: Json, *, run: str, run_id: str, made: Entry | None, reigns: bool) -> Origin:
    return Origin(
        estimator=str(report.get("winner", {}).get("estimator", "")),
        as_of=str(report.get("as_of", "")),
        rows=sum(report.get("rows", {}).values()),
        data_versions=dict(report.get("data_versions", {})),
        code=str(report.get("code", "")),
        run=run, run_id=run_id, champion_since=made, reigns=reigns,
    )  # fmt: skip


def _no_former(found: Scored, crownings: Sequence[Entry] | None) -> str:
    """Return why nobody can say what the champion before would have said; empty where there was one, or who knows."""
    if crownings is None:
        return ""
    made = next((entry for entry in reversed(crownings) if entry.to_version == found.model_version), None)
    if made is None:
        return f"The ledger has no entry that made version {found.model_version} the champion."
    return (
        "" if made.from_version else f"Version {found.model_version} was the first champion: there was none before it."
    )


def warm(case: UseCase, adapters: Adapters, *, models: Models) -> None:
    """Bring today's champion to hand, so that the first question about it does not wait for its libraries.

    Where that fails, the question itself will say why.
    """
    try:
        version = adapters.ledger.champion(case.name)
        if version is not None:
            models.get((case.name, version), lambda: Loaded.fetch(case.name, version, adapters))
    except PerennialError:
        return
