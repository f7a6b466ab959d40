"""The model registry: runs, models, versions and aliases in MLflow; the sole importer of mlflow.

A use case is one experiment and one registered model, both named like it. A training is one parent run with a
child run a candidate and baseline; the parent holds the model, its manifest, its reference profile and the
pictures. A version gets its `challenger` alias last, so that a training that breaks off leaves nothing that
could be promoted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
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

from perennial.errors import NoModelError
from perennial.io.runs import TrainingRun, translated, unless_it_exists
from perennial.io.trusted import TRUSTED, refuse_foreign
from perennial.records import Json
from perennial.spec import LabelKind

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature
    from sklearn.pipeline import Pipeline

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
# Notes on the model: the ledger's newest entry when it was last evaluated, and the entry that its aliases follow.
NEWEST, FOLLOWED = "ledger.newest", "ledger.champion"
MANIFEST, PROFILE, SAMPLE = "manifest.json", "reference_profile.json", "reference_sample.parquet"
RIVALS, SCORES = "holdout_rivals.parquet", "holdout_scores.parquet"
DESCRIPTION, DESCRIPTION_DATA = "profile/profile.html", "profile/profile.json"
MOST_MODELS = 1000
REQUIREMENTS = ("scikit-learn", "lightgbm", "numpy", "pandas", "skops")
NOTE = "mlflow.note.content"  # the tag that MLflow's page shows as the run's description, in Markdown

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
            with unless_it_exists():
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

    def delete_alias(self, model: str, alias: str) -> None:
        """Take an alias away; safe to repeat."""
        with self._translated(f"delete alias {alias!r} of {model}"):
            self._client().delete_registered_model_alias(model, alias)

    def note(self, model: str, notes: Mapping[str, str]) -> None:
        """Keep notes with a model itself, not with one of its versions."""
        with self._translated(f"note {', '.join(notes)} of {model}"):
            for name, value in notes.items():
                self._client().set_registered_model_tag(model, name, value)

    def noted(self, name: str) -> dict[str, str]:
        """Return what each model has a note of this name about."""
        with self._translated(f"read the notes {name!r}"):
            found = self._client().search_registered_models(max_results=MOST_MODELS)
            return {str(model.name): str(model.tags[name]) for model in found if name in model.tags}

    def version_of(self, model: str, alias: str) -> str | None:
        """Return the version an alias points at as text, None where the model or the alias is not there."""
        return self.aliases(model).get(alias)

    def aliases(self, model: str) -> dict[str, str]:
        """Return all aliases of a model and their versions as text; none where there is no model."""
        found = self._model(model)
        return {alias: str(number) for alias, number in found.aliases.items()} if found else {}  # SQL gives an int

    def notes(self, model: str) -> dict[str, str]:
        """Return all notes about a model; none where there is no model."""
        found = self._model(model)
        return dict(found.tags) if found else {}

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

    def file(self, model: str, version: str, name: str) -> bytes:
        """Return one of the files that the training of a version kept."""
        with self._translated(f"read {name} of {model} version {version}"), tempfile.TemporaryDirectory() as folder:
            run_id = str(self._client().get_model_version(model, version).run_id)
            return Path(self._client().download_artifacts(run_id, name, folder)).read_bytes()

    def keep(self, model: str, version: str, files: Mapping[str, bytes]) -> None:
        """Keep further files with the training of a version; names may have folders."""
        with self._translated(f"keep {', '.join(files)} of {model} version {version}"):
            client = self._client()
            run_id = str(client.get_model_version(model, version).run_id)
        TrainingRun(client, experiment=model, run_id=run_id, uri=self._uri).files(files)

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
        with self._artifact(model, version) as files:
            return sum(path.stat().st_size for path in files.values())

    def fingerprint(self, model: str, version: str) -> str:
        """Return a SHA-256 over the names and the bytes of a version's artifact, and the manifest of its training."""
        with self._artifact(model, version) as files:
            kept = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
        whole = json.dumps([kept, self.manifest(model, version)], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()

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

    @contextmanager
    def _artifact(self, model: str, version: str) -> Iterator[dict[str, Path]]:
        """Fetch a version's artifact for as long as the block runs: its files, by their name below its root."""
        import mlflow

        with tempfile.TemporaryDirectory() as folder:
            with self._translated(f"fetch {model} version {version}"):
                self._client()
                root = Path(mlflow.artifacts.download_artifacts(f"models:/{model}/{version}", dst_path=folder))
            yield {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}

    def _model(self, model: str) -> Any | None:
        """Return MLflow's registered model, None where there is none."""
        from mlflow.exceptions import MlflowException

        with self._translated(f"read the model {model}"):
            try:
                return self._client().get_registered_model(model)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise

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
        with unless_it_exists():
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
        return translated(self._uri, doing)


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
