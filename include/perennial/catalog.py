"""Finds and loads use cases; the only reader of their files.

A use case is a folder with `use_case.yaml`, its SQL files and `suite.json`. A folder that cannot be loaded never
hides the others: `use_cases()` leaves it out and `broken_use_cases()` says what is wrong with it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from perennial.errors import SetupError, SpecError, nearest
from perennial.io.queries import parameters
from perennial.judging import GATES, PEOPLE
from perennial.settings import load_settings
from perennial.spec import SUITES, UseCase

SPEC = "use_case.yaml"
# SQL whose result depends on when it runs breaks "time is an argument": a snapshot could not be built again.
CLOCKS = re.compile(
    r"\b(now|today|random|uuid|get_current_time(?:stamp)?|transaction_timestamp|current_localtime(?:stamp)?)\s*\("
    r"|\b(current_date|current_time|current_timestamp|localtime|localtimestamp)\b",
    re.IGNORECASE,
)
COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
Stamp = tuple[tuple[str, int, int], ...]
_known: dict[tuple[Path, frozenset[str]], tuple[Stamp, UseCase | SpecError]] = {}  # as long as the process lives
LITERAL = re.compile(r"'[^']*'")


def names() -> tuple[str, ...]:
    """Return the names of the folders that hold a `use_case.yaml`, sorted; loadable or not."""
    return tuple(sorted(path.parent.name for path in load_settings().use_cases.glob(f"*/{SPEC}")))


def use_cases() -> tuple[UseCase, ...]:
    """Return the use cases that can be loaded, by name."""
    return tuple(case for case in _loaded().values() if isinstance(case, UseCase))


def broken_use_cases() -> dict[str, SpecError]:
    """Return what is wrong with each use case that cannot be loaded."""
    return {name: error for name, error in _loaded().items() if isinstance(error, SpecError)}


def load_use_case(name: str) -> UseCase:
    """Return one use case.

    Raises:
        SpecError: there is none of that name, or it is broken; names file, key, reason and next step.
        SetupError: PERENNIAL_LIVE decides where a source is read, and `check_live` refuses it.
    """
    if name not in names():
        raise SpecError.unknown_case(name, names())
    settings = load_settings()
    case = _declared(settings.use_cases / name)
    if any(source.lies_in_two_places for source in case.sources):
        check_live()
    return _in_one_place(case, settings.live_connections)


def declared_today(name: str) -> UseCase | None:
    """Return the use case as it is declared now, None where its folder is gone or cannot be loaded."""
    try:
        return load_use_case(name)
    except SpecError:
        return None


def check_live() -> None:
    """Refuse PERENNIAL_LIVE where it names what is no connection: the files would be read, and nobody told.

    Raises:
        SetupError: a name in it is the connection of no source of any use case, a broken one's included.
    """
    settings = load_settings()
    known = _connections() if settings.live_connections else set()
    for name in sorted(settings.live_connections - known):
        raise SetupError(
            f"PERENNIAL_LIVE names the connection {name!r}, which no source of any use case under "
            f"{settings.use_cases} declares. {nearest(name, known)}"
        )


def read_folder(folder: Path, *, live: Collection[str] = ()) -> UseCase:
    """Return the use case of a folder, with the texts of its files.

    Args:
        folder: of the use case.
        live: connections that are read where a source declares files beside them.

    Raises:
        SpecError: a file is missing or wrong.
    """
    return _in_one_place(_declared(folder), live)


def _declared(folder: Path) -> UseCase:
    """Return the use case of a folder; a source may still lie in two places."""
    path = folder / SPEC
    declared = _absolute_paths(_parsed(path), folder)
    try:
        case = UseCase.model_validate(declared)
    except ValidationError as error:
        raise SpecError(f"{_shown(path)} is wrong:\n" + "\n".join(_complaints(error))) from error
    if case.name != folder.name:
        raise SpecError(f"{_shown(path)}: name is {case.name!r}, but its folder is {folder.name!r}. Make them equal.")
    case = case.with_texts({file.name: file.read_text("utf-8") for file in _text_files(folder)})
    _check_sql(case, folder)
    _check_suites(case, folder)
    return case


def _in_one_place(case: UseCase, live: Collection[str]) -> UseCase:
    return case.model_copy(update={"sources": tuple(source.read_from(live) for source in case.sources)})


def _loaded() -> Mapping[str, UseCase | SpecError]:
    settings = load_settings()
    return {name: _unchanged(settings.use_cases / name, settings.live_connections) for name in names()}


def _unchanged(folder: Path, live: frozenset[str]) -> UseCase | SpecError:
    """Return the use case of a folder, or what is wrong with it; read again only where a file of it has changed.

    A use case takes some twenty milliseconds to read and check, and the Models page shows all of them.
    """
    key, stamp = (folder, live), _stamp(folder)
    known = _known.get(key)
    if known is not None and known[0] == stamp:
        return known[1]
    found: UseCase | SpecError
    try:
        found = read_folder(folder, live=live)
    except SpecError as error:
        found = error
    _known[key] = (stamp, found)
    return found


def _stamp(folder: Path) -> Stamp:
    """Return name, size and time of change of each file in a folder."""
    with suppress(FileNotFoundError):  # it was deleted just now; reading it says so
        files = ((each.name, each.stat()) for each in os.scandir(folder) if each.is_file())
        return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in files))
    return ()


def _connections() -> set[str]:
    """Return the connections that the sources of all use cases name, be the rest of a file wrong."""
    found = set()
    for name in names():
        with suppress(SpecError):  # `broken_use_cases` tells of it
            sources = _parsed(load_settings().use_cases / name / SPEC).get("sources")
            databases = [each.get("database") for each in _dictionaries(sources)]
            found |= {str(each.get("connection")) for each in _dictionaries(databases)}
    return found


def _dictionaries(items: Any) -> list[dict[str, Any]]:
    return [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _text_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix in {".sql", ".json"})


def _parsed(path: Path) -> dict[str, Any]:
    try:
        declared = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise SpecError(f"{_shown(path)} is no YAML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{_shown(path)} cannot be read: {error}") from error
    if not isinstance(declared, dict):
        raise SpecError(f"{_shown(path)} holds a {type(declared).__name__}, needed keys and values.")
    return declared


def _absolute_paths(declared: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths of files that no package holds relative to the use case's folder."""
    for source in declared.get("sources") or ():
        if isinstance(source, dict) and not source.get("package") and isinstance(source.get("files"), dict):
            source["files"] = {view: _absolute_path(str(file), folder) for view, file in source["files"].items()}
            complete = source.get("complete")
            if isinstance(complete, dict) and "/" in str(complete.get("marker")):
                complete["marker"] = _absolute_path(complete["marker"], folder)
    return declared


