"""A client of the pages inside Airflow, as somebody with a role of Airflow's simple manager of rights."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi import FastAPI
from fastapi.testclient import TestClient
from perennial_airflow.ui.app import make_app


def client(role: str | None = "USER", **options: Any) -> TestClient:
    """Return a client of the app as Airflow mounts it, logged in as ann; without a role nobody is logged in."""
    create_auth_manager()
    app, airflow = make_app(), FastAPI()
    if role is not None:
        app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="ann", role=role)
    airflow.mount("/perennial", app)
    return TestClient(airflow, **({"follow_redirects": False, "base_url": "http://airflow"} | options))
