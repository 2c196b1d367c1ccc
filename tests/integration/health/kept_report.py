"""A health report that is kept, of a platform that much is wrong with, and the console that shows it.

Add here what tests of this folder, and of all pages, show. Keep out what is asserted of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops_assets.api.app import create_app
from mlops_assets.notifications.links import Links
from mlops_assets.observability.health import store
from mlops_assets.observability.health.facts import (
    Disk,
    Facts,
    HourRuns,
    JobRuns,
    Location,
    Queue,
    Service,
    Slots,
)
from mlops_assets.observability.health.judge import judge
from mlops_assets.observability.health.policy import HealthPolicy
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.pipeline_pages.played_platform import TOKEN
from tests.integration.serving_thread import served
from tests.unit.observability.health.healthy import facts, patterns, programs, runs, stage

POLICY = HealthPolicy()
MARKUP = "<img src=x onerror=\"document.title='owned'\">"


def of_day(now: datetime) -> tuple[HourRuns, ...]:
    began = now - timedelta(hours=24)
    counts = [(4 + place % 5, 3 if place in (9, 10, 23) else 0, place == 15) for place in range(24)]
    return tuple(
        HourRuns(at=began + timedelta(hours=place), success=good, failed=bad, canceled=int(gone))
        for place, (good, bad, gone) in enumerate(counts)
    )


def degraded(now: datetime) -> Facts:
    failing = patterns(
        stage(14, *["psycopg2.OperationalError: could not connect to server"] * 14),
        stage(5, MARKUP, MARKUP, "KeyError: 'price'", owner="pipeline sales", name="load"),
        stage(1, "the run's process ended unexpectedly", owner="traffic_anomalies_train", name=""),
    )
    jobs = (
        JobRuns(job="house_prices_train", success=3, failed=14, running=1, in_a_row=4, seconds=412.5),
        JobRuns(job="pipeline sales", success=9, failed=5, queued=3, seconds=3.2),
        JobRuns(job="house_prices_rollout", success=24, seconds=1.9),
    )
    return facts(
        at=now,
        runs=runs(36, 20, canceled=1, running=1, queued=3, retried=1, jobs=jobs, hours_of=of_day(now)),
        failures=failing,
        queue=Queue(
            queued=3,
            oldest_seconds=4000,
            oldest_job="pipeline sales",
            slots=(Slots(limit="runs", most=1, used=1),),
            going=(("house_prices_train", 1),),
        ),
        locations=(Location(name="products"), Location(name="pipelines", error="SyntaxError: invalid syntax")),
        services=(Service(name="webserver"), Service(name="mlflow", down_seconds=340)),
        programs=programs(mlflow="BACKOFF"),
        disk=Disk(free=4 * 10**10, size=10**12),
        missing={"prediction log": "the prediction log's state can't be read"},
    )


def keep(database: Database, found: Facts) -> None:
    links = Links("https://mlops.example", "https://dagster.example")
    store.save(database, judge(found, POLICY), POLICY, links, None)


@contextmanager
def reported(database: Database, home: Path) -> Iterator[str]:
    """The address of a console whose newest report is degraded; the operators' token is `TOKEN`."""
    keep(database, degraded(datetime.now(UTC)))
    with served(create_app(Settings(home=home), database, token=TOKEN, subjects=[])) as url:
        yield url
