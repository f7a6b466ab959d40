"""Who may look: the one place that uses Airflow's internal `core_api.security`, pinned by a contract test."""

from __future__ import annotations

from airflow.api_fastapi.core_api.security import requires_authenticated
from fastapi import Depends

LOGIN = Depends(requires_authenticated())
