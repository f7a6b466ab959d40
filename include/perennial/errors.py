"""Every error this project raises on purpose.

PerennialError
├── SpecError         a use-case file is wrong              the author of the file can fix it
├── DataError         rows or a source break a contract     the data's owner can fix it
├── SourceError       a source's server does not answer     an operator can fix it
├── LeakError         features know what comes after them   the author of the SQL can fix it
├── GateFailedError   a model is not good enough            nobody: the champion stays
├── RegistryError     the model registry refused            an operator can fix it
│   └── NoModelError  no model has the alias yet            whoever trains can fix it
├── LedgerError       the ledger refused                    an operator can fix it
├── LakeError         a partition could not be written      an operator can fix it
├── MailError         an alert could not be delivered       an operator can fix it
└── SetupError        the machine or its settings           whoever runs the stack can fix it
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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


class RegistryError(PerennialError):
    """The model registry refused, or does not answer."""


class NoModelError(RegistryError):
    """A use case has no challenger, or no champion, yet."""


class LedgerError(PerennialError):
    """The ledger refused, or does not answer."""


class LakeError(PerennialError):
    """A partition could not be read or written; what was there before is still there."""


class MailError(PerennialError):
    """An alert could not be handed to the mail server."""


class SetupError(PerennialError):
    """Something this machine or its settings must provide is missing or wrong."""
