"""A small installation with something in every place that a backup saves, on a PostgreSQL of its own that is down.

Add here what a new kind of state looks like. Keep out what is tested.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import dagster as dg
from rich.console import Console
from sqlalchemy import text

from mlops_assets.backup.database import database_up
from mlops_assets.installation.report import Report
from mlops_assets.installation.up import prepare_home
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database, DatasetVersion
from mlops_assets.storage.files import Storage
from tests.integration.exporter.made_rows import dagster_instance, in_schema

PRODUCT = "homes"


@dg.asset
def made() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 3})


def report() -> Report:
    """One that nobody reads."""
    return Report(Console(file=StringIO()))


def fill(settings: Settings) -> None:
    """Tables of all three schemas with rows, two releases with their files, secrets, answers that wait."""
    prepare_home(settings)
    with database_up(settings):
        database = Database.connect(settings.database)
        database.migrate()
        with database.engine.begin() as connection:
            connection.execute(text("CREATE SCHEMA mlflow; CREATE SCHEMA dagster"))
            connection.execute(text("CREATE TABLE mlflow.experiments (name text, artifact_location text)"))
            connection.execute(
                text("INSERT INTO mlflow.experiments VALUES ('homes', :at)"), {"at": f"{settings.storage}/mlflow/1"}
            )
        with database.session() as session, session.begin():
            session.add(
                DatasetVersion(product=PRODUCT, version=1, sha256="0" * 64, rows=1, uri="u", source="s", sample=False)
            )
        ledger = Ledger(database)
        for number in (1, 2):
            release = Storage(settings.storage).at(PRODUCT, "releases", str(number))
            release.write_bytes("model.onnx", b"model %d" % number * 1000)
            ledger.reserve(PRODUCT, f"run-{number}", 1)
            ledger.publish(PRODUCT, number, release.url, {"metrics": {"mae": 1.5}}, actor="training")
        database.dispose()
        with (
            tempfile.TemporaryDirectory() as folder,
            dagster_instance(in_schema(settings.database, "dagster"), Path(folder)) as instance,
        ):
            dg.materialize([made], instance=instance)
    (settings.journal / "homes_production").mkdir()
    (settings.journal / "homes_production" / "0001.log").write_bytes(b"an answer")
    script = settings.home / "bentos" / "bentos" / "homes" / "1" / "run.sh"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)


@contextmanager
def looked_into(settings: Settings) -> Iterator[Database]:
    """Its database, up meanwhile."""
    with database_up(settings):
        database = Database.connect(settings.database)
        yield database
        database.dispose()


def everything(settings: Settings) -> dict[str, object]:
    """What people would miss: decisions, data, files, secrets."""
    with looked_into(settings) as database, database.engine.connect() as connection:
        rows = {
            name: connection.execute(text(f"SELECT * FROM {name} ORDER BY 1, 2")).all()
            for name in ("mlops.ledger", "mlops.dataset_version", "dagster.event_logs", "dagster.runs")
        }
    kept = [settings.secrets, settings.journal, settings.home / "bentos"]
    kept += [Path(settings.storage)] if "://" not in settings.storage else []
    files = {
        path.relative_to(folder.parent).as_posix(): (path.read_bytes(), path.stat().st_mode)
        for folder in kept
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {**rows, **files}
