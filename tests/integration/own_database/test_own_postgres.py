"""A PostgreSQL of one's own, over TLS, with a role for each part that can do its work and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import psycopg2
import pytest
from pydantic import SecretStr
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from inference.journal import Journal
from inference.log_store import LogStore
from inference.roles import PostgresRoles
from mlops_assets.backup.make import backup
from mlops_assets.backup.restore import restore
from mlops_assets.installation import schema
from mlops_assets.installation.report import Report
from mlops_assets.installation.up import prepare_home
from mlops_assets.observability.exporter.collectors import all_collectors
from mlops_assets.observability.exporter.rising import Rising
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage import rights
from mlops_assets.storage.database import Database, DatasetVersion
from tests.integration.exporter.made_rows import look
from tests.integration.own_postgres import DATABASE, OwnPostgres, running_own_postgres
from tests.integration.shipped_log import shipper_on
from tests.journal_lines import encoded, feedback, prediction

PRODUCT = "homes"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPostgres]:
    with running_own_postgres(tmp_path_factory.mktemp("own") / "postgres") as found:
        found.make_roles()
        yield found


def settings_on(server: OwnPostgres, home: Path) -> Settings:
    """An installation there, each part with its role."""
    return Settings(
        home=home,
        database_url=SecretStr(server.url(rights.OWNER)),
        serving_database_url=SecretStr(server.url(rights.SERVING)),
        reader_database_url=SecretStr(server.url(rights.READER)),
    )


@pytest.fixture(scope="module")
def settings(server: OwnPostgres, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """With every schema made by the orchestrator's role, and a release in service."""
    found = settings_on(server, tmp_path_factory.mktemp("own") / "home")
    prepare_home(found)
    schema.migrate(found)
    database = Database.connect(found.database)
    with database.session() as session, session.begin():
        session.add(
            DatasetVersion(product=PRODUCT, version=1, sha256="0" * 64, rows=1, uri="u", source="s", sample=False)
        )
    ledger = Ledger(database)
    ledger.reserve(PRODUCT, "a", 1)
    ledger.publish(PRODUCT, 1, "/releases/1", {}, "test")
    database.dispose()
    return found


def test_only_tls_gets_in_and_only_to_the_server_that_proves_itself(server: OwnPostgres, tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match="no encryption"):
        Database.connect(server.url(rights.OWNER, "disable")).check()
    with running_own_postgres(tmp_path / "other") as other:
        mistaken = server.url(rights.OWNER).replace(str(server.certificate), str(other.certificate))
        with pytest.raises(OperationalError, match="certificate verify failed"):
            Database.connect(mistaken).check()


def test_the_administrators_statements_can_be_run_again(server: OwnPostgres, settings: Settings) -> None:
    before = server.run("SELECT rolname, rolsuper, rolcreaterole FROM pg_roles WHERE rolname LIKE 'mlops%' ORDER BY 1")
    server.run(rights.roles_sql(DATABASE))
    assert (
        server.run("SELECT rolname, rolsuper, rolcreaterole FROM pg_roles WHERE rolname LIKE 'mlops%' ORDER BY 1")
        == before
        == [(role, False, False) for role in sorted((rights.OWNER, rights.READER, rights.SERVING))]
    )
    # What was granted by hand and isn't theirs is taken away with the next migration.
    server.run(f"GRANT UPDATE ON mlops.release TO {rights.SERVING}", rights.OWNER)
    schema.migrate(settings)
    assert refused(server, rights.SERVING, "UPDATE mlops.release SET uri = 'x'")


def test_services_follow_the_ledger_and_their_log_is_shipped(settings: Settings, tmp_path: Path) -> None:
    role = PostgresRoles(settings.serving_database, PRODUCT, "production").current()
    assert role is not None
    assert role.version == 1
    root = tmp_path / "journal"
    journal = Journal(root / "homes_production", "homes_production")
    asked = [prediction() for _ in range(20)]
    journal.append(encoded(*asked, *(feedback(one["id"]) for one in asked[:5])))
    journal.close()
    with shipper_on(settings.serving_database, root) as shipper:
        while shipper.step():
            pass
        assert shipper.problem is None
    sums, told = LogStore(settings.serving_database, PRODUCT).sums(24 * 365 * 10, "all")
    assert sums["total_count"] == 20
    assert told["total_count"] == 5


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO mlops.ledger SELECT * FROM mlops.ledger",
        "UPDATE mlops.release SET uri = 's3://elsewhere/model'",
        "DELETE FROM mlops.release",
        "UPDATE mlops.prediction SET output = '{}'",
        "DELETE FROM mlops.feedback",
        "TRUNCATE mlops.log_hour",
        "SELECT * FROM mlops.api_token",
        "SELECT * FROM mlops.audit",
        "SELECT * FROM dagster.runs",
        "CREATE TABLE mlops.mine (x int)",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine (x int)",
    ],
)
def test_services_can_do_nothing_else(server: OwnPostgres, settings: Settings, statement: str) -> None:
    assert refused(server, rights.SERVING, statement)


def test_metrics_are_read_without_the_right_to_change_anything(server: OwnPostgres, settings: Settings) -> None:
    for collector in all_collectors(settings, Rising()):
        if collector.name in ("schedules", "locations", "programs", "daemons"):
            continue  # these ask the webserver and the process manager, which aren't there
        look(collector)
    assert refused(server, rights.READER, "SET default_transaction_read_only = off; DELETE FROM mlops.prediction")
    assert refused(server, rights.READER, "SELECT * FROM mlops.api_token")
    assert refused(server, rights.READER, "SELECT * FROM mlops.answered_request")


def test_a_backup_goes_over_tls_and_comes_back_with_the_roles_rights(
    server: OwnPostgres, settings: Settings, tmp_path: Path
) -> None:
    report = Report(Console(file=StringIO()))
    backup(settings, tmp_path / "backup", report)
    for name in ("mlops", "dagster", "mlflow"):
        server.run(f"DROP SCHEMA {name} CASCADE", rights.OWNER)
    again = settings_on(server, tmp_path / "home")
    restore(again, tmp_path / "backup", report)
    schema.migrate(again)
    assert Ledger(Database.connect(again.database)).state(PRODUCT).production == 1
    role = PostgresRoles(again.serving_database, PRODUCT, "production").current()
    assert role is not None
    assert refused(server, rights.SERVING, "DELETE FROM mlops.ledger")


def test_roles_that_are_not_there_are_no_obstacle(tmp_path: Path) -> None:
    with running_own_postgres(tmp_path / "postgres") as server:
        database = Database.connect(server.url("admin"))
        database.migrate()
        with database.engine.begin() as connection:
            assert rights.grant(connection) == []
            assert connection.scalar(text("SELECT count(*) FROM mlops.ledger")) == 0


def refused(server: OwnPostgres, role: str, statement: str) -> bool:
    """Whether the role may not do it; anything but a lack of rights is an error."""
    try:
        server.run(statement, role)
    except (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction):
        return True
    return False
