"""Train a challenger: baselines and candidates on time-ordered parts, the best one refitted and registered.

What is chosen is chosen on the validation rows alone: parameters, the winner, and, where there is money in it, the
share of households to contact. The winner is then fitted again on fit and validation rows, and measured once on the
holdout.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from perennial import carding, cards
from perennial.core import contest, frames, pipelines, splits, stakes
from perennial.core.contest import Contest, Entrant, Finished, Part
from perennial.core.metrics import Scored
from perennial.core.pipelines import Recipe
from perennial.core.splits import PARTS, Split
from perennial.errors import LakeError
from perennial.io import pages
from perennial.io.entries import COST
from perennial.io.ledger import Entry
from perennial.io.meter import Meter
from perennial.io.registry import (
    CHALLENGER,
    DESCRIPTION,
    DESCRIPTION_DATA,
    MANIFEST,
    NOTE,
    PROFILE,
    RIVALS,
    SAMPLE,
    SCORES,
)
from perennial.io.runs import ChildRun, TrainingRun
from perennial.records import CandidateResult, Json, TrainRecord
from perennial.spec import Candidate, Search, UseCase, compared_models
from perennial.stages import blueprint, holdouts, pictures, profiling, reference

if TYPE_CHECKING:
    from perennial.adapters import Adapters

Progress = Callable[[str, int, int], None]

IMPORTANCE_ROWS = 5000
STEPS_BESIDE_FITS = 4
TROUBLE_SHOWN = 500

log = logging.getLogger(__name__)


def run(  # noqa: PLR0913 - a training is told where, when and why, and by whom
    case: UseCase,
    as_of: date,
    adapters: Adapters,
    *,
    run: str,
    reason: str = "schedule",
    who: str | None = None,
    known_at: datetime | None = None,
    progress: Progress | None = None,
) -> TrainRecord:
    """Train, register and alias a challenger from what was known at the end of the day `as_of`.

    Args:
        case: what to train.
        as_of: labels count where they had matured by then: snapshots up to `as_of - horizon`.
        adapters: lake, warehouse, registry and ledger.
        run: what started it, for the records.
        reason: why it was started.
        who: who started it; None is the run itself.
        known_at: read the tables as they were at that moment, before later corrections; None is as they are now.
        progress: told the step, how many are done, and how many there are.

    Raises:
        DataError: snapshot days are missing, a part is too small, or its labels are all the same.
        SpecError: an estimator or its parameters cannot be used.
        RegistryError: MLflow refused or did not answer; no alias has moved.
    """
    steps, meter = _Steps(case, progress), Meter.started()
    rows = _read(case, as_of, adapters, known_at=known_at)
    steps.done("rows")
    tags = {"case": case.name, "as_of": as_of.isoformat(), "started_by": run, "reason": reason}
    with adapters.registry.training_run(case.name, name=f"{case.name} as of {as_of}", tags=tags) as open_run:
        entrants = _compete(case, rows, steps)
        outcome = _finish(case, rows, entrants)
        steps.done("refit")
        started = {"run": run, "code": adapters.settings.code_version, "known_at": known_at and known_at.isoformat()}
        kept = _blueprint(case, rows, outcome)
        open_run.files(kept.files)
        manifest = _manifest(case, as_of, rows, outcome) | started | {blueprint.KEY: kept.summary}
        children = _keep(case, rows, outcome, manifest, open_run)
        number = adapters.registry.register(
            case.name, outcome.final.pipeline, run_id=open_run.run_id, manifest=manifest, tags=tags
        )
        page = _describe(case, as_of, rows, adapters, open_run, version=number)
        steps.done("profile")
        cost = meter.spent() | {"rows": sum(manifest["rows"].values())}
        open_run.metrics(cost, prefix=COST)
    _enter(case, as_of, adapters, manifest | {COST: cost}, version=number, by=_By(who or run, reason, run))
    adapters.registry.set_alias(case.name, CHALLENGER, number)
    steps.done("register")
    log.info("%s version %s: %s wins, holdout %s", case.name, number, outcome.winner.recipe.name, outcome.final.metrics)
    return TrainRecord(
        case=case.name, as_of=as_of, version=number, run_id=open_run.run_id,
        winner=outcome.winner.recipe.name,
        candidates=children,
        holdout=outcome.final.metrics,
        baselines={name: finished.metrics for name, finished in outcome.baselines.items()},
        manifest=manifest, profile=page,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Rows:
    """What a training reads: labelled rows by part, and where they came from."""

    split: Split
    pins: blueprint.Pins
    older: blueprint.Older
    tables: Mapping[str, pa.Table]
    parts: Mapping[str, Part]
    sources: blueprint.Digests
    features: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Who competed, who won, and what the winner and the baselines reach on the holdout."""

    entrants: Sequence[Entrant]
    winner: Entrant
    final: Finished
    baselines: Mapping[str, Finished]
    rivals: Mapping[str, Finished]

    def share_of(self, name: str) -> float | None:
        """Return the share of contacts that an entrant chose on validation rows."""
        return next(entrant.share for entrant in self.entrants if entrant.recipe.name == name)


