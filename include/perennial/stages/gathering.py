"""What the gates of an evaluation are judged on, gathered: scores, features, rivals, and what the artifact costs."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from perennial.core import frames, metrics, pipelines
from perennial.core.deviations import FloatArray
from perennial.core.evidence import Contender, Cost, Evidence, Predict, Rows
from perennial.core.metrics import Scored
from perennial.core.splits import Split
from perennial.errors import DataError
from perennial.io.registry import RegisteredModel
from perennial.spec import (
    ChampionGate,
    LatencyGate,
    SizeGate,
    SliceGate,
    SuperiorityGate,
    UseCase,
    columns_of,
    compared_models,
)

if TYPE_CHECKING:
    import pandas as pd

    from perennial.adapters import Adapters

log = logging.getLogger(__name__)

FIRST_CALLS = 5  # are not timed: they fill caches that a server would have filled


def evidence(
    case: UseCase, wide: UseCase, holdout: pa.Table, adapters: Adapters, *, models: tuple[RegisteredModel, ...]
) -> Evidence:
    """Return what the gates look at.

    Args:
        case: its gates say what is needed; nothing else is measured.
        wide: the case with all columns of `holdout` as features.
        holdout: the rows, by day and entity.
        adapters: the registry.
        models: the challenger, and the champion where there is one.
    """
    challenger = models[0]
    frame = frames.model_frame(holdout, numeric=wide.features.numeric, categorical=wide.features.categorical)
    sides = [_contender(case, holdout, frame, model) for model in models]
    unseen, seen = _unseen(case, holdout, models) if len(models) > 1 else (None, "")
    champion = sides[1] if len(sides) > 1 else None
    if champion is not None and unseen is not None:
        champion = champion.on(unseen) if unseen.any() else None
    features = Rows(
        frame, challenger.numeric, challenger.categorical, _answers(challenger), tuple(sorted(case.features.strong))
    )
    return Evidence(
        challenger=sides[0],
        champion=champion,
        baselines=challenger.manifest["baselines"],
        horizon_days=case.label.horizon_days,
        seed=case.training.seed,
        rows=features,
        rivals=_rivals(case, sides[0].scored, challenger, adapters),
        cost=_cost(case, features, challenger, adapters),
        name=challenger.manifest["winner"]["name"],
        unseen=unseen,
        seen=seen,
    )


def _unseen(
    case: UseCase, holdout: pa.Table, models: tuple[RegisteredModel, ...]
) -> tuple[metrics.BoolArray | None, str]:
    """Return which rows the champion was not trained on, and in words why not all; None where it is all of them.

    Raises:
        DataError: a gate compares with the champion, and what is left is fewer than `training.min_rows` rows, or has
            labels of one kind.
    """
    challenger, champion = models
    trained = Split.from_json(champion.manifest["split"])
    days = Split.from_json(challenger.manifest["split"]).days("holdout")
    known = [day for day in days if trained.saw(day, horizon=case.horizon)]
    if not known:
        return None, ""
    unseen = ~np.isin(frames.day_numbers(holdout["day"]), frames.day_numbers(pa.chunked_array([pa.array(known)])))
    told = f"champion version {champion.version} was trained on {len(known)} of the {len(days)} holdout days"
    label = frames.numbers(holdout[case.label.column])[unseen]
    compared = any(isinstance(gate, (ChampionGate, SuperiorityGate, SliceGate)) for gate in case.gates)
    if compared and (label.size < case.training.min_rows or label.min() == label.max()):
        raise DataError(_too_few(case, models, told=told, left=int(label.size)))
    log.warning("%s: %s; it is compared on the %d rows of the others", case.name, told, label.size)
    left = len(days) - len(known)
    return unseen, f"; on {left} of {len(days)} holdout days, champion version {champion.version} knows the others"


def _too_few(case: UseCase, models: tuple[RegisteredModel, ...], *, told: str, left: int) -> str:
    """Return why two models cannot be compared, and what to do."""
    ours, theirs = (model.manifest["as_of"] for model in models)
    return (
        f"{case.name} version {models[0].version} (as of {ours}) cannot be compared with version {models[1].version} "
        f"(as of {theirs}): {told}, whose outcome it knows. {left} rows that neither was trained on are left, and "
        f"{case.training.min_rows} (training.min_rows) with different labels are needed. Train a challenger as of a "
        f"later day: perennial train {case.name}; to go back to an older model, perennial rollback {case.name}."
    )


def gate_columns(case: UseCase) -> tuple[str, ...]:
    """Return the columns that the gates look at, each once."""
    return tuple(dict.fromkeys(name for gate in case.gates for name in columns_of(gate)))


def _answers(model: RegisteredModel) -> Predict:
    """Return the model as a function from features to scores."""
    names = [*model.numeric, *model.categorical]

    def predict(frame: pd.DataFrame) -> FloatArray:
        return pipelines.scores(model.pipeline, frame[names], kind=model.kind)

    return predict


def _contender(case: UseCase, holdout: pa.Table, frame: pd.DataFrame, model: RegisteredModel) -> Contender:
    """Return a model's scores and metrics on the holdout."""
    label = frames.numbers(holdout[case.label.column])
    score = _answers(model)(frame)
    scored = frames.scored(holdout, label=label, score=score, entity=case.entity, kind=model.kind)
    return _measured(case, scored, model.contacted_share)


def _measured(case: UseCase, scored: Scored, share: float | None) -> Contender:
    return Contender(scored, share, case.value, metrics.evaluate(scored, value=case.value, share=share))


def _rivals(case: UseCase, scored: Scored, challenger: RegisteredModel, adapters: Adapters) -> dict[str, Contender]:
    """Return the models of the same training that a gate compares row by row, with the scores that were kept.

    Raises:
        DataError: they are scores of other rows.
    """
    shares = challenger.manifest.get("rivals", {})  # manifests of before have none
    named = compared_models(case.gates) & set(shares)
    if not named:
        return {}
    kept = adapters.registry.rivals(challenger.run_id)
    if kept.num_rows != scored.label.size:
        raise DataError(
            f"The training of {case.name} version {challenger.version} kept scores of {kept.num_rows} holdout rows, "
            f"and there are {scored.label.size}. Train again: perennial train {case.name}."
        )
    return {
        name: _measured(
            case, Scored(scored.label, frames.numbers(kept[name]), scored.day, scored.entity, scored.kind), shares[name]
        )
        for name in sorted(named)
    }


def _cost(case: UseCase, rows: Rows, challenger: RegisteredModel, adapters: Adapters) -> Cost | None:
    """Return the times of single-row calls and the size, as far as a gate asks for them."""
    calls = max((gate.calls for gate in case.gates if isinstance(gate, LatencyGate)), default=0)
    sized = any(isinstance(gate, SizeGate) for gate in case.gates)
    if not calls and not sized:
        return None
    size = adapters.registry.size(case.name, challenger.version) if sized else 0
    return Cost(tuple(_milliseconds(rows, calls)), size)


def _milliseconds(rows: Rows, calls: int) -> list[float]:
    """Return how long each call with one row took, one after the other."""
    found = []
    for place in range(-FIRST_CALLS if calls else 0, calls):
        row = rows.frame.iloc[[place % len(rows.frame)]]
        started = time.perf_counter()
        rows.predict(row)
        found.append(1000 * (time.perf_counter() - started))
    return found[FIRST_CALLS:]
