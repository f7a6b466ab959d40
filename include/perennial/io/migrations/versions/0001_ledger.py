"""Entries, monitor records and alerts, none of which can be changed or deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = ("ledger_entries", "ledger_monitors", "ledger_alerts")
REFUSAL = "the ledger is append-only"


def upgrade() -> None:
    """Create the tables and the triggers that keep them append-only."""
    op.create_table(
        "ledger_entries",
        *_identity(),
        sa.Column("day", sa.Date),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("from_version", sa.String(40)),
        sa.Column("to_version", sa.String(40)),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("run", sa.String(300), nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("once", sa.String(200), unique=True),
    )
    op.create_index("ledger_entries_of_case", "ledger_entries", ["case", "action", "id"])
    op.create_table(
        "ledger_monitors",
        *_identity(),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("model_version", sa.String(40), nullable=False),
        sa.Column("verdict", sa.String(40), nullable=False),
        sa.Column("run", sa.String(300), nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("ledger_monitors_of_day", "ledger_monitors", ["case", "day", "id"])
    op.create_table(
        "ledger_alerts",
        *_identity(),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("verdict", sa.String(40), nullable=False),
        sa.Column("since", sa.Date, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("ledger_alerts_of_finding", "ledger_alerts", ["case", "verdict", "since"])
    for table in TABLES:
        _append_only(table)


def _identity() -> tuple[sa.Column[object], ...]:
    """Return the columns that each table begins with."""
    return (
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("case", sa.String(40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )


def _append_only(table: str) -> None:
    """Let the database itself refuse updates and deletes."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"create or replace function {table}_refuse() returns trigger language plpgsql as "
            f"$$ begin raise exception '{REFUSAL}'; end $$"
        )
        for event, each in (("update or delete", "row"), ("truncate", "statement")):
            name = f"{table}_no_{event.split()[0]}"
            op.execute(
                f"create trigger {name} before {event} on {table} for each {each} execute function {table}_refuse()"
            )
        return
    for event in ("update", "delete"):
        op.execute(
            f"create trigger {table}_no_{event} before {event} on {table} begin select raise(abort, '{REFUSAL}'); end"
        )
