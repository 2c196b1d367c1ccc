"""MLflow runs whose Dagster run is over: the sensor that closes what a killed process left RUNNING.

It looks at what is there instead of listening for an event, so nothing stays open after an outage of MLflow or
of the daemon. It speaks MLflow's REST API, because the code server that evaluates it must stay light.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster import DagsterInstance, DagsterRunStatus

from mlops_assets.training.tracking import DAGSTER_RUN_TAG

if TYPE_CHECKING:
    import httpx

NAME = "platform_close_tracking_on_failed_run"
SENSOR_SECONDS = 15
CALL_SECONDS = 10.0
PAGE = 1000
# MLflow's word for how a Dagster run ended. A Dagster run that isn't over isn't here, and is left alone.
ENDED = {
    DagsterRunStatus.SUCCESS: "FINISHED",
    DagsterRunStatus.FAILURE: "FAILED",
    DagsterRunStatus.CANCELED: "KILLED",
}


class TrackingRuns:
    """The runs of an MLflow server at `url`, through its REST API. Opens no connection until it is used.

    `headers` are sent with each question: the token, where the server asks for one.
    """

    def __init__(
        self, url: str, transport: httpx.BaseTransport | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.url = url
        self._headers = dict(headers or {})
        self._transport = transport

    def running(self) -> dict[str, str]:
        """MLflow run id → Dagster run id of every RUNNING run that a Dagster run opened. Raises httpx.HTTPError."""
        experiments = self._all("experiments", {})
        ids = [experiment["experiment_id"] for experiment in experiments]
        if not ids:
            return {}
        runs = self._all("runs", {"experiment_ids": ids, "filter": "attributes.status = 'RUNNING'"})
        found = {}
        for run in runs:
            tags = {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}
            if DAGSTER_RUN_TAG in tags:
                found[run["info"]["run_id"]] = tags[DAGSTER_RUN_TAG]
        return found

    def close(self, run_id: str, status: str) -> None:
        """End a run now. Raises httpx.HTTPError."""
        self._post("runs/update", {"run_id": run_id, "status": status, "end_time": int(time.time() * 1000)})

    def _all(self, what: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """Every page of a search."""
        found: list[dict[str, Any]] = []
        token: str | None = ""
        while token is not None:
            more = {"page_token": token} if token else {}
            page = self._post(f"{what}/search", {**asked, **more, "max_results": PAGE})
            found += page.get(what, [])
            token = page.get("next_page_token") or None
        return found

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        import httpx

        with httpx.Client(
            base_url=self.url, timeout=CALL_SECONDS, transport=self._transport, headers=self._headers
        ) as client:
            answer = client.post(f"/api/2.0/mlflow/{path}", json=body)
            answer.raise_for_status()
            return dict(answer.json())


def close_orphans(runs: TrackingRuns, instance: DagsterInstance) -> dict[str, str]:
    """Close each RUNNING MLflow run whose Dagster run is over; MLflow run id → its new status.

    A run that this instance doesn't know belongs to somebody else and is left alone. Raises httpx.HTTPError.
    """
    closed = {}
    for run_id, dagster_run_id in runs.running().items():
        run = instance.get_run_by_id(dagster_run_id)
        status = ENDED.get(run.status) if run is not None else None
        if status is not None:
            runs.close(run_id, status)
            closed[run_id] = status
    return closed


def tracking_end_sensor() -> dg.SensorDefinition:
    """The sensor, for the runs of all products."""

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends MLflow runs that are still RUNNING though their Dagster run failed, was canceled or is done",
    )
    def sensor(context: dg.SensorEvaluationContext, tracking: dg.ResourceParam[Any]) -> dg.SkipReason:
        import httpx

        try:
            closed = close_orphans(TrackingRuns(tracking.url, headers=tracking.headers), context.instance)
        except httpx.HTTPError as error:
            return dg.SkipReason(f"MLflow doesn't answer at {tracking.url}: {error}; looking again")
        told = ", ".join(f"{run_id} {status}" for run_id, status in closed.items())
        return dg.SkipReason(f"closed {told}" if closed else "no MLflow run is open whose Dagster run is over")

    return sensor


class TrackingEndComponent(dg.Component, dg.Model, dg.Resolvable):
    """The sensor `platform_close_tracking_on_failed_run`, once for all products."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return dg.Definitions(sensors=[tracking_end_sensor()])
