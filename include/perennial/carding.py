"""Write the cards of versions below the folder of pages: again whenever something about a version was entered.

A card is made of the ledger and the manifest, so it can be made at any time; one that could not be written costs no
decision, and is there after the next one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from perennial import cards
from perennial.cards import Card, Facts, Rate
from perennial.errors import DataError, LedgerError, RegistryError
from perennial.io import cardpage, pages
from perennial.io.profilepage import replaced
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

TAG = "card"
CALIBRATION = "plots/calibration.png"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Written:
    """Where a card lies, and its text."""

    html: Path
    markdown: str


def write(name: str, version: str, adapters: Adapters, *, case: UseCase | None) -> Written:
    """Write both files of a version's card, whole or not at all, and tag the version with the address.

    Args:
        name: of the use case.
        version: of its model; it exists.
        adapters: ledger and registry.
        case: as it is declared now, None where it is gone.

    Raises:
        DataError: the manifest, or a report of the ledger, lacks what every training and evaluation keeps.
        LedgerError: the ledger does not answer.
        RegistryError: MLflow does not answer.
        OSError: the folder of pages cannot be written.
    """
    settings = adapters.settings
    made = _card(_facts(name, version, adapters, case))
    html = cardpage.page(made, calibration=_picture(name, version, adapters))
    markdown = cardpage.markdown(made, airflow_url=settings.airflow_url)
    path = cards.path(name, version)
    replaced(settings.pages_root / cards.path(name, version, ending="md"), markdown.encode())
    replaced(settings.pages_root / path, html.encode())
    adapters.registry.tag(name, version, {TAG: pages.address(settings.airflow_url, path)})
    return Written(settings.pages_root / path, markdown)


def keep(name: str, version: str, adapters: Adapters, *, case: UseCase | None) -> None:
    """Write the cards of a version and of those whose state its newest entry has changed; what fails is only logged."""
    try:
        for each in _concerned(name, version, adapters):
            write(name, each, adapters, case=case)
    except (DataError, LedgerError, RegistryError, OSError) as error:
        log.warning("%s version %s: its card is not written, the next entry writes it: %s", name, version, error)


def _concerned(name: str, version: str, adapters: Adapters) -> tuple[str, ...]:
    """Return the version, whom it followed as champion, and the challenger before it."""
    reigns = adapters.ledger.reigns(name)
    known = adapters.registry.versions(name)
    followed = reigns[-1].from_version if reigns and reigns[-1].to_version == version else None
    before = known[known.index(version) - 1] if version in known[1:] else None
    return tuple(each for each in dict.fromkeys((followed, before, version)) if each in known)


def _card(facts: Facts) -> Card:
    try:
        return cards.card(facts)
    except (KeyError, ValueError) as error:  # a manifest or a report that is not ours; pydantic's is a ValueError
        told = f"{type(error).__name__}: {error}"
        raise DataError(
            f"{facts.case} version {facts.version} has no card: its manifest or a report of it in the ledger cannot be "
            f"read ({told}). Look at them: perennial ledger show {facts.case} --json."
        ) from error


def _facts(name: str, version: str, adapters: Adapters, case: UseCase | None) -> Facts:
    ledger, settings = adapters.ledger, adapters.settings
    trained = ledger.latest(name, "trained", version=version)
    newest = ledger.latest(name, "trained")
    return Facts(
        case=name,
        version=version,
        today=case,
        # The chain vouches for the ledger's copy; trainings of before it had one are in MLflow alone.
        manifest=trained.report if trained and trained.report else adapters.registry.manifest(name, version),
        entries=tuple(reversed(ledger.history(name, version=version, limit=None))),
        reigns=ledger.reigns(name),
        newest=newest.to_version if newest else None,
        rate=Rate(settings.compute_rate, settings.compute_currency),
    )


def _picture(name: str, version: str, adapters: Adapters) -> bytes | None:
    """Return the picture of the calibration that the training kept; a card can do without it."""
    try:
        return adapters.registry.file(name, version, CALIBRATION)
    except RegistryError as error:
        log.info("%s version %s has no picture of its calibration: %s", name, version, error)
        return None
