"""The whole loop in a shell: the same code that Airflow runs, with exit codes a script can trust."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import toy
from perennial.cli import main
from perennial.settings import load_settings

pytestmark = pytest.mark.integration


Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the command line find a home and use cases of the test's own."""
    for name in [name for name in os.environ if name.startswith("PERENNIAL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PERENNIAL_USE_CASES", str(tmp_path / "use_cases"))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    yield
    load_settings.cache_clear()


@pytest.fixture
def shell(home: None) -> Shell:
    """Return a function that runs the command line in a process of its own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from perennial.cli import main; main()", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)

    return run


@pytest.fixture
def perennial(home: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Shell:
    """Return a function that does the same in this process, which has imported everything."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["perennial", *arguments])
        load_settings.cache_clear()
        with pytest.raises(SystemExit) as ended:
            main()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), *capfd.readouterr())

    return run


def test_the_loop_runs_without_airflow_and_a_failed_gate_is_exit_1(shell, perennial, tmp_path):
    """Days, training, gates, promotion, scores, findings; then a gate that nothing can pass leaves the champion."""
    toy.write_shop(tmp_path / "use_cases")

    done = shell("run", "shop", "--from", "2026-01-16", "--to", "2026-02-18")
    assert done.returncode == 0, done.stderr
    report, promoted, scored, found, decided = json.loads(done.stdout)

    assert promoted["version"] == report["version"] == scored["model_version"] == "1"
    assert scored["rows"] > 0
    assert found["model_version"] == "1"
    assert decided["case"] == "shop"

    again = perennial("score", "shop", "2026-02-18")
    assert json.loads(again.stdout)["changed"] is False

    toy.write_shop(tmp_path / "use_cases", declared=toy.spec(gates=[{"metric": "roc_auc", "at_least": 1.1}]))
    refused = perennial("evaluate", "shop", "--version", "1")
    assert refused.returncode == 1
    assert "shop version 1 failed 1 gate(s):" in refused.stderr
    assert "needed 1.1000" in refused.stderr


def test_what_auditors_and_operations_ask_has_its_command(perennial, tmp_path):
    """The ledger, the champion of a moment, the aliases, a rollback that is refused, and a ledger that was changed."""
    toy.write_shop(tmp_path / "use_cases")
    assert perennial("run", "shop", "--from", "2026-01-16", "--to", "2026-02-18").returncode == 0

    verified = perennial("ledger", "verify")
    assert (verified.returncode, verified.stderr) == (0, "")
    newest = verified.stdout.split()[-1]
    assert perennial("ledger", "verify", "--expect", newest).returncode == 0
    shown = json.loads(perennial("ledger", "show", "shop", "--json").stdout)
    assert [entry["action"] for entry in shown] == ["promoted", "evaluated", "trained", "backfill applied"]
    assert shown[0]["hash"] == newest.partition(":")[2]
    champion = perennial("champion", "shop")
    assert champion.stdout.startswith("shop version 1\n")
    assert "passed all 1 gates, entry 3" in champion.stdout
    assert "had no champion at 2020-01-01 00:00 UTC" in perennial("champion", "shop", "--at", "2020-01-01").stdout
    assert "champion 1." in perennial("aliases", "shop").stdout
    refused = perennial("rollback", "shop", "--to", "1", "--reason", "so")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "it is the champion already" in refused.stderr

    with sqlite3.connect(tmp_path / "home" / "ledger.db") as connection:
        connection.execute("drop trigger ledger_entries_no_update")
        connection.execute("update ledger_entries set who = 'nobody' where id = 4")
    connection.close()
    changed = perennial("ledger", "verify")
    assert changed.returncode == 1
    assert "entry 4 (shop: promoted" in changed.stderr
    assert "was edited" in changed.stderr


