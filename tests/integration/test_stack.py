"""The parts of the embedded stack that need no running stack: folders, ports, secrets, configuration, injected days."""

from __future__ import annotations

import configparser
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from datetime import date, timedelta
from email.message import EmailMessage
from pathlib import Path

import pyarrow as pa
import pytest
from perennial.catalog import read_folder
from perennial.errors import SetupError
from perennial.io.lake import Lake
from perennial.io.sources import Sources
from perennial.local import components, credentials, environment, injection, layout, mailbox, sessions, stack
from perennial.local.demo import Plan
from perennial.local.layout import LONGEST_SOCKET_PATH, Layout
from perennial.settings import CHECKOUT, Settings

YESTERDAY = date(2026, 11, 20)


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    """Return a layout below the test's folder; its folders are made."""
    made = Layout(tmp_path / "home", airflow_port=18080, mlflow_port=15000, smtp_port=11025)
    made.make_folders()
    return made


@pytest.mark.parametrize("length", [10, 60, 83, 84, 200])
def test_a_socket_path_is_never_too_long(length: int) -> None:
    """A deep checkout moves the sockets to a short folder; the name supervisord adds still fits."""
    home = Path("/" + "x" * (length - 1))
    sockets = layout.socket_folder(home)

    assert len(str(sockets / "supervisor.sock.4194304")) <= LONGEST_SOCKET_PATH or length < 84
    assert len(str(sockets / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH
    assert (sockets == home / "sockets") is (length + len("/sockets/supervisor.sock.4194304") <= LONGEST_SOCKET_PATH)


def test_two_deep_checkouts_do_not_share_their_sockets() -> None:
    """The short folder is named after the home folder."""
    assert layout.socket_folder(Path("/" + "x" * 100)) != layout.socket_folder(Path("/" + "y" * 100))


def test_a_socket_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """Somebody else's link in a folder for temporary files must not lead our sockets away."""
    home = tmp_path / "home"
    home.mkdir()
    place = Layout(home, airflow_port=1, mlflow_port=2, smtp_port=3)
    place.sockets.symlink_to(tmp_path)  # beside the home where its own path is too long
    try:
        with pytest.raises(SetupError, match="symbolic link"):
            place.make_folders()
    finally:
        place.sockets.unlink()


def test_a_taken_port_is_named_with_the_setting_that_moves_it(tmp_path: Path) -> None:
    """The message says which port, for what, and how to move it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = Settings(home=tmp_path / "home", mlflow_port=port, airflow_port=18081, smtp_port=11026)

        with pytest.raises(SetupError, match=rf"port {port} for MLflow is taken; set PERENNIAL_MLFLOW_PORT"):
            stack.up(settings, steps=stack.Steps())


def test_secrets_are_private_and_stay(place: Layout) -> None:
    """Keys and passwords are made up once, one for each login, and nobody else can read them."""
    first = credentials.passwords(place), credentials.keys(place)

    assert (credentials.passwords(place), credentials.keys(place)) == first
    assert set(first[0]) == {"admin", "engineer", "operator", "approver", "viewer"}
    assert len(set(first[0].values())) == 5
    assert [path.stat().st_mode & 0o777 for path in (place.passwords, place.secrets)] == [0o600, 0o600]


def test_the_configuration_of_supervisord_holds_no_secret_and_starts_everything(place: Layout) -> None:
    """Every component is restarted, has a log, and belongs to a group; the file has no key in it."""
    parts = components.components(place)
    text = components.supervisor_config(place, parts)
    config = configparser.RawConfigParser()
    config.read_string(text)

    assert not any(secret in text for secret in credentials.keys(place).values())
    for part in parts:
        program = config[f"program:{part.name}"]
        assert program["autorestart"] == "true"
        assert program["stdout_logfile"] == str(place.logs / f"{part.name}.log")
        assert part.name in config[f"group:{part.group}"]["programs"].split(",")


def test_a_percent_sign_in_a_path_survives_supervisords_substitution(tmp_path: Path) -> None:
    """Supervisord reads % as the start of a substitution."""
    place = Layout(tmp_path / "100%(here)s", airflow_port=1, mlflow_port=2, smtp_port=3)

    assert "100%%(here)s/logs/mail.log" in components.supervisor_config(place, components.components(place))


def test_stack_env_is_what_the_settings_read(place: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line finds the stack by this file, whatever characters its path holds."""
    for name in [name for name in os.environ if name.startswith("PERENNIAL_")]:
        monkeypatch.delenv(name)
    environment.write_stack_env(place, weeks=472)
    read = Settings(home=place.home, _env_file=place.stack_env)

    assert place.stack_env.stat().st_mode & 0o777 == 0o600
    assert (read.replay_weeks, read.airflow_port, read.mlflow) == (472, 18080, place.mlflow_url)
    assert read.ledger == place.database_url("perennial")


@pytest.mark.parametrize("today", [date(2026, 11, 21), date(2026, 11, 22), date(2027, 3, 1), date(2030, 2, 28)])
def test_the_replay_moves_whole_weeks_to_day_300_or_up_to_six_days_after(today: date) -> None:
    """Weekdays stay weekdays, and yesterday falls into the late autumn of the replayed year."""
    recorded = today - timedelta(days=1) - timedelta(weeks=environment.replay_weeks(today))

    assert timedelta(0) <= recorded - date(2017, 10, 28) < timedelta(days=7)


def test_the_shift_never_jumps(tmp_path: Path) -> None:
    """What the first start chose is kept, however much later the stack starts again."""
    assert environment.weeks_of(Settings(home=tmp_path, replay_weeks=470), date(2027, 3, 1)) == 470


def test_a_component_sees_no_foreign_airflow_settings(place: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that is set up for another Airflow does not lead ours astray; a proxy is not used for this machine."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "KubernetesExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", "http://example.org")
    monkeypatch.setenv("NO_PROXY", "example.org")
    found = environment.component_environment(place)

    assert found["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW_CONN_ELSEWHERE" not in found
    assert found["NO_PROXY"] == "example.org,127.0.0.1,localhost"


def test_a_mail_arrives_whole_over_real_smtp(tmp_path: Path) -> None:
    """The catcher is a process of its own; SIGTERM ends it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "perennial.local.mail_catcher", str(port), str(tmp_path / "mail")]
    catcher = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(CHECKOUT / "include")})
    message = EmailMessage()
    message["Subject"], message["To"], message["From"] = "Grüße — drift", "a@example.org", "b@example.org"
    message.set_content("plain")
    message.add_alternative("<p>rich</p>", subtype="html")
    try:
        _send(message, port)
        (mail,) = mailbox.mails(tmp_path / "mail")
    finally:
        catcher.send_signal(signal.SIGTERM)
        assert catcher.wait(10) == 0

    assert mail.subject == "Grüße — drift"
    assert [part.get_content_type() for part in mail.message.iter_parts()] == ["text/plain", "text/html"]


def _send(message: EmailMessage, port: int) -> None:
    deadline = time.monotonic() + 20
    while not layout.listens(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    with smtplib.SMTP("127.0.0.1", port, timeout=5) as server:
        server.send_message(message)


def test_orphans_of_a_session_are_found_and_their_siblings_left_alone(tmp_path: Path) -> None:
    """A child whose parent was killed is an orphan; a child of the leader is not."""
    leader = _session_with_an_orphan(tmp_path)
    try:
        members = sessions.members(leader.pid, below=tmp_path)
        orphans = sessions.orphans(leader.pid, members)
        killed = sessions.kill(orphans)
    finally:
        leader.kill()
        leader.wait()

    assert len(members) == 3
    assert len(killed) == 1


def _session_with_an_orphan(folder: Path) -> subprocess.Popen[bytes]:
    """Start a leader with a child, and a grandchild whose parent has gone."""
    script = f"(sleep 60 & exec true) & sleep 60 & touch {folder / 'ready'}; wait"
    leader = subprocess.Popen(["/bin/sh", "-c", script], cwd=folder, start_new_session=True)
    deadline = time.monotonic() + 10
    while not (folder / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    return leader


def test_a_stopped_stack_can_be_stopped_again_and_has_no_state(tmp_path: Path) -> None:
    """`down` and `status` say so, and nothing else happens."""
    settings = Settings(home=tmp_path / "nothing here")

    assert stack.down(settings) == []
    assert stack.status(settings) == {}


def test_injected_days_are_the_real_ones_changed_and_say_so(tmp_path: Path) -> None:
    """Rows of the changed days come from the real ones, carry their origin, and the manifest tells what was done."""
    case = read_folder(CHECKOUT / "tests" / "e2e" / "use_cases" / "coupons")
    days = [YESTERDAY - timedelta(days=1), YESTERDAY]
    done = injection.inject(case, days, replay_weeks=472, folder=tmp_path, change=injection.Change(0.5, 3.0))
    source = case.source("transactions")
    changed = Sources(replay_weeks=472, injected=tmp_path).read_day(case, source, YESTERDAY)
    real = Sources(replay_weeks=472).read_day(case, source, YESTERDAY)
    untouched = Sources(replay_weeks=472, injected=tmp_path).read_day(case, source, YESTERDAY - timedelta(days=9))

    assert set(changed.column("origin").to_pylist()) == {"injected"}
    assert set(untouched.column("origin").to_pylist()) == {"recorded"}
    assert 0.2 < changed.num_rows / real.num_rows < 0.8
    assert _spend(changed) == pytest.approx(3 * _spend_of(real, changed), rel=1e-9)
    assert json.loads(injection.manifest_path(tmp_path).read_text())["what"] == done.what
    assert injection.injected(tmp_path) == done


def test_a_replayed_shop_changes_its_days_once(tmp_path: Path) -> None:
    """What was changed before is found again, and said with its place; nobody knows the truth about real people."""
    case = read_folder(CHECKOUT / "tests" / "e2e" / "use_cases" / "coupons")
    shop = injection.Replayed(case, Settings(home=tmp_path, replay_weeks=472))
    before = shop.changed()
    done = shop.change([YESTERDAY])

    assert before is None
    assert shop.changed() == done
    assert str(tmp_path / "injected") in shop.tell(done)
    assert shop.nearness(case, Lake(tmp_path), [YESTERDAY]) == {}


def test_a_replayed_shop_takes_its_change_back_once(tmp_path: Path) -> None:
    """The real rows are there again; since when is written down, found again, and does not move."""
    case = read_folder(CHECKOUT / "tests" / "e2e" / "use_cases" / "coupons")
    shop, source = injection.Replayed(case, Settings(home=tmp_path, replay_weeks=472)), case.source("transactions")
    before = shop.mend()
    done = shop.change([YESTERDAY])
    mended = shop.mend()
    read = Sources(replay_weeks=472, injected=tmp_path / "injected").read_day(case, source, YESTERDAY)

    assert before is None
    assert mended is not None
    assert mended.mended is not None
    assert mended.mended >= done.at
    assert (mended.days, mended.at, mended.what) == (done.days, done.at, done.what)
    assert shop.mend() == shop.changed() == mended
    assert set(read.column("origin").to_pylist()) == {"recorded"}


def test_a_change_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Its manifest says nothing of having been mended: it was not."""
    case = read_folder(CHECKOUT / "tests" / "e2e" / "use_cases" / "coupons")
    done = injection.inject(case, [YESTERDAY], replay_weeks=472, folder=tmp_path, change=injection.Change())
    written = json.loads(injection.manifest_path(tmp_path).read_text())
    del written["mended"]
    injection.manifest_path(tmp_path).write_text(json.dumps(written))

    assert injection.injected(tmp_path) == done


def _spend(rows: pa.Table) -> float:
    return float(sum(rows.column("sales_value").to_pylist()))


def _spend_of(rows: pa.Table, like: pa.Table) -> float:
    staying = set(like.column("household_id").to_pylist())
    return float(sum(row["sales_value"] for row in rows.to_pylist() if row["household_id"] in staying))


def test_the_plan_fits_the_use_case() -> None:
    """Training as of the last quiet day finds its whole window built; the shipped use case gets 90 days or more."""
    plan = Plan(read_folder(CHECKOUT / "include" / "use_cases" / "conversion"), YESTERDAY)
    last_snapshot = plan.as_of - plan.case.horizon

    assert len(plan.built) >= 90
    assert (last_snapshot - plan.built.start).days + 1 == plan.case.training.window_days
    assert plan.as_of + timedelta(days=1) == plan.injected.start
    assert plan.built.end == plan.injected.end == YESTERDAY + timedelta(days=1)
