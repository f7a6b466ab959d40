"""Where the embedded stack keeps its files and which ports it listens on."""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from perennial.errors import SetupError
from perennial.settings import CHECKOUT, Settings

# sockaddr_un.sun_path holds 108 bytes with its closing zero.
LONGEST_SOCKET_PATH = 107
# Supervisord links `<socket>.<pid>` before it renames, the longest of the names that are made in the folder.
LONGEST_SOCKET_NAME = len("/supervisor.sock.4194304")
# Where the simulated shop writes, and the use case that learns from it reads.
CLICKSTREAM = "clickstream"
DATABASES = ("airflow", "mlflow", "perennial", CLICKSTREAM)


def socket_folder(home: Path) -> Path:
    """Return the folder of the Unix sockets: `<home>/sockets`, or a short one where that path is too long.

    The short one lies in the folder for temporary files and is named after the user and the home folder.
    """
    inside = home / "sockets"
    if len(os.fsencode(inside)) + LONGEST_SOCKET_NAME <= LONGEST_SOCKET_PATH:
        return inside
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"perennial-{os.getuid()}-{name}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths and addresses of one embedded stack; making one touches nothing."""

    home: Path
    airflow_port: int
    mlflow_port: int
    smtp_port: int
    checkout: Path = CHECKOUT

    @classmethod
    def of(cls, settings: Settings) -> Layout:
        """Return the layout that the settings describe."""
        return cls(
            home=settings.home.resolve(),
            airflow_port=settings.airflow_port,
            mlflow_port=settings.mlflow_port,
            smtp_port=settings.smtp_port,
        )

    @property
    def sockets(self) -> Path:
        """Return the folder of the Unix sockets of Postgres."""
        return socket_folder(self.home)

    @property
    def supervisor_socket(self) -> Path:
        """Return the socket by which supervisord is asked."""
        return self.sockets / "supervisor.sock"

    @property
    def supervisor_config(self) -> Path:
        """Return supervisord's configuration; it is written anew at each start."""
        return self.run / "supervisord.conf"

    @property
    def session_file(self) -> Path:
        """Return the file that holds the session id of all the stack's processes."""
        return self.run / "session"

    @property
    def run(self) -> Path:
        """Return the folder of what only matters while the stack runs."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """Return the folder with one log a component."""
        return self.home / "logs"

    @property
    def mail(self) -> Path:
        """Return the folder of caught mails, one .eml each."""
        return self.home / "mail"

    @property
    def postgres(self) -> Path:
        """Return Postgres's data folder."""
        return self.home / "postgres"

    @property
    def airflow_home(self) -> Path:
        """Return AIRFLOW_HOME."""
        return self.home / "airflow"

    @property
    def artifacts(self) -> Path:
        """Return the folder that MLflow's artifact proxy writes to."""
        return self.home / "artifacts"

    @property
    def passwords(self) -> Path:
        """Return the file of the logins; only its owner can read it."""
        return self.home / "passwords.json"

    @property
    def secrets(self) -> Path:
        """Return the file of the generated keys; only its owner can read it."""
        return self.home / "secrets.json"

    @property
    def stack_env(self) -> Path:
        """Return the file by which the command line finds the running stack."""
        return self.home / "stack.env"

    @property
    def feed(self) -> Path:
        """Return the file that says what the simulated shop's feed writes; without it there is no feed."""
        return self.home / "feed.json"

    @property
    def airflow_url(self) -> str:
        """Return the address of Airflow's UI and API."""
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        """Return the address of the MLflow server."""
        return f"http://127.0.0.1:{self.mlflow_port}"

    def database_url(self, name: str) -> str:
        """Return the SQLAlchemy URL of one of the stack's databases."""
        return f"postgresql+psycopg2://postgres@/{name}?host={quote(str(self.sockets))}"

    def ports(self) -> dict[str, tuple[str, int]]:
        """Return each setting that moves a port, with what listens there and the port."""
        return {
            "PERENNIAL_AIRFLOW_PORT": ("Airflow", self.airflow_port),
            "PERENNIAL_MLFLOW_PORT": ("MLflow", self.mlflow_port),
            "PERENNIAL_SMTP_PORT": ("the mail catcher", self.smtp_port),
        }

    def make_folders(self) -> None:
        """Create the folders; what others may not read is closed to them."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.run, self.logs, self.mail, self.airflow_home, self.artifacts):
            folder.mkdir(parents=True, exist_ok=True)
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        if self.sockets.is_symlink():
            raise SetupError(f"{self.sockets} is a symbolic link; remove it, then start again.")


def refuse_taken_ports(layout: Layout) -> None:
    """Raise SetupError where something else listens on one of the ports.

    All of them are named at once, each with the setting that moves it.
    """
    taken = [
        f"port {port} for {what} is taken; set {setting} to a free one"
        for setting, (what, port) in layout.ports().items()
        if not _is_free(port)
    ]
    if taken:
        raise SetupError(f"Cannot start the stack: {'; '.join(taken)} (for example {setting_example(layout)}).")


def setting_example(layout: Layout) -> str:
    """Return a command line that moves the first taken port to a free one."""
    setting = next(name for name, (_, port) in layout.ports().items() if not _is_free(port))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"`{setting}={probe.getsockname()[1]} make up`"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def listens(port: int) -> bool:
    """Tell whether something on this machine takes connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
