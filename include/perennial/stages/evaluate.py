"""Hold a challenger against its gates, on the very holdout rows its training left alone.

The holdout is the one of the challenger's manifest, read at the same table versions and checked by its
fingerprint; the champion is measured on the same rows, and contacts the share of households that its own
training chose. Rows that the champion was trained on, which is newer or had a shorter holdout, are left out for both
where the two are compared.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from perennial import carding, cards, projection
from perennial.core import frames, gates
from perennial.core.evidence import Evidence
from perennial.core.splits import Split
from perennial.errors import DataError
from perennial.io import gatepage, pages
from perennial.io.entries import ARTIFACT, COST
from perennial.io.ledger import Entry
from perennial.io.meter import Meter
from perennial.io.profilepage import replaced
from perennial.io.registry import CHALLENGER, NEWEST, RegisteredModel
from perennial.records import Window
from perennial.spec import UseCase
from perennial.stages import gathering, pictures
from perennial.verdicts import GateReport, GateResult

if TYPE_CHECKING:
    from perennial.adapters import Adapters

UNNAMEABLE = re.compile(r"[^\w\-. :/]", re.ASCII)  # what MLflow refuses in the name of a tag

log = logging.getLogger(__name__)


def run(
    case: UseCase, adapters: Adapters, *, version: str | None = None, now: datetime, who: str, run: str
) -> GateReport:
    """Return the gate report, kept in the ledger and as tags of the version; a failed gate does not raise.

    Args:
        case: its gates count as they are declared now.
        adapters: registry, warehouse, lake and ledger.
        version: what to evaluate; the challenger by default.
        now: when, for the ledger.
        who: who asked for it.
        run: what started it.

    Raises:
        RegistryError: there is no challenger, or MLflow does not answer.
        DataError: the holdout rows are not those of the training any more, or a model predicts another kind of
            label.
    """
    registry, meter = adapters.registry, Meter.started()
    version = version or registry.required_version_of(case.name, CHALLENGER)
    challenger = registry.load(case.name, version)
    standing = projection.watch(case.name, adapters, now=now, who=who, run=run).champion
    models = (challenger, *([] if standing is None else [registry.load(case.name, standing)]))
    for model in models:
        _check_kind(case, model)
    holdout = _holdout(case, adapters, models)
    evidence = gathering.evidence(case, holdout.wide, holdout.rows, adapters, models=models)
    report = _with_page(case, _report(case, holdout, evidence, models), evidence, adapters)
    artifact = registry.fingerprint(case.name, version)
    cost = meter.spent() | {"rows": report.rows}
    written = adapters.ledger.add(
        Entry(
            case.name, now, "evaluated", who=who, reason=_reason(report), run=run, from_version=standing,
            to_version=version, day=report.as_of,
            report={**report.to_json(), ARTIFACT: artifact, COST: cost},
        )
    )  # fmt: skip
    registry.note(case.name, {NEWEST: written.anchor})
    registry.tag(case.name, version, _tags(report, now))
    card = pages.address(adapters.settings.airflow_url, cards.path(case.name, version))
    registry.describe(case.name, version, _described(case, report, challenger, card=card, seen=evidence.seen))
    carding.keep(case.name, version, adapters, case=case)
    log.info("%s version %s against %s: %s", case.name, version, standing or "no champion", _reason(report))
    return report


@dataclass(frozen=True, slots=True)
class _Holdout:
    """The rows both models are measured on, the case with their columns as features, and the days they span."""

    rows: pa.Table
    wide: UseCase
    window: Window


def _holdout(case: UseCase, adapters: Adapters, models: Sequence[RegisteredModel]) -> _Holdout:
    """Return the holdout of the challenger's manifest with the features of both models, and the gates' columns."""
    challenger = models[0]
    manifest = challenger.manifest
    split = Split.from_json(manifest["split"])
    pins = manifest["data_versions"]
    wide = _with_columns(case, models)
    _check_columns(wide, adapters, pins=pins, models=models)
    rows = adapters.warehouse.labelled(wide, split.days("holdout"), pins=pins)
    own = rows.select(["day", case.entity, *challenger.numeric, *challenger.categorical, case.label.column])
    if frames.fingerprint(own) != manifest["fingerprints"]["holdout"]:
        raise DataError(
            f"The {rows.num_rows} holdout rows of {case.name} version {challenger.version} are not the "
            f"{manifest['rows']['holdout']} rows of its training: label.sql or a table has changed since. "
            f"Train again: perennial train {case.name}."
        )
    return _Holdout(rows, wide, split.holdout)


def _check_kind(case: UseCase, model: RegisteredModel) -> None:
    """Refuse a model of another kind of label: nothing it says can be compared."""
    if model.kind != case.label.kind:
        raise DataError(
            f"{case.name} version {model.version} predicts a label of kind {model.kind}, and label.kind is "
            f"{case.label.kind} now. Another label is another use case: give it a folder and a name of its own."
        )


def _with_columns(case: UseCase, models: Sequence[RegisteredModel]) -> UseCase:
    """Return the use case with the features of all the models, whatever the spec has by now, and the gates' columns."""
    extra = gathering.gate_columns(case)
    numbers = [name for name in extra if name in case.features.numeric]
    numeric = tuple(dict.fromkeys([*(name for model in models for name in model.numeric), *numbers]))
    texts = [name for name in extra if name not in numeric]
    categorical = tuple(dict.fromkeys([*(name for model in models for name in model.categorical), *texts]))
    features = case.features.model_copy(update={"numeric": numeric, "categorical": categorical})
    return case.model_copy(update={"features": features})


