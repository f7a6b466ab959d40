"""docker-compose.yaml without containers: the same commands with the same environment, as processes of this machine."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from perennial.local import postgres
from perennial.settings import CHECKOUT

FILE = CHECKOUT / "docker-compose.yaml"
VARIABLE = re.compile(r"\$\$|\$\{(?P<name>[A-Z_]+)(?::(?P<kind>[?-])(?P<text>[^}]*))?\}")
SECRETS = (
    "POSTGRES_PASSWORD",
    "AIRFLOW_DB_PASSWORD",
    "MLFLOW_DB_PASSWORD",
    "LEDGER_OWNER_PASSWORD",
    "LEDGER_PASSWORD",
    "REDIS_PASSWORD",
    "AIRFLOW_API_SECRET_KEY",
    "AIRFLOW_JWT_SECRET",
    "AIRFLOW_ADMIN_PASSWORD",
)


class MissingValueError(LookupError):
    """A variable that the file requires is not set."""


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """Replace `${NAME:?why}`, `${NAME:-default}` and `$$` as Compose does."""

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "$"
        if values.get(name):
            return values[name]
        if match["kind"] != "-":
            raise MissingValueError(f"{name} {match['text'] or 'is not set'}")
        return match["text"]

    return VARIABLE.sub(replace, text)


def services(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the whole file as Compose would see it with these values."""
    return dict(yaml.safe_load(interpolated(FILE.read_text(), values)))


def values(fernet_key: str) -> dict[str, str]:
    """Return a value for everything that the file requires."""
    return {name: f"{name.lower()}-of-the-tests-0123456789abcdef" for name in SECRETS} | {
        "AIRFLOW_FERNET_KEY": fernet_key
    }


