"""The shape of the tree, held: who may import which client, how large a file may be, what the words mean."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
from pathlib import Path

import perennial
import pytest

ROOT = Path(perennial.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
# A client has one module that talks to it; another system can then take its place.
DUCKDB = {
    "io/aggregates.py",
    "io/counts.py",
    "io/profiles.py",
    "io/relations.py",
    "io/sources.py",
    "io/vitals.py",
    "io/warehouse.py",
    "io/windows.py",
    "local/injection.py",
}
SOLE_IMPORTERS = {
    "deltalake": {"io/lake.py", "io/commits.py", "io/maintenance.py"},
    "duckdb": DUCKDB,
    "great_expectations": {"io/expectations.py"},
    "mlflow": {"io/registry.py", "io/runs.py"},
    "evidently": {"io/reports.py"},
    "matplotlib": {"io/plots.py"},
    "adbc_driver_postgresql": {"io/databases.py", "io/tables.py"},
    "fsspec": {"io/files.py"},
}
ENVIRONMENT_READERS = {"settings.py"}


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, at any depth of it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("client", SOLE_IMPORTERS)
def test_a_client_is_imported_where_it_belongs_and_nowhere_else(client):
    """Each outside system is spoken to in one place."""
    found = {str(path.relative_to(ROOT)) for path in SOURCES if client in imports(path)}

    assert found == SOLE_IMPORTERS[client]


def test_the_library_never_imports_airflow():
    """The whole loop runs without it."""
    assert [str(path) for path in SOURCES if "airflow" in imports(path)] == []


def test_no_module_is_called_after_nothing():
    """A name says what is in a module."""
    assert {path.stem for path in SOURCES} & {"utils", "helpers", "common", "base", "misc"} == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small_enough_to_be_read(path):
    """A file has at most 400 lines, a function at most 60; longer ones do more than one thing."""
    text = path.read_text()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]

    assert len(text.splitlines()) <= 400
    assert [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > 60] == []


def test_examples_in_docstrings_are_true():
    """Every docstring that shows code is run."""
    attempted = 0
    for module in pkgutil.walk_packages(perennial.__path__, "perennial."):
        if "migrations" in module.name:
            continue
        results = doctest.testmod(importlib.import_module(module.name))
        assert results.failed == 0, module.name
        attempted += results.attempted
    assert attempted > 0


def test_only_the_settings_read_the_environment():
    """What a deployment can change is listed in one place."""
    readers = set()
    for path in SOURCES:
        names = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}
        if names & {"environ", "getenv"}:
            readers.add(str(path.relative_to(ROOT)))

    assert {name for name in readers if not name.startswith("local/")} <= ENVIRONMENT_READERS | {"io/registry.py"}
