"""MLflow as the training stages see it: one MLflow run for each Dagster run, models, and the registry.

A thin layer over dagster-mlflow, whose object sets MLflow's global state: it is resumed for the length of one
stage and always closed, so a failed or killed run is told apart. Keep out what is logged, and the registry's
aliases (`rollout.registry`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import dagster as dg

# Set by dagster-mlflow: which Dagster run an MLflow run belongs to.
DAGSTER_RUN_TAG = "dagster_run_id"


@dataclass(frozen=True)
class Tracking:
    """The tracking server at `url`, whose pages people reach at `pages`. Nothing opens until a stage uses it.

    `headers` let in who asks its REST API. MLflow's own client takes the token from `MLFLOW_TRACKING_TOKEN`.
    """

    url: str
    pages: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @contextmanager
    def run(
        self,
        experiment: str,
        context: dg.AssetExecutionContext,
        tags: Mapping[str, str] | None = None,
        resume: str | None = None,
    ) -> Iterator[Any]:
        """The MLflow run of this Dagster run, open while the stage works; ends FINISHED, or FAILED on an error.

        `resume` is the MLflow run to go on in, if it isn't this Dagster run's own.

        Yields dagster-mlflow's `MlFlow`, which has every function of the `mlflow` module as an attribute.
        """
        from dagster_mlflow.resources import MlFlow

        described = SimpleNamespace(
            # It tells at every stage that it opens the run; a person doesn't need to know.
            log=SimpleNamespace(info=context.log.debug),
            dagster_run=context.run,
            run_id=context.run.run_id,
            resource_config={
                "mlflow_tracking_uri": self.url,
                "experiment_name": experiment,
                "mlflow_run_id": resume,
                "extra_tags": dict(tags or {}),
            },
        )
        self._ensure_experiment(experiment)
        tracker: Any = MlFlow(described)  # type: ignore[no-untyped-call]
        try:
            yield tracker
        except BaseException:
            tracker.end_run(status="FAILED")
            raise
        tracker.end_run()

    def run_page(self, experiment_id: str, run_id: str) -> str:
        """Address of an MLflow run for a person."""
        return f"{self.pages or self.url}/#/experiments/{experiment_id}/runs/{run_id}"

    def model_page(self, name: str, version: str) -> str:
        """Address of a registered model version for a person."""
        return f"{self.pages or self.url}/#/models/{name}/versions/{version}"

    def register(self, name: str, model_uri: str, run_id: str, tags: Mapping[str, str]) -> str:
        """Register a logged model once, and return its version; asking again returns the same one."""
        from mlflow.exceptions import MlflowException

        client = self._client()
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        for found in client.search_model_versions(f"name='{name}' and run_id='{run_id}'"):
            return str(found.version)
        model_id = model_uri.removeprefix("models:/")
        place = client.get_logged_model(model_id).artifact_location
        version = client.create_model_version(name, place, run_id=run_id, tags=dict(tags), model_id=model_id)
        return str(version.version)

    def _ensure_experiment(self, name: str) -> None:
        """Make the experiment before it is chosen: of two that choose a new one at once, MLflow leaves the one that
        comes second in the default experiment."""
        from mlflow.exceptions import MlflowException

        client = self._client()
        if client.get_experiment_by_name(name) is not None:
            return
        try:
            client.create_experiment(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.url, registry_uri=self.url)
