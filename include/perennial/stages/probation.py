"""Look at the probation that is on: is the new champion worse than the former one, by matured labels or at once?

Both champions' stored scores are held against each other on the labels that have matured (`core.probation`); before
labels, on what each of them is expected to do on the newest day (`core.estimation`). A look says what it sees. Rolling
back is its caller's business (`perennial.supervising`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial import probations
from perennial.core import estimation, frames, pipelines, probation
from perennial.core.estimation import Expected, Rows
from perennial.core.metrics import FloatArray, Scored
from perennial.core.probation import Paired, ProbationRecord
from perennial.core.splits import Split
from perennial.errors import DataError, LakeError, RegistryError
from perennial.io.registry import RegisteredModel
from perennial.probations import ProbationLook, Running
from perennial.records import Window
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

EPOCH = date(1970, 1, 1)
NEW, FORMER = "new", "former"
ESTIMATED_ROWS = 20_000  # of the newest day, drawn by its seed: more change nothing in the third digit
NOTHING = Paired(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))

log = logging.getLogger(__name__)


def run(
    case: UseCase, day: date, adapters: Adapters, *, run: str, now: datetime, enters: bool = True
) -> ProbationLook | None:
    """Return how the probation stands on a day, None where none is on; days may be looked at in any order.

    Labels count once they have matured, `day - horizon`, and only up to the day that ends the probation.

    Args:
        case: whose champion.
        day: what is later is not looked at.
        adapters: ledger, lake, warehouse and registry.
        run: what started it.
        now: when.
        enters: whether the ledger is told that a probation is over; a backfill, and whoever only asks, tell it nothing.

    Raises:
        LedgerError: the ledger does not answer.
        LakeError: scores or labels cannot be read.
        RegistryError: the champion cannot be loaded.
    """
    found = probations.running(case.name, adapters.ledger)
    if found is None:
        return None
    if enters:  # a promotion that was killed has not said so yet
        probations.begin(found.crowning, adapters.ledger, run=run)
    made = _looked(case, day, adapters, found)
    log.info("%s of %s: probation of version %s: %s; %s", case.name, day, found.new, made.verdict, made.reason)
    for note in made.notes:
        log.warning("%s of %s: %s", case.name, day, note)
    if enters and made.verdict == "survived":
        probations.survive(found, adapters.ledger, day=day, reason=made.reason, now=now, run=run)
    return made


@dataclass
class _Sides:
    """Both models, as far as they can be loaded, and the holdout rows that both score; `notes` says what cannot be."""

    case: UseCase
    adapters: Adapters
    found: Running
    models: tuple[RegisteredModel, ...] = ()
    holdout: pa.Table | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, case: UseCase, adapters: Adapters, found: Running) -> _Sides:
        """Return both sides; where the former champion or the holdout cannot be had, a note says so."""
        sides = cls(case, adapters, found)
        new = adapters.registry.load(case.name, found.new)
        try:
            sides.models = (new, adapters.registry.load(case.name, found.former))
            sides.holdout = sides._holdout()
        except (DataError, LakeError, RegistryError) as error:
            sides.notes.append(f"the holdout of version {found.new} is not scored by both: {error}")
        return sides

    @property
    def wide(self) -> UseCase:
        """Return the use case with the features of both models, whatever the spec has by now."""
        numeric = tuple(dict.fromkeys(name for model in self.models for name in model.numeric))
        categorical = tuple(dict.fromkeys(name for model in self.models for name in model.categorical))
        features = self.case.features.model_copy(
            update={"numeric": numeric, "categorical": categorical, "attributes": ()}
        )
        return self.case.model_copy(update={"features": features})

    def _holdout(self) -> pa.Table | None:
        """Return the rows of the gates' holdout that neither model was trained on, with the scores of both."""
        new, former = self.models
        trained, manifest = Split.from_json(former.manifest["split"]), new.manifest
        horizon = timedelta(days=self.found.declared.terms.horizon_days)
        days = [
            day
            for day in Split.from_json(manifest["split"]).days("holdout")
            if not trained.saw(day, horizon=horizon)
        ]  # fmt: skip
        if not days:
            self.notes.append(f"version {self.found.former} was trained on the holdout of version {self.found.new}")
            return None
        rows = self.adapters.warehouse.labelled(self.wide, days, pins=manifest["data_versions"])
        for name, model in zip((NEW, FORMER), self.models, strict=True):
            frame = frames.model_frame(rows, numeric=model.numeric, categorical=model.categorical)
            rows = rows.append_column(name, pa.array(pipelines.scores(model.pipeline, frame, kind=model.kind)))
        return rows


