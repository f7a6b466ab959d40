"""A clean process: this program in an interpreter of its own, which has imported and remembered nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

from perennial.errors import SetupError

PROGRAM = "from perennial.cli import main; main()"
SHOWN = 2000


def run(arguments: Sequence[str], *, environment: Mapping[str, str]) -> None:
    """Run a command of `perennial` and wait for its end.

    Args:
        arguments: of the command line.
        environment: all that it sees of this one.

    Raises:
        SetupError: it ended with another exit code than 0; has what it said last.
    """
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True)  # noqa: S603  our own program
    if done.returncode:
        raise SetupError(
            f"The clean process `perennial {' '.join(arguments)}` ended with exit code {done.returncode}: "
            f"{done.stderr.strip()[-SHOWN:] or 'it said nothing'}"
        )
