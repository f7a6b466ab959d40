"""Queries of databases, streamed into Arrow a batch at a time; the window is bound, the connection only reads.

PostgreSQL is read by ADBC, whose COPY needs no row objects; every other database by SQLAlchemy with a server-side
cursor. An address is asked for by the connection's name and appears in no message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from perennial.contracts import ColumnType, Source
from perennial.errors import DataError, PerennialError, SetupError, SourceError
from perennial.io.queries import Window, replaced
from perennial.io.relations import detail

BATCH_ROWS = 50_000
BATCH_BYTES = 8 << 20
# Airflow's names of database kinds, and SQLAlchemy's name with the driver that is installed here.
DIALECTS = {
    "postgres": "postgresql", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql", "sqlite": "sqlite",
}  # fmt: skip
# What makes a session read in UTC and refuse to write.
SESSIONS: Mapping[str, Sequence[str]] = {
    "postgresql": ("set timezone = 'UTC'", "set default_transaction_read_only = on"),
    "mysql": ("set session time_zone = '+00:00'", "set session transaction read only"),
    "mariadb": ("set session time_zone = '+00:00'", "set session transaction read only"),
    "sqlite": ("pragma query_only = on",),
}
# Of PostgreSQL: connection lost, out of resources, stopped by an operator. The query itself is not to blame.
SERVER_STATES = ("08", "53", "57")
LOST = re.compile(r"\b(2006|2013|2014|2055|1205|1213)\b|database is locked|terminating connection")
TIMEOUT_SECONDS = "15"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as the database gives them, and the columns that are text only because it knows no better type."""

    rows: pa.Table
    texts: frozenset[str] = frozenset()


class Databases:
    """Reads queries; `resolve` gives a connection's SQLAlchemy URL by its name."""

    def __init__(self, resolve: Callable[[str], str]) -> None:
        self._resolve = resolve

    def batches(
        self, source: Source, query: str, window: Window | None = None, *, in_order: bool = False
    ) -> Iterator[Batch]:
        """Yield the rows of a query, at least one batch; in memory is one of them at a time.

        Args:
            source: whose query it is; names the connection.
            query: the text of the SQL file.
            window: what `:start` and `:end` are bound to; None for a reference table.
            in_order: sort by the source's time column.

        Raises:
            SetupError: there is no such connection, or no driver for it.
            SourceError: the server does not answer, refuses the password, or went away.
            DataError: the query does not run.
        """
        url = self._url(source)
        wrapped = f"select * from (\n{_bare(query)}\n) as source_rows"
        if in_order:
            wrapped += f" order by {_time_column(source, url)}"
        read = _postgres_batches if url.get_backend_name() == "postgresql" else _other_batches
        with _told(source, url):
            yield from read(source, url, wrapped, window)

    def newest(self, source: Source, query: str, window: Window) -> Any:
        """Return the newest time within a window, None where it is empty."""
        time = _time_column(source, self._url(source))
        newest = f"select max({time}) as newest from (\n{_bare(query)}\n) as windowed"
        for batch in self.batches(source, newest, window):
            for value in batch.rows.column("newest").to_pylist():
                return value
        return None

    def _url(self, source: Source) -> sa.URL:
        name = _connection(source)
        try:
            return normalised(self._resolve(name))
        except (ArgumentError, ValueError, AttributeError, TypeError):
            raise SetupError(
                f"The address of connection {name!r}, of source {source.name!r}, cannot be understood. "
                "Write it like postgresql://user:password@host:5432/database; the password URL-encoded."
            ) from None


def normalised(address: str) -> sa.URL:
    """Return an address, written as SQLAlchemy or Airflow do, with the driver that is installed here.

    >>> normalised("postgres://bob:secret@host/shop?__extra__=1")
    postgresql://bob:***@host/shop
    >>> normalised('{"conn_type": "mysql", "host": "db", "login": "bob", "schema": "shop"}')
    mysql+pymysql://bob@db/shop
    """
    if address.lstrip().startswith("{"):
        parts = json.loads(address)
        url = sa.URL.create(
            parts["conn_type"], parts.get("login"), parts.get("password"), parts.get("host"), parts.get("port"),
            parts.get("schema"),
        )  # fmt: skip
    else:
        url = sa.make_url(address)
    backend = url.drivername.partition("+")[0]
    url = url.difference_update_query([key for key in url.query if key.startswith("__")])
    return url.set(drivername=DIALECTS.get(backend, url.drivername)) if "+" not in url.drivername else url


