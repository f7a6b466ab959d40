"""The DAG files themselves: short, wiring only, cheap to parse; and the plugins folder, which Airflow runs whole."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FILES = sorted((CHECKOUT / "dags").glob("*.py"))
ALLOWED = {"airflow", "datetime", "pendulum", "perennial", "perennial_airflow"}
HEAVY = {
    "pandas", "sklearn", "mlflow", "lightgbm", "great_expectations", "evidently", "optuna", "matplotlib", "scipy",
    "skops", "duckdb", "deltalake", "pyarrow", "fastapi",
}  # fmt: skip


def imports(tree: ast.AST) -> set[str]:
    """Return the top-level packages that a file imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dag_file_only_wires(file):
    """At most 80 lines, known imports, no functions, no arithmetic, no lambda."""
    text = file.read_text("utf-8")
    tree = ast.parse(text)
    forbidden = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.Try, ast.If, ast.While)

    assert len(text.splitlines()) <= 80
    assert imports(tree) <= ALLOWED
    assert not [node for node in ast.walk(tree) if isinstance(node, forbidden)]
    arithmetic = [
        n for n in ast.walk(tree) if isinstance(n, ast.BinOp) and not isinstance(n.op, (ast.RShift, ast.BitOr))
    ]
    assert not arithmetic


def test_the_check_sees_what_it_forbids():
    """A planted import is found wherever it stands."""
    assert imports(ast.parse("def f():\n    import pandas as pd\n    from sklearn.base import x")) == {
        "pandas",
        "sklearn",
    }


def test_parsing_imports_nothing_heavy(run_python, use_case_folder):
    """A parse costs the processor's time every minute: the ML libraries load when a task runs."""
    code = (
        "import sys; from airflow.dag_processing.dagbag import DagBag;"
        f"bag = DagBag({str(CHECKOUT / 'dags')!r}); assert len(bag.dags) == 10, bag.import_errors; print(*sys.modules)"
    )

    loaded = {name.split(".")[0] for name in run_python(code, use_case_folder).splitlines()[-1].split()}

    assert "perennial_airflow" in loaded
    assert HEAVY & loaded == set()


def test_a_plugin_is_found_once_and_hides_nothing(run_python, use_case_folder):
    """Airflow runs every file below `plugins/` under its bare stem, unless `.airflowignore` names it."""
    code = (
        "import sys; from airflow import plugins_manager as m;"
        "plugins, errors = m._get_plugins(); assert not errors, errors;"
        "ours = [p for p in plugins if p.name == 'perennial']; assert len(ours) == 1, plugins;"
        "strays = {'operators', 'assets', 'hooks', 'sensors', 'warm', 'app', '__init__'} & set(sys.modules);"
        "assert not strays, strays; print(*sys.modules)"
    )

    loaded = {name.split(".")[0] for name in run_python(code, use_case_folder).splitlines()[-1].split()}

    # Every task loads the plugins: what only the API server needs is imported there.
    assert {"fastapi", "mlflow", "pandas", "jinja2"} & loaded <= {"jinja2"}
