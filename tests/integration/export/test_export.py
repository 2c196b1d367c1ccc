"""An export holds what the database and the storage hold, is read by others, and is whole or isn't one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, create_engine, text

from mlops_assets.access import tokens
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.backup import files as backup_files
from mlops_assets.backup.record import BackupError
from mlops_assets.export.make import Asked, export
from mlops_assets.export.record import MANIFEST, Export
from mlops_assets.export.tables import EXPORTED, NOT_EXPORTED, Exported
from mlops_assets.pipelines import store, yaml_file
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Base, Database, DatasetVersion
from mlops_assets.storage.files import sha256_of
from tests.integration.backup.saved_platform import report
from tests.integration.platform_tables import PlatformTables
from tests.integration.retention.old_platform import OldPlatform
from tests.made_log import MadeLog

BY = Caller("t", "tests", Role.OPERATOR, Kind.TOKEN)
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
DECLARED = """
name: two_stage
stages:
  - name: prepare
    stage_type: DATA_PREPROCESSING
    source: "def run():\\n    return 1"
"""


@pytest.fixture
def filled(empty_tables: PlatformTables, tmp_path: Path) -> OldPlatform:
    """Two products with data, releases, a log and files; a declared pipeline; a token; a run of Dagster's."""
    home = tmp_path / "home"
    home.mkdir()
    settings = Settings(home=home, database_url=empty_tables.url)  # type: ignore[arg-type]
    made = OldPlatform(empty_tables, settings)
    database = empty_tables.database
    ledger = Ledger(database)
    for product, count in (("homes", 50), ("loans", 20)):
        with database.session() as session, session.begin():
            session.add(
                DatasetVersion(product=product, version=1, sha256="0" * 64, rows=9, uri="u", source="s", sample=False)
            )
        ledger.reserve(product, f"run of {product}", 1)
        ledger.publish(product, 1, "here", {"metrics": {"mae": 1.5}}, actor="training")
        ledger.reserve(product, f"failed run of {product}", 1)
        log = MadeLog(database, product, 1, {"production": 1}, BEGAN)
        for number in range(count):
            log.rate("production", f"user {number}", number % 5 + 1, estimate=10.0 + number, ms=3.0)
        log.at = BEGAN + timedelta(days=30)
        log.rate("production", "later", 4.0)
        log.fail("production")
        log.ship()
        made.file(product, "datasets", "00", "rows.parquet")
        made.file(product, "releases", "1", "model.onnx", content=b"model of " + product.encode())
        made.file(product, "releases", "2", "model.onnx")
        made.file(product, "models", "x", "model.joblib")
    with database.session() as session, session.begin():
        store.create(session, yaml_file.load(DECLARED), BY.name, deploy=True)
    tokens.create(database, BY, "reporting", Role.VIEWER)
    made.run("model", days=1, product="homes")
    made.run("model", days=1)
    return made


def rows(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / "tables" / f"{name}.parquet")


def in_database(engine: Engine, exported: Exported, expression: str) -> Any:
    query = f"SELECT {expression} FROM {exported.table} AS t {exported.joined} WHERE {exported.where}"
    with engine.connect() as connection:
        return connection.execute(text(query)).scalar()


def compare(engine: Engine, folder: Path) -> set[str]:
    """Each table's file has as many rows, and the same sum in each column of numbers; names of those with rows."""
    filled = set()
    for exported in EXPORTED:
        path = folder / "tables" / f"{exported.name}.parquet"
        if not path.exists():
            continue
        frame, schema = pd.read_parquet(path), pq.read_schema(path)
        assert len(frame) == in_database(engine, exported, "count(*)"), exported.name
        more = {name: expression for name, expression, _ in exported.more}
        for column in frame.select_dtypes("number").columns:
            expression = more.get(column) or f't."{column}"'
            there = in_database(engine, exported, f"sum({expression})")
            assert frame[column].sum() == pytest.approx(float(there or 0)), f"{exported.name}.{column}"
        assert len(schema.names) > 1
        filled |= {exported.name} if len(frame) else set()
    return filled