def test_where_people_approve_a_shell_promotes_nothing_and_names_the_dag(perennial, tmp_path):
    """A dry run says who has to, and leaves no entry; the refusal is one. A loop in a home of its own asks nobody."""
    toy.write_shop(tmp_path / "use_cases", declared=toy.spec(approval={"approvers": ["ann"]}))
    assert perennial("run", "shop", "--from", "2026-01-16", "--to", "2026-02-18").returncode == 0
    assert perennial("train", "shop").returncode == 0
    assert perennial("evaluate", "shop").returncode == 0
    before = perennial("ledger", "show", "shop", "--json").stdout
    foreseen = perennial("promote", "shop", "--dry-run")
    assert perennial("ledger", "show", "shop", "--json").stdout == before
    refused = perennial("promote", "shop")
    newest = json.loads(perennial("ledger", "show", "shop", "--json").stdout)[0]

    assert json.loads(foreseen.stdout) == {
        "case": "shop", "version": "2", "champion": "1", "refused": None,
        "approvers": ["ann"], "asked_by": "shop__model_promotion",
    }  # fmt: skip
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "the approval of ann only" in refused.stderr
    assert "start shop__model_promotion" in refused.stderr
    assert (newest["action"], newest["to_version"]) == ("refused", "2")


def test_a_loop_over_a_shared_ledger_goes_around_no_approver(perennial, tmp_path, monkeypatch):
    """It is refused before anything is computed, with the way that leads to the question."""
    toy.write_shop(tmp_path / "use_cases", declared=toy.spec(approval={"approvers": ["ann"]}))
    monkeypatch.setenv("PERENNIAL_LEDGER_URL", f"sqlite:///{tmp_path / 'shared.db'}")
    refused = perennial("run", "shop", "--from", "2026-01-16", "--to", "2026-02-18")

    assert refused.returncode == 2
    assert "start shop__continuous_training in Airflow" in refused.stderr
    assert not (tmp_path / "shared.db").exists()


WRONG = [
    (("score", "shpo", "2026-02-18"), r"no use case 'shpo' under include/use_cases. Did you mean 'shop'?"),
    (("score", "shop", "2026-02-18"), "shop has no champion yet"),
    (("features", "shop", "2026-02-18"), "was not ingested for 2026-02-18. Run `perennial ingest shop 2026-02-18`"),
    (("train", "shop"), "has no snapshot yet"),
    (("run", "shop", "--from", "2026-02-18", "--to", "2026-01-16"), "Swap them"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_input_is_exit_2_and_one_message(perennial, tmp_path, arguments, message):
    """No traceback: what, where, the value, the next step."""
    toy.write_shop(tmp_path / "use_cases")
    done = perennial(*arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_cases_lists_the_good_ones_and_names_the_broken_ones(shell, tmp_path):
    """Exit 2, and both are told."""
    toy.write_shop(tmp_path / "use_cases")
    toy.write_shop(tmp_path / "use_cases", declared=toy.spec(name="broken", labl={}))
    done = shell("cases")

    assert done.returncode == 2
    assert "shop: Who orders again" in done.stdout
    assert "labl: unknown key. Did you mean 'label'?" in done.stderr


def test_cases_tells_of_a_live_connection_that_no_source_declares(perennial, tmp_path, monkeypatch):
    """Beside the broken ones, whose errors are not held back by it."""
    toy.write_shop(tmp_path / "use_cases")
    toy.write_shop(tmp_path / "use_cases", declared=toy.spec(name="broken", labl={}))
    monkeypatch.setenv("PERENNIAL_LIVE", "elsewhere")
    done = perennial("cases")

    assert done.returncode == 2
    assert "shop: Who orders again" in done.stdout
    assert "labl: unknown key" in done.stderr
    assert "perennial: PERENNIAL_LIVE names the connection 'elsewhere', which no source" in done.stderr


def test_the_schema_is_json_schema(perennial):
    """An editor can complete and check a spec by it."""
    schema = json.loads(perennial("cases", "--schema").stdout)

    assert schema["title"] == "UseCase"
    assert schema["additionalProperties"] is False


def test_validate_reads_and_publishes_nothing(perennial, tmp_path):
    """What would ingest refuse?"""
    folder = toy.write_shop(tmp_path / "use_cases")
    rows = toy.order_rows()
    pq.write_table(rows, folder / "orders.parquet")
    done = perennial("validate", "shop", "2026-02-10")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["refused"] == 0
    assert not (tmp_path / "home" / "lake").exists()
