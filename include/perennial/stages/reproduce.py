"""Reproduce: prove that a registered model can be made again from its manifest, and keep the receipt.

The manifest is held against the ledger first, whose chain vouches for it; then a clean process rebuilds the model
(`perennial.stages.rebuild`). The receipt is an entry of the ledger, a file of the version's run, and a tag.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from perennial.core import differences
from perennial.errors import DataError, NoModelError, RegistryError, nearest
from perennial.io.entries import COST
from perennial.io.ledger import Entry
from perennial.io.registry import CHALLENGER, CHAMPION, PREVIOUS
from perennial.receipts import Outcome, Rebuilt, Receipt
from perennial.records import Json
from perennial.stages import blueprint

if TYPE_CHECKING:
    from perennial.adapters import Adapters

RECEIPTS = "receipts"
TAG = "reproduced"
TAG_SHOWN = 500
UNKNOWN = "unknown"

log = logging.getLogger(__name__)


def run(
    name: str,
    version: str,
    adapters: Adapters,
    *,
    rebuild: Callable[[str, str], Rebuilt],
    code: str,
    who: str,
    now: datetime,
) -> Receipt:
    """Return the receipt, kept; a stage that differs does not raise.

    Args:
        name: of the use case.
        version: of its model.
        adapters: registry and ledger.
        rebuild: makes the model again, from name and version, and compares.
        code: the commit that `rebuild` runs.
        who: asked for it.
        now: when.

    Raises:
        DataError: the version was trained before blueprints were kept.
        RegistryError: there is no such version, or MLflow does not answer.
        LedgerError: the ledger does not answer.
    """
    manifest = adapters.registry.manifest(name, version)
    _refuse_without_blueprint(name, version, manifest)
    checked = _manifest(name, version, manifest, adapters)
    rebuilt = rebuild(name, version) if checked.state == "equal" else Rebuilt(())
    receipt = Receipt(
        case=name, version=version, at=now, who=who, trained_with=str(manifest.get("code", UNKNOWN)), rebuilt_with=code,
        outcomes=(checked, *rebuilt.outcomes), notes=(*_code_notes(manifest, code), *rebuilt.notes),
    )  # fmt: skip
    kept = _keep(receipt, adapters)
    log.info("%s version %s: %s", name, version, kept.reason)
    return kept


def asked(text: str, adapters: Adapters) -> tuple[str, str]:
    """Return use case and version of `CASE`, `CASE@VERSION` or `CASE@ALIAS`; a case alone is its champion.

    The champion is the one of the ledger, wherever MLflow's alias may have been moved.

    Raises:
        NoModelError: nobody has the alias.
        RegistryError: there is no such version.
    """
    name, _, which = text.partition("@")
    if which in {"", CHAMPION}:
        champion = adapters.ledger.champion(name)
        if champion is None:
            raise NoModelError(f"{name} has no champion: name a version, such as {name}@1 or {name}@{CHALLENGER}.")
        return name, champion
    if which in {CHALLENGER, PREVIOUS}:
        return name, adapters.registry.required_version_of(name, which)
    known = adapters.registry.versions(name)
    if which not in known:
        raise RegistryError(
            f"{name} has no version {which!r}. {nearest(which, (*known, CHAMPION, CHALLENGER, PREVIOUS))}"
        )
    return name, which


def _refuse_without_blueprint(name: str, version: str, manifest: Json) -> None:
    if blueprint.KEY not in manifest:
        raise DataError(
            f"{name} version {version} cannot be reproduced: its manifest has no {blueprint.KEY!r}, since it was "
            f"trained before {blueprint.BLUEPRINT} (definition, digests of the sources, fingerprints of features and "
            f"model) and {blueprint.GOLDEN} were kept. Train again: perennial train {name} --as-of {manifest['as_of']}."
        )


def _manifest(name: str, version: str, manifest: Json, adapters: Adapters) -> Outcome:
    """Hold the manifest against the ledger's entry of the training, and the files it names against their digests."""
    entry = adapters.ledger.latest(name, "trained", version=version)
    if entry is None or not entry.report:
        detail = f"the ledger has no manifest of a training that made version {version}"
        return Outcome("manifest", "differs", "", blueprint.fingerprint(manifest), detail)
    now = manifest | {"files": _digests(name, version, adapters)}
    # What the training took is the ledger's alone: it is no part of what can be made again.
    recorded = {name: value for name, value in entry.report.items() if name != COST}
    then = recorded | {"files": entry.report[blueprint.KEY]["files"]}
    detail = f"{differences.told(then, now)}. What was is in the ledger, entry {entry.id}"
    return Outcome.of("manifest", blueprint.fingerprint(then), blueprint.fingerprint(now), detail=detail)


def _digests(name: str, version: str, adapters: Adapters) -> dict[str, str]:
    files = (blueprint.BLUEPRINT, blueprint.GOLDEN)
    return {file: hashlib.sha256(adapters.registry.file(name, version, file)).hexdigest() for file in files}


def _code_notes(manifest: Json, code: str) -> tuple[str, ...]:
    """Return what is to be said of the code; nothing where it is the recorded one."""
    recorded = str(manifest.get("code", UNKNOWN))
    if UNKNOWN in {recorded, code}:
        return (f"the code cannot be compared: trained with {recorded}, rebuilt with {code} (PERENNIAL_CODE_VERSION)",)
    return () if recorded == code else (f"the code was {recorded}, is {code}",)


def _keep(receipt: Receipt, adapters: Adapters) -> Receipt:
    """Enter the receipt into the ledger, then keep it with the version."""
    written = adapters.ledger.add(
        Entry(
            receipt.case, receipt.at, "not reproduced" if receipt.difference else "reproduced", who=receipt.who,
            reason=receipt.reason, run="reproduce", to_version=receipt.version, report=receipt.to_json(),
        )
    )  # fmt: skip
    receipt = replace(receipt, entry=written.id)
    file = f"{RECEIPTS}/{receipt.at:%Y-%m-%dT%H%M%SZ}-entry-{written.id}.json"
    text = json.dumps(receipt.to_json(), indent=1, sort_keys=True).encode()
    adapters.registry.keep(receipt.case, receipt.version, {file: text})
    told = f"{'no' if receipt.difference else 'yes'}, entry {written.id}: {receipt.reason}"
    adapters.registry.tag(receipt.case, receipt.version, {TAG: told[:TAG_SHOWN]})
    return receipt
