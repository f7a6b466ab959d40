"""What failures have in common: forty tasks that fail for one reason are one incident."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

UNKNOWN = "unknown"
VARYING = re.compile(
    r"""
    '[^']*' | "[^"]*" | `[^`]*`          # names in quotes
    | \b(0x)?[0-9a-f]{8,}\b                 # hashes and ids
    | \d+                                # numbers, days, ports
    """,
    re.VERBOSE | re.IGNORECASE,
)


def cause(error: str | None, *, names: Iterable[str] = (), otherwise: str) -> str:
    """Return a short name of why something failed: equal where the errors differ in names, numbers and days only.

    Args:
        error: class and message, such as `LedgerError: The ledger at ...`; its first line counts.
        names: of use cases and the like, which differ between tasks that fail for one reason.
        otherwise: what tells the cause where no error is known: such failures are one cause a part.

    >>> first = cause("SourceError: no rows of 2026-03-01 in toy", names=["toy"], otherwise="")
    >>> first == cause("SourceError: no rows of 2026-03-02 in shop", names=["shop"], otherwise="")
    True
    """
    if not error:
        return f"{UNKNOWN} {digest(otherwise)}"
    line = error.partition("\n")[0]
    for name in sorted(names, key=lambda each: -len(each)):
        line = line.replace(name, "#")
    return f"{error.partition(':')[0].strip()[:60]} {digest(VARYING.sub('#', line))}"


def digest(text: str) -> str:
    """Return eight hexadecimal digits of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
