"""Entries that are chained by their hashes; those of before are chained in the order they were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from perennial.io import chain

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = "ledger_entries"
REFUSAL = "the ledger is append-only"


def upgrade() -> None:
    """Make the table anew, since its rows refuse to be changed; one transaction, so that nothing is lost midway."""
    rows = _rows()
    op.drop_index("ledger_entries_of_case", TABLE)
    op.drop_table(TABLE)
    made = op.create_table(
        TABLE,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("case", sa.String(40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("day", sa.Date),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("from_version", sa.String(40)),
        sa.Column("to_version", sa.String(40)),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("run", sa.String(300), nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("once", sa.String(200), unique=True),
        # Two entries cannot follow the same one: the chain never forks, whatever a writer does.
        sa.Column("previous", sa.String(64), nullable=False, unique=True),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
    )
    op.create_index("ledger_entries_of_case", TABLE, ["case", "action", "id"])
    if rows:
        op.bulk_insert(made, _chained(rows))
    _append_only()


def _rows() -> list[dict[str, Any]]:
    """Return the entries in the order they were written."""
    table = sa.Table(TABLE, sa.MetaData(), autoload_with=op.get_bind())
    return [dict(row) for row in op.get_bind().execute(sa.select(table).order_by(table.c.id)).mappings()]


def _chained(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows, each with the hash of the one before and its own."""
    made: list[dict[str, Any]] = []
    for row in rows:
        linked = {**row, "previous": made[-1]["hash"] if made else chain.GENESIS}
        made.append({**linked, "hash": chain.digest(linked)})
    return made


def _append_only() -> None:
    """Let the database itself refuse updates and deletes; the function of PostgreSQL is there since the first step."""
    if op.get_bind().dialect.name == "postgresql":
        for event, each in (("update or delete", "row"), ("truncate", "statement")):
            name = f"{TABLE}_no_{event.split()[0]}"
            op.execute(
                f"create trigger {name} before {event} on {TABLE} for each {each} execute function {TABLE}_refuse()"
            )
        return
    for event in ("update", "delete"):
        op.execute(
            f"create trigger {TABLE}_no_{event} before {event} on {TABLE} begin select raise(abort, '{REFUSAL}'); end"
        )
