"""Roll back: make a version that was champion before the champion again, at once, with everything checked first.

It waits for nobody: neither a training nor a promotion holds anything that it needs. Of a rollback and a promotion at
the same time the ledger takes the first, and the other is refused.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from perennial import carding, projection
from perennial.errors import RefusedError, RegistryError, nearest
from perennial.io.ledger import Entry
from perennial.io.registry import RegisteredModel
from perennial.records import PromotionRecord
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

log = logging.getLogger(__name__)


def run(  # noqa: PLR0913 - a decision has that many sides
    case: UseCase, version: str, adapters: Adapters, *, who: str, reason: str, now: datetime, run: str = "manual",
    upon: int | None = None,
) -> PromotionRecord:  # fmt: skip
    """Point `champion` at a former champion and `previous` at the present one.

    Args:
        case: whose model; its features as they are declared today count.
        version: a version that was champion before: it passed its gates then.
        adapters: ledger, registry and lake.
        who: who decided.
        reason: why; everyone concerned reads it.
        now: when.
        run: what started it.
        upon: number of the entry whose champion this was decided upon; None means whoever is champion now.

    Raises:
        RefusedError: there is no reason or no such version, it never was champion or is so now, it cannot be loaded, it
            does not fit today's features, or another decision was faster. Nothing has changed but the ledger, which
            says so.
        LedgerError: the ledger does not answer.
        RegistryError: MLflow does not answer; where the ledger has the rollback, whatever runs next moves the aliases.
    """
    standing = projection.watch(case.name, adapters, now=now, who=who, run=run)
    entry = Entry(case.name, now, "rolled back", who, reason.strip(), run, standing.champion, version)
    try:
        if upon is not None and (standing.entry is None or standing.entry.id != upon):
            raise RefusedError.overtaken(entry, standing.entry)
        _refuse_unless_possible(case, entry, adapters)
        written = adapters.ledger.crown(entry, after=standing.entry)
    except RefusedError as error:
        adapters.ledger.add(replace(entry, action="refused", reason=f"rollback: {error}"))
        carding.keep(case.name, version, adapters, case=case)
        raise
    projection.project(case.name, adapters)
    projection.watch(case.name, adapters, now=now, who=who, run=run)
    carding.keep(case.name, version, adapters, case=case)
    log.info("%s rolled back from version %s to %s: %s", case.name, standing.champion, version, reason)
    return PromotionRecord.of(written, changed=entry.became(written))


def _refuse_unless_possible(case: UseCase, entry: Entry, adapters: Adapters) -> None:
    """Check everything before anything changes; the cheap questions first."""
    version = str(entry.to_version)
    refused = f"{case.name} is not rolled back to version {version or '(none)'}"
    if not entry.reason:
        raise RefusedError(f"{refused}: a reason is needed, which everyone concerned reads. Give one.")
    known = adapters.registry.versions(case.name)
    if version not in known:
        raise RefusedError(f"{refused}: MLflow has no such version. {nearest(version, known)}")
    if version == entry.from_version:
        raise RefusedError(f"{refused}: it is the champion already.")
    former = [str(each.to_version) for each in adapters.ledger.reigns(case.name)]
    if version not in former:
        raise RefusedError(
            f"{refused}: it never was champion, so it has to pass its gates: perennial evaluate {case.name} "
            f"--version {version}. Champions so far: {', '.join(dict.fromkeys(former)) or 'none'}."
        )
    _refuse_unfit(case, _loaded(case, version, adapters, refused=refused), adapters, refused=refused)


def _loaded(case: UseCase, version: str, adapters: Adapters, *, refused: str) -> RegisteredModel:
    """Return the version as scoring would load it: the artifact is there, and is of our own format."""
    try:
        return adapters.registry.load(case.name, version)
    except RegistryError as error:
        raise RefusedError(f"{refused}: its artifact cannot be loaded. {error}") from error


def _refuse_unfit(case: UseCase, model: RegisteredModel, adapters: Adapters, *, refused: str) -> None:
    """Refuse a model whose label or features are not those of today, as declared and as they lie in the lake."""
    if model.kind != case.label.kind:
        raise RefusedError(f"{refused}: it predicts a label of kind {model.kind}, and label.kind is {case.label.kind}.")
    declared = {"numeric": case.features.numeric, "categorical": case.features.categorical}
    wanted = {"numeric": model.numeric, "categorical": model.categorical}
    gone = [f"{name} ({kind})" for kind in wanted for name in wanted[kind] if name not in declared[kind]]
    if gone:
        raise RefusedError(
            f"{refused}: its signature does not fit today's features: it needs {', '.join(gone)}, which use_case.yaml "
            "does not declare so. Put them back, or roll back to another version."
        )
    unfit = _unfit_columns(case, model, adapters)
    if unfit:
        raise RefusedError(
            f"{refused}: its signature does not fit {case.features_table}: {', '.join(unfit)}. Build the features with "
            "the SQL of its time, or roll back to another version."
        )


def _unfit_columns(case: UseCase, model: RegisteredModel, adapters: Adapters) -> list[str]:
    """Return what the newest table of snapshots lacks, or has as text; nothing where there is no table."""
    if adapters.lake.version(case.features_table) is None:
        return []
    schema = adapters.lake.dataset(case.features_table).schema
    absent = [f"{name} is not there" for name in (*model.numeric, *model.categorical) if name not in schema.names]
    there = [name for name in model.numeric if name in schema.names]
    text = [name for name in there if pa.types.is_string(schema.field(name).type)]
    return [*absent, *(f"{name} is text there, and was a number" for name in text)]
