"""The plugin: one app under `/perennial`, its page in Airflow's navigation, and tabs on DAGs and runs.

Every task, scheduler and processor loads this module, so it imports nothing but Airflow's plugin class.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

AsgiMessage = MutableMapping[str, Any]
AsgiApp = Callable[
    [AsgiMessage, Callable[[], Awaitable[AsgiMessage]], Callable[[AsgiMessage], Awaitable[None]]], Awaitable[None]
]


@cache
def _app() -> AsgiApp:
    from perennial_airflow.ui.app import make_app

    return make_app()


async def app_on_first_request(
    scope: AsgiMessage,
    receive: Callable[[], Awaitable[AsgiMessage]],
    send: Callable[[AsgiMessage], Awaitable[None]],
) -> None:
    """Hand the request to the app, which is made when the first one comes: only the API server has any."""
    await _app()(scope, receive, send)


def _view(name: str, href: str, destination: str) -> dict[str, Any]:
    """Return a page within Airflow's; routes have to be different across all plugins."""
    route = f"{'' if destination == 'nav' else f'perennial_{destination}_'}{name.lower().replace(' ', '_')}"
    return {"name": name, "href": href, "destination": destination, "url_route": route}


class PerennialPlugin(AirflowPlugin):
    """Shows the Models page in Airflow's navigation, and a use case's pages as tabs of its DAGs and runs."""

    name = "perennial"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = [
        {"app": app_on_first_request, "url_prefix": "/perennial", "name": "perennial"}
    ]
    external_views: ClassVar[list[dict[str, Any]]] = [
        {**_view("Models", "/perennial/models", "nav"), "nav_top_level": True},
        _view("Model", "/perennial/dags/{DAG_ID}/model", "dag"),
        _view("Data", "/perennial/dags/{DAG_ID}/data", "dag"),
        _view("Drift", "/perennial/dags/{DAG_ID}/drift", "dag"),
        _view("Backfill plan", "/perennial/dags/{DAG_ID}/backfill", "dag"),
        _view("Data", "/perennial/dags/{DAG_ID}/runs/{RUN_ID}/data", "dag_run"),
        _view("Drift", "/perennial/dags/{DAG_ID}/runs/{RUN_ID}/drift", "dag_run"),
    ]
