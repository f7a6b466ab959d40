"""Rows brought under the contract of their source: types, time zone, changed columns, personal data.

A value that cannot become what the contract declares either stops the read (DataError) or takes its row into the
rejected records, with the row's text and the reason; which of the two, `schema_changes.retyped` says. A CSV or JSON
file knows no types: there each value is read, and the row of one that cannot be read is rejected.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from perennial.contracts import RESERVED, ColumnType, Source
from perennial.errors import DataError, SetupError, nearest
from perennial.io.files import UNDECODABLE
from perennial.io.relations import REJECTED, Relation, detail, literal
from perennial.io.rowconditions import quoted

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}
# DuckDB types that may stand for a column type of the spec; the cast that follows must lose nothing.
ACCEPTED: dict[ColumnType, tuple[str, ...]] = {
    "string": ("VARCHAR", "UUID", "JSON", "ENUM"),
    "integer": ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "DOUBLE", "FLOAT"),
    "number": ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DOUBLE", "FLOAT", "DECIMAL"),
    "boolean": ("BOOLEAN",),
    "date": ("DATE", "TIMESTAMP"),
    "timestamp": ("TIMESTAMP", "DATE"),
}
FLOATS = ("DOUBLE", "FLOAT")
REASON, PAYLOAD = "__reason", "__payload"
ZONED = r":\d\d(\.\d+)?\s*(Z|UTC|[+-]\d\d(:?\d\d)?)\s*$"
WHOLE = r"\s*[+-]?[0-9]+(\.0*)?\s*"
MIDNIGHT = r"\s*\d{4}-\d{1,2}-\d{1,2}([ T]00:00(:00(\.0*)?)?)?\s*"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a relation becomes the contract's columns.

    Attributes:
        sql: a query that gives them, and what else `schema_changes.new: add` keeps; with the columns `__reason` and
            `__payload` where a record may be rejected.
        extra: the columns beside the contract's.
        notices: what changed in the source and was let through by `add`.
    """

    sql: str
    extra: tuple[str, ...]
    notices: tuple[str, ...]


class Hasher:
    """Replaces values by a keyed hash: the same value gives the same hash, so that joins still work."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def hashed(self, source: Source, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the HMAC-SHA256 of each text in hexadecimal digits; null stays null.

        Raises:
            SetupError: there is no key.
        """
        encoded = values.combine_chunks().dictionary_encode()
        digests = [self.digest(source, value) for value in encoded.dictionary.to_pylist()]
        return pa.chunked_array([pa.array(digests, pa.string()).take(encoded.indices)])

    def digest(self, source: Source, value: str) -> str:
        """Return the hash of one text."""
        if not self._key:
            raise SetupError(
                f"Source {source.name!r} hashes {', '.join(source.hashed)}, and there is no key to hash with. Set "
                "PERENNIAL_PERSONAL_KEY to a long random text and keep it: with another key nothing joins any more."
            )
        return hmac.digest(self._key.encode(), value.encode(), hashlib.sha256).hex()


def shape(source: Source, relation: Relation) -> Shape:
    """Return how a relation becomes the contract's columns.

    Raises:
        DataError: a column is new, missing or of another type, and the contract refuses that.
    """
    notices: list[str] = []
    extra = _extra(source, relation, notices)
    values, problems = [], []
    for name in source.columns:
        value, problem = _value(source, name, relation, notices)
        values.append(f"{value} as {quoted(name)}")
        if problem is not None:
            problems.append((problem, f"{name} is no {source.columns[name]}"))
    values += [quoted(name) for name in extra]
    problems += _other_problems(source, relation)
    if problems:
        values += [_reasons(problems), _payload(source, relation)]
    return Shape(f"select {', '.join(values)} from ({relation.sql})", extra, tuple(notices))


