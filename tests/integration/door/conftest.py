"""One door for the files of this folder that break nothing of it.

Add here what several files need.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from mlops_assets.api.app import create_app
from mlops_assets.installation import gateway_files
from mlops_assets.installation.programs import rollout_programs
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.training.catalogue import declared_products
from tests.integration.door.door_rig import OPERATORS_TOKEN, Rig, running_door
from tests.integration.inside.conftest import mlflow, settings, webserver  # noqa: F401
from tests.integration.serving_thread import served
from tests.servers import process


@pytest.fixture(scope="module")
def tables(postgres_url: str) -> Iterator[Database]:
    """The platform's tables."""
    database = Database.connect(postgres_url)
    with database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS mlops CASCADE"))
    database.migrate()
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def door(tables: Database) -> Iterator[Rig]:
    """A running door."""
    with running_door(tables) as found:
        yield found


@pytest.fixture
def rig(door: Rig) -> Iterator[Rig]:
    """The same; nothing has gone through it."""
    door.forget()
    yield door
    door.forget()


@pytest.fixture(scope="module")
def installed(settings: Settings, webserver: str, mlflow: str, tables: Database) -> Iterator[FastAPI]:  # noqa: F811
    """The door of an installation, as its files say, in front of its Dagster and MLflow; its control API.

    Nothing else of the installation runs.
    """
    products = declared_products()
    gateway_files.configure(settings, products)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    gateway_files.write_first_routes(settings, products)
    app = create_app(settings, tables, token=OPERATORS_TOKEN, subjects=[])
    program = next(program for program in rollout_programs(settings, "x") if program.name == "gateway")
    with (
        served(app, settings.ports.api_server),
        process(program.command, settings.logs / "gateway.log", lambda: is_open(settings.ports.api)),
    ):
        yield app


def is_open(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
