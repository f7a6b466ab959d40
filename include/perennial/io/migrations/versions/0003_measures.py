"""What was measured day by day, a row a measure, so that it can be charted; none of it can be changed or deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = "ledger_measures"
REFUSAL = "the ledger is append-only"


def upgrade() -> None:
    """Create the table, the indexes that charts need, and the triggers that keep it append-only."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("case", sa.String(40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("about", sa.String(20), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("measure", sa.String(40), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("limit", sa.Float),
        sa.Column("over", sa.Boolean, nullable=False),
        sa.Column("model_version", sa.String(40), nullable=False),
        sa.Column("run", sa.String(300), nullable=False),
    )
    # By concern for a chart of one, by day for a day's page and the newest day.
    op.create_index("ledger_measures_of_concern", TABLE, ["case", "about", "day"])
    op.create_index("ledger_measures_of_day", TABLE, ["case", "day"])
    _append_only()


def _append_only() -> None:
    """Let the database itself refuse updates and deletes."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"create or replace function {TABLE}_refuse() returns trigger language plpgsql as "
            f"$$ begin raise exception '{REFUSAL}'; end $$"
        )
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
