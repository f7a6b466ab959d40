"""MLflow's aliases `champion` and `previous` as the projection of the ledger: moved after it, and watched.

A note on the model names the entry that the aliases follow, written after they were moved. So two things that look
alike can be told apart:

| the aliases | what it is | what happens |
|---|---|---|
| are where the newest decision says | all is well | |
| are where an earlier one says, as does the note | a decision broke off before it moved them | they are moved |
| are anywhere else | somebody moved them by hand | an incident, and nothing is scored |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from perennial.catalog import declared_today
from perennial.errors import AliasMovedError
from perennial.incidents import OPENS_AS, Kind
from perennial.io.entries import END, Action, Entry
from perennial.io.registry import CHAMPION, FOLLOWED, PREVIOUS

if TYPE_CHECKING:
    from perennial.adapters import Adapters

ALIASES = "aliases"  # what such an incident is about
KIND: Kind = "aliases moved"


@dataclass(frozen=True, slots=True)
class Standing:
    """The entry that made the champion, None where there is none; and what an alias says otherwise."""

    case: str
    entry: Entry | None
    moved: str = ""

    @property
    def champion(self) -> str | None:
        """Return the version that the ledger says is the champion."""
        return self.entry.to_version if self.entry else None

    def raise_if_moved(self) -> None:
        """Raise AliasMovedError where an alias is not where the ledger says, with what can be done."""
        if self.moved:
            raise AliasMovedError(
                f"{self.moved}. Nothing is scored until the two agree. A mistake: put it back with `perennial aliases "
                f"{self.case} --repair --reason …`. A version that was champion before is wanted: `perennial rollback "
                f"{self.case} --to … --reason …`. A new one is wanted: evaluate and promote it."
            )


def standing(case: str, adapters: Adapters) -> Standing:
    """Return who is champion; aliases that a decision has left behind by breaking off are moved on.

    Raises:
        LedgerError: the ledger does not answer.
        RegistryError: MLflow does not answer.
    """
    crownings, aliases = adapters.ledger.reigns(case), adapters.registry.aliases(case)
    followed = adapters.registry.notes(case).get(FOLLOWED)
    if not crownings:
        return Standing(case, None, _unknown(case, aliases))
    newest = crownings[-1]
    behind = _behind(crownings, followed)
    if not behind:
        moved = f"MLflow's aliases of {case} follow the entry {followed}, which the ledger does not hold"
        return Standing(case, newest, moved)
    if aliases.get(CHAMPION) not in behind:
        return Standing(case, newest, _elsewhere(newest, aliases, CHAMPION, newest.to_version))
    if followed != newest.anchor:
        project(case, adapters)
        return Standing(case, newest)
    if newest.from_version and aliases.get(PREVIOUS) != newest.from_version:
        return Standing(case, newest, _elsewhere(newest, aliases, PREVIOUS, newest.from_version))
    return Standing(case, newest)


def champion(case: str, adapters: Adapters) -> str:
    """Return the champion's version, about which ledger and registry agree.

    Raises:
        AliasMovedError: somebody has moved an alias by hand.
        NoModelError: there is no champion yet.
    """
    found = standing(case, adapters)
    found.raise_if_moved()
    return found.champion or adapters.registry.required_version_of(case, CHAMPION)


def watch(case: str, adapters: Adapters, *, now: datetime, who: str, run: str) -> Standing:
    """Return who is champion; an alias that was moved by hand opens an incident, one that is back closes it."""
    found = standing(case, adapters)
    opened = adapters.ledger.open_incident(case, about=ALIASES)
    if found.moved and opened is None:
        _open(found, adapters, now=now, who=who, run=run)
    if not found.moved and opened is not None:
        close_incident(opened, adapters, reason="the aliases are where the ledger says", now=now, who=who, run=run)
    return found


def project(case: str, adapters: Adapters) -> None:
    """Move the aliases to where the ledger says they are; again, where it has moved on meanwhile."""
    entry = adapters.ledger.latest_promotion(case)
    while entry is not None and entry.to_version is not None:
        if entry.from_version is not None:
            adapters.registry.set_alias(case, PREVIOUS, entry.from_version)
        adapters.registry.set_alias(case, CHAMPION, entry.to_version)
        adapters.registry.note(case, {FOLLOWED: entry.anchor})
        newest = adapters.ledger.latest_promotion(case)
        entry = None if newest == entry else newest


def repair(case: str, adapters: Adapters, *, reason: str, now: datetime, who: str, run: str) -> Standing:
    """Put the aliases where the ledger says, or away where it knows of no champion; the incident is over by that."""
    found = watch(case, adapters, now=now, who=who, run=run)
    if found.entry is not None:
        project(case, adapters)
    else:
        for alias in {CHAMPION, PREVIOUS} & set(adapters.registry.aliases(case)):
            adapters.registry.delete_alias(case, alias)
    opened = adapters.ledger.open_incident(case, about=ALIASES)
    if opened is not None:
        close_incident(opened, adapters, reason=reason, now=now, who=who, run=run)
    return found


def close_incident(opened: Entry, adapters: Adapters, *, reason: str, now: datetime, who: str, run: str) -> Entry:
    """Enter that an incident is over; once, whoever sees it first."""
    entry = Entry(
        opened.case, now, "incident closed", who, reason, run, opened.from_version, opened.to_version,
        report={"about": ALIASES, "kind": KIND, "opened": opened.id},
    )  # fmt: skip
    return adapters.ledger.add(entry, once=f"{END}{opened.id}")


def _open(found: Standing, adapters: Adapters, *, now: datetime, who: str, run: str) -> None:
    aliases = adapters.registry.aliases(found.case)
    opened: tuple[Action, ...] = ("incident opened",)
    known = adapters.ledger.history(found.case, actions=opened, limit=None)
    last = next((each.id for each in known if each.report.get("about") == ALIASES), 0)
    declared = declared_today(found.case)
    severity = declared.alerts.opens_as(KIND) if declared else OPENS_AS[KIND]
    entry = Entry(
        found.case, now, "incident opened", who, found.moved, run, found.champion, aliases.get(CHAMPION),
        report={"about": ALIASES, "kind": KIND, "severity": severity, "aliases": aliases},
    )  # fmt: skip
    # Two tasks may see the same incident; what it follows tells it from the one before.
    adapters.ledger.add(entry, once=f"aliases of {found.case} after incident {last}")


def _behind(crownings: tuple[Entry, ...], followed: str | None) -> set[str | None]:
    """Return where the alias may be if nobody but us has moved it; nothing where the note is of no entry."""
    newest = crownings[-1]
    if followed is None:  # the very first decision, or one of a version that wrote no notes
        return {None, newest.from_version, newest.to_version}
    anchors = [each.anchor for each in crownings]
    return {each.to_version for each in crownings[anchors.index(followed) :]} if followed in anchors else set()


def _elsewhere(newest: Entry, aliases: Mapping[str, str], alias: str, wanted: str | None) -> str:
    place = f"at version {aliases[alias]}" if alias in aliases else "gone"
    return (
        f"MLflow's alias {alias!r} of {newest.case} is {place}, and entry {newest.id} of the ledger ({newest.action} "
        f"by {newest.who}) says version {wanted}: somebody has moved it by hand"
    )


def _unknown(case: str, aliases: Mapping[str, str]) -> str:
    if CHAMPION not in aliases:
        return ""
    return (
        f"MLflow's alias {CHAMPION!r} of {case} is at version {aliases[CHAMPION]}, and the ledger knows of no "
        "champion: somebody has set it by hand"
    )