def test_every_table_is_there_with_all_its_rows(filled: OldPlatform, tmp_path: Path) -> None:
    done = export(filled.settings, tmp_path / "out", Asked(), report())
    engine = filled.database.engine
    assert compare(engine, tmp_path / "out") == {
        *("data_versions", "releases", "ledger", "predictions", "feedback", "request_failures", "traffic", "units"),
        *("runs", "pipelines", "pipeline_versions", "audit"),
    }
    assert done.rows == sum(pq.read_metadata(path).num_rows for path in (tmp_path / "out" / "tables").iterdir())
    joined = duckdb.sql(
        f"SELECT sum(p.estimate * f.value) FROM '{tmp_path}/out/tables/predictions.parquet' p "
        f"JOIN '{tmp_path}/out/tables/feedback.parquet' f ON f.prediction_id = p.id"
    ).fetchall()
    ((expected,),) = filled.rows("SELECT sum(estimate * value) FROM mlops.feedback")
    assert joined == [(pytest.approx(expected),)]
    predicted = rows(tmp_path / "out", "predictions")
    assert predicted["at"].min() == pd.Timestamp(BEGAN)
    releases = rows(tmp_path / "out", "releases")
    assert [json.loads(told)["metrics"] for told in releases["manifest"]] == [{"mae": 1.5}] * 2
    tags = json.loads(rows(tmp_path / "out", "runs")["tags"][0])
    assert tags["product"] == "homes"


