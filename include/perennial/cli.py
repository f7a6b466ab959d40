"""Every stage by hand, on the same code that Airflow runs; the only place that prints.

Exit codes: 0 done, 1 a gate failed, 2 input or setup is wrong.
"""

from __future__ import annotations

import sys

import typer

from perennial.errors import GateFailedError, PerennialError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, help=__doc__)


def main() -> None:
    """Run the command line; our own errors become one line on stderr and an exit code."""
    try:
        app()
    except GateFailedError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    except PerennialError as error:
        typer.echo(f"perennial: {error}", err=True)
        sys.exit(2)
