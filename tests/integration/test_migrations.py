"""The platform's tables go forward and back, a version at a time, and come out the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from mlops_assets.installation import schema
from mlops_assets.settings import Settings
from mlops_assets.storage.database import MIGRATIONS, SCHEMA, Database
from mlops_assets.storage.revisions import TABLE, newest

# Columns, keys and checks, indexes, triggers and rights: what a migration can leave behind or forget.
_LOOKS = """
SELECT 'column', table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable, column_default)
FROM information_schema.columns WHERE table_schema = 'mlops'
UNION ALL SELECT 'constraint', conrelid::regclass::text || '.' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'mlops'::regnamespace
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'mlops'
UNION ALL SELECT 'trigger', tgrelid::regclass::text || '.' || tgname, pg_get_triggerdef(oid)
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'right', table_name, grantee || ' ' || privilege_type
FROM information_schema.role_table_grants WHERE table_schema = 'mlops'
ORDER BY 1, 2, 3
"""


def downgrade(database: Database, revision: str) -> None:
    """Take migrations back, to that revision."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def looks(database: Database) -> list[tuple[str, str, str]]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(_LOOKS))]


@pytest.fixture
def fresh(postgres_url: str) -> Iterator[Database]:
    """A database of its own at the newest version."""
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("CREATE DATABASE migrations"))
    database = Database.connect(server.url.set(database="migrations").render_as_string(hide_password=False))
    database.migrate()
    yield database
    database.dispose()
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE migrations"))
    server.dispose()


def test_every_migration_can_be_taken_back_and_made_again(fresh: Database) -> None:
    newest = looks(fresh)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert len(revisions) > 10
    for before in [*revisions[1:], "base"]:
        # From wherever an installation was left.
        downgrade(fresh, before)
        fresh.migrate()
        assert looks(fresh) == newest, before
        downgrade(fresh, before)
    # Only the mark of the version is left.
    assert {name.partition(".")[0] for kind, name, _ in looks(fresh) if kind == "column"} == {"migration"}


def test_tables_of_a_newer_version_are_refused_by_name_and_left_alone(fresh: Database, tmp_path: Path) -> None:
    """Somebody goes back to the version before, after an upgrade."""
    with fresh.engine.begin() as connection:
        connection.execute(text(f"UPDATE {SCHEMA}.{TABLE} SET version_num = '9999'"))
        connection.execute(text(f"ALTER TABLE {SCHEMA}.ledger ADD COLUMN next_thing text"))
    before = looks(fresh)
    settings = Settings(home=tmp_path, database_url=SecretStr(fresh.engine.url.render_as_string(hide_password=False)))
    with pytest.raises(schema.MigrationError) as refused:
        schema.migrate(settings)
    said = str(refused.value)
    assert "tables are at version 9999" in said
    assert f"up to {newest()}:" in said
    assert "restore the backup" in said
    assert looks(fresh) == before
    # Nor was anything of Dagster's or MLflow's begun.
    assert not (tmp_path / "migrated.json").exists()
    with fresh.engine.connect() as connection:
        assert connection.scalar(text(f"SELECT version_num FROM {SCHEMA}.{TABLE}")) == "9999"
