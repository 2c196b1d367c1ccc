"""No table and no folder without a line that says how long it is kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

import mlops_assets.storage.access_tables
import mlops_assets.storage.health_tables
import mlops_assets.storage.pipeline_tables
import mlops_assets.storage.usage_tables  # noqa: F401 (their tables are known by it)
from mlops_assets.retention.declared import KEPT
from mlops_assets.retention.measure import held
from mlops_assets.retention.policy import FOR_EVER, of_home, of_storage, of_table
from mlops_assets.retention.rounds import SWEEPS
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Base
from mlops_assets.storage.files import Storage
from tests.integration.backup.saved_platform import fill
from tests.integration.platform_tables import PlatformTables
from tests.integration.retention.old_platform import PRODUCT, OldPlatform

TABLES = """
SELECT n.nspname || '.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(:schemas) ORDER BY 1
"""


def tables(url: str, *schemas: str) -> list[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = list(connection.scalars(text(TABLES), {"schemas": list(schemas)}))
    engine.dispose()
    return found


def test_every_table_has_a_line(platform_tables: PlatformTables, postgres_url: str, mlflow_url: str) -> None:
    there = tables(platform_tables.url, "mlops", "dagster")
    there += tables(postgres_url, "mlflow")
    there += [str(table) for table in Base.metadata.tables]
    assert "mlflow.runs" in there, mlflow_url
    without = sorted({name for name in there if of_table(KEPT, name) is None})
    assert not without, f"say in mlops_assets/retention/declared.py how long these are kept: {without}"
    named = {name for kept in KEPT for name in kept.tables if "*" not in name}
    assert not named - set(there), "these tables are no more"


def test_every_folder_of_a_used_home_has_a_line(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    fill(settings)
    without = [name for name in sorted(os.listdir(settings.home)) if of_home(KEPT, name) is None and name != "logs"]
    without += [f"logs/{name}" for name in sorted(os.listdir(settings.logs)) if of_home(KEPT, f"logs/{name}") is None]
    without += [name for name in stored(Path(settings.storage)) if of_storage(KEPT, name) is None]
    assert not without, f"say in mlops_assets/retention/declared.py how long these are kept: {without}"


def stored(root: Path) -> list[str]:
    """What is below the storage root, two names deep."""
    return [path.relative_to(root).as_posix() for path in sorted(root.glob("*/*"))]


@pytest.mark.parametrize("name", ["mlops.something_new", "dagster.something_new", "other.runs"])
def test_a_table_that_nobody_thought_of_is_noticed(name: str) -> None:
    assert of_table(KEPT, name) is None


def test_a_folder_that_nobody_thought_of_is_noticed() -> None:
    assert of_home(KEPT, "caches") is None
    assert of_home(KEPT, "logs/caches") is None
    assert of_storage(KEPT, "homes/caches/x") is None
    assert of_storage(KEPT, "homes/models/x") is not None


def test_each_line_that_names_a_removal_has_one_and_each_removal_a_line() -> None:
    named = [kept.sweep for kept in KEPT if kept.sweep is not None]
    assert sorted(named) == sorted(SWEEPS)
    unknown = [kept.days for kept in KEPT if isinstance(kept.days, str) and kept.days not in Settings.model_fields]
    assert not unknown
    assert len({kept.what for kept in KEPT}) == len(KEPT)


def test_what_is_kept_for_ever_says_why() -> None:
    settings = Settings()
    for kept in KEPT:
        assert kept.why.startswith("for ever: ") == (kept.how_long(settings) == FOR_EVER), kept.what


def test_what_is_there_is_counted_by_line(old: OldPlatform) -> None:
    old.run("model")
    old.file(PRODUCT, "charts", "x", "a.png", content=b"1" * 1000)
    old.file(PRODUCT, "releases", "1", "model.onnx", content=b"1" * 10)
    found = held(old.settings, old.database, old.storage)
    ((runs, events),) = old.rows(
        "SELECT (SELECT count(*) FROM dagster.runs) + (SELECT count(*) FROM dagster.run_tags), "
        "(SELECT count(*) FROM dagster.event_logs) + (SELECT count(*) FROM dagster.asset_event_tags)"
    )
    assert found["runs in Dagster"].rows == runs + events
    handed = found["files that stages hand on"]
    assert (handed.files, handed.bytes > 1000) == (2, True)
    assert (found["releases"].files, found["releases"].rows) == (1, 0)
    assert Storage(old.settings.storage).at(PRODUCT, "charts", "x").exists("a.png")
