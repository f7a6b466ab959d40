"""The live stack stops, by its command and by a signal; the last chapter."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from live import await_true
from perennial.local import postgres, stack
from perennial.local.layout import Layout
from perennial.local.steps import Steps
from perennial.local.supervision import Supervisor
from perennial.settings import Settings

pytestmark = pytest.mark.e2e


def test_stopping_leaves_no_process_and_keeps_the_data(layout: Layout, stack_settings: Settings) -> None:
    """`down` ends everything without force; logins and lake are still there."""
    pids = [process.pid for process in Supervisor(layout).members()]
    backends = [process.pid for process in psutil.process_iter() if str(layout.postgres) in " ".join(_words(process))]

    killed = stack.down(stack_settings)

    assert killed == []
    assert [pid for pid in [*pids, *backends] if _lives(pid)] == []
    assert stack.status(stack_settings) == {}
    assert layout.passwords.exists()
    assert (postgres.binaries() / "postgres").exists()


def _lives(pid: int) -> bool:
    """Tell whether a process runs; one that only waits for its parent to take notice does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_supervisor_leaves_no_process(layout: Layout, stack_settings: Settings, number: int) -> None:
    """The stack starts again with its data; SIGTERM and SIGINT end all of it like `down`."""
    stack.up(stack_settings, steps=Steps())
    supervisor = Supervisor(layout)
    pids = [process.pid for process in supervisor.members()]
    os.kill(int(layout.session_file.read_text()), number)

    await_true(lambda: not supervisor.members())

    assert [pid for pid in pids if _lives(pid)] == []
