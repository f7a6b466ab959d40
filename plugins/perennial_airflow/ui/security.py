"""Who may look, and who may act: with `runs`, the only users of Airflow's internal API, pinned by tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag, requires_authenticated
from fastapi import Depends, HTTPException, Path, Request

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
READ_BY = "drift_monitoring"  # who may read this DAG of a use case may read its pages


def dag_of(case: str, stage: str = READ_BY) -> str:
    """Return the id of a use case's DAG.

    >>> dag_of("conversion", "rollback")
    'conversion__rollback'
    """
    return f"{case}__{stage}"


def readable(cases: Iterable[str], user: GetUserDep) -> frozenset[str]:
    """Return the use cases whose pages somebody may read: each is asked of the auth manager, the database of none."""
    manager = get_auth_manager()
    return frozenset(
        case for case in cases
        if manager.is_authorized_dag(method="GET", details=DagDetails(id=dag_of(case)), user=user)
    )  # fmt: skip


def may_read(case: Annotated[str, Path()], user: GetUserDep) -> None:
    """Refuse who may not read the DAGs of the use case that the address names.

    Raises:
        HTTPException: 403.
    """
    if not readable([case], user):
        raise HTTPException(403, detail=f"You may not read the DAGs of {case[:80]!r}; ask an admin of Airflow.")


def may_start(case: Annotated[str, Path()], user: GetUserDep) -> None:
    """Refuse who may not start runs of the use case that the address names.

    Raises:
        HTTPException: 403.
    """
    if not can_start(case, user):
        raise HTTPException(403, detail=f"You may not start runs of {case[:80]!r}; ask an admin of Airflow.")


def can_start(case: str, user: GetUserDep) -> bool:
    """Tell whether somebody may start runs of a use case's DAGs: a page shows buttons to nobody else."""
    details = DagDetails(id=dag_of(case))
    return bool(
        get_auth_manager().is_authorized_dag(
            method="POST", access_entity=DagAccessEntity.RUN, details=details, user=user
        )
    )


def can_start_any(user: GetUserDep) -> bool:
    """Tell whether somebody may start runs of any DAG, and so may say what becomes of an incident."""
    manager = get_auth_manager()
    return bool(manager.is_authorized_dag(method="POST", access_entity=DagAccessEntity.RUN, details=None, user=user))


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


def credentials(request: Request) -> dict[str, str]:
    """Return the header with which a call to Airflow's own API is made in the name of who sent the request."""
    given = request.headers.get("authorization") or f"Bearer {request.cookies.get(COOKIE_NAME_JWT_TOKEN, '')}"
    return {"Authorization": given}


def _host(origin: str | None) -> str | None:
    return urlsplit(origin).netloc if origin else None


SAME_ORIGIN, USER = Depends(same_origin), Depends(user_name)
READS, ACTS = [Depends(may_read)], [Depends(may_start), SAME_ORIGIN]
