"""A release whose process is killed at any step is finished once, under one number, by whoever comes next."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.rollout.ledger import Ledger, LedgerError
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.training import releasing
from mlops_assets.training.released import RELEASE_FILE, read_release
from mlops_assets.training.tracking import Tracking
from tests.integration.graph_faults.loans_run import KilledError, loans_job, mlflow_runs, registered


def _after(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """The process ends right after `owner.name` did its work."""
    real = getattr(owner, name)

    def last(*args: Any, **kwargs: Any) -> Any:
        real(*args, **kwargs)
        raise KilledError(name)

    monkeypatch.setattr(owner, name, last)


def _before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise KilledError(name)

    monkeypatch.setattr(owner, name, never)


def _while_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends between the model's file and the manifest."""
    real = Storage.write_file

    def write(self: Storage, name: str, local: Path) -> None:
        if name == RELEASE_FILE:
            raise KilledError(name)
        real(self, name, local)

    monkeypatch.setattr(Storage, "write_file", write)


BOUNDARIES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "after reserve": lambda m: _after(m, Ledger, "reserve"),
    "while publishing files": _while_publishing,
    "after publishing files": lambda m: _after(m, releasing, "publish_folder"),
    "after the Bento": lambda m: _after(m, releasing, "build_bento"),
    "after registering": lambda m: _after(m, Tracking, "register"),
    "before the ledger": lambda m: _before(m, Ledger, "publish"),
}


def _execute(instance: dg.DagsterInstance, parent: str | None, whole: bool = False) -> tuple[str, bool]:
    """The job once: anew, or as the re-execution of `parent`, from its failure or whole. Run id and success."""
    options = None
    if parent is not None and whole:
        options = dg.ReexecutionOptions(parent_run_id=parent)
    elif parent is not None:
        options = dg.ReexecutionOptions.from_failure(parent, instance)
    before = {r.run_id for r in instance.get_runs()}
    success = False
    with contextlib.suppress(KilledError):
        job = dg.reconstructable(loans_job)
        with dg.execute_job(job, instance, reexecution_options=options, raise_on_error=False) as result:
            success = result.success
    run_id = next(r.run_id for r in instance.get_runs() if r.run_id not in before)
    return run_id, success


def _as_monitoring_does(instance: dg.DagsterInstance, run_id: str) -> None:
    """Mark a run whose process is gone as failed."""
    run = instance.get_run_by_id(run_id)
    assert run is not None
    if not run.is_finished:
        instance.report_run_failed(run)


@pytest.mark.timeout(400)
def test_a_release_killed_at_every_step_is_finished_once_under_one_number(
    place: str, database: Database, storage: Storage, mlflow_url: str, tmp_path: Path
) -> None:
    ledger, parent = Ledger(database), None
    first = ""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        for boundary, fault in BOUNDARIES.items():
            with pytest.MonkeyPatch.context() as patched:
                fault(patched)
                parent, success = _execute(instance, parent)
            first = first or parent
            assert not success, boundary
            _as_monitoring_does(instance, parent)
            assert ledger.state("loans").seq == 0, boundary
            with pytest.raises(LedgerError):
                ledger.release("loans", 1)

        last, success = _execute(instance, parent)
        assert success
        assert ledger.state("loans").production == 1
        assert [e.event for e in ledger.history("loans")] == ["first_release"]
        assert not storage.at("references", "loans", "model").exists(f"{last}.json"), "the model was trained again"

        release = ledger.release("loans", 1)
        record = read_release(Path(release.uri or ""))
        measured = storage.at("references", "loans", "metrics").read_json(f"{first}.json")
        assert release.run_id == first
        assert record["runs"]["mlflow"] == measured["model"]["mlflow_run_id"]
        assert record["metrics"] == pytest.approx(measured["metrics"])
        assert len(registered(mlflow_url, record["runs"]["mlflow"])) == 1
        assert storage.at("loans", "releases").names() == ("1",)

        # Re-executed whole, the same root run makes another model, which is another release.
        again, success = _execute(instance, last, whole=True)
        assert success
        state = ledger.state("loans")
        assert (state.production, state.candidate) == (1, 2)
        assert ledger.release("loans", 2).run_id == again


def test_a_release_tried_again_by_a_new_run_keeps_its_number(
    stages: Callable[..., dg.ExecuteInProcessResult], database: Database, mlflow_url: str
) -> None:
    assert stages("dataset", "features", "model", "metrics").success
    with pytest.MonkeyPatch.context() as patched:
        _after(patched, releasing, "publish_folder")
        with contextlib.suppress(KilledError):
            assert not stages("release").success
    ledger = Ledger(database)
    assert ledger.state("loans").seq == 0
    for _ in range(2):
        assert stages("release").success
        assert (ledger.state("loans").seq, ledger.state("loans").production) == (1, 1)
    record = ledger.release("loans", 1).manifest or {}
    assert registered(mlflow_url, record["runs"]["mlflow"]) == [record["mlflow_version"]]


def test_metrics_measured_again_stay_in_the_model_s_tracked_run(
    stages: Callable[..., dg.ExecuteInProcessResult], mlflow_url: str
) -> None:
    trained = stages("dataset", "features", "model")
    again = stages("metrics")
    assert trained.success
    assert again.success
    (run,) = mlflow_runs(mlflow_url, [trained.run_id, again.run_id])
    assert run.data.tags["dagster_run_id"] == trained.run_id
    assert run.data.tags["gates"] == "passed"
    assert run.info.status == "FINISHED"
