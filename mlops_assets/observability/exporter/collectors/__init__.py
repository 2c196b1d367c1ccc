"""Where the figures of `metrics.py` come from: a file for each group, a function that makes its collectors.

Add a collector here with the metrics that it fills and how often it looks. What fails together looks together; what can
fail alone has a collector of its own.
"""

from __future__ import annotations

from mlops_assets.observability.exporter.collector import Collector
from mlops_assets.observability.exporter.collectors import (
    assets,
    automation,
    daemons,
    drift,
    locations,
    machine,
    notices,
    pipelines,
    prediction_log,
    programs,
    rollouts,
    runs,
    schedules,
    stages,
    storage,
)
from mlops_assets.observability.exporter.collectors.source import Source, Webserver
from mlops_assets.observability.exporter.rising import Rising
from mlops_assets.settings import Settings


def all_collectors(settings: Settings, rising: Rising) -> list[Collector]:
    """Every collector of an installation. Opens no connection."""
    source = Source(settings.reader_database)
    webserver = Webserver(settings.dagster_server_url, settings.inner_headers())
    return [
        runs.collector(source, settings),
        stages.collector(source, settings),
        automation.collector(source),
        daemons.collector(source, webserver),
        schedules.collector(source, webserver),
        locations.collector(webserver, settings),
        assets.collector(source),
        rollouts.collector(source),
        prediction_log.counted(source, rising),
        prediction_log.ratings(source),
        prediction_log.backlog(settings),
        drift.collector(source),
        pipelines.collector(source),
        pipelines.files(source),
        storage.database(source),
        storage.sizes(source),
        storage.files(settings),
        machine.collector(),
        programs.collector(settings),
        notices.collector(source),
        notices.health(source),
    ]
