"""Every error this project raises on purpose.

PerennialError
├── SpecError         a use-case file is wrong              the author of the file can fix it
├── DataError         rows or a source break a contract     the data's owner can fix it
├── SourceError       a source's server does not answer     an operator can fix it
├── LeakError         features know what comes after them   the author of the SQL can fix it
├── GateFailedError   a model is not good enough            nobody: the champion stays
├── RefusedError      a promotion or rollback is refused    whoever asked can fix it: the champion stays
├── TamperedError     the ledger's chain is broken          an auditor has to look
├── NotReproducedError  a model is not rebuilt as it was    an auditor has to look
├── AliasMovedError   an alias is not where the ledger says an operator can fix it
├── RegistryError     the model registry refused            an operator can fix it
│   └── NoModelError  no model has the alias yet            whoever trains can fix it
├── LedgerError       the ledger refused                    an operator can fix it
├── LakeError         a partition could not be written      an operator can fix it
├── MailError         an alert could not be delivered       an operator can fix it
└── SetupError        the machine or its settings           whoever runs the stack can fix it
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches
from typing import Protocol


class Crowning(Protocol):
    """What an error says of a decision that makes a champion."""

    @property
    def case(self) -> str:
        """Return whose champion."""

    @property
    def to_version(self) -> str | None:
        """Return the version."""

    @property
    def action(self) -> str:
        """Return what was done, as a participle."""

    @property
    def who(self) -> str:
        """Return who did it."""

    @property
    def at(self) -> datetime:
        """Return when, in UTC."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return what was probably meant: the closest of `known`, or the list of them where none is close.

    >>> nearest("chrun", ["churn", "conversion"])
    "Did you mean 'churn'?"
    >>> nearest("x", [])
    'Known: none.'
    """
    choices = sorted(known)
    close = get_close_matches(name, choices, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(choices) or 'none'}."


class PerennialError(Exception):
    """Base of all errors that are raised on purpose; trying again says the same thing."""


class SpecError(PerennialError):
    """A use-case file cannot be used."""

    @classmethod
    def unknown_case(cls, name: str, known: Iterable[str]) -> SpecError:
        """Return the error for a use case that has no folder."""
        return cls(f"There is no use case {name!r} under include/use_cases. {nearest(name, known)}")


class DataError(PerennialError):
    """Rows, or the source that holds them, break a contract."""


class SourceError(PerennialError):
    """The server that a source lies on refused, or does not answer; it may when asked again."""


class LeakError(DataError):
    """A feature changes when the rows after its day are taken away."""


class GateFailedError(PerennialError):
    """A challenger did not pass its gates; the champion stays."""


class RefusedError(PerennialError):
    """A promotion or a rollback is refused; nothing has changed, and the ledger says so."""

    @classmethod
    def overtaken(cls, wanted: Crowning, newest: Crowning | None) -> RefusedError:
        """Return the error for a decision upon a champion who is not the champion any more."""
        meanwhile = (
            f"version {newest.to_version} was {newest.action} by {newest.who} at {newest.at:%Y-%m-%d %H:%M} UTC"
            if newest
            else "the ledger has lost the champion that this was decided upon"
        )
        return cls(
            f"{wanted.case} version {wanted.to_version} is not {wanted.action}: {meanwhile}. Look at the champion "
            f"of now (`perennial champion {wanted.case}`), then decide again: a promotion needs a new evaluation."
        )


class TamperedError(PerennialError):
    """The ledger is not as it was written, or not as whoever kept its hash knew it."""


class NotReproducedError(PerennialError):
    """A model that was rebuilt from its manifest is not the one that was trained."""


class AliasMovedError(PerennialError):
    """An alias of MLflow is not where the ledger says; nothing is scored until the two agree."""


class RegistryError(PerennialError):
    """The model registry refused, or does not answer."""


class NoModelError(RegistryError):
    """A use case has no challenger, or no champion, yet."""


class LedgerError(PerennialError):
    """The ledger refused, or does not answer."""


class LakeError(PerennialError):
    """A partition could not be read or written; what was there before is still there."""


class MailError(PerennialError):
    """An alert could not be handed to the mail server.

    `refused` are the recipients that the server did not take, where it took the mail for the others; none where nobody
    got it.
    """

    refused: tuple[str, ...] = ()

    @classmethod
    def for_some(cls, message: str, refused: Iterable[str]) -> MailError:
        """Return the error for a mail that some of its recipients got."""
        error = cls(message)
        error.refused = tuple(sorted(refused))
        return error


class SetupError(PerennialError):
    """Something this machine or its settings must provide is missing or wrong."""
