"""One live stack for all end-to-end tests, a small use case on the real data; nothing of it is left after."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from live import Browser
from perennial.catalog import load_use_case
from perennial.local import credentials, stack
from perennial.local.airflow_api import Airflow
from perennial.local.demo import Demo, Plan
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


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return the environment of a stack of its own, which is stopped when all tests are over, whatever happened."""
    airflow, mlflow, smtp = free_ports(3)
    folder = tmp_path_factory.mktemp("stack")
    # A copy, because a test changes who may approve.
    shutil.copytree(USE_CASES, folder / "use_cases")
    found = {
        "PERENNIAL_HOME": str(folder / "home"),
        "PERENNIAL_USE_CASES": str(folder / "use_cases"),
        "PERENNIAL_AIRFLOW_PORT": str(airflow),
        "PERENNIAL_MLFLOW_PORT": str(mlflow),
        "PERENNIAL_SMTP_PORT": str(smtp),
    }
    yield found
    with patch.dict(os.environ, found):
        load_settings.cache_clear()
        stack.down(load_settings())
    load_settings.cache_clear()


@pytest.fixture(scope="module")
def stack_settings(environment: dict[str, str]) -> Iterator[Settings]:
    """Return the settings of the stack; during a file of tests its processes and this one see the same environment.

    Afterwards the environment is as it was, also where a library has written into it, as MLflow does.
    """
    with patch.dict(os.environ, environment):
        load_settings.cache_clear()
        yield load_settings()
    load_settings.cache_clear()


@pytest.fixture(scope="module")
def layout(stack_settings: Settings) -> Layout:
    """Return the layout of the running stack; the first file of tests starts it."""
    return stack.up(stack_settings, steps=Steps())


@pytest.fixture(scope="module")
def airflow(layout: Layout) -> Airflow:
    """Return a client that is logged in as the engineer."""
    return Airflow(layout)


@pytest.fixture(scope="session")
def walked() -> dict[str, Demo]:
    """Return where the demonstration is kept from one file of tests to the next."""
    return {}


@pytest.fixture(scope="module")
def demo(layout: Layout, walked: dict[str, Demo]) -> Demo:
    """Return the demonstration's steps over the small use case, with what the files before have found."""
    load_settings.cache_clear()  # the stack has written stack.env by now
    plan = Plan(load_use_case("coupons"), datetime.now(UTC).date() - timedelta(days=1))
    return walked.setdefault("coupons", Demo(plan, layout, Steps(), load_settings()))


@pytest.fixture
def browser(layout: Layout, program: Callable[[str], str], tmp_path: Path) -> Browser:
    """Return an opener of Airflow's pages in Chromium, logged in as somebody."""
    from playwright.sync_api import Page, sync_playwright

    chromium = program("chromium")
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []

    @contextmanager
    def opened(login: str) -> Iterator[Page]:
        with sync_playwright() as playwright:
            context = playwright.chromium.launch_persistent_context(
                tmp_path / "profile", executable_path=chromium, args=[*quiet, *sandbox],
                viewport={"width": 1400, "height": 900},
            )  # fmt: skip
            page = context.new_page()
            page.goto(f"{layout.airflow_url}/dags")
            page.fill("input[name=username]", login)
            page.fill("input[name=password]", credentials.passwords(layout)[login])
            page.click("button[type=submit]")
            page.get_by_role("button", name="User").wait_for(timeout=60_000)
            yield page
            context.close()

    return opened


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Return the folder that CI keeps."""
    folder = CHECKOUT / ".ci-output"
    folder.mkdir(exist_ok=True)
    return folder
