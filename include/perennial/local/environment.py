"""What the stack's processes find in their environment, and what the command line reads from `stack.env`."""

from __future__ import annotations

import os
from datetime import date, timedelta

from perennial.io.checkouts import describe
from perennial.local import feed
from perennial.local.credentials import ROLES, keys, write_private
from perennial.local.layout import Layout
from perennial.settings import Settings

# The replayed year's day that "yesterday" falls on or just after, when a stack starts for the first time: late
# enough for months of history, early enough for months to come before the year begins again.
REPLAYED_YESTERDAY = date(2017, 10, 28)
DAYS_A_WEEK = 7
FEWEST_SLOTS, MOST_SLOTS = 8, 16


def replay_weeks(today: date) -> int:
    """Return how many whole weeks lie between the replayed year and now, so that weekdays stay weekdays."""
    yesterday = today - timedelta(days=1)
    return (yesterday - REPLAYED_YESTERDAY).days // DAYS_A_WEEK


def write_stack_env(layout: Layout, *, weeks: int) -> None:
    """Write the addresses and the shift of the replay for the command line and for every task."""
    values = {
        "PERENNIAL_AIRFLOW_PORT": str(layout.airflow_port),
        "PERENNIAL_AIRFLOW_URL": layout.airflow_url,
        "PERENNIAL_CONN_SMTP_DEFAULT": smtp_connection("127.0.0.1", layout.smtp_port),
        "PERENNIAL_LEDGER_URL": layout.database_url("perennial"),
        "PERENNIAL_MLFLOW_PORT": str(layout.mlflow_port),
        "PERENNIAL_MLFLOW_URI": layout.mlflow_url,
        "PERENNIAL_REPLAY_WEEKS": str(weeks),
        "PERENNIAL_SMTP_PORT": str(layout.smtp_port),
    }
    if layout.feed.is_file():
        values |= {"PERENNIAL_LIVE": feed.CONNECTION, "PERENNIAL_CONN_CLICKSTREAM": feed.address(layout, feed.READER)}
    lines = ["# Written by `perennial up`; a real environment variable wins over a line here."]
    write_private(
        layout.stack_env, "\n".join([*lines, *(f"{name}={_quoted(text)}" for name, text in values.items())]) + "\n"
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def weeks_of(settings: Settings, today: date) -> int:
    """Return the shift this stack has had since its first start, or a new one; it never jumps."""
    return settings.replay_weeks or replay_weeks(today)


def component_environment(layout: Layout) -> dict[str, str]:
    """Return the environment of every component: the caller's own without foreign Airflow settings, and ours."""
    foreign = ("AIRFLOW", "MLFLOW_", "PYTHONPATH", "_AIRFLOW", "_MLFLOW")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    direct = ",".join(filter(None, [inherited.get("NO_PROXY") or inherited.get("no_proxy"), "127.0.0.1,localhost"]))
    return inherited | {"NO_PROXY": direct, "no_proxy": direct} | _perennial(layout) | _airflow(layout) | _mlflow()


def _perennial(layout: Layout) -> dict[str, str]:
    paths = [layout.checkout / "include", layout.checkout / "plugins"]
    return {
        "PERENNIAL_CODE_VERSION": describe(layout.checkout),
        "PERENNIAL_HOME": str(layout.home),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONUNBUFFERED": "1",
    }


def _mlflow() -> dict[str, str]:
    return {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _airflow(layout: Layout) -> dict[str, str]:
    key = keys(layout)
    slots = min(MOST_SLOTS, max(FEWEST_SLOTS, 2 * (os.cpu_count() or 1)))
    return {
        "AIRFLOW_HOME": str(layout.airflow_home),
        "AIRFLOW_CONN_CLICKSTREAM": feed.address(layout, feed.READER),
        "AIRFLOW_CONN_SMTP_DEFAULT": smtp_connection("127.0.0.1", layout.smtp_port),
        "AIRFLOW__API__BASE_URL": layout.airflow_url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(layout.airflow_port),
        "AIRFLOW__API__SECRET_KEY": key["api_secret_key"],
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": key["jwt_secret"],
        "AIRFLOW__CORE__DAGS_FOLDER": str(layout.checkout / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{layout.airflow_url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__FERNET_KEY": key["fernet_key"],
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": str(slots),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(layout.checkout / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(layout.passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{who}:{role}" for who, role in ROLES.items()),
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": layout.database_url("airflow"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(layout.logs / "tasks"),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    }


def smtp_connection(host: str, port: int) -> str:
    """Return the Airflow connection of a mail server without encryption."""
    options = "disable_ssl=true&disable_tls=true&from_email=perennial%40localhost&timeout=10&retry_limit=2"
    return f"smtp://{host}:{port}/?{options}"