def test_the_manifest_names_every_file_as_it_is(filled: OldPlatform, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(filled.settings, folder, Asked(), report())
    told = Export.model_validate_json((folder / MANIFEST).read_bytes())
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(told.files) == set(there) - {MANIFEST}
    for name, file in told.files.items():
        assert (file.bytes, file.sha256) == (there[name].stat().st_size, sha256_of(there[name])), name
    assert folder.stat().st_mode & 0o077 == 0, "others may look at what users sent"


def test_files_of_releases_and_data_come_along_and_no_secret_does(filled: OldPlatform, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(filled.settings, folder, Asked(), report())
    files = {path.relative_to(folder).as_posix() for path in (folder / "products").rglob("*") if path.is_file()}
    assert files == {
        f"products/{name}/{file}"
        for name in ("homes", "loans")
        for file in ("datasets/00/rows.parquet", "releases/1/model.onnx")
    }
    assert (folder / "products/loans/releases/1/model.onnx").read_bytes() == b"model of loans"
    spec = yaml_file.load((folder / "pipelines/two_stage/version_1.yaml").read_text())
    assert spec == PipelineSpec.model_validate(yaml_file.load(DECLARED).model_dump())
    ((secret,),) = filled.rows("SELECT secret_sha256 FROM mlops.api_token")
    held = [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert not held
    audited = rows(folder, "audit")
    assert "reporting" in " ".join([*audited["object"], *audited["details"]])


def test_one_product_and_one_day_on(filled: OldPlatform, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(filled.settings, folder, Asked("homes", date(2026, 3, 15)), report())
    assert set(rows(folder, "predictions")["product"]) == {"homes"}
    assert len(rows(folder, "predictions")) == len(rows(folder, "feedback")) == 1
    assert len(rows(folder, "releases")) == 1, "what is referred to is there whole"
    assert len(rows(folder, "runs")) == 1
    assert not (folder / "tables" / "audit.parquet").exists()
    assert not (folder / "pipelines").exists()
    assert sorted(path.name for path in (folder / "products").iterdir()) == ["homes"]
    with pytest.raises(BackupError, match="no product 'boats'; there are: homes, loans"):
        export(filled.settings, tmp_path / "other", Asked("boats"), report())
    assert not (tmp_path / "other").exists()


def test_hours_that_left_the_table_are_there_as_files(filled: OldPlatform, tmp_path: Path) -> None:
    for hour, held in ((BEGAN, True), (BEGAN - timedelta(days=400), False)):
        filled.execute(
            "INSERT INTO mlops.log_export (product, hour, predictions, feedback, uri, max_batch) "
            "VALUES ('homes', :hour, 1, 1, 'u', 1)",
            hour=hour,
        )
        filled.file("homes", "prediction_log", f"date={hour:%Y-%m-%d}", f"hour={hour:%H}", "predictions.parquet")
        assert bool(filled.rows("SELECT 1 FROM mlops.log_hour WHERE product = 'homes' AND hour = :h", h=hour)) == held
    export(filled.settings, tmp_path / "out", Asked(), report())
    found = [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("predictions.parquet")]
    assert sorted(found) == [
        f"products/homes/prediction_log/date={BEGAN - timedelta(days=400):%Y-%m-%d}/hour=12/predictions.parquet",
        "tables/predictions.parquet",
    ]


def test_rows_that_come_meanwhile_are_in_none_of_the_tables(
    filled: OldPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlops_assets.export import make

    before = filled.rows("SELECT count(*) FROM mlops.feedback")[0][0]
    real = make.write_rows

    def meanwhile(*given: Any) -> int:
        written = real(*given)
        if given[-1].name == "predictions.parquet":
            log = MadeLog(filled.database, "homes", 1, {"production": 1}, BEGAN + timedelta(days=60))
            log.rate("production", "new", 1.0)
            log.ship()
        return written

    monkeypatch.setattr(make, "write_rows", meanwhile)
    export(filled.settings, tmp_path / "out", Asked(), report())
    assert len(rows(tmp_path / "out", "feedback")) == before
    assert filled.rows("SELECT count(*) FROM mlops.feedback")[0][0] == before + 1


def test_what_fails_leaves_nothing_and_a_folder_with_something_is_refused(
    filled: OldPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(backup_files, "copied", full)
        with pytest.raises(OSError, match="no space"):
            export(filled.settings, tmp_path / "out", Asked(), report())
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(BackupError, match="not empty: name a new folder"):
        export(filled.settings, tmp_path / "out", Asked(), report())
    with pytest.raises(BackupError, match="inside of what is saved"):
        export(filled.settings, filled.settings.home / "out", Asked(), report())


STOPPED = """
import sys, time
from pathlib import Path
from mlops_assets.export import make
from mlops_assets.export.make import Asked, export
from mlops_assets.settings import load
from tests.integration.backup.saved_platform import report
make.readme = lambda *_: print("here", flush=True) or time.sleep(600)
export(load(), Path(sys.argv[1]), Asked(), report())
"""


def test_one_that_was_killed_does_not_look_finished(filled: OldPlatform, tmp_path: Path) -> None:
    folder = tmp_path / "out"

    told = {"MLOPS_HOME": str(filled.settings.home), "MLOPS_DATABASE_URL": filled.tables.url}
    command = [sys.executable, "-c", STOPPED, str(folder)]
    with subprocess.Popen(command, env=os.environ | told, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
        finally:
            process.send_signal(signal.SIGKILL)
    assert (folder / "tables" / "predictions.parquet").exists()
    assert not (folder / MANIFEST).exists()
    with pytest.raises(BackupError, match="not empty"):
        export(filled.settings, folder, Asked(), report())


def test_mlflow_is_read_too(database: Database, postgres_url: str, mlflow_url: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(mlflow_url)
    name = f"export {time.time_ns()} {uuid4()}"
    run = client.create_run(client.create_experiment(name)).info.run_id
    client.log_metric(run, "mae", 1.5)
    client.log_param(run, "family", "forest")
    (tmp_path / "home").mkdir()
    settings = Settings(home=tmp_path / "home", database_url=postgres_url)  # type: ignore[arg-type]
    export(settings, tmp_path / "out", Asked(), report())
    runs, metrics = rows(tmp_path / "out", "mlflow_runs"), rows(tmp_path / "out", "mlflow_metrics")
    assert runs.loc[runs["run_uuid"] == run, "experiment"].tolist() == [name]
    assert metrics.loc[metrics["run_uuid"] == run, "value"].tolist() == [1.5]
    engine = create_engine(postgres_url)
    assert {"mlflow_runs", "mlflow_metrics", "mlflow_params"} <= compare(engine, tmp_path / "out")
    engine.dispose()


def test_each_of_our_tables_is_exported_or_says_why_not() -> None:
    named = {exported.table for exported in EXPORTED}
    ours = {str(table) for table in Base.metadata.tables}
    assert not ours - named - set(NOT_EXPORTED)
    assert not named & set(NOT_EXPORTED)


def test_so_is_each_table_that_is_there(platform_tables: PlatformTables) -> None:
    with platform_tables.database.engine.connect() as connection:
        found = connection.scalars(
            text(
                "SELECT 'mlops.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
                "WHERE n.nspname = 'mlops' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
            )
        ).all()
    without = set(found) - {exported.table for exported in EXPORTED} - set(NOT_EXPORTED)
    assert not without, f"export these, or say in mlops_assets/export/tables.py why not: {sorted(without)}"