def _looked(case: UseCase, day: date, adapters: Adapters, found: Running) -> ProbationLook:
    """Return the look: matured labels decide before the estimate, which decides only where it is sure."""
    declared, sides = found.declared, _Sides.of(case, adapters, found)
    scored, missing = _scored(case, day, adapters, found)
    labels = _by_labels(case, day, adapters, found, scored=scored, sides=sides)
    estimates = _at_once(case, sides, scored)
    verdict, by, reason = labels.verdict, "matured labels" if labels.verdict == "decayed" else None, labels.reason
    if verdict == "going on" and estimates is not None:
        worse = _surely_worse(estimates, metric=declared.metric, loss=declared.terms.loss)
        verdict, by, reason = ("decayed", "estimate", _told(estimates, sides)) if worse else (verdict, by, reason)
    if missing is not None:
        sides.notes.append(f"the shadow of version {found.former} is missing since {missing}: see the log of `score`")
    return ProbationLook(
        case=case.name, day=day, new=found.new, former=found.former, crowning=found.crowning.id,
        metric=declared.metric, start=declared.start, length=found.length, verdict=verdict, by=by,
        reason=f"On probation by {declared.metric} against version {found.former}. {reason}",
        labels=labels, estimates=estimates, missing_since=missing, notes=tuple(sides.notes),
    )  # fmt: skip


def _scored(case: UseCase, day: date, adapters: Adapters, found: Running) -> tuple[pa.Table, date | None]:
    """Return day, entity and the stored scores of both, and the first day before `day` that lacks the former one's."""
    window = Window(found.declared.start, max(found.declared.start, day + timedelta(days=1)))
    sides = [
        _scores(case, adapters, table, window, version=version, name=name)
        for table, version, name in (
            (case.predictions_table, found.new, NEW),
            (case.shadow_table, found.former, FORMER),
        )
    ]
    ours, theirs = (set(side["day"].unique().to_pylist()) for side in sides)
    missing = min((each for each in ours - theirs if each < day), default=None)
    keys = ["day", case.entity]
    both = sides[0].join(sides[1], keys=keys, join_type="inner")
    return both.sort_by([(key, "ascending") for key in keys]), missing


def _scores(
    case: UseCase, adapters: Adapters, table: str, window: Window, *, version: str, name: str
) -> pa.Table:  # fmt: skip
    """Return day, entity and score, under another name, of what a version has scored."""
    columns = ["day", case.entity, "score", "model_version"]
    if not any(each in window for each in adapters.lake.days(table)):
        kind = adapters.lake.dataset(case.features_table).schema.field(case.entity).type
        empty = {"day": pa.array([], pa.date32()), case.entity: pa.array([], kind), name: pa.array([], pa.float64())}
        return pa.table(empty)
    rows = adapters.lake.read(table, window, columns=columns)
    rows = rows.filter(pc.equal(rows["model_version"], version)).drop_columns(["model_version"])
    return rows.rename_columns(["day", case.entity, name])


def _by_labels(
    case: UseCase, day: date, adapters: Adapters, found: Running, *, scored: pa.Table, sides: _Sides
) -> ProbationRecord:
    """Return the look at the labels that have matured by `day`, and not behind the day that ends the probation."""
    terms = found.declared.terms
    through = day - max(case.horizon, timedelta(days=terms.horizon_days))
    rows = scored.filter(pc.less_equal(scored["day"], pa.scalar(through, pa.date32())))
    if rows.num_rows:
        days = rows["day"].unique().to_pylist()
        rows = adapters.warehouse.with_labels(case, rows, days, pins=adapters.warehouse.pins(case))
    paired = _paired(case, rows, adapters, found)
    last = probation.last_day(paired, terms)
    end = _number(through) if last is None else min(last, _number(through))
    before = NOTHING if sides.holdout is None else _paired(case, sides.holdout, adapters, found)
    return probation.look(paired, before, terms=terms, start=_number(found.declared.start), through=end)


def _paired(case: UseCase, rows: pa.Table, adapters: Adapters, found: Running) -> Paired:
    """Return the loss of the new champion minus that of the former one, of rows with the scores of both and a label."""
    if not rows.num_rows:
        return NOTHING
    declared = found.declared
    sides, losses = _both(case, rows), []
    for scored, version in zip(sides, (found.new, found.former), strict=True):
        share = None
        if declared.value is not None:
            share = adapters.registry.manifest(case.name, version)["contacted_share"]
        losses.append(probation.losses(declared.metric, scored, value=declared.value, share=share))
    return Paired(sides[0].day, sides[0].entity, losses[0] - losses[1])