def _check_columns(
    wide: UseCase, adapters: Adapters, *, pins: dict[str, int], models: Sequence[RegisteredModel]
) -> None:
    """Refuse a holdout that lacks a feature of the champion, or a column of a gate."""
    table = wide.features_table
    present = set(adapters.lake.dataset(table, version=pins[table]).schema.names)
    gone = [name for name in wide.features.columns if name not in present]
    for model in models[1:]:
        lacking = [name for name in gone if name in (*model.numeric, *model.categorical)]
        if lacking:
            raise DataError(
                f"{table} has no column {', '.join(lacking)}, which champion version {model.version} needs, so the two "
                "models cannot be compared. Let features.sql give it until a champion without it is promoted."
            )
    if gone:
        raise DataError(
            f"{table} has no column {', '.join(gone)} in the version that the challenger was trained on, and a gate "
            "names it. Build the holdout's days again with the spec as it is now, then train again."
        )


def _report(case: UseCase, holdout: _Holdout, evidence: Evidence, models: Sequence[RegisteredModel]) -> GateReport:
    """Return the outcome of every gate."""
    measured = {"challenger": dict(evidence.challenger.metrics), **evidence.baselines}
    if evidence.champion is not None:
        measured["champion"] = dict(evidence.champion.metrics)
    return GateReport(
        case=case.name,
        version=models[0].version,
        champion=models[1].version if len(models) > 1 else None,
        as_of=date.fromisoformat(models[0].manifest["as_of"]),
        results=gates.decide(case.gates, evidence),
        metrics=measured,
        holdout=holdout.window,
        rows=holdout.rows.num_rows,
    )


def _with_page(case: UseCase, report: GateReport, evidence: Evidence, adapters: Adapters) -> GateReport:
    """Write the report's page and return the report that names it; a page that cannot be written costs no promotion."""
    shown = {"challenger": evidence.challenger.scored}
    if evidence.champion is not None:
        shown["champion"] = evidence.champion.scored
    drawn = pictures.of_training(case, shown, share=evidence.challenger.share)
    html = gatepage.page(report, title=case.title, pictures=drawn)
    where = gatepage.path(report)
    try:
        replaced(adapters.settings.pages_root / where, html.encode())
    except OSError as error:
        log.warning("%s version %s has no page of its gates: %s", case.name, report.version, error)
        return report
    return replace(report, page=where)


def _reason(report: GateReport) -> str:
    """Return the outcome in a line."""
    passed = f"passed all {sum(result.mode == 'enforce' for result in report.results)} gates"
    outcome = f"failed {', '.join(_named(result) for result in report.failed)}" if report.failed else passed
    return f"{outcome}; dry run: {', '.join(_named(result) for result in report.warned)}" if report.warned else outcome


def _named(result: GateResult) -> str:
    """Return the name of a gate that did not pass, and that it cannot tell where it cannot."""
    return f"{result.name} (cannot tell)" if result.verdict == "cannot tell" else result.name


def _tags(report: GateReport, now: datetime) -> dict[str, str]:
    """Return what MLflow's page shows of the report."""
    outcome = {
        UNNAMEABLE.sub("-", f"gate.{result.name}")[
            :250
        ]: f"{result.verdict}: {result.value:.6g} (margin {result.margin:+.6g})"
        for result in report.results
    }
    verdict = "failed" if report.failed else "passed"
    page = {} if report.page is None else {"gates_page": report.page}
    return {
        **page,
        "gates": verdict,
        "evaluated_at": now.isoformat(),
        "evaluated_against": str(report.champion),
        **outcome,
    }


def _described(case: UseCase, report: GateReport, model: RegisteredModel, *, card: str, seen: str) -> str:
    """Return the version's description in Markdown: the outcome in short, and where its card is.

    `seen` says where the champion was measured on fewer days.
    """
    winner = model.manifest["winner"]["estimator"]
    columns = sorted(report.metrics, key=lambda name: (name != "challenger", name != "champion", name))
    head = f"| holdout metric | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}"
    figures = [
        f"| {metric} | {' | '.join(_figure(report.metrics[column].get(metric)) for column in columns)} |"
        for metric in sorted(report.metrics["challenger"])
    ]
    outcomes = [
        f"- {gate.verdict if gate.passed else f'**{gate.verdict}**'}{', dry run' * (gate.mode == 'dry_run')}: "
        f"{gate.name} {gate.value:.4f}, limit {gate.limit:.4f}"
        for gate in report.results
    ]
    return "\n".join(
        [
            f"**{case.title}**: `{winner}`, as of {report.as_of}.",
            f"Holdout: {report.rows} rows, from {report.holdout.start} up to, but not including, {report.holdout.end}.",
            *_money(case, model),
            f"[Model card]({card})",
            "",
            head,
            *figures,
            *(["", f"The champion: {seen.removeprefix('; ')}."] if seen else []),
            "",
            *outcomes,
        ]
    )


def _money(case: UseCase, model: RegisteredModel) -> list[str]:
    """Return what the profit is counted in; nothing where the use case knows no money."""
    if case.value is None:
        return []
    return [
        f"Expected profit is in {case.value.currency} per 1,000 households and day, with the highest "
        f"{model.contacted_share or 0.0:.0%} of the scores contacted."
    ]


def _figure(value: float | None) -> str:
    """Return a figure of the card; a baseline that was measured earlier may lack one."""
    return "-" if value is None else f"{value:.4f}"
