"""The plugin: one app under `/perennial` and its page in Airflow's navigation.

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


class PerennialPlugin(AirflowPlugin):
    """Shows the Models page in Airflow's navigation."""

    name = "perennial"
    fastapi_apps: ClassVar[list[dict[str, Any]]] = [
        {"app": app_on_first_request, "url_prefix": "/perennial", "name": "perennial"}
    ]
    external_views: ClassVar[list[dict[str, Any]]] = [
        {
            "name": "Models",
            "href": "/perennial/models",
            "destination": "nav",
            "url_route": "models",
            "nav_top_level": True,
        }
    ]
