"""Every dashboard and the file of deploy/grafana/dashboards that it is written to.

Add a dashboard here. Keep out what stands on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grafana_foundation_sdk.builders.dashboard import Dashboard

from mlops_assets.observability.grafana import (
    drift,
    machine,
    orchestration,
    pipelines,
    rollout,
    serving,
    traffic_anomalies,
)

BOARDS: Mapping[str, Callable[[], Dashboard]] = {
    "orchestration": orchestration.made,
    "serving": serving.made,
    "rollout": rollout.made,
    "drift": drift.made,
    "traffic_anomalies": traffic_anomalies.made,
    "pipelines": pipelines.made,
    "machine": machine.made,
}
