"""The only reader of the environment: every setting is `PERENNIAL_<NAME>`.

The embedded stack writes its own values to `stack.env` in the home folder, which is read here too, so that the
command line talks to the running stack. A real environment variable wins over that file.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from perennial.errors import SetupError

CHECKOUT = Path(__file__).resolve().parents[2]


def home() -> Path:
    """Return the folder that holds all state: `PERENNIAL_HOME`, or `.perennial` in the checkout."""
    return Path(os.environ.get("PERENNIAL_HOME") or CHECKOUT / ".perennial").resolve()


class Settings(BaseSettings):
    """Where things are; no field is a fact about a use case."""

    model_config = SettingsConfigDict(env_prefix="PERENNIAL_", extra="ignore", frozen=True)

    home: Path = Field(default_factory=home, description="all state lives below it")
    use_cases: Path = Field(CHECKOUT / "include" / "use_cases", description="one folder a use case")
    lake: Path | None = Field(None, description="root of the Delta tables; default <home>/lake")
    pages: Path | None = Field(None, description="root of report pages; default <home>/pages")
    ledger_url: str | None = Field(None, description="SQLAlchemy URL; default SQLite in <home>")
    mlflow_uri: str | None = Field(None, description="MLflow tracking URI; default SQLite in <home>")
    airflow_url: str = Field("http://127.0.0.1:8080", description="for the links in mails and pages")
    airflow_port: int = Field(8080, ge=1, le=65535, description="embedded stack: Airflow's UI and API")
    mlflow_port: int = Field(5000, ge=1, le=65535, description="embedded stack: MLflow")
    smtp_port: int = Field(1025, ge=1, le=65535, description="embedded stack: the mail catcher")
    code_version: str = Field("unknown", description="commit of the deployed code, kept with each training")
    warm_workers: bool = Field(default=True, description="import the heavy libraries before tasks are forked")
    replay_weeks: int = Field(0, description="whole weeks a replayed source is shifted by; 0 switches it off")
    injected: Path | None = Field(None, description="folder of injected source days; default <home>/injected")

    data: Path | None = Field(None, description="what {data} in a source's path stands for; default <home>/data")
    personal_key: SecretStr | None = Field(None, description="key of the hash that replaces personal data")

    compute_rate: float | None = Field(None, ge=0, description="price of a CPU hour; without it cards show no money")
    compute_currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="what compute_rate is counted in")

    live: str = Field("", description="connections, by commas, that are read instead of the files declared beside them")

    @field_validator("compute_rate", mode="before")
    @classmethod
    def _none_where_empty(cls, rate: object) -> object:
        """Compose hands on a price that nobody has set as an empty text."""
        return None if rate == "" else rate

    @property
    def live_connections(self) -> frozenset[str]:
        """Return the names in `live`."""
        return frozenset(name.strip() for name in self.live.split(",") if name.strip())

    @property
    def data_root(self) -> Path:
        """Return the folder that `{data}` in a source's path stands for."""
        return self.data or self.home / "data"

    @property
    def lake_root(self) -> Path:
        """Return the folder of the Delta tables."""
        return self.lake or self.home / "lake"

    @property
    def pages_root(self) -> Path:
        """Return the folder of validation and drift pages."""
        return self.pages or self.home / "pages"

    @property
    def injected_root(self) -> Path:
        """Return the folder where days of a changed source lie."""
        return self.injected or self.home / "injected"

    @property
    def ledger(self) -> str:
        """Return the SQLAlchemy URL of the ledger."""
        return self.ledger_url or f"sqlite:///{self.home / 'ledger.db'}"

    @property
    def mlflow(self) -> str:
        """Return the MLflow tracking URI."""
        return self.mlflow_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    def elsewhere(self, home: Path) -> dict[str, str]:
        """Return the environment of a process that reads our lake, registry and use cases, and writes below `home`."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
        return inherited | {
            "PERENNIAL_HOME": str(home),
            "PERENNIAL_LAKE": str(self.lake_root),
            "PERENNIAL_MLFLOW_URI": self.mlflow,
            "PERENNIAL_USE_CASES": str(self.use_cases),
            "PERENNIAL_LIVE": self.live,
        }


def connection(name: str) -> str:
    """Return the address of a connection: `PERENNIAL_CONN_<NAME>`, else Airflow's variable `AIRFLOW_CONN_<NAME>`.

    Where the environment has neither, the home folder's `stack.env` may.

    Raises:
        SetupError: neither is set.
    """
    variables = [f"{prefix}_CONN_{name.upper()}" for prefix in ("PERENNIAL", "AIRFLOW")]
    for known in (os.environ, dotenv_values(home() / "stack.env")):
        for variable in variables:
            if address := known.get(variable):
                return address
    raise SetupError(
        f"There is no connection {name!r}. Set {variables[0]} to its SQLAlchemy URL, or in Airflow make a connection "
        f"of that name (also by {variables[1]})."
    )


@cache
def load_settings() -> Settings:
    """Return the settings of this process; read once."""
    return Settings(_env_file=home() / "stack.env")
