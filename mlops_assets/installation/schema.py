"""Every database schema of an installation, created or brought to the installed versions before anything starts.

The platform's own tables, Dagster's and MLflow's each live in a schema of their own. What was migrated by which
version is kept in a file, so that a start that has nothing to migrate doesn't ask the libraries.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from importlib.metadata import version

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from mlops_assets.installation.programs import PYTHON
from mlops_assets.settings import PROJECT, Settings
from mlops_assets.storage import rights
from mlops_assets.storage.database import Database, make_schema
from mlops_assets.storage.revisions import NewerTablesError

CONNECT_SECONDS = 60.0
MIGRATE_SECONDS = 180
# The command's own argument would show the database's password in the list of processes.
UPGRADE_MLFLOW = (
    "import os; from mlflow.db import commands; commands(['upgrade', os.environ['MLFLOW_BACKEND_STORE_URI']])"
)


class MigrationError(RuntimeError):
    """A schema can't be brought up to date; the message holds the tool's own words."""


def wait_for_database(settings: Settings) -> None:
    """Return when the database answers.

    Raises:
        MigrationError: it doesn't within a minute; holds its last words, never the password.
    """
    database = Database.connect(settings.database)
    give_up = time.monotonic() + CONNECT_SECONDS
    try:
        while True:
            try:
                with database.engine.connect() as connection:
                    connection.execute(text("SELECT 1"))
                    return
            except OperationalError as error:
                if time.monotonic() > give_up:
                    raise MigrationError(f"the database doesn't answer: {error.orig}") from None
                time.sleep(0.05)
    finally:
        database.dispose()


def migrate(settings: Settings) -> bool:
    """Bring all three schemas up to date. Returns whether Dagster's or MLflow's had to be looked at.

    Raises:
        MigrationError: one can't be, or is of a newer version of the platform.
    """
    database = Database.connect(settings.database)
    try:
        database.migrate()
        with database.engine.begin() as connection:
            for schema in ("dagster", "mlflow"):
                make_schema(connection, schema)
            rights.grant(connection)
    except NewerTablesError as error:
        raise MigrationError(str(error)) from None
    finally:
        database.dispose()
    marker = settings.home / "migrated.json"
    wanted = {
        "database": hashlib.sha256(settings.database.encode()).hexdigest(),
        "dagster": version("dagster"),
        "mlflow": version("mlflow"),
    }
    if marker.exists() and json.loads(marker.read_text()) == wanted:
        return False
    _migrate_libraries(settings)
    fresh = marker.with_suffix(".new")
    fresh.write_text(json.dumps(wanted))
    fresh.rename(marker)
    return True


def _migrate_libraries(settings: Settings) -> None:
    # An empty MLflow schema is left to its server: upgrading one that isn't there yet fails.
    commands = {"dagster": [PYTHON, "-m", "dagster", "instance", "migrate"]}
    if _has_table(settings, "mlflow", "alembic_version"):
        commands["mlflow"] = [PYTHON, "-c", UPGRADE_MLFLOW]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["MLFLOW_BACKEND_STORE_URI"] = settings.database_for("mlflow")
    running = {
        name: subprocess.Popen(
            command,
            env=environment | settings.environment(),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, command in commands.items()
    }
    for name, process in running.items():
        try:
            output, _ = process.communicate(timeout=MIGRATE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise MigrationError(f"{name}: its schema wasn't migrated within {MIGRATE_SECONDS} s") from None
        if process.returncode != 0:
            raise MigrationError(f"{name}: its schema can't be migrated:\n{output.strip()[-2000:]}")


def _has_table(settings: Settings, schema: str, table: str) -> bool:
    database = Database.connect(settings.database)
    try:
        with database.engine.connect() as connection:
            return connection.scalar(text("SELECT to_regclass(:name)"), {"name": f"{schema}.{table}"}) is not None
    finally:
        database.dispose()
