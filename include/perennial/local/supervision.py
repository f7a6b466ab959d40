"""Starts supervisord, asks it, and ends it with everything that belongs to its session."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from xmlrpc.client import Fault, ServerProxy

import psutil

from perennial.errors import SetupError
from perennial.local import sessions
from perennial.local.components import GROUPS, STOP_SECONDS, Component, supervisor_config
from perennial.local.credentials import write_private
from perennial.local.layout import Layout

ANSWER_SECONDS = 20.0
# Each group is stopped in turn, and a component that does not obey is killed after its own patience.
LONGEST_STOP_SECONDS = len(GROUPS) * STOP_SECONDS + 10.0


class Supervisor:
    """One supervisord and the components it keeps alive."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def states(self) -> dict[str, dict[str, Any]]:
        """Return what supervisord says of each component; empty where it does not run."""
        try:
            listed = cast("list[dict[str, Any]]", self._ask("getAllProcessInfo"))
        except (OSError, http.client.HTTPException):
            return {}
        return {item["name"]: item for item in listed if item["name"] != "reaper"}

    def runs(self) -> bool:
        """Tell whether supervisord answers."""
        return bool(self.states())

    def start(self, parts: Sequence[Component], *, environment: Mapping[str, str]) -> None:
        """Start supervisord in a session of its own; no component starts yet."""
        layout = self.layout
        write_private(layout.supervisor_config, supervisor_config(layout, parts))
        with (layout.logs / "supervisord.out").open("ab") as output:
            command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(layout.supervisor_config)]
            process = subprocess.Popen(  # noqa: S603  our own program
                command,
                cwd=layout.run,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        write_private(layout.session_file, f"{process.pid}\n")
        self._await_answer(process)

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self.runs():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SetupError(f"supervisord did not start; see {self.layout.logs / 'supervisord.out'}.")
            time.sleep(0.1)

    def start_group(self, group: str) -> None:
        """Start the components of one group that do not run, and return without waiting for them."""
        for item in self.states().values():
            if item["group"] == group and item["statename"] not in {"RUNNING", "STARTING"}:
                self._start_one(f"{group}:{item['name']}")

    def stop_one(self, name: str) -> None:
        """Stop a component and wait until it has ended; it stays down until its group is started again."""
        self._ask("stopProcess", f"{self.states()[name]['group']}:{name}")

    def _start_one(self, name: str) -> None:
        try:
            self._ask("startProcess", name, False)  # noqa: FBT003  supervisord's API is positional
        except Fault as fault:
            raise SetupError(f"supervisord cannot start {name}: {fault.faultString}.") from fault

    def stop(self) -> list[int]:
        """End every component, supervisord, and whatever else is left of the session; return what had to be killed."""
        session = self._session()
        if self.runs():
            self._ask("shutdown")
        if session is None:
            return []
        deadline = time.monotonic() + LONGEST_STOP_SECONDS
        while psutil.pid_exists(session) and self._members(session) and time.monotonic() < deadline:
            time.sleep(0.1)
        killed = self.sweep()
        self.layout.session_file.unlink(missing_ok=True)
        return killed

    def sweep(self) -> list[int]:
        """Kill what is left of the last session, for example after supervisord itself was killed."""
        session = self._session()
        left = [] if session is None else self._members(session)
        killed = sessions.kill(left)
        psutil.wait_procs(left, timeout=10)
        return killed

    def members(self) -> list[psutil.Process]:
        """Return the processes of the stack."""
        session = self._session()
        return [] if session is None else self._members(session)

    def _members(self, session: int) -> list[psutil.Process]:
        return sessions.members(session, below=self.layout.home)

    def _session(self) -> int | None:
        path: Path = self.layout.session_file
        return int(path.read_text()) if path.exists() else None

    def _ask(self, method: str, *arguments: object) -> object:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self.layout.supervisor_socket}")
        proxy = ServerProxy("http://127.0.0.1", transport=transport)
        return getattr(proxy.supervisor, method)(*arguments)