def finished(source: Source, rows: pa.Table, *, extra: Sequence[str] = (), hasher: Hasher | None = None) -> pa.Table:
    """Return rows of a shape's query with the contract's Arrow types, personal data hashed.

    Raises:
        DataError: a value cannot become the declared type without loss.
        SetupError: there is no key to hash with.
    """
    fields = [pa.field(name, ARROW_TYPES[kind]) for name, kind in source.columns.items()]
    columns = [_cast(source, rows.column(field.name), field) for field in fields]
    for place, field in enumerate(fields):
        if hasher is not None and field.name in source.hashed:
            columns[place] = hasher.hashed(source, columns[place])
    kept = [*extra, *(name for name in (REASON, PAYLOAD) if name in rows.column_names)]
    fields += [rows.schema.field(name) for name in kept]
    columns += [rows.column(name) for name in kept]
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    return _without_personal_payload(source, table, hasher) if source.hashed and PAYLOAD in kept else table


def divided(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows that are under the contract, and the rejected records as `payload` and `reason`."""
    if REASON not in rows.column_names:
        return rows, REJECTED.empty_table()
    reasons = rows.column(REASON)
    good = rows.filter(reasons.is_null()).drop_columns([REASON, PAYLOAD])
    bad = rows.filter(reasons.is_valid())
    return good, pa.Table.from_arrays([bad.column(PAYLOAD), bad.column(REASON)], schema=REJECTED)


def empty(source: Source) -> pa.Table:
    """Return no rows, under the contract."""
    return pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in source.columns.items()]).empty_table()


def _extra(source: Source, relation: Relation, notices: list[str]) -> tuple[str, ...]:
    new = [name for name in relation.found if name not in source.columns and name not in source.personal]
    if not new or source.schema_changes.new == "ignore":
        return ()
    if source.schema_changes.new == "refuse":
        raise DataError(
            f"Source {source.name!r} has a new column {new[0]!r}, which its contract refuses. "
            "Declare it in use_case.yaml, or set schema_changes.new to ignore or add."
        )
    taken = sorted(RESERVED & set(new))
    if taken:
        raise DataError(
            f"Source {source.name!r} has a new column {taken[0]!r}, a name that the lake uses itself. "
            "Rename it in the source or in `select`."
        )
    notices += [f"new column {name!r} ({relation.found[name]}) is kept" for name in new]
    return tuple(new)


def _value(source: Source, name: str, relation: Relation, notices: list[str]) -> tuple[str, str | None]:
    """Return SQL for a column's value, and the condition that a value cannot be read, None where every one can."""
    kind, column, found = source.columns[name], quoted(name), relation.found.get(name)
    if found is None:
        return _missing(source, name, relation, notices), None
    if name in source.hashed:
        return _canonical(column, found), None
    if name in relation.texts:
        return (column, None) if kind == "string" else _read(column, kind, source.time_zone)
    if found.startswith(ACCEPTED[kind]):
        if kind == "integer" and found.startswith(FLOATS) and source.schema_changes.retyped == "add":
            return _read(_canonical(column, found), kind, source.time_zone)
        return _native(column, kind, found, source.time_zone), None
    return _retyped(source, name, found, notices)


def _native(column: str, kind: ColumnType, found: str, zone: str | None) -> str:
    if kind == "timestamp" and zone and "TIME ZONE" not in found:
        return f"timezone({literal(zone)}, {column}::timestamp)"
    return f"{column}::varchar" if kind == "string" and found != "VARCHAR" else column


def _canonical(column: str, found: str) -> str:
    """Return SQL for a value's text that is the same for 7 as an integer and 7.0 as a float, so that both join."""
    if found.startswith(FLOATS):
        return f"case when {column} = trunc({column}) then {column}::hugeint::varchar else {column}::varchar end"
    return f"{column}::varchar"


def _missing(source: Source, name: str, relation: Relation, notices: list[str]) -> str:
    if source.schema_changes.missing == "refuse" or name in {*source.keys, source.time_column}:
        raise DataError(f"Source {source.name!r} has lost its column {name!r}. {nearest(name, relation.found)}")
    if source.schema_changes.missing == "add":
        notices.append(f"column {name!r} is missing and reads as null")
    return "null"


def _retyped(source: Source, name: str, found: str, notices: list[str]) -> tuple[str, str | None]:
    kind, change = source.columns[name], source.schema_changes.retyped
    if change == "refuse" or (change == "ignore" and name in {*source.keys, source.time_column}):
        raise DataError(
            f"Column {name!r} of source {source.name!r} is {found}, declared as {kind}. "
            "Correct the source, or the column's type in use_case.yaml."
        )
    if change == "ignore":
        return "null", None
    notices.append(f"column {name!r} is {found}, declared as {kind}; values that lose nothing are kept")
    return _read(_canonical(quoted(name), found), kind, source.time_zone)


def _read(text: str, kind: ColumnType, zone: str | None) -> tuple[str, str]:
    """Return SQL that reads a text as a type, null where it is none, and the condition of that."""
    readers: dict[ColumnType, Callable[[], str]] = {
        "string": lambda: text,
        "integer": lambda: f"case when regexp_full_match({text}, '{WHOLE}') then try_cast({text} as bigint) end",
        "number": lambda: f"try_cast({text} as double)",
        "boolean": lambda: f"try_cast({text} as boolean)",
        "date": lambda: f"case when regexp_full_match({text}, '{MIDNIGHT}') then try_cast(trim({text}) as date) end",
        "timestamp": lambda: _timestamp(text, zone or "UTC"),
    }
    value = readers[kind]()
    return value, f"({text} is not null and ({value}) is null)"


def _timestamp(text: str, zone: str) -> str:
    """Return SQL that reads a time with its own zone, or one without in the zone of the contract."""
    naive = f"timezone({literal(zone)}, try_cast({text} as timestamp))"
    read = f"case when regexp_matches({text}, '{ZONED}') then try_cast({text} as timestamptz) else {naive} end"
    return f"case when isfinite({read}) then {read} end"


def _other_problems(source: Source, relation: Relation) -> list[tuple[str, str]]:
    problems = [] if relation.unreadable is None else [(relation.unreadable, "the line is no JSON object")]
    if relation.texts and source.encoding.lower() not in {"utf-8", "utf8"}:
        texts = [quoted(name) for name in relation.found if name in relation.texts]
        condition = f"contains(concat_ws(' ', {', '.join(texts)}), {literal(UNDECODABLE)})"
        problems.append((condition, f"the record holds bytes that are no {source.encoding}"))
    return problems


def _reasons(problems: Sequence[tuple[str, str]]) -> str:
    listed = ", ".join(f"case when {condition} then {literal(reason)} end" for condition, reason in problems)
    return f"nullif(concat_ws('; ', {listed}), '') as {quoted(REASON)}"


def _payload(source: Source, relation: Relation) -> str:
    """Return SQL for a rejected record's text: its line, or its declared columns as JSON; never a personal column."""
    if relation.line is not None and not source.personal:
        text = relation.line
    else:
        names = [name for name in relation.found if not source.personal or name in source.columns]
        pairs = [f"{literal(name)}, {_canonical(quoted(name), relation.found[name])}" for name in names]
        text = f"json_object({', '.join(pairs)})::varchar"
    return f"case when {quoted(REASON)} is not null then {text} end as {quoted(PAYLOAD)}"


def _cast(source: Source, column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if pa.types.is_date32(field.type) and pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("s"))
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid as error:
        if source.schema_changes.retyped == "ignore" and field.name not in {*source.keys, source.time_column}:
            return pa.chunked_array([pa.nulls(len(column), field.type)])
        raise DataError(
            f"Column {field.name!r} of source {source.name!r} holds values that are no {field.type}: "
            f"{detail(source, error)}. Correct the source, or the column's type in use_case.yaml."
        ) from error


def _without_personal_payload(source: Source, table: pa.Table, hasher: Hasher | None) -> pa.Table:
    """Return the rows with the hash instead of the personal value in each rejected record's text."""
    payloads = [
        None if text is None else _hashed_record(source, json.loads(text), hasher)
        for text in table.column(PAYLOAD).to_pylist()
    ]
    place = table.schema.get_field_index(PAYLOAD)
    return table.set_column(place, PAYLOAD, pa.array(payloads, pa.string()))


def _hashed_record(source: Source, record: Mapping[str, str | None], hasher: Hasher | None) -> str:
    digest = (hasher or Hasher(None)).digest
    hashed = {
        name: digest(source, value) if name in source.hashed and value is not None else value
        for name, value in record.items()
    }
    return json.dumps(hashed, ensure_ascii=False)
