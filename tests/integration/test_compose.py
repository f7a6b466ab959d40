"""The production profile: its file is valid, asks for every secret, sets only what is read, and its processes run."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import compose
import httpx
import pytest
import toy
import yaml
from perennial.io import runbook
from perennial.local.airflow_api import Airflow
from perennial.local.layout import Layout
from perennial.local.steps import Steps
from perennial.settings import CHECKOUT, Settings

FERNET_KEY = "cGVyZW5uaWFsLXBlcmVubmlhbC1wZXJlbm5pYWwtMzI="
VALUES = compose.values(FERNET_KEY)
IMAGES = {
    "postgres": {"POSTGRES_USER", "POSTGRES_PASSWORD"},
    "redis": {"REDISCLI_AUTH"},
}
PLATFORM = {"PYTHONPATH", "AIRFLOW_HOME", "AIRFLOW_CONN_SMTP_DEFAULT"}


@pytest.fixture(scope="module")
def file() -> dict[str, Any]:
    """Return the file with a value for everything it requires."""
    return compose.services(VALUES)


def test_the_file_follows_the_compose_specification(file: dict[str, Any]) -> None:
    """A parser of the specification that refuses unknown keys takes it."""
    from compose_spec import PyCompose

    assert set(PyCompose.from_yaml(yaml.safe_dump(file)).service_names()) == set(file["services"])


@pytest.mark.parametrize("name", sorted(VALUES))
def test_nothing_starts_without_a_secret(name: str) -> None:
    """No password and no key has a default."""
    with pytest.raises(compose.MissingValueError, match=f"{name} set it in .env"):
        compose.services({**VALUES, name: ""})


def test_the_example_names_every_value_that_is_asked_for() -> None:
    """Whoever copies the example finds each line to fill in."""
    lines = (CHECKOUT / "docs" / "compose.env.example").read_text().splitlines()
    names = {line.split("=", 1)[0] for line in lines if line and not line.startswith("#")}

    assert {name for name in names if name in VALUES} == set(VALUES)
    assert all(line.endswith("=") for line in lines if line.split("=", 1)[0] in VALUES)


def test_the_image_holds_what_the_pages_read(file: dict[str, Any]) -> None:
    """The runbook lies where the page looks for it, beside the code."""
    lines = file["services"]["api-server"]["build"]["dockerfile_inline"].splitlines()
    copied = {line.split()[-1] for line in lines if line.startswith("COPY")}

    assert {"include", "plugins", "dags", str(runbook.PLACE.relative_to(CHECKOUT))} <= copied


def test_every_port_is_bound_to_this_machine(file: dict[str, Any]) -> None:
    """Whatever shall be reached from elsewhere belongs behind a proxy with TLS."""
    ports = [port for service in file["services"].values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_service_is_watched_and_none_runs_as_root(file: dict[str, Any]) -> None:
    """Each has a health check, but the job that ends; each has a user."""
    for name, service in file["services"].items():
        assert service["user"] not in {"root", "0"}, name
        assert "healthcheck" in service or name == "init", name


def test_every_variable_is_one_that_is_read(file: dict[str, Any]) -> None:
    """A misspelt setting would be ignored in silence; Airflow, MLflow and the settings know all of these."""
    known = _airflow_variables() | _mlflow_variables() | _perennial_variables() | PLATFORM
    for name, service in file["services"].items():
        unknown = set(service.get("environment", {})) - IMAGES.get(name, known)

        assert unknown == set(), name


def _airflow_variables() -> set[str]:
    from airflow.configuration import conf

    described: dict[str, Any] = conf.configuration_description
    return {
        f"AIRFLOW__{section.replace('.', '_')}__{option}".upper()
        for section, content in described.items()
        for option in content["options"]
    }


def _mlflow_variables() -> set[str]:
    from mlflow import environment_variables
    from mlflow.cli import cli

    named = {name for name in vars(environment_variables) if name.startswith("MLFLOW_")}
    return named | {str(option.envvar) for option in cli.commands["server"].params if option.envvar}


def _perennial_variables() -> set[str]:
    return {f"PERENNIAL_{name}".upper() for name in Settings.model_fields}


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    numbers = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return numbers


@pytest.fixture(scope="module")
def site(
    file: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]
) -> Iterator[compose.Site]:
    """Return the running services: everything that the file starts, with the small shop as the use case."""
    redis = program("redis-server")
    folder = tmp_path_factory.mktemp("site")
    (folder / "state").mkdir()
    toy.shop(folder / "use_cases")
    names = ("postgres", "redis", "api-server", "mlflow", "mail")
    site = compose.Site(
        file, folder, ports=dict(zip(names, free_ports(len(names)), strict=True)), use_cases=folder / "use_cases"
    )
    try:
        site.start_postgres()
        site.start_redis(redis)
        site.run("init", seconds=180)
        site.start("api-server", "scheduler", "dag-processor", "triggerer", "worker", "mlflow", "mail")
        site.await_healthy("mail", "mlflow", "api-server", "scheduler", "dag-processor", "worker")
        yield site
    finally:
        site.stop()


@pytest.fixture
def airflow(site: compose.Site) -> Airflow:
    """Return a client logged in as the administrator that the init job made."""
    layout = Layout(site.folder / "client", airflow_port=site.ports["api-server"], mlflow_port=1, smtp_port=2)
    layout.home.mkdir(exist_ok=True)
    layout.passwords.write_text(
        json.dumps(
            dict.fromkeys(("admin", "engineer", "operator", "approver", "viewer"), VALUES["AIRFLOW_ADMIN_PASSWORD"])
        )
    )
    return Airflow(layout, login="admin")


def test_only_who_has_a_login_gets_in(site: compose.Site, airflow: Airflow) -> None:
    """FAB's users count: the made administrator, and nobody else."""
    url = f"http://127.0.0.1:{site.ports['api-server']}"
    wrong = httpx.post(f"{url}/auth/token", json={"username": "admin", "password": "admin"}, timeout=60)

    assert wrong.status_code == httpx.codes.UNAUTHORIZED
    assert httpx.get(f"{url}/api/v2/dags", timeout=60).status_code == httpx.codes.UNAUTHORIZED
    assert airflow.ask("GET", "/dags")["total_entries"] == 10


