"""Files as DuckDB relations: what gives their rows, which columns they have, and which of them are only text yet."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from perennial.contracts import Source
from perennial.errors import DataError
from perennial.io.files import LocalFile
from perennial.io.rowconditions import quoted

# A separator that no line of JSON holds unescaped: a line is read as one value.
ONE_COLUMN = "columns = {'line': 'VARCHAR'}, delim = '\x01', quote = '', escape = '', header = false"
REJECTED = pa.schema([("payload", pa.string()), ("reason", pa.string())])
LINE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows to be brought under a contract.

    Attributes:
        sql: a query that gives them.
        found: DuckDB's type of each column.
        texts: columns that are text only because the source can say no more; their values are read.
        line: column that holds the whole text of a record, where there is one.
        unreadable: SQL condition that a record could not be taken apart.
    """

    sql: str
    found: Mapping[str, str]
    texts: frozenset[str] = frozenset()
    line: str | None = None
    unreadable: str | None = None


def open_connection() -> duckdb.DuckDBPyConnection:
    """Return a connection of its own whose times are UTC."""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    return connection


def of_files(
    connection: duckdb.DuckDBPyConnection, source: Source, files: Mapping[str, Sequence[LocalFile]], select: str | None
) -> Relation:
    """Return the source's files as a relation: those of its one view, or what `select` makes of its views.

    Raises:
        DataError: a file cannot be read, or the SQL does not run over it.
    """
    if select is None:
        (only,) = files.values()
        return _of_view(connection, source, only)
    for view, each in files.items():
        try:
            connection.execute(f"create view {quoted(view)} as {_sniffed(connection, source, each)}")
        except duckdb.Error as error:
            raise _unreadable(source, each, error) from error
    try:
        return described(connection, f"select * from (\n{select.rstrip().rstrip(';')}\n)")
    except duckdb.Error as error:
        raise DataError(
            f"The SQL of source {source.name!r} does not run over its files: {detail(source, error)}"
        ) from error


def described(connection: duckdb.DuckDBPyConnection, sql: str, *, texts: Collection[str] = frozenset()) -> Relation:
    """Return a query as a relation, with the types that DuckDB gives its columns."""
    found = {row[0]: str(row[1]) for row in connection.execute(f"describe {sql}").fetchall()}
    return Relation(sql, found, frozenset(texts) & set(found))


def broken_lines(connection: duckdb.DuckDBPyConnection, source: Source) -> pa.Table:
    """Return the lines of CSV and JSON files that could not be taken apart in what was read so far, each once."""
    tables = {row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()}
    line = "line" if not source.personal else "'(withheld: the source has personal columns)'"
    parts = [f"select {line} as payload, 'the line is no JSON object' as reason from broken_json"]
    parts += [
        f"""
        select any_value({line}) as payload, concat('line ', number, ': ', min(lower(error_type::varchar))) as reason
        from (select file_path, e.line as number, csv_line as line, error_type
              from reject_errors e join reject_scans using (scan_id, file_id))
        group by file_path, number"""
    ]
    there = [part for part, table in zip(parts, ("broken_json", "reject_errors"), strict=True) if table in tables]
    if not there:
        return REJECTED.empty_table()
    return connection.sql(" union all ".join(there)).to_arrow_table().cast(REJECTED)


def detail(source: Source, error: Exception) -> str:
    """Return what a client says of an error, unless it might quote personal data."""
    return "its words are withheld, since the source has personal columns." if source.personal else str(error)


def literal(text: str) -> str:
    """Return a text as SQL; of paths and declared names, never of a row's values.

    >>> literal("it's")
    "'it''s'"
    """
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _of_view(connection: duckdb.DuckDBPyConnection, source: Source, files: Sequence[LocalFile]) -> Relation:
    form = files[0].format
    try:
        if form == "parquet":
            return described(connection, _parquet(files))
        if form == "csv":
            return _of_csv(source, files)
        return _of_json(connection, source, files)
    except duckdb.Error as error:
        raise _unreadable(source, files, error) from error


