"""One live stack for a file of end-to-end tests, a small use case on the real data; nothing of it is left after."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from perennial.local import stack
from perennial.local.airflow_api import Airflow
from perennial.local.layout import Layout
from perennial.local.steps import Steps
from perennial.settings import Settings, load_settings

USE_CASES = Path(__file__).parent / "use_cases"
CHECKOUT = Path(__file__).parents[2]


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@pytest.fixture(scope="module")
def stack_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Return the settings of a stack of its own; its processes and this one see the same environment.

    Afterwards the environment is as it was, also where a library has written into it, as MLflow does.
    """
    airflow, mlflow, smtp = free_ports(3)
    environment = {
        "PERENNIAL_HOME": str(tmp_path_factory.mktemp("stack") / "home"),
        "PERENNIAL_USE_CASES": str(USE_CASES),
        "PERENNIAL_AIRFLOW_PORT": str(airflow),
        "PERENNIAL_MLFLOW_PORT": str(mlflow),
        "PERENNIAL_SMTP_PORT": str(smtp),
    }
    with patch.dict(os.environ, environment):
        load_settings.cache_clear()
        yield load_settings()
    load_settings.cache_clear()


@pytest.fixture(scope="module")
def layout(stack_settings: Settings) -> Iterator[Layout]:
    """Return the layout of the running stack; it is stopped after the file's last test, whatever happened."""
    try:
        yield stack.up(stack_settings, steps=Steps())
    finally:
        stack.down(stack_settings)


@pytest.fixture(scope="module")
def airflow(layout: Layout) -> Airflow:
    """Return a client that is logged in as the engineer."""
    return Airflow(layout)


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Return the folder that CI keeps."""
    folder = CHECKOUT / ".ci-output"
    folder.mkdir(exist_ok=True)
    return folder
