"""MLflow's real server behind the guard, asked by its own client, by ours, and by a page of another name."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import httpx
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlops_assets.installation.doctor import _mlflow
from mlops_assets.rollout.registry import Registry
from mlops_assets.settings import Settings
from mlops_assets.training.tracking import Tracking
from mlops_assets.training.tracking_end import TrackingRuns, tracking_end_sensor
from tests.integration.inside.conftest import refused

TOKEN = "MLFLOW_TRACKING_TOKEN"
SEARCH = "/ajax-api/2.0/mlflow/experiments/search"


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What every program of the installation is given."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("environment")
def test_its_own_client_gets_in_with_what_programs_are_given(mlflow: str, tmp_path: Path) -> None:
    client = MlflowClient(mlflow)
    run = client.create_run(client.create_experiment("inside"))
    client.log_metric(run.info.run_id, "mae", 1.5)
    (tmp_path / "chart.html").write_text("<p>chart</p>")
    client.log_artifact(run.info.run_id, str(tmp_path / "chart.html"))
    (tmp_path / "got").mkdir()
    got = client.download_artifacts(run.info.run_id, "chart.html", str(tmp_path / "got"))
    assert Path(got).read_text() == "<p>chart</p>"
    assert client.get_run(run.info.run_id).data.metrics == {"mae": 1.5}


@pytest.mark.parametrize("token", [None, "wrong"])
def test_its_own_client_is_told_of_the_door(
    mlflow: str, settings: Settings, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    if token:
        monkeypatch.setenv(TOKEN, token)
    with pytest.raises(MlflowException, match="401") as told:
        MlflowClient(mlflow).search_experiments()
    assert settings.mlflow_url in str(told.value)


def test_nobody_gets_in_without_the_token(mlflow: str, settings: Settings) -> None:
    for path in ("/", "/health", "/version", "/metrics", "/get-artifact", "/static-files/index.html", "/livez/x"):
        refused(httpx.get(f"{mlflow}{path}"), settings.mlflow_url)
    for path in (
        SEARCH,
        "/api/2.0/mlflow/experiments/create",
        "/graphql",
        "/v1/traces",
        "/gateway/x/mlflow/invocations",
    ):
        refused(httpx.post(f"{mlflow}{path}", json={"name": "x"}), settings.mlflow_url)
    refused(httpx.put(f"{mlflow}/api/2.0/mlflow-artifacts/artifacts/x", content=b"x"), settings.mlflow_url)
    assert httpx.get(f"{mlflow}/livez").status_code == 200


def test_a_page_of_any_name_that_the_door_let_in_is_answered(mlflow: str, settings: Settings) -> None:
    page = {"host": "ml.example.org", "origin": "https://ml.example.org", "sec-fetch-site": "same-origin"}
    answer = httpx.post(f"{mlflow}{SEARCH}", json={"max_results": 1}, headers=settings.inner_headers("viewer") | page)
    assert answer.status_code == 200, answer.text
    assert "access-control-allow-origin" not in answer.headers
    shown = httpx.get(f"{mlflow}/", headers=settings.inner_headers() | page)
    assert "<title>MLflow</title>" in shown.text


@pytest.mark.parametrize("path", ["config", "providers", "message", "skills/install"])
def test_the_assistant_that_runs_programs_is_off_for_everybody(mlflow: str, settings: Settings, path: str) -> None:
    operator = settings.inner_headers("operator")
    for ask in (httpx.get, httpx.post):
        answer = ask(f"{mlflow}/ajax-api/3.0/mlflow/assistant/{path}", headers=operator)
        assert (answer.status_code, answer.text) == (404, "MLflow's assistant is switched off.\n")


def test_our_own_clients_bring_the_token(mlflow: str, settings: Settings) -> None:
    ours = settings.inner_headers()
    Registry(mlflow, headers=ours).point("never_registered", None, None)
    assert TrackingRuns(mlflow, headers=ours).running() == {}
    for stranger in (Registry(mlflow).point, lambda *_: TrackingRuns(mlflow).running()):
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            stranger("never_registered", "1", None)
    tracking = Tracking(mlflow, settings.mlflow_url, ours)
    assert ours["Authorization"] not in repr(tracking)
    assert tracking.run_page("1", "r") == f"{settings.mlflow_url}/#/experiments/1/runs/r"
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance, resources={"tracking": tracking})
        assert "no MLflow run is open" in str(tracking_end_sensor()(context).skip_message)  # type: ignore[union-attr]
    assert _mlflow(settings).good