class _Steps:
    """Counts what is done and tells it."""

    def __init__(self, case: UseCase, progress: Progress | None) -> None:
        training = case.training
        searched = sum(budget.trials for candidate, budget in _budgets(case) if candidate.search)
        self._total = len(training.candidates) + len(training.baselines) + searched + STEPS_BESIDE_FITS
        self._done = 0
        self._progress = progress

    def done(self, step: str) -> None:
        """Count one step."""
        self._done += 1
        if self._progress is not None:
            self._progress(step, min(self._done, self._total), self._total)


def _read(case: UseCase, as_of: date, adapters: Adapters, *, known_at: datetime | None) -> _Rows:
    """Return the labelled rows of each part, checked."""
    split = splits.split(case.training, horizon=case.horizon, as_of=as_of)
    splits.check_days(split, present=adapters.lake.days(case.features_table), case=case.name)
    pins = adapters.warehouse.pins(case, known_at=known_at)
    older = adapters.lineage.built_from(case, split.all_days, pins=pins, known_at=known_at)
    sources = blueprint.source_digests(case, split.all_days, adapters.lake, pins=pins, older=older)
    snapshots = adapters.warehouse.snapshots(case, split.all_days, pins=pins)
    rows = adapters.warehouse.with_labels(case, snapshots, split.all_days, pins=pins)
    tables = splits.cut(rows, split)
    parts = {part: Part.of(table, case) for part, table in tables.items()}
    labels = {part: content.label for part, content in parts.items()}
    splits.check_rows(labels, min_rows=case.training.min_rows, case=case.name)
    return _Rows(split, pins, older, tables, parts, sources, blueprint.by_day(snapshots))


def _compete(case: UseCase, rows: _Rows, steps: _Steps) -> tuple[Entrant, ...]:
    """Return each baseline and each candidate in its best form."""
    competition = Contest(case, fit=rows.parts["fit"], validation=rows.parts["validation"], counted=steps.done)
    competition.check()
    baselines = [competition.enter(baseline, budget=Search()) for baseline in case.training.baselines]
    candidates = [competition.enter(candidate, budget=budget) for candidate, budget in _budgets(case)]
    return (*baselines, *candidates)