def member(site: compose.Site, admin: Airflow, role: str) -> httpx.Client:
    """Return a client of somebody new with a role of FAB."""
    name, url = f"some{role.lower()}", f"http://127.0.0.1:{site.ports['api-server']}"
    person = {
        "username": name, "email": f"{name}@example.org", "first_name": name, "last_name": name, "password": "a-b-c-1",
        "roles": [{"name": role}],
    }  # fmt: skip
    admin.look("api/models").raise_for_status()  # logged in by now
    httpx.post(f"{url}/auth/fab/v1/users", json=person, headers=admin.login_header, timeout=60).raise_for_status()
    token = httpx.post(f"{url}/auth/token", json={"username": name, "password": "a-b-c-1"}, timeout=60).json()
    headers = {"Authorization": f"Bearer {token['access_token']}", "Sec-Fetch-Site": "same-origin"}
    return httpx.Client(base_url=f"{url}/perennial", headers=headers, timeout=60)


@pytest.mark.parametrize(
    ("role", "sees", "acts"), [("Public", False, False), ("Viewer", True, False), ("User", True, True)]
)
def test_the_pages_heed_the_rights_that_fab_gives(
    site: compose.Site, airflow: Airflow, role: str, *, sees: bool, acts: bool
) -> None:
    """Who may read the DAGs of a use case sees it, who may start their runs may act."""
    airflow.await_dags(["shop__drift_monitoring"])
    somebody = member(site, airflow, role)
    rows = somebody.get("/api/models").json()["rows"]
    page = somebody.get("/models/shop")
    answer = somebody.post("/models/shop/retrain", data={"reason": "new prices"})

    assert [row["case"] for row in rows] == (["shop"] if sees else [])
    assert (page.status_code, "<form" in page.text) == (200 if sees else 403, acts)
    assert answer.status_code == (303 if acts else 403)


def test_a_celery_worker_builds_a_day(site: compose.Site, airflow: Airflow) -> None:
    """Both tasks of a real run go over Redis to the worker, and the day is in the lake."""
    from perennial.io.lake import Lake

    dag, day = "shop__feature_build", date(2026, 2, 20)
    airflow.await_dags([dag])
    airflow.unpause(dag)
    with Steps().step("Build a day") as bar:
        run = airflow.await_success(airflow.trigger(dag, key=day), bar=bar, seconds=300)
    tasks = airflow.ask("GET", f"/dags/{dag}/dagRuns/{run.id}/taskInstances")["task_instances"]
    worked = (site.folder / "worker.log").read_text()

    assert day in Lake(site.folder / "state" / "lake").days("features/shop")
    assert {task["task_id"] for task in tasks} == {"ingest", "features"}
    assert all(task["id"] in worked for task in tasks)


def test_mlflow_takes_its_own_host_names_only(site: compose.Site) -> None:
    """Workers reach it by the service's name; a page elsewhere cannot make a browser talk to it."""
    url = f"http://127.0.0.1:{site.ports['mlflow']}/api/2.0/mlflow/experiments/search"
    foreign = httpx.post(url, json={"max_results": 1}, headers={"Host": "evil.example"}, timeout=60)

    assert foreign.status_code == httpx.codes.FORBIDDEN
    assert httpx.post(url, json={"max_results": 1}, timeout=60).is_success


def test_the_dockerfile_installs_what_the_lock_says(file: dict[str, Any]) -> None:
    """The image takes the same locked versions, and runs as the user that the services name."""
    build: str = file["services"]["worker"]["build"]["dockerfile_inline"]

    assert "uv sync --frozen" in build
    assert f"--uid {file['services']['worker']['user']}" in build
    assert (CHECKOUT / "uv.lock").exists()


def test_folders_of_the_image_are_those_of_the_settings(file: dict[str, Any]) -> None:
    """State lives in the volume, code in the image."""
    environment = file["services"]["worker"]["environment"]

    assert Path(environment["PERENNIAL_HOME"]) == Path("/var/lib/perennial")
    assert "state:/var/lib/perennial" in file["services"]["worker"]["volumes"]
    assert environment["AIRFLOW__CORE__DAGS_FOLDER"].startswith("/opt/perennial/")
