"""An index for the page that shows all use cases at once: the last days of some measures, whatever the use case."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index."""
    op.create_index("ledger_measures_of_days", "ledger_measures", ["about", "day"])
