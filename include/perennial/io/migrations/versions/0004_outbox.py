"""Mails that are to go out, and that stay so until a server has taken them; the table of mails says which went."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE = "ledger_outbox"
REFUSAL = "the ledger is append-only"


def upgrade() -> None:
    """Create the table; nothing of it changes, so that nobody can send another mail than was decided."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("case", sa.String(40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("topic", sa.String(40), nullable=False),
        sa.Column("mail", sa.Text, nullable=False),
        sa.UniqueConstraint("case", "topic"),
    )
    if op.get_bind().dialect.name == "postgresql":
        for event, each in (("update or delete", "row"), ("truncate", "statement")):
            name = f"{TABLE}_no_{event.split()[0]}"
            op.execute(
                f"create trigger {name} before {event} on {TABLE} for each {each} "
                "execute function ledger_alerts_refuse()"
            )
        return
    for event in ("update", "delete"):
        op.execute(
            f"create trigger {TABLE}_no_{event} before {event} on {TABLE} begin select raise(abort, '{REFUSAL}'); end"
        )
