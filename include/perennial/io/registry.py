"""The model registry: runs, models, versions and aliases in MLflow; the sole importer of mlflow.

A use case is one experiment and one registered model, both named like it. A training is one parent run with a
child run a candidate and baseline; the parent holds the model, its manifest, its reference profile and the
pictures. A version gets its `challenger` alias last, so that a training that breaks off leaves nothing that
could be promoted.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.errors import NoModelError, RegistryError
from perennial.io.trusted import TRUSTED, refuse_foreign
from perennial.records import Json
from perennial.spec import LabelKind

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature
    from sklearn.pipeline import Pipeline

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
MANIFEST, PROFILE, SAMPLE = "manifest.json", "reference_profile.json", "reference_sample.parquet"
RIVALS = "holdout_rivals.parquet"
DESCRIPTION, DESCRIPTION_DATA = "profile/profile.html", "profile/profile.json"
REQUIREMENTS = ("scikit-learn", "lightgbm", "numpy", "pandas", "skops")
NOTE = "mlflow.note.content"  # the tag that MLflow's page shows as the run's description, in Markdown
METRICS_A_CALL = 500
CREDENTIALS = re.compile(r"//[^/@\s]*@")

# A registry that is down is found out in seconds, not in minutes; and MLflow prints nothing.
CLIENT_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A version that can score: the fitted pipeline and the manifest of its training."""

    version: str
    run_id: str
    pipeline: Pipeline
    manifest: Json

    @property
    def numeric(self) -> tuple[str, ...]:
        """Return the numeric features in the order the pipeline was fitted with."""
        return tuple(self.manifest["features"]["numeric"])

    @property
    def categorical(self) -> tuple[str, ...]:
        """Return the categorical features in the order the pipeline was fitted with."""
        return tuple(self.manifest["features"]["categorical"])

    @property
    def kind(self) -> LabelKind:
        """Return the kind of label it predicts; manifests of the first days knew binary ones only."""
        found: LabelKind = self.manifest.get("label_kind", "binary")
        return found

    @property
    def contacted_share(self) -> float | None:
        """Return the share of households to contact, as chosen on the validation rows; None without money."""
        share = self.manifest["contacted_share"]
        return None if share is None else float(share)


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
        with _translated(self._uri, f"keep the run of {child.name}"):
            run_id = str(self._client.create_run(self._experiment, tags=tags).info.run_id)
            self._log(run_id, metrics=child.metrics, params=child.params)
            self._client.set_terminated(run_id)
        return run_id

    def metrics(self, metrics: Mapping[str, float], *, prefix: str) -> None:
        """Log figures on the parent run, `<prefix>_<metric>`."""
        named = {f"{prefix}_{name}": value for name, value in metrics.items()}
        with _translated(self._uri, f"keep the {prefix} metrics"):
            self._log(self.run_id, metrics=named, params={})

    def tag(self, tags: Mapping[str, str]) -> None:
        """Tag the parent run."""
        with _translated(self._uri, f"tag the run with {', '.join(tags)}"):
            for name, value in tags.items():
                self._client.set_tag(self.run_id, name, value)

    def files(self, files: Mapping[str, bytes]) -> None:
        """Keep files with the parent run; names may have folders."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            with _translated(self._uri, f"keep {len(files)} files"):
                self._client.log_artifacts(self.run_id, folder)

    def _log(self, run_id: str, *, metrics: Mapping[str, float], params: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, Param

        # The time is that of the run's start: what a metric says does not depend on when it was written.
        stamp = int(self._client.get_run(run_id).info.start_time)
        found = [Metric(name, float(value), stamp, 0) for name, value in metrics.items()][:METRICS_A_CALL]
        self._client.log_batch(run_id, metrics=found, params=[Param(k, str(v)) for k, v in params.items()])


class Registry:
    """Runs, versions and aliases of all use cases.

    Args:
        tracking_uri: `http://...` of a server, or `sqlite:///...` in a shell and in tests; then the artifacts
            lie in the folder `mlartifacts` beside the database.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri

    @contextmanager
    def training_run(self, case: str, *, name: str, tags: Mapping[str, str]) -> Iterator[TrainingRun]:
        """Open a parent run; it ends as FAILED where the block raises.

        Raises:
            RegistryError: MLflow refuses or does not answer.
        """
        with self._translated(f"open a training run of {case}"):
            client = self._client()
            experiment = self._experiment(client, case)
            run_id = str(client.create_run(experiment, tags={"mlflow.runName": name, **tags}).info.run_id)
        status = "FAILED"
        try:
            yield TrainingRun(client, experiment=experiment, run_id=run_id, uri=self._uri)
            status = "FINISHED"
        finally:
            self._terminate(client, run_id, status=status)

    def register(self, case: str, pipeline: Pipeline, *, run_id: str, manifest: Json, tags: Mapping[str, str]) -> str:
        """Keep a fitted pipeline with its run, register it, and return the version; no alias is set.

        Raises:
            RegistryError: MLflow refuses or does not answer, or the model holds types that were not reviewed.
        """
        import mlflow

        with self._translated(f"register a model of {case}"):
            client = self._client()
            with mlflow.start_run(run_id=run_id, log_system_metrics=False):
                logged = mlflow.sklearn.log_model(
                    pipeline,
                    name="model",
                    serialization_format="skops",
                    skops_trusted_types=list(TRUSTED),
                    signature=_signature(manifest),
                    pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
                    pyfunc_predict_fn="predict" if _predicts_numbers(manifest) else "predict_proba",
                    metadata={"case": case},
                )
            with _unless_it_exists():
                client.create_registered_model(case)
            made = client.create_model_version(
                case, logged.model_uri, run_id, tags=dict(tags), model_id=logged.model_id, await_creation_for=None
            )
            return str(made.version)

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias at a version; safe to repeat.

        Raises:
            RegistryError: MLflow refuses or does not answer, or there is no such version.
        """
        with self._translated(f"set alias {alias!r} of {model} to version {version}"):
            self._client().set_registered_model_alias(model, alias, version)

    def version_of(self, model: str, alias: str) -> str | None:
        """Return the version an alias points at as text, None where the model or the alias is not there."""
        return self.aliases(model).get(alias)

    def aliases(self, model: str) -> dict[str, str]:
        """Return all aliases of a model and their versions as text; none where there is no model."""
        from mlflow.exceptions import MlflowException

        with self._translated(f"read the aliases of {model}"):
            try:
                found = self._client().get_registered_model(model).aliases
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return {}
                raise
        return {alias: str(number) for alias, number in found.items()}  # the SQL store returns an int

    def versions(self, model: str) -> tuple[str, ...]:
        """Return all registered versions, oldest first; none where the model is not there."""
        with self._translated(f"list the versions of {model}"):
            found = self._client().search_model_versions(f"name = '{model}'")
            return tuple(str(number) for number in sorted(int(each.version) for each in found))

    def required_version_of(self, model: str, alias: str) -> str:
        """Return the version an alias points at.

        Raises:
            NoModelError: there is none; names the next step.
        """
        found = self.version_of(model, alias)
        if found is None:
            step = "train one" if alias == CHALLENGER else "train one, evaluate and promote it"
            raise NoModelError(f"{model} has no {alias} yet: {step} first (`perennial train {model}`).")
        return found

    def load(self, model: str, version: str) -> RegisteredModel:
        """Return a version's pipeline and manifest.

        Raises:
            RegistryError: there is no such version, MLflow does not answer, or the model is not of our own
                format.
        """
        import mlflow

        with self._translated(f"load {model} version {version}"):
            run_id = str(self._client().get_model_version(model, version).run_id)
            uri = f"models:/{model}/{version}"
            flavor = mlflow.models.get_model_info(uri).flavors.get("sklearn", {})
            refuse_foreign(flavor, f"{model} version {version}")
            return RegisteredModel(version, run_id, mlflow.sklearn.load_model(uri), self._json(run_id, MANIFEST))

    def manifest(self, model: str, version: str) -> Json:
        """Return the manifest of a version's training."""
        with self._translated(f"read the manifest of {model} version {version}"):
            return self._json(str(self._client().get_model_version(model, version).run_id), MANIFEST)

    def profile(self, run_id: str) -> Json:
        """Return the reference profile that a training kept."""
        with self._translated(f"read the reference profile of run {run_id}"):
            return self._json(run_id, PROFILE)

    def sample(self, run_id: str) -> pa.Table:
        """Return the sample of reference rows that a training kept."""
        with self._translated(f"read the reference sample of run {run_id}"):
            return self._table(run_id, SAMPLE)

    def rivals(self, run_id: str) -> pa.Table:
        """Return the holdout scores of other models of a training, a column each, rows in the holdout's order."""
        with self._translated(f"read the holdout scores of run {run_id}"):
            return self._table(run_id, RIVALS)

    def size(self, model: str, version: str) -> int:
        """Return the bytes of a version's artifact, all its files together."""
        import mlflow

        with self._translated(f"measure {model} version {version}"), tempfile.TemporaryDirectory() as folder:
            self._client()
            found = mlflow.artifacts.download_artifacts(f"models:/{model}/{version}", dst_path=folder)
            return sum(path.stat().st_size for path in Path(found).rglob("*") if path.is_file())

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Tag a version."""
        with self._translated(f"tag {model} version {version}"):
            client = self._client()
            for name, value in tags.items():
                client.set_model_version_tag(model, version, name, value)

    def describe(self, model: str, version: str, text: str) -> None:
        """Give a version its description, in Markdown; MLflow's page shows it."""
        with self._translated(f"describe {model} version {version}"):
            self._client().update_model_version(model, version, description=text)

    def _client(self) -> MlflowClient:
        """Return the client of this registry; MLflow keeps its URI for the whole process."""
        for name, value in CLIENT_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        import mlflow

        mlflow.set_tracking_uri(self._uri)
        mlflow.set_registry_uri(self._uri)
        return mlflow.MlflowClient(self._uri, self._uri)

    def _experiment(self, client: MlflowClient, case: str) -> str:
        """Return the id of the use case's experiment; made where it is not there."""
        found = client.get_experiment_by_name(case)
        if found is not None:
            return str(found.experiment_id)
        location = None
        if self._uri.startswith("sqlite:///"):
            location = (Path(self._uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri()
        with _unless_it_exists():
            return str(client.create_experiment(case, artifact_location=location))
        return str(client.get_experiment_by_name(case).experiment_id)

    def _terminate(self, client: MlflowClient, run_id: str, *, status: str) -> None:
        """End a run; where MLflow has gone away meanwhile, the first error is the one to tell."""
        from mlflow.exceptions import MlflowException

        try:
            client.set_terminated(run_id, status=status)
        except MlflowException:
            if status == "FINISHED":
                raise

    def _json(self, run_id: str, name: str) -> Json:
        """Return a run's JSON file."""
        with tempfile.TemporaryDirectory() as folder:
            path = self._client().download_artifacts(run_id, name, folder)
            return dict(json.loads(Path(path).read_text()))

    def _table(self, run_id: str, name: str) -> pa.Table:
        """Return a run's Parquet file."""
        with tempfile.TemporaryDirectory() as folder:
            return pq.read_table(self._client().download_artifacts(run_id, name, folder))

    def _translated(self, doing: str) -> AbstractContextManager[None]:
        return _translated(self._uri, doing)


@contextmanager
def _translated(uri: str, doing: str) -> Iterator[None]:
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
def _unless_it_exists() -> Iterator[None]:
    """Let pass that another process has made the same thing a moment ago."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _signature(manifest: Json) -> ModelSignature:
    """Return the signature: every number a double, since a null in an integer column would be refused."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    numeric = [ColSpec(DataType.double, name) for name in manifest["features"]["numeric"]]
    categorical = [ColSpec(DataType.string, name) for name in manifest["features"]["categorical"]]
    shape = (-1,) if _predicts_numbers(manifest) else (-1, 2)
    outputs = Schema([TensorSpec(np.dtype("float64"), shape)])
    return ModelSignature(inputs=Schema(numeric + categorical), outputs=outputs)


def _predicts_numbers(manifest: Json) -> bool:
    """Tell whether a model predicts a number, and not the probabilities of two classes."""
    return bool(manifest.get("label_kind") == "number")


def _shown(text: str) -> str:
    """Return a text whose URIs have no user and password."""
    return CREDENTIALS.sub("//", text)
