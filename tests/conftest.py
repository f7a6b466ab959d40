"""Switches of the whole test suite: what the machine lacks is skipped at home, with its cure, and an error in CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import toy
from perennial.adapters import Adapters
from perennial.spec import UseCase
from xdist.scheduler import LoadFileScheduling

# What a machine may lack, and Debian's package that brings it.
PACKAGES = {
    "chromium": "chromium",
    "redis-server": "redis-server",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
}
CI = os.environ.get("CI") == "true"
# The files that take longest, the longest first: one of them begun last would keep one worker while the other idles.
LONGEST = (
    "test_1_the_loop",
    "test_2_decisions",
    "test_3_pages",
    "test_4_the_end",
    "test_compose",
    "test_fleet_size",
    "test_alertbench",
    "test_kills",
    "test_simulated_visitors",
    "test_cli",
    "test_warm_workers",
    "test_leaks",
    "test_ranges",
    "test_reproduction",
    "test_model_loop",
)


class OneStack(LoadFileScheduling):
    """Gives a worker whole files, and all end-to-end tests to the same one: they share a live stack."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/e2e" if nodeid.startswith("tests/e2e/") else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneStack:
    """Replace `--dist loadfile` by itself with one exception."""
    return OneStack(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, the others in their order; workers are given whole files as they stand here."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Return a finder of programs; the test that asks for one which is missing is skipped."""

    def find(name: str) -> str:
        # Servers lie where a user's own path may not lead.
        path = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin")
        if path is None:
            pytest.skip(f"{name} is not installed; `sudo apt-get install {PACKAGES[name]}` brings it")
        return path

    return find


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, report a skipped test as failed: there everything has to be installed."""
    report = yield
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI, report a skipped test file as failed."""
    report = yield
    if CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.fixture
def shop(tmp_path: Path) -> UseCase:
    """Return a valid use case with 60 days of orders."""
    return toy.shop(tmp_path / "use_cases")


@pytest.fixture
def make_shop(tmp_path: Path) -> Any:
    """Return a builder of shops; a test names only what it is about."""

    def make(**arguments: Any) -> UseCase:
        return toy.shop(tmp_path / "use_cases", **arguments)

    return make


@pytest.fixture
def adapters(tmp_path: Path) -> Adapters:
    """Return adapters whose state lies in the test's own folder."""
    return toy.adapters(tmp_path / "home")
