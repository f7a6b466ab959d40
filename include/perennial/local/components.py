"""The programs of the stack and supervisord's configuration for them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perennial.local import postgres
from perennial.local.layout import Layout

STOP_SECONDS = 25


@dataclass(frozen=True, slots=True)
class Component:
    """One supervised program; its log is `<home>/logs/<name>.log`."""

    name: str
    command: Sequence[str]
    group: str
    steady_seconds: int
    stop_signal: str = "TERM"
    user: str | None = None
    environment: str = ""


# Started from the top, stopped from the bottom: whoever needs Postgres is gone before it.
GROUPS = ("database", "services", "airflow", "feed")


def components(layout: Layout) -> tuple[Component, ...]:
    """Return every program of the stack."""
    return (
        # INT is Postgres's fast shutdown: it ends the sessions and leaves nothing to recover.
        Component("postgres", postgres.command(layout), "database", 1, stop_signal="INT", user=postgres.system_user()),
        Component(
            "mail", _python("perennial.local.mail_catcher", str(layout.smtp_port), str(layout.mail)), "services", 2
        ),
        # The server loads no model; the tasks do, and skops files too are refused where this is false.
        Component("mlflow", _mlflow(layout), "services", 10, environment='MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false"'),
        Component("api-server", _airflow("api-server"), "airflow", 15),
        # Their log servers would listen on every interface; the files lie on this machine anyway.
        Component("scheduler", _airflow("scheduler", "--skip-serve-logs"), "airflow", 15),
        Component("triggerer", _airflow("triggerer", "--skip-serve-logs"), "airflow", 15),
        Component("dag-processor", _airflow("dag-processor"), "airflow", 15),
        # Started only where there is a feed.json; it ends after the batch that it is in.
        Component("feed", _python("perennial.local.feed"), "feed", 2),
    )


def _airflow(*arguments: str) -> Sequence[str]:
    # Not `python -m airflow`: Airflow reads its local settings while `-m` still hides which component it is.
    return [str(Path(sys.executable).parent / "airflow"), *arguments]


def _python(module: str, *arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", module, *arguments]


def _mlflow(layout: Layout) -> Sequence[str]:
    options = {
        "--host": "127.0.0.1",
        "--port": str(layout.mlflow_port),
        "--workers": "1",
        "--backend-store-uri": layout.database_url("mlflow"),
        "--artifacts-destination": layout.artifacts.as_uri(),
    }
    return _python("mlflow", "server", *(word for option in options.items() for word in option))


def supervisor_config(layout: Layout, parts: Sequence[Component]) -> str:
    """Return supervisord's configuration; it holds no secret, those travel in the environment."""
    sections = [
        _section("supervisord", _supervisord(layout)),
        _section("unix_http_server", {"file": str(layout.supervisor_socket), "chmod": "0700"}),
        _section(
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        _section("eventlistener:reaper", _reaper(layout)),
    ]
    for rank, group in enumerate(GROUPS):
        names = [part.name for part in parts if part.group == group]
        sections.append(_section(f"group:{group}", {"programs": ",".join(names), "priority": str(10 * (rank + 1))}))
    sections.extend(_section(f"program:{part.name}", _program(layout, part)) for part in parts)
    return "\n".join(sections)


def _section(title: str, values: dict[str, str]) -> str:
    # A percent sign begins a substitution in supervisord's files.
    return "\n".join([f"[{title}]", *(f"{key} = {text.replace('%', '%%')}" for key, text in values.items()), ""])


def _supervisord(layout: Layout) -> dict[str, str]:
    return {
        "nodaemon": "true",
        "silent": "true",
        "logfile": str(layout.logs / "supervisord.log"),
        "logfile_maxbytes": "5MB",
        "logfile_backups": "1",
        "pidfile": str(layout.run / "supervisord.pid"),
        "childlogdir": str(layout.logs),
        **({"user": "root"} if os.geteuid() == 0 else {}),
    }


def _reaper(layout: Layout) -> dict[str, str]:
    return {
        "command": shlex.join(_python("perennial.local.reaper")),
        "events": "PROCESS_STATE_EXITED,PROCESS_STATE_STOPPED,PROCESS_STATE_FATAL",
        "stdout_logfile": "NONE",
        "stderr_logfile": str(layout.logs / "reaper.log"),
        "stderr_logfile_maxbytes": "1MB",
    }


def _program(layout: Layout, part: Component) -> dict[str, str]:
    return {
        "command": shlex.join(part.command),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": str(part.steady_seconds),
        "startretries": "20",
        "stopsignal": part.stop_signal,
        "stopwaitsecs": str(STOP_SECONDS),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(layout.logs / f"{part.name}.log"),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "2",
        **({"user": part.user} if part.user else {}),
        **({"environment": part.environment} if part.environment else {}),
    }
