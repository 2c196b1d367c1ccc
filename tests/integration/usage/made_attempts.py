"""Attempts of stages as processes of runs write them, with as much of Dagster's table of runs as is asked for.

Add here what tests of this folder, and of all pages, put into the tables. Keep out what is asked of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text

from mlops_assets.api.app import create_app
from mlops_assets.runs.usage import Used
from mlops_assets.runs.usage_rows import AttemptRow, UsageRows
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.serving_thread import served

NOW = datetime.now(UTC)
TOKEN = "operators-token-of-a-test"
PLAIN = Used(10.0, 5.0, 1_000_000_000, 20_000_000, 3_000_000)


def make_dagster(database: Database) -> None:
    """Dagster's table of runs, empty."""
    with database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS dagster CASCADE"))
        connection.execute(text("CREATE SCHEMA dagster"))
        connection.execute(text("CREATE TABLE dagster.runs (run_id varchar PRIMARY KEY, status varchar)"))


def set_status(database: Database, run_id: str, status: str) -> None:
    """Make Dagster know a run."""
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO dagster.runs (run_id, status) VALUES (:run, :status) "
                "ON CONFLICT (run_id) DO UPDATE SET status = :status"
            ),
            {"run": run_id, "status": status},
        )


class Attempts:
    """Puts attempts into the table."""

    def __init__(self, database: Database) -> None:
        self._database = database
        url = database.engine.url.render_as_string(hide_password=False)
        self._rows = UsageRows(lambda: url)

    def __call__(
        self,
        product: str = "homes",
        stage: str = "model",
        *,
        back: timedelta = timedelta(hours=1),
        outcome: str | None = "SUCCESS",
        used: Used = PLAIN,
        status: str | None = "SUCCESS",
        run_id: str | None = None,
        kind: str = "product",
        attempt: int = 1,
        job: str | None = None,
    ) -> str:
        """One that began so long ago; its run's id. `status` is the run's in Dagster, None: it doesn't know it."""
        run_id = run_id or str(uuid4())
        began = NOW - back
        ended = None if outcome is None else began + timedelta(seconds=used.wall_seconds)
        names = (run_id, f"{product}__{stage}", attempt, kind, product, stage, job or f"{product}_train")
        assert self._rows.put(AttemptRow(*names, began, ended, outcome, None if outcome is None else used))
        if status is not None:
            set_status(self._database, run_id, status)
        return run_id

    def close(self) -> None:
        """Give the connection back."""
        self._rows.close()


def fortnight(put: Attempts) -> str:
    """Two weeks of two products and a pipeline, of which one stage got slower and larger; the newest run's id."""
    draw = random.Random(5)
    newest = ""
    for day in reversed(range(14)):
        for product, stage, seconds, megabytes in (
            ("house_prices", "data", 2.0, 300),
            ("house_prices", "model", 9.0 if day < 7 else 4.2, 900 if day < 7 else 500),
            ("traffic_anomalies", "scores", 30.0, 1200),
            ("nightly_sums", "load", 0.8 if day < 7 else 1.9, 90),
        ):
            factor = draw.uniform(0.95, 1.05)
            used = Used(seconds * factor, 1.7 * seconds, int(megabytes * 1e6 * factor), int(3e6 * seconds), 1_000_000)
            kind = "pipeline" if product == "nightly_sums" else "product"
            newest = put(product, stage, back=timedelta(days=day, hours=2), used=used, kind=kind)
    put("house_prices", "model", outcome="FAILURE", status="FAILURE")
    put("traffic_anomalies", "scores", outcome=None, status="FAILURE")
    put("house_prices", "metrics", run_id=newest, outcome="RETRY", used=Used(3.0, 2.0, 200_000_000, None, None))
    put("house_prices", "metrics", run_id=newest, outcome=None, status="STARTED", attempt=2)
    return newest


@dataclass(frozen=True)
class Filled:
    """The API at `url` with something to show, and the id of a run that goes on."""

    url: str
    run_id: str


@contextmanager
def used(database: Database, home: Path) -> Iterator[Filled]:
    """The console over a fortnight of attempts; the operators' token is `TOKEN`. Dagster's table is made if need be."""
    with database.engine.connect() as connection:
        lacking = connection.execute(text("SELECT to_regclass('dagster.runs')")).scalar() is None
    if lacking:
        make_dagster(database)
    put = Attempts(database)
    run_id = fortnight(put)
    put.close()
    with served(create_app(Settings(home=home), database, token=TOKEN, subjects=[])) as url:
        yield Filled(url, run_id)
    if lacking:
        with database.engine.begin() as connection:
            connection.execute(text("DROP SCHEMA dagster CASCADE"))
