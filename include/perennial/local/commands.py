"""The command line's `up`, `down`, `status` and `demo`: each is one call into the embedded stack."""

from __future__ import annotations

from typing import Annotated

import typer

from perennial.settings import load_settings

app = typer.Typer(help=__doc__)


@app.command()
def up() -> None:
    """Start the embedded stack and leave it running; its data is where the last stop left it."""
    from perennial.local import stack
    from perennial.local.steps import Steps

    layout = stack.up(load_settings(), steps=Steps())
    typer.echo(stack.describe(layout))


@app.command()
def down() -> None:
    """Stop the embedded stack; its data stays."""
    from perennial.local import stack

    killed = stack.down(load_settings())
    typer.echo(f"The stack is stopped{f'; {len(killed)} processes had to be killed' if killed else ''}.")


@app.command()
def status() -> None:
    """Print each component's state; exit 2 where the stack does not run."""
    from perennial.local import stack

    for name, state in stack.status(load_settings()).items():
        typer.echo(f"{name:<14} {state}")


@app.command()
def demo(
    case: Annotated[str, typer.Argument(help="conversion, or visitor_conversion, which is simulated")] = "conversion",
) -> None:
    """Walk the whole loop, then print what happened; the stack stays up."""
    from perennial.local import demo as walk
    from perennial.local import summary
    from perennial.local.steps import Steps

    steps = Steps()
    outcome = walk.run(load_settings(), case=case, steps=steps)
    summary.show(outcome, steps=steps, settings=load_settings(), case=case)


@app.command()
def prepare() -> None:
    """Bring the ledger's tables to this version's form; `up` does it by itself, a server's first job has to."""
    from perennial.io.ledger import Ledger

    Ledger(load_settings().ledger).upgrade()