def _both(case: UseCase, rows: pa.Table) -> tuple[Scored, Scored]:
    """Return the rows as scored by the new and by the former champion."""
    label, kind = frames.numbers(rows[case.label.column]), case.label.kind
    new, former = (
        frames.scored(rows, label=label, score=frames.numbers(rows[name]), entity=case.entity, kind=kind)
        for name in (NEW, FORMER)
    )
    return new, former


def _at_once(case: UseCase, sides: _Sides, scored: pa.Table) -> tuple[Expected, Expected] | None:
    """Return what is expected of both on the newest day that both have scored, None where that cannot be told."""
    if sides.holdout is None or not scored.num_rows:
        return None
    newest = scored.filter(pc.equal(scored["day"], pc.max(scored["day"])))
    newest = _few(newest, seed=case.training.seed)
    try:
        found = [
            _expected(case, sides, newest, name=name, model=model, holdout=holdout)
            for name, model, holdout in zip(
                (NEW, FORMER), sides.models, _both(case, sides.holdout), strict=True
            )
        ]  # fmt: skip
    except DataError as error:
        sides.notes.append(f"nothing is estimated before labels mature: {error}")
        return None
    return found[0], found[1]


def _expected(
    case: UseCase, sides: _Sides, newest: pa.Table, *, name: str, model: RegisteredModel, holdout: Scored
) -> Expected:
    """Return the metric that is expected of one of the models on rows without labels."""
    declared, seed = sides.found.declared, case.training.seed
    if holdout.kind == "number":
        newest = _with_features(case, sides, newest)
    rows = Rows(frames.numbers(newest[name]), frames.day_numbers(newest["day"]), frames.codes(newest[case.entity]))
    if holdout.kind == "number":
        assert sides.holdout is not None  # noqa: S101 - the caller has looked
        made = estimation.by_direct_loss(
            replace(rows, features=_numeric(newest, model)), holdout, _numeric(sides.holdout, model),
            confidence=estimation.AT_ONCE, seed=seed,
        )  # fmt: skip
    else:
        made = estimation.by_confidence(
            rows, holdout, value=declared.value, share=model.contacted_share, confidence=estimation.AT_ONCE,
            draws=estimation.AT_ONCE_DRAWS, seed=seed,
        )  # fmt: skip
    return made.metrics[declared.metric]


def _with_features(case: UseCase, sides: _Sides, rows: pa.Table) -> pa.Table:
    """Return rows of one day with the features of both models."""
    warehouse, days = sides.adapters.warehouse, rows["day"].unique().to_pylist()
    snapshot = warehouse.snapshots(sides.wide, days, pins=warehouse.pins(case))
    return rows.join(snapshot, keys=["day", case.entity], join_type="inner").sort_by(case.entity)


def _numeric(rows: pa.Table, model: RegisteredModel) -> FloatArray:
    """Return the numeric features as an array, shape (rows, features)."""
    if not model.numeric:
        raise DataError(f"version {model.version} has no numeric feature to learn its errors from.")
    return np.column_stack([frames.finite(rows[name]) for name in model.numeric])


def _few(rows: pa.Table, *, seed: int) -> pa.Table:
    """Return at most `ESTIMATED_ROWS` of the rows, by entity."""
    if rows.num_rows <= ESTIMATED_ROWS:
        return rows
    chosen = np.random.default_rng(seed).choice(rows.num_rows, ESTIMATED_ROWS, replace=False)
    return rows.take(pa.array(np.sort(chosen)))


def _surely_worse(estimates: tuple[Expected, Expected], *, metric: str, loss: float) -> bool:
    """Tell whether the estimates say decay; of rmse the squares are compared, since its loss is one."""
    new, former = estimates
    if metric == "rmse":
        new, former = (Expected(each.value**2, each.low**2, each.high**2) for each in estimates)
    return estimation.surely_worse(new, former, metric=metric, loss=loss)


def _told(estimates: tuple[Expected, Expected], sides: _Sides) -> str:
    """Return the reason of a decay that the estimate sees."""
    new, former = estimates
    metric = sides.found.declared.metric
    return (
        f"Before labels have matured it is expected to be worse than the former champion on the newest day: {metric} "
        f"{new.value:.4g} ({new.low:.4g} to {new.high:.4g}) against {former.value:.4g} ({former.low:.4g} to "
        f"{former.high:.4g}), declared loss {sides.found.declared.terms.loss:g}."
    )


def _number(day: date) -> int:
    return (day - EPOCH).days
