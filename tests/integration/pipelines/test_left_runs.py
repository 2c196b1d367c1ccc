"""Runs that a process has made and not submitted before it ended: another one takes them up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from mlops_assets.pipelines import launching
from mlops_assets.pipelines.launching import RunRequest
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.pipelines.stored_pipelines import created, spec


def test_a_run_that_was_made_and_not_submitted_is_submitted_by_the_next_process(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "dagster.yaml").write_text(
        "run_launcher: {module: tests.unit.runs.recording_launcher, class: RecordingLauncher}\n"
        "run_coordinator: {module: mlops_assets.runs.coordinator, class: ImmediateRunCoordinator}\n"
        "telemetry: {enabled: false}\n"
    )
    settings, pipeline = Settings(home=tmp_path), created(database)
    with DagsterInstance.from_config(str(tmp_path)) as instance, pytest.MonkeyPatch.context() as patch:
        patch.setattr(DagsterInstance, "submit_run", killed)
        with pytest.raises(KeyboardInterrupt):
            launching.launch(instance, settings, pipeline.id, 1, spec(), RunRequest(who="kim"))
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