def _postgres_batches(source: Source, url: sa.URL, query: str, window: Window | None) -> Iterator[Batch]:
    """Stream by COPY, which takes no parameters: the bounds are bound to settings of the session that it reads."""
    from adbc_driver_postgresql import dbapi

    plain = url.set(drivername="postgresql").update_query_dict({"connect_timeout": TIMEOUT_SECONDS})
    with _connecting(source, url):
        connection = dbapi.connect(plain.render_as_string(hide_password=False), autocommit=True)
    with connection, connection.cursor() as cursor:
        for statement in SESSIONS["postgresql"]:
            cursor.execute(statement)
        if window is not None:
            for name, bound in window.parameters().items():
                cursor.execute("select set_config($1, $2, false)", parameters=(f"perennial.{name}", str(bound)))
            kind = _postgres_type(window)
            query = replaced(query, lambda name: f"current_setting('perennial.{name}')::{kind}")
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
        cursor.execute(query)
        reader = cursor.fetch_record_batch()
        yield _postgres_batch(pa.Table.from_batches([], reader.schema))
        for batch in reader:
            yield _postgres_batch(pa.Table.from_batches([batch]))


def _postgres_type(window: Window) -> str:
    if not isinstance(window.start, datetime):
        return "date"
    return "timestamp" if window.start.tzinfo is None else "timestamptz"


def _postgres_batch(rows: pa.Table) -> Batch:
    """Return rows without extension types: a numeric and a JSON are text, a UUID stays what it is."""
    texts = set()
    for place, field in enumerate(rows.schema):
        if not isinstance(field.type, pa.BaseExtensionType):
            continue
        stored = rows.column(place).cast(field.type.storage_type)
        if pa.types.is_fixed_size_binary(stored.type):
            stored = pa.array([None if value is None else str(UUID(bytes=value)) for value in stored.to_pylist()])
        else:
            texts.add(field.name)
        rows = rows.set_column(place, field.name, stored)
    return Batch(rows, frozenset(texts))


def _other_batches(source: Source, url: sa.URL, query: str, window: Window | None) -> Iterator[Batch]:
    engine = _engine(source, url)
    with _connecting(source, url):
        connection = engine.connect()
    try:
        for statement in SESSIONS.get(url.get_backend_name(), ()):
            connection.exec_driver_sql(statement)
        # A colon within a text or a comment is none of SQLAlchemy's.
        text = sa.text(replaced(query, lambda name: f":{name}", lambda other: other.replace(":", r"\:")))
        streamed = connection.execution_options(stream_results=True, yield_per=BATCH_ROWS)
        result = streamed.execute(text, {} if window is None else _bound(url, window))
        try:
            yield from _partitions(source, url, result)
        finally:
            _forget_the_rest(result)
    finally:
        # Closing would first fetch what is left of an unbuffered result.
        connection.invalidate()
        connection.close()
        engine.dispose()


def _partitions(source: Source, url: sa.URL, result: sa.CursorResult[Any]) -> Iterator[Batch]:
    names = list(result.keys())
    yield _other_batch(source, url, names, [[] for _ in names])
    for rows in result.partitions(BATCH_ROWS):
        yield _other_batch(source, url, names, [list(column) for column in zip(*rows, strict=True)])


def _forget_the_rest(result: sa.CursorResult[Any]) -> None:
    """Keep PyMySQL from reading an abandoned result to its end when it is collected."""
    pending: Any = getattr(result.cursor, "_result", None)
    if hasattr(pending, "unbuffered_active"):
        pending.unbuffered_active = False