def _parquet(files: Sequence[LocalFile]) -> str:
    return f"select * from read_parquet({_paths(files)}, hive_partitioning = false, union_by_name = true)"


def _of_csv(source: Source, files: Sequence[LocalFile]) -> Relation:
    """Read every column as text: what a value is, the contract says and not a guess over the first lines."""
    headers = {file: _header(source, file) for file in files}
    parts = []
    for file, names in headers.items():
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
        parts.append(
            f"select * from read_csv({_paths([file])}, columns = {{{columns}}}, header = true, auto_detect = false, "
            f"{_csv_options(source)}, quote = '\"', escape = '\"')"
        )
    found = dict.fromkeys((name for names in headers.values() for name in names), "VARCHAR")
    return Relation(" union all by name ".join(parts), found, frozenset(found))


def _header(source: Source, file: LocalFile) -> list[str]:
    with file.open_text() as opened:
        names = next(csv.reader(opened, delimiter=source.csv.delimiter), [])
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        problem = f"names {', '.join(twice)} twice in its first line" if twice else "is empty, not even a line of names"
        raise DataError(f"Source {source.name!r}: {file.address} {problem}. Deliver the file again.")
    return names


def _csv_options(source: Source) -> str:
    nulls = ", ".join(literal(text) for text in sorted({"", source.csv.null_text}))
    return (
        f"delim = {literal(source.csv.delimiter)}, nullstr = [{nulls}], max_line_size = {LINE_BYTES}, "
        "store_rejects = true"
    )


def _of_json(connection: duckdb.DuckDBPyConnection, source: Source, files: Sequence[LocalFile]) -> Relation:
    # A condition that guards a JSON function has to be a CASE: both sides of an AND may be computed.
    whole = "case when json_valid(line) then json_type(line) = 'OBJECT' else false end"
    lines = f"select line, coalesce({whole}, false) as whole from {_lines(files)}"
    keys = connection.execute(
        f"select distinct unnest(case when whole then json_keys(line) end) from ({lines})"
    ).fetchall()
    # A file without a record shows no column, and has lost none.
    names = sorted(row[0] for row in keys) or list(source.columns)
    values = ", ".join(
        f"case when whole then line ->> {literal(_json_path(name))} end as {quoted(name)}" for name in names
    )
    sql = f'select line as "__line", whole as "__whole", {values} from ({lines}) where trim(line) <> \'\''
    return Relation(sql, dict.fromkeys(names, "VARCHAR"), frozenset(names), line='"__line"', unreadable='not "__whole"')


def _lines(files: Sequence[LocalFile]) -> str:
    options = f"{ONE_COLUMN}, auto_detect = false, max_line_size = {LINE_BYTES}, store_rejects = true"
    return f"read_csv({_paths(files)}, {options})"


def _json_path(name: str) -> str:
    """Return the JSON pointer of a key."""
    escaped = name.replace("~", "~0").replace("/", "~1")
    return f"/{escaped}"


def _sniffed(connection: duckdb.DuckDBPyConnection, source: Source, files: Sequence[LocalFile]) -> str:
    """Return the SQL of a view that `select` reads: Parquet as it is, CSV with guessed types, JSON as text."""
    if files[0].format == "parquet":
        return _parquet(files)
    if files[0].format == "csv":
        return f"select * from read_csv({_paths(files)}, header = true, {_csv_options(source)})"
    lines = _of_json(connection, source, files).sql
    connection.execute("create table if not exists broken_json (line varchar)")
    connection.execute(f'insert into broken_json select "__line" from ({lines}) where not "__whole"')
    return f'select * exclude ("__line", "__whole") from ({lines}) where "__whole"'


def _paths(files: Sequence[LocalFile]) -> str:
    return f"[{', '.join(literal(str(file.path)) for file in files)}]"


def _unreadable(source: Source, files: Sequence[LocalFile], error: Exception) -> DataError:
    listed = ", ".join(file.address for file in files[:3])
    return DataError(f"Source {source.name!r} cannot read {listed}: {detail(source, error)} Deliver the file again.")
