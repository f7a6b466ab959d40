"""The ledger's schema, step by step (alembic); works for PostgreSQL and SQLite alike."""
