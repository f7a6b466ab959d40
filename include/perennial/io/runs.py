"""Training runs in MLflow: what a training writes while it goes on, and MLflow's errors in our words."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

METRICS_A_CALL = 500
CREDENTIALS = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class ChildRun:
    """What is kept of one candidate or baseline."""

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


class TrainingRun:
    """An open parent run; made by `Registry.training_run`."""

    def __init__(self, client: MlflowClient, *, experiment: str, run_id: str, uri: str) -> None:
        self._client = client
        self._experiment = experiment
        self._uri = uri
        self.run_id = run_id

    def child(self, child: ChildRun) -> str:
        """Log a finished child run and return its id."""
        tags = {"mlflow.parentRunId": self.run_id, "mlflow.runName": child.name, **child.tags}
        with translated(self._uri, f"keep the run of {child.name}"):
            run_id = str(self._client.create_run(self._experiment, tags=tags).info.run_id)
            self._log(run_id, metrics=child.metrics, params=child.params)
            self._client.set_terminated(run_id)
        return run_id

    def metrics(self, metrics: Mapping[str, float], *, prefix: str) -> None:
        """Log figures on the parent run, `<prefix>_<metric>`."""
        named = {f"{prefix}_{name}": value for name, value in metrics.items()}
        with translated(self._uri, f"keep the {prefix} metrics"):
            self._log(self.run_id, metrics=named, params={})

    def tag(self, tags: Mapping[str, str]) -> None:
        """Tag the parent run."""
        with translated(self._uri, f"tag the run with {', '.join(tags)}"):
            for name, value in tags.items():
                self._client.set_tag(self.run_id, name, value)

    def files(self, files: Mapping[str, bytes]) -> None:
        """Keep files with the parent run; names may have folders."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            with translated(self._uri, f"keep {len(files)} files"):
                self._client.log_artifacts(self.run_id, folder)

    def _log(self, run_id: str, *, metrics: Mapping[str, float], params: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, Param

        # The time is that of the run's start: what a metric says does not depend on when it was written.
        stamp = int(self._client.get_run(run_id).info.start_time)
        found = [Metric(name, float(value), stamp, 0) for name, value in metrics.items()][:METRICS_A_CALL]
        self._client.log_batch(run_id, metrics=found, params=[Param(k, str(v)) for k, v in params.items()])


@contextmanager
def translated(uri: str, doing: str) -> Iterator[None]:
    """Turn MLflow's errors, and those of its HTTP client, into ours."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        first_line = _shown(str(error).strip().partition("\n")[0])
        raise RegistryError(
            f"MLflow at {_shown(uri)} could not {doing}: {first_line}. Check that MLflow runs, then run the same "
            "step again."
        ) from error


@contextmanager
def unless_it_exists() -> Iterator[None]:
    """Let pass that another process has made the same thing a moment ago."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _shown(text: str) -> str:
    """Return a text whose URIs have no user and password."""
    return CREDENTIALS.sub("//", text)
