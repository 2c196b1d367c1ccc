"""Instances in memory for the tests of runs, with the coordinator and launcher that a test wants."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRun
from dagster._core.instance.types import InstanceType
from dagster._core.launcher.base import RunLauncher
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.run_coordinator.base import RunCoordinator
from dagster._core.storage.event_log import InMemoryEventLogStorage
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.runs import InMemoryRunStorage

MakeInstance = Callable[..., DagsterInstance]


@dg.op
def nothing() -> None:
    """An op of a job that is never executed here."""


@dg.job
def empty() -> None:
    """The job whose runs are submitted."""
    nothing()


@pytest.fixture
def make_instance(tmp_path: Path) -> Iterator[MakeInstance]:
    """Makes instances with the given coordinator, launcher and settings."""
    instances = []

    def make(coordinator: RunCoordinator, launcher: RunLauncher, settings: Any = None) -> DagsterInstance:
        instance = DagsterInstance(
            instance_type=InstanceType.EPHEMERAL,
            local_artifact_storage=LocalArtifactStorage(str(tmp_path)),
            run_storage=InMemoryRunStorage(),
            event_storage=InMemoryEventLogStorage(),
            compute_log_manager=NoOpComputeLogManager(),
            run_coordinator=coordinator,
            run_launcher=launcher,
            settings={"telemetry": {"enabled": False}, **(settings or {})},
        )
        instances.append(instance)
        return instance

    yield make
    # A launcher still looks at a run that it has ended; without its instance's tables that is an error.
    for thread in threading.enumerate():
        if thread.name.startswith("see run "):
            thread.join(10)
    for instance in instances:
        instance.dispose()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name, which pytest's own may not."""
    with tempfile.TemporaryDirectory(prefix="runs-") as name:
        yield Path(name)


def new_run(instance: DagsterInstance, **values: Any) -> DagsterRun:
    """A run of the empty job, created but not submitted."""
    location = GrpcServerCodeLocationOrigin(host="localhost", port=1, location_name="location")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "empty")
    return instance.create_run_for_job(empty, remote_job_origin=origin, **values)