def _absolute_path(path: str, folder: Path) -> str:
    """Return where a file lies: a URL and what lies below `{data}` stay, of `zip://a::b` the b is resolved."""
    chain, _, last = path.rpartition("::")
    absolute = last if "://" in last or last.startswith("{data}") else str(folder / last)
    return f"{chain}::{absolute}" if chain else absolute


def _complaints(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"] if part not in {*GATES, PEOPLE})
        if item["type"] == "extra_forbidden":
            known = _keys_beside(item["loc"])
            yield f"  {key}: unknown key. {nearest(str(item['loc'][-1]), known)}"
        else:
            yield f"  {key or 'use case'}: {item['msg'].removeprefix('Value error, ')}"


def _keys_beside(location: tuple[int | str, ...]) -> set[str]:
    """Return the keys that the model at `location` knows, following the JSON schema."""
    schema = UseCase.model_json_schema()
    node: Any = schema
    for part in location[:-1]:
        node = _child(schema, node, part)
    return set(_resolved(schema, node).get("properties", {}))


def _child(schema: Mapping[str, Any], node: Any, part: int | str) -> Any:
    node = _resolved(schema, node)
    if part in GATES and "oneOf" in node:
        every = {name for _, gate in GATES.values() for name in gate.model_fields}
        return {"properties": {name: {} for name in every}}
    if part == PEOPLE and "oneOf" in node:
        return next(each for each in node["oneOf"] if "$ref" in each)
    if isinstance(part, int):
        return node.get("items", {})
    return node.get("properties", {}).get(part, node.get("additionalProperties", {}))


def _resolved(schema: Mapping[str, Any], node: Any) -> Mapping[str, Any]:
    while isinstance(node, dict) and ("$ref" in node or "anyOf" in node):
        if "anyOf" in node:
            node = next((option for option in node["anyOf"] if option.get("type") != "null"), {})
        else:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return node if isinstance(node, dict) else {}


def _check_sql(case: UseCase, folder: Path) -> None:
    keys = {"label.sql": case.label.sql}
    keys |= {"features.sql": case.features.sql} if case.features.sql is not None else {}
    keys |= {f"sources.{source.name}.select": source.select for source in case.sources if source.select}
    keys |= {f"sources.{each.name}.database.query": each.database.query for each in case.sources if each.database}
    for key, name in keys.items():
        if not (folder / name).is_file():
            present = [path.name for path in folder.glob("*.sql")]
            raise SpecError(
                f"{case.name}/{SPEC}: {key} names {name!r}, which is not in the folder. {nearest(name, present)}"
            )
        clock = CLOCKS.search(LITERAL.sub("''", COMMENT.sub("", case.text(name))))
        if clock:
            raise SpecError(
                f"{case.name}/{name} calls {clock.group(0).rstrip('( ')!r}: another run would give other rows. "
                "Use the column `day` of the table `days` instead."
            )
    _check_queries(case)


def _check_queries(case: UseCase) -> None:
    for source in case.sources:
        if source.database is None:
            continue
        name, time = source.database.query, source.time_column
        found = parameters(case.text(name))
        if found != ({"start", "end"} if time else set()):
            listed = ", ".join(f":{each}" for each in sorted(found)) or "no parameter"
            needed = f":start and :end, as in `where {time} >= :start and {time} < :end`"
            raise SpecError(
                f"{case.name}/{name} takes {listed}. The query of source {source.name!r} needs "
                f"{needed if time else 'none: a reference table is read whole'}."
            )


def _check_suites(case: UseCase, folder: Path) -> None:
    path = folder / SUITES
    if not path.is_file():
        raise SpecError(f"{case.name} has no {SUITES}: it holds the expectations of each source, by name.")
    try:
        suites = TypeAdapter(dict[str, list[dict[str, Any]]]).validate_json(case.text(SUITES))
    except ValidationError as error:
        raise SpecError(f"{_shown(path)} is wrong: {json.dumps(error.errors(include_url=False)[0]['msg'])}") from error
    for source in case.sources:
        wanted = source.suite or source.name
        if wanted not in suites:
            raise SpecError(
                f"{_shown(path)} has no suite {wanted!r} for source {source.name!r}. {nearest(wanted, suites)}"
            )
