"""Tables of PostgreSQL that are written: by COPY, in transactions, with errors that show no address.

Sources are read elsewhere (`io.databases`), by sessions that refuse to write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from perennial.errors import SetupError, SourceError
from perennial.io.databases import LOST, SERVER_STATES, TIMEOUT_SECONDS, normalised

if TYPE_CHECKING:
    import sqlalchemy as sa


class Tables:
    """A session that writes; others see nothing of it before `commit`."""

    def __init__(self, connection: Any, cursor: Any) -> None:
        self._connection = connection
        self._cursor = cursor

    def run(self, statement: str, *parameters: object) -> None:
        """Run a statement; its parameters are `$1`, `$2` and so on."""
        self._cursor.execute(statement, parameters=parameters or None)

    def rows(self, query: str, *parameters: object) -> pa.Table:
        """Return what a query gives."""
        self._cursor.execute(query, parameters=parameters or None)
        return self._cursor.fetch_arrow_table()

    def value(self, query: str, *parameters: object) -> Any:
        """Return the first value of a query that gives one row."""
        return self.rows(query, *parameters).column(0)[0].as_py()

    def create(self, table: str, schema: pa.Schema, *, within: str | None = None) -> None:
        """Make a table with the columns of an Arrow schema, in the session's own schema or `within` another one."""
        with self._connection.cursor() as cursor:  # one of its own: it would remember `within`
            cursor.adbc_ingest(table, schema.empty_table(), mode="create", db_schema_name=within)

    def append(self, table: str, rows: pa.Table, *, within: str | None = None) -> None:
        """Add rows to a table that is there."""
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(table, rows, mode="append", db_schema_name=within)

    def commit(self) -> None:
        """Let others see what was done; all of it or nothing."""
        self._connection.commit()


@contextmanager
def writing(address: str) -> Iterator[Tables]:
    """Give a session; what is not committed at its end is undone.

    Raises:
        SetupError: the address is none of a PostgreSQL, or the server refuses a statement.
        SourceError: the server does not answer, or went away.
    """
    from adbc_driver_manager import Error as AdbcError
    from adbc_driver_postgresql import dbapi

    url = normalised(address)
    if url.get_backend_name() != "postgresql":
        raise SetupError(f"Tables are written to PostgreSQL only, and the connection is a {url.get_backend_name()!r}.")
    plain = url.set(drivername="postgresql").update_query_dict({"connect_timeout": TIMEOUT_SECONDS})
    try:
        with dbapi.connect(plain.render_as_string(hide_password=False)) as connection, connection.cursor() as cursor:
            yield Tables(connection, cursor)
    except AdbcError as error:
        raise _told(url, error, state=error.sqlstate or "") from None
    except (OSError, pa.ArrowException) as error:
        # What ends a stream of ADBC in its middle comes through Arrow, without a state.
        raise _told(url, error, state="") from None


def _told(url: sa.URL, error: Exception, *, state: str) -> SetupError | SourceError:
    """Translate a driver's error by who can fix it: an ERROR is about a statement, FATAL about the server."""
    said = " ".join(str(error).replace(str(url.password or "\0"), "***").split("Query was:")[0].split())
    for mark in ("'", '"'):
        said = said.replace(f"{mark}{url.username}{mark}", "***")
    refused = not state.startswith(SERVER_STATES) if state else "ERROR:" in said and not LOST.search(said)
    if refused:
        return SetupError(f"PostgreSQL refuses to write: {said} Check the tables, and what the connection's role may.")
    return SourceError(f"PostgreSQL cannot be written: {said} Check the server, and the connection's address.")
