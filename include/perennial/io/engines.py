"""The ledger's database: its engine, its lock between writers, and its migrations."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "ledger_schema"
CONNECT_SECONDS = 5
BUSY_SECONDS = 30


def make(url: sa.URL) -> sa.Engine:
    """Return an engine that does not wait long for a database that is not there."""
    if url.get_backend_name() == "sqlite":
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
        return sa.create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS})
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg2")
    return sa.create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS})


def lock(connection: sa.Connection, number: int) -> None:
    """Let one transaction at a time go past here, until it ends."""
    if connection.dialect.name == "sqlite":
        # Without it the driver begins a transaction with the first change only, and none before a table is made.
        connection.exec_driver_sql("begin immediate")
    else:
        connection.execute(sa.text("select pg_advisory_xact_lock(:lock)"), {"lock": number})


def migrate(connection: sa.Connection) -> None:
    """Run the missing migrations on an open connection."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    command.upgrade(config, "head")