def _engine(source: Source, url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise SourceError(
            f"Source {source.name!r} reads connection {_connection(source)!r}, a SQLite file that is not there. "
            "Correct the connection's address."
        )
    try:
        return sa.create_engine(url, poolclass=NullPool)
    except (ImportError, NoSuchModuleError) as error:
        raise SetupError(
            f"Source {source.name!r}: no driver for {url.get_backend_name()!r} is installed ({error}). "
            "For MySQL and MariaDB run `uv sync --extra mysql`."
        ) from None


def _bound(url: sa.URL, window: Window) -> dict[str, Any]:
    """Return the bounds as the database compares them: SQLite's times are text, MySQL's have no zone."""
    bounds = window.parameters()
    without_zone = {
        name: bound.replace(tzinfo=None) if isinstance(bound, datetime) else bound for name, bound in bounds.items()
    }
    if url.get_backend_name() == "sqlite":
        return {name: str(bound) for name, bound in without_zone.items()}
    return dict(without_zone if url.get_backend_name() in {"mysql", "mariadb"} else bounds)


def _other_batch(source: Source, url: sa.URL, names: Sequence[str], columns: Sequence[list[Any]]) -> Batch:
    arrays = [_array(values, source.columns.get(name)) for name, values in zip(names, columns, strict=True)]
    texts = frozenset(
        name
        for name, array in zip(names, arrays, strict=True)
        if url.get_backend_name() == "sqlite"
        and pa.types.is_string(array.type)
        and source.columns.get(name) in {"date", "timestamp"}
    )
    return Batch(pa.table(arrays, names=list(names)), texts)


def _array(values: list[Any], kind: ColumnType | None) -> pa.Array:
    """Return values as Arrow's nearest type; text where they are of several."""
    known = [value for value in values if value is not None]
    if not known:
        return pa.nulls(len(values), _EMPTY.get(kind or "string", pa.string()))
    if isinstance(known[0], Decimal):
        values = [None if value is None else float(value) for value in values]
    elif kind == "boolean" and set(known) <= {0, 1}:
        values = [None if value is None else bool(value) for value in values]
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        array = pa.array([None if value is None else str(value) for value in values])
    return array


_EMPTY: Mapping[ColumnType, pa.DataType] = {
    "string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(),
    "date": pa.date32(), "timestamp": pa.timestamp("us"),
}  # fmt: skip


def _bare(query: str) -> str:
    return query.rstrip().rstrip(";")


def _time_column(source: Source, url: sa.URL) -> str:
    mark = "`" if url.get_backend_name() in {"mysql", "mariadb"} else '"'
    return f"{mark}{source.time_column}{mark}"


def _connection(source: Source) -> str:
    return "" if source.database is None else source.database.connection


@contextmanager
def _connecting(source: Source, url: sa.URL) -> Iterator[None]:
    from adbc_driver_manager import Error as AdbcError

    try:
        yield
    except (AdbcError, SQLAlchemyError) as error:
        raise _server_error(source, url, error) from None


@contextmanager
def _told(source: Source, url: sa.URL) -> Iterator[None]:
    """Translate a driver's error by who can fix it; the driver's own stays out, since it may hold the address."""
    from adbc_driver_manager import Error as AdbcError

    try:
        yield
    except PerennialError:
        raise
    except AdbcError as error:
        state = error.sqlstate or ""
        raise (
            _query_error(source, url, error)
            if state and not state.startswith(SERVER_STATES)
            else _server_error(source, url, error)
        ) from None
    except (OSError, pa.ArrowException) as error:
        # What ends a stream of ADBC in its middle comes through Arrow, without a state.
        stopped = _query_error if "ERROR:" in str(error) and not LOST.search(str(error)) else _server_error
        raise stopped(source, url, error) from None
    except SQLAlchemyError as error:
        lost = isinstance(error, DBAPIError) and (error.connection_invalidated or LOST.search(str(error.orig)))
        raise _server_error(source, url, error) if lost else _query_error(source, url, error) from None


def _server_error(source: Source, url: sa.URL, error: Exception) -> SourceError:
    return SourceError(
        f"Source {source.name!r} cannot read connection {_connection(source)!r}: {_said(source, url, error)} "
        "Check the server, and the connection's address and password; the next try reads again."
    )


def _query_error(source: Source, url: sa.URL, error: Exception) -> DataError:
    query = "" if source.database is None else source.database.query
    return DataError(
        f"{query} of source {source.name!r} does not run on connection {_connection(source)!r}: "
        f"{_said(source, url, error)} Correct the query, or the table that it reads."
    )


def _said(source: Source, url: sa.URL, error: Exception) -> str:
    """Return a driver's words without the query, the user and the password."""
    said = detail(source, error.orig if isinstance(error, DBAPIError) and error.orig else error)
    said = " ".join(said.split("Query was:")[0].split())
    for secret in (url.render_as_string(hide_password=False), str(url.password or "")):
        said = said.replace(secret, "***") if secret else said
    for mark in ("'", '"'):
        said = said.replace(f"{mark}{url.username}{mark}", "***")
    return said if said.endswith(".") else f"{said}."
