"""Who may look, and who may act: the one place that uses Airflow's internal `core_api.security`, pinned by a test."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag, requires_authenticated
from fastapi import Depends, HTTPException, Request

SHARED_HEADERS = {
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
LOGIN = Depends(requires_authenticated())
# Who may start runs may say what becomes of an incident. Runs of any DAG: without the empty id the address could name
# the one DAG that the reader may start.
MAY_ACT = Depends(requires_access_dag(method="POST", access_entity=DagAccessEntity.RUN, param_dag_id=""))


def same_origin(request: Request) -> None:
    """Refuse a form that another site's page has sent with the reader's session.

    Raises:
        HTTPException: 403 where the browser says that the request comes from elsewhere, or does not say at all.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    by_origin = bool(origin) and _host(origin) == request.headers.get("host")
    here = by_origin if site is None else site == "same-origin"
    if not here:
        raise HTTPException(
            403, detail="This form was not sent by a page of Airflow. Open the Models page and try again."
        )


def user_name(user: GetUserDep) -> str:
    """Return the login of who sent the request."""
    return str(user.get_name())


def _host(origin: str | None) -> str | None:
    return urlsplit(origin).netloc if origin else None


SAME_ORIGIN, USER = Depends(same_origin), Depends(user_name)
