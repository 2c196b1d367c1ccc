"""What the platform does for declared pipelines by itself: old files go, runs that were left are taken up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRunStatus
from sqlalchemy import update

from mlops_assets.definitions import defs
from mlops_assets.pipelines import launching, store
from mlops_assets.pipelines.dagster_retention import retention_definitions
from mlops_assets.pipelines.launching import RunRequest
from mlops_assets.pipelines.validate import checked
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.storage.pipeline_tables import Artifact, Pipeline

SPEC = checked({"name": "kept", "stages": [{"name": "work", "stage_type": "CLEANUP", "source": "def run(): return 1"}]})


@pytest.fixture
def pipeline(database: Database) -> Pipeline:
    with database.session() as session, session.begin():
        return store.create(session, SPEC, "kim", deploy=True)


def left(database: Database, storage: Storage, pipeline: Pipeline, age: timedelta) -> Path:
    """The file of a result that was left so long ago."""
    made, run_id = uuid4(), str(uuid4())
    folder = storage.at("pipelines", str(pipeline.id), run_id, "work")
    folder.write_bytes(f"{made}.json", b"1")
    row = Artifact(
        **{"id": made, "pipeline_id": pipeline.id, "pipeline_version": 1, "run_id": run_id, "stage": "work"},
        **{"attempt": 1, "is_result": True, "name": "work", "type": "OTHER", "storage": "LOCAL", "format": "json"},
        **{"size": 1, "sha256": "0" * 64, "type_name": "int", "uri": folder.locate(f"{made}.json"), "preview": {}},
        details={},
    )
    with database.session() as session, session.begin():
        session.add(row)
        session.flush()
        session.execute(update(Artifact).where(Artifact.id == made).values(created_at=datetime.now(UTC) - age))
    return Path(folder.locate(f"{made}.json"))


def test_the_nightly_asset_removes_what_is_old_and_says_how_much(
    database: Database, pipeline: Pipeline, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, artifact_days=30)
    storage = Storage(settings.storage)
    old = left(database, storage, pipeline, timedelta(days=31))
    new = left(database, storage, pipeline, timedelta(days=29))
    made = retention_definitions()
    result = dg.materialize(
        list(made.assets or ()), resources={"settings": settings, "database": database, "storage": storage}
    )
    assert (old.exists(), new.exists()) == (False, True)
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["artifacts"].value == 1


def test_the_platform_removes_old_files_every_night() -> None:
    schedule = defs().get_repository_def().get_schedule_def("platform_pipeline_files_schedule")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_a_run_that_was_made_and_not_submitted_is_submitted_by_the_next_process(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    (tmp_path / "dagster.yaml").write_text(
        "run_launcher: {module: tests.unit.runs.recording_launcher, class: RecordingLauncher}\n"
        "run_coordinator: {module: mlops_assets.runs.coordinator, class: ImmediateRunCoordinator}\n"
        "telemetry: {enabled: false}\n"
    )
    settings = Settings(home=tmp_path)
    with DagsterInstance.from_config(str(tmp_path)) as instance, pytest.MonkeyPatch.context() as patch:
        patch.setattr(DagsterInstance, "submit_run", killed)
        with pytest.raises(KeyboardInterrupt):
            launching.launch(instance, settings, pipeline.id, 1, SPEC, RunRequest(who="kim"))
        patch.undo()
        (run,) = instance.get_runs()
        assert run.status == DagsterRunStatus.NOT_STARTED
        assert launching.submit_left(instance, run_before(instance, run.run_id)) == []
        assert launching.submit_left(instance, datetime.now(UTC) + timedelta(seconds=1)) == [run.run_id]
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert found.status == DagsterRunStatus.STARTING


def killed(*_: object, **__: object) -> None:
    """What a process does that ends at this moment."""
    raise KeyboardInterrupt


def run_before(instance: DagsterInstance, run_id: str) -> datetime:
    """A moment before the run was made."""
    record = instance.get_run_record_by_id(run_id)
    assert record is not None
    return record.create_timestamp - timedelta(seconds=1)
