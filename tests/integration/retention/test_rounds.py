"""A whole round as the asset and the command do it; MLflow's runs on a real server; what fails stops nothing else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import pytest

from mlops_assets.retention import mlflow_runs, rounds
from mlops_assets.retention.component import retention_definitions
from mlops_assets.retention.round import Round, Swept
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from tests.integration.retention.old_platform import PRODUCT, OldPlatform

DAY_MS = 86_400_000


@pytest.fixture
def tracked(old: OldPlatform, mlflow_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Round, Any]:
    """A round with MLflow's server and tables, and a client of it. Our own tables are elsewhere."""
    from mlflow import MlflowClient

    settings = Settings(home=old.settings.home, mlflow_port=urlsplit(mlflow_url).port, database_url=postgres_url)  # type: ignore[call-arg]
    return (
        Round.begun(settings, old.database, old.storage, old.instance, apply=True, seconds=120),
        MlflowClient(mlflow_url, mlflow_url),
    )


def test_old_runs_leave_mlflow_with_files_and_a_release_keeps_its_own(
    old: OldPlatform, tracked: tuple[Round, Any], tmp_path: Path
) -> None:
    work, client = tracked
    experiment = client.create_experiment(f"retention {time.time_ns()}")
    (tmp_path / "chart.png").write_bytes(b"12345")

    def run(days: float, **tags: str) -> str:
        made = client.create_run(experiment, start_time=int(time.time() * 1000 - days * DAY_MS), tags=tags)
        client.log_artifact(made.info.run_id, str(tmp_path / "chart.png"))
        client.log_metric(made.info.run_id, "mae", 1.5)
        client.set_terminated(made.info.run_id)
        return str(made.info.run_id)

    gone, released, registered, young = run(500, dagster_run_id="gone"), run(500), run(500), run(10)
    told_of = run(500, dagster_run_id=old.run("model"))
    model = client.create_logged_model(experiment, "forest", source_run_id=gone)
    name = f"homes {time.time_ns()}"
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{registered}/m", registered)
    old.data_version()
    ledger = Ledger(old.database)
    ledger.reserve(PRODUCT, "run", 1)
    ledger.publish(PRODUCT, 1, "here", {"runs": {"mlflow": released}}, actor="training")

    assert mlflow_runs.sweep(Round(**{**vars(work), "apply": False})) == Swept(removed=1, kept=3)
    assert client.get_run(gone).info.lifecycle_stage == "active"
    assert mlflow_runs.sweep(work) == Swept(removed=1, kept=3)
    assert client.get_run(gone).info.lifecycle_stage == "deleted", "it can be brought back for a while"
    assert client.list_artifacts(gone)
    assert mlflow_runs.sweep(work, grace_days=0) == Swept(kept=3)
    for there in (released, registered, young, told_of):
        assert client.get_run(there).info.lifecycle_stage == "active"
        assert client.list_artifacts(there)
    with pytest.raises(Exception, match="not found"):
        client.get_run(gone)
    with pytest.raises(Exception, match="not found"):
        client.get_logged_model(model.model_id)


def test_what_fails_is_told_and_stops_nothing_else(
    old: OldPlatform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old.file(PRODUCT, "datasets", ".0123.partial")

    def full(work: Round) -> Swept:
        raise OSError("the disk is read-only")

    monkeypatch.setitem(rounds.SWEEPS, "log_files", full)
    done = rounds.run(old.round(), ["log_files", "partial_files"])
    assert done == {"log_files": Swept(failed=1), "partial_files": Swept(removed=1, bytes=5)}
    assert "log_files: the disk is read-only" in caplog.text


def test_the_nightly_asset_tells_what_went(old: OldPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    # MLflow isn't there, which a round survives.
    old.run("model")
    old.run("model")
    old.file(PRODUCT, "datasets", ".0123.partial")
    definitions = retention_definitions()
    assert definitions.assets is not None
    done = dg.materialize(
        list(definitions.assets),  # type: ignore[arg-type]
        instance=old.instance,
        resources={"settings": old.settings, "database": old.database, "storage": old.storage},
    )
    (made,) = done.asset_materializations_for_node("platform__retention")
    told = {name: value.value for name, value in made.metadata.items()}
    assert told["removed"] == 2
    assert told["freed_bytes"] == 5
    assert told["failed"] == 1
    assert "| runs in Dagster | 400 days | 1 | 0 B | 1 | 0 |" in told["by_kind"]


def test_the_command_says_what_would_go_and_then_removes_it(
    old: OldPlatform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import typer

    from mlops_assets.cli import retention as command

    monkeypatch.setattr(command, "load", lambda: old.settings)
    monkeypatch.setattr(rounds, "SWEEPS", {n: s for n, s in rounds.SWEEPS.items() if n != "mlflow_runs"})
    monkeypatch.setattr(Settings, "database", property(lambda _: old.tables.url))
    monkeypatch.setattr(Settings, "environment", lambda _: {})
    monkeypatch.setattr(dg.DagsterInstance, "get", lambda: _Lent(old.instance))
    monkeypatch.setenv("COLUMNS", "200")
    old.settings.home.mkdir(parents=True, exist_ok=True)
    (old.settings.home / "dagster.yaml").touch()
    gone, newest = old.run("model"), old.run("model")
    with pytest.raises(typer.Exit) as done:
        command.retention(apply=False)
    assert done.value.exit_code == 0
    assert "would remove 1 with 0 B in files; 1 old ones are still needed" in capsys.readouterr().out
    assert old.runs() == {gone, newest}
    with pytest.raises(typer.Exit):
        command.retention(apply=True)
    assert "removed 1 with" in capsys.readouterr().out
    assert old.runs() == {newest}


class _Lent:
    """An instance that is somebody else's to close."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def __enter__(self) -> dg.DagsterInstance:
        return self._instance

    def __exit__(self, *_: object) -> None:
        pass


def test_what_capabilities_remove_is_counted_as_it_is_removed(old: OldPlatform) -> None:
    old.execute(
        "INSERT INTO mlops.stage_usage (run_id, step_key, attempt, kind, product, stage, job, started_at) "
        "SELECT n::text, 's', 1, 'product', 'homes', 's', 'j', now() - make_interval(days => 390 + n) "
        "FROM generate_series(1, 20) AS n"
    )
    names = ["prediction_log", "pipeline_files", "stage_usage"]
    would = rounds.run(old.round(apply=False), names)
    assert would["stage_usage"].removed == 11
    assert rounds.run(old.round(), names) == would
    assert old.rows("SELECT count(*) FROM mlops.stage_usage") == [(9,)]