def _budgets(case: UseCase) -> list[tuple[Candidate, Search]]:
    """Return each candidate with its share of the search: trials and seconds divided among those that search."""
    whole = case.training.search
    searching = max(1, sum(1 for candidate in case.training.candidates if candidate.search))
    share = Search(trials=max(1, whole.trials // searching), seconds=max(1, whole.seconds // searching))
    return [(candidate, share) for candidate in case.training.candidates]


def _finish(case: UseCase, rows: _Rows, entrants: Sequence[Entrant]) -> _Outcome:
    """Choose the winner and measure it and the baselines on the holdout."""
    tables = pa.concat_tables([rows.tables["fit"], rows.tables["validation"]])
    refit_on, holdout = Part.of(tables, case), rows.parts["holdout"]
    winner = contest.best_candidate(entrants, metric=case.training.metric)
    compared = compared_models(case.gates)
    finished = {
        entrant.recipe.name: contest.finish(entrant, refit_on=refit_on, holdout=holdout, case=case)
        for entrant in entrants
        if entrant.is_baseline or entrant is winner or entrant.recipe.name in compared
    }
    final = finished.pop(winner.recipe.name)
    baselines = {entrant.recipe.name for entrant in entrants if entrant.is_baseline}
    return _Outcome(
        entrants, winner, final,
        baselines={name: each for name, each in finished.items() if name in baselines},
        rivals={name: each for name, each in finished.items() if name in compared},
    )  # fmt: skip


def _manifest(case: UseCase, as_of: date, rows: _Rows, outcome: _Outcome) -> Json:
    """Return everything that is needed to train the very same model again, and what came of it."""
    winner = outcome.winner
    return {
        "case": case.name,
        cards.DECLARED: cards.declared(case),
        "label_kind": case.label.kind,
        "as_of": as_of.isoformat(),
        "spec": case.fingerprint(),
        "data_versions": dict(rows.pins),
        blueprint.OLDER: {day.isoformat(): dict(pins) for day, pins in rows.older.items()},
        "split": rows.split.to_json(),
        "rows": {part: table.num_rows for part, table in rows.tables.items()},
        "fingerprints": {part: frames.fingerprint(table) for part, table in rows.tables.items()},
        "features": {"numeric": list(winner.recipe.numeric), "categorical": list(winner.recipe.categorical)},
        "winner": {
            "name": winner.recipe.name,
            "estimator": winner.recipe.estimator,
            "params": dict(winner.recipe.params),
            "searched": winner.found.to_json(),
        },
        "seed": case.training.seed,
        "metric": case.training.metric,
        "contacted_share": winner.share,
        "rivals": {name: outcome.share_of(name) for name in outcome.rivals},
        "validation": dict(winner.metrics),
        "holdout": dict(outcome.final.metrics),
        "baselines": {name: dict(finished.metrics) for name, finished in outcome.baselines.items()},
        "baseline_recipes": {each.recipe.name: _recipe(each.recipe) for each in outcome.entrants if each.is_baseline},
        "libraries": blueprint.libraries(),
    }


def _blueprint(case: UseCase, rows: _Rows, outcome: _Outcome) -> blueprint.Kept:
    """Return what the winner can be rebuilt from and compared with."""
    return blueprint.of_training(
        case, sources=rows.sources, features=rows.features, holdout=rows.tables["holdout"],
        pipeline=outcome.final.pipeline, recipe=outcome.winner.recipe,
    )  # fmt: skip


def _named(recipe: Recipe) -> Json:
    """Return what a contestant is: an estimator, or the column that is its prediction."""
    return {"estimator": recipe.estimator} if recipe.column is None else {"column": recipe.column}


def _recipe(recipe: Recipe) -> Json:
    """Return all that a baseline is made of."""
    return {**_named(recipe), "params": dict(recipe.params), "features": list(recipe.features)}


def _keep(
    case: UseCase, rows: _Rows, outcome: _Outcome, manifest: Json, open_run: TrainingRun
) -> tuple[CandidateResult, ...]:
    """Write the child runs and the parent's metrics and files; return one result a child run."""
    results = []
    for entrant in outcome.entrants:
        kind = "baseline" if entrant.is_baseline else "candidate"
        params = {"trials": entrant.found.trials, **_named(entrant.recipe), **entrant.recipe.params}
        tags = {"kind": kind, "won": str(entrant is outcome.winner)}
        run_id = open_run.child(ChildRun(entrant.recipe.name, params, entrant.metrics, tags))
        results.append(CandidateResult(entrant.recipe.name, run_id, entrant.metrics))
    open_run.metrics(outcome.winner.metrics, prefix="validation")
    open_run.metrics(outcome.final.metrics, prefix="holdout")
    for name, finished in outcome.baselines.items():
        open_run.metrics(finished.metrics, prefix=f"holdout_{name}")
    open_run.files(_files(case, rows, outcome, manifest))
    return tuple(results)


def _files(case: UseCase, rows: _Rows, outcome: _Outcome, manifest: Json) -> dict[str, bytes]:
    """Return the files of the parent run: manifest, reference profile, sample and scores, and pictures."""
    table = pa.concat_tables(rows.tables[part] for part in PARTS)
    winner, lost = outcome.winner.recipe, _importances(rows, outcome)
    profile = reference.profile(case, table, outcome.final) | {stakes.IMPORTANCE: lost}
    return {
        MANIFEST: _json(manifest),
        PROFILE: json.dumps(profile, sort_keys=True).encode(),
        holdouts.HOLDOUT: holdouts.kept(outcome.final.scored, rows.tables["holdout"], names=winner.features),
        SAMPLE: reference.sample(case, table, outcome.final),
        SCORES: reference.scores(outcome.final),
        **({RIVALS: _rivals(outcome)} if outcome.rivals else {}),
        **pictures.of_training(case, _shown(outcome), share=outcome.winner.share),
        pictures.IMPORTANCE: pictures.importance(lost, winner.task),
    }


def _rivals(outcome: _Outcome) -> bytes:
    """Return the holdout scores of the models that a gate may find as good, a column each."""
    return reference.parquet(pa.table({name: finished.scored.score for name, finished in outcome.rivals.items()}))


def _shown(outcome: _Outcome) -> dict[str, Scored]:
    """Return the holdout scores of the winner, then of the baselines."""
    baselines = {name: finished.scored for name, finished in outcome.baselines.items()}
    return {outcome.winner.recipe.name: outcome.final.scored} | baselines


def _importances(rows: _Rows, outcome: _Outcome) -> dict[str, float]:
    """Return what each feature adds, measured on validation rows that the model was not fitted on."""
    winner, part = outcome.winner, rows.parts["validation"]
    recipe, every = winner.recipe, max(1, part.label.size // IMPORTANCE_ROWS)
    frame = part.frame.iloc[::every][list(recipe.features)]
    return pipelines.importances(winner.pipeline, frame, part.label[::every], seed=recipe.seed, kind=recipe.kind)


def _describe(
    case: UseCase, as_of: date, rows: _Rows, adapters: Adapters, open_run: TrainingRun, *, version: str
) -> str | None:
    """Keep the profile of what was read with the run and below the pages, and link it; return the page's path.

    A profile that cannot be made or written does not cost the model: the log, and the tag in the link's place, say why.
    """
    table = pa.concat_tables(rows.tables[part] for part in PARTS)
    try:
        made = profiling.of_training(case, adapters, table, as_of=as_of, pins=rows.pins, version=version)
        open_run.files({DESCRIPTION: made.html, DESCRIPTION_DATA: made.json})
        made.keep(adapters.settings.pages_root)
    except (LakeError, OSError, pa.ArrowException) as error:
        trouble = f"not made, {type(error).__name__}: {error}"
        log.warning("%s version %s has no profile: %s", case.name, version, trouble)
        _link(case, adapters, open_run, version=version, profile=trouble[:TROUBLE_SHOWN])
        return None
    address = pages.address(adapters.settings.airflow_url, made.record.page)
    open_run.tag({NOTE: f"[Profile of the rows and sources that this training read]({address})"})
    _link(case, adapters, open_run, version=version, profile=address)
    return made.record.page


def _link(case: UseCase, adapters: Adapters, open_run: TrainingRun, *, version: str, profile: str) -> None:
    """Say on the run and on the version where the profile is, or why there is none."""
    open_run.tag({"profile": profile})
    adapters.registry.tag(case.name, version, {"profile": profile})


@dataclass(frozen=True, slots=True)
class _By:
    """Who started a training, why, and in which run."""

    who: str
    reason: str
    run: str


def _enter(case: UseCase, as_of: date, adapters: Adapters, report: Json, *, version: str, by: _By) -> None:
    """Enter the training with its manifest and its cost, at the end of the day `as_of`, and write the first card."""
    at = datetime.combine(as_of + timedelta(days=1), time(), tzinfo=UTC)
    entry = Entry(
        case.name, at, "trained", by.who, by.reason, by.run, to_version=version, day=as_of, report=report
    )  # fmt: skip
    adapters.ledger.add(entry)
    carding.keep(case.name, version, adapters, case=case)


def _json(data: Json) -> bytes:
    """Return data as JSON text."""
    return json.dumps(data, indent=1, sort_keys=True).encode()