class Site:
    """This machine in the containers' place: their host names become ports here, their folders become ours."""

    def __init__(self, file: dict[str, Any], folder: Path, *, ports: Mapping[str, int], use_cases: Path) -> None:
        self.services: dict[str, Any] = file["services"]
        self.databases: str = file["configs"]["databases"]["content"]
        self.folder = folder
        self.ports = ports
        self.use_cases = use_cases
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def here(self, text: str) -> str:
        """Return a text of the file with this machine's addresses and folders."""
        for name, port in self.ports.items():
            number = {"postgres": 5432, "redis": 6379, "api-server": 8080, "mlflow": 5000, "mail": 1025}[name]
            for host in (name, "localhost"):
                text = text.replace(f"{host}:{number}", f"127.0.0.1:{port}")
            text = re.sub(rf"'localhost', {number}\b", f"'127.0.0.1', {port}", text)
            text = re.sub(rf"(?<![\d:]){number}$", str(port), text)
        text = text.replace("0.0.0.0", "127.0.0.1")  # noqa: S104  what is replaced
        return text.replace("/opt/perennial", str(CHECKOUT)).replace("/var/lib/perennial", str(self.folder / "state"))

    def environment(self, service: str) -> dict[str, str]:
        """Return the service's environment, beside what a container has by itself."""
        declared = {name: self.here(str(text)) for name, text in self.services[service].get("environment", {}).items()}
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        container = {"PATH": programs, "HOME": str(self.folder), "HOSTNAME": socket.gethostname(), "LANG": "C.UTF-8"}
        return container | declared | {"PERENNIAL_USE_CASES": str(self.use_cases)} | self._more_ports()

    def _more_ports(self) -> dict[str, str]:
        # In containers these cannot meet; on one machine another Airflow may listen there.
        names = ("SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT", "LOGGING__WORKER_LOG_SERVER_PORT")
        base = max(self.ports.values())
        numbers = {f"AIRFLOW__{name}": str(base + offset) for offset, name in enumerate(names, start=1)}
        return numbers | {"AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(base + len(names) + 1)}

    def start(self, *names: str) -> None:
        """Start services in the background; each writes a log of its name."""
        for name in names:
            command = [self.here(word) for word in self.services[name]["command"]]
            self._spawn(name, command, env=self.environment(name))

    def _spawn(self, name: str, command: Sequence[str], **options: Any) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            options = {"cwd": self.folder, "stdout": log, "stderr": log, "start_new_session": True, **options}
            self.running[name] = subprocess.Popen(command, **options)

    def run(self, name: str, *, seconds: float) -> None:
        """Run a service to its end; it has to succeed."""
        self.start(name)
        code = self.running.pop(name).wait(seconds)
        assert code == 0, (self.folder / f"{name}.log").read_text()[-3000:]

    def start_postgres(self) -> None:
        """Start the wheel's Postgres with the user, password and databases that the file asks for."""
        asked, data = self.services["postgres"]["environment"], self.folder / "postgres"
        word = self.folder / "password"
        word.write_text(asked["POSTGRES_PASSWORD"])
        data.mkdir()
        identity = _postgres_identity([data, word])
        initdb = [postgres.binaries() / "initdb", "-D", data, "-U", asked["POSTGRES_USER"], "--pwfile", word]
        subprocess.run(
            [*initdb, "--auth=scram-sha-256", "--encoding=utf8", "--locale=C"], check=True, cwd="/", **identity
        )
        options = [
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-p",
            str(self.ports["postgres"]),
        ]
        self._spawn("postgres", [str(postgres.binaries() / "postgres"), "-D", str(data), *options], **identity)
        self._await(lambda: self._psql("select 1").returncode == 0, what="postgres", seconds=30)
        done = self._psql(self.databases)
        assert done.returncode == 0, done.stderr.decode()

    def _psql(self, text: str) -> subprocess.CompletedProcess[bytes]:
        """Run SQL as the image's entrypoint runs its files."""
        asked = self.services["postgres"]["environment"]
        url = f"postgresql://{asked['POSTGRES_USER']}@127.0.0.1:{self.ports['postgres']}/postgres"
        environment = {**os.environ, "PGPASSWORD": asked["POSTGRES_PASSWORD"]}
        command = [postgres.binaries() / "psql", "-v", "ON_ERROR_STOP=1", "--no-psqlrc", url]
        return subprocess.run(command, input=text.encode(), env=environment, capture_output=True)

    def start_redis(self, server: str) -> None:
        """Start Redis with the file's arguments on our port."""
        arguments = self.services["redis"]["command"][1:]
        self._spawn("redis", [server, "--port", str(self.ports["redis"]), "--bind", "127.0.0.1", *arguments])

    def await_healthy(self, *names: str, seconds: float = 180) -> None:
        """Wait until each service's own health check of the file says yes."""
        for name in names:
            self._await(lambda name=name: self._is_healthy(name), what=name, seconds=seconds)

    def _is_healthy(self, name: str) -> bool:
        assert self.running[name].poll() is None, (self.folder / f"{name}.log").read_text()[-3000:]
        kind, *words = self.services[name]["healthcheck"]["test"]
        command = ["/bin/sh", "-c", words[0]] if kind == "CMD-SHELL" else words
        health_port = self.environment(name)["AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT"]
        command = [self.here(word).replace("localhost:8974", f"127.0.0.1:{health_port}") for word in command]
        environment = self.environment(name)
        program = shutil.which(command[0], path=environment["PATH"])
        assert program, f"{shlex.join(command)} is no command here"
        return subprocess.run([program, *command[1:]], env=environment, capture_output=True, timeout=60).returncode == 0

    def _await(self, condition: Any, *, what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {(self.folder / f'{what}.log').read_text()[-3000:]}"
            time.sleep(0.5)

    def stop(self) -> None:
        """End everything, the newest first."""
        for process in reversed(self.running.values()):
            process.terminate()
        for process in reversed(self.running.values()):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait(10)


def _postgres_identity(paths: Sequence[Path]) -> dict[str, Any]:
    """Return how to run as the user that Postgres accepts; as root it gets the paths."""
    user = postgres.system_user()
    if user is None:
        return {}
    for path in paths:
        postgres.open_way_to(path)
        shutil.chown(path, user)
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()}
