"""The notifications' part in Dagster: the sensors that note what Dagster knows, once for all products.

Keep out what they note (`dagster_sensors`) and the notifier, which is no part of Dagster (`notifier`).
"""

from __future__ import annotations

import dagster as dg

from mlops_assets.notifications.dagster_sensors import asked_retrain_sensor, failed_gate_sensor, failed_run_sensor


class NotificationsComponent(dg.Component, dg.Model, dg.Resolvable):
    """Sensors for failed runs, failed gates and asked-for retrains."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return dg.Definitions(sensors=[failed_run_sensor(), failed_gate_sensor(), asked_retrain_sensor()])
