"""MLflow runs on a real server: one a Dagster run, ended as that run ended, whatever happened to its process."""

from __future__ import annotations

import contextlib
import logging
import secrets
from types import SimpleNamespace
from typing import Any

import dagster as dg
import httpx
import pytest
from dagster import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
from mlflow import MlflowClient

from mlops_assets.rollout.registry import Registry
from mlops_assets.training.tracking import Tracking
from mlops_assets.training.tracking_end import TrackingRuns, close_orphans, tracking_end_sensor
from tests.servers import free_port


@pytest.fixture
def client(mlflow_url: str) -> MlflowClient:
    return MlflowClient(mlflow_url)


@pytest.fixture
def experiment(client: MlflowClient) -> str:
    return str(client.create_experiment(f"experiment-{secrets.token_hex(4)}"))


def dagster_run(instance: dg.DagsterInstance, status: DagsterRunStatus) -> str:
    run = create_run_for_test(instance, job_name="loans_train", status=status)
    return str(run.run_id)


def opened(client: MlflowClient, experiment: str, dagster_run_id: str | None) -> str:
    """A RUNNING MLflow run as a killed process leaves it."""
    tags = {} if dagster_run_id is None else {"dagster_run_id": dagster_run_id}
    return str(client.create_run(experiment, tags=tags).info.run_id)


def status(client: MlflowClient, run_id: str) -> str:
    return str(client.get_run(run_id).info.status)


def test_what_is_over_is_closed_as_it_ended_and_all_else_left_alone(
    client: MlflowClient, experiment: str, mlflow_url: str
) -> None:
    expected = {
        DagsterRunStatus.FAILURE: "FAILED",
        DagsterRunStatus.CANCELED: "KILLED",
        DagsterRunStatus.SUCCESS: "FINISHED",
        DagsterRunStatus.STARTED: "RUNNING",
        DagsterRunStatus.CANCELING: "RUNNING",
    }
    with dg.DagsterInstance.ephemeral() as instance:
        runs = {word: opened(client, experiment, dagster_run(instance, word)) for word in expected}
        foreign, by_hand = opened(client, experiment, "0000-unknown"), opened(client, experiment, None)
        closed = close_orphans(TrackingRuns(mlflow_url), instance)
        assert {word: status(client, run) for word, run in runs.items()} == expected
        assert [status(client, run) for run in (foreign, by_hand)] == ["RUNNING", "RUNNING"]
        assert closed.items() >= {(runs[w], s) for w, s in expected.items() if s != "RUNNING"}
        assert client.get_run(runs[DagsterRunStatus.FAILURE]).info.end_time is not None
        assert not close_orphans(TrackingRuns(mlflow_url), instance).keys() & runs.values(), "closed once"


def test_more_runs_than_a_page_holds_are_all_closed(
    client: MlflowClient, experiment: str, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_assets.training.tracking_end.PAGE", 2)
    with dg.DagsterInstance.ephemeral() as instance:
        runs = [opened(client, experiment, dagster_run(instance, DagsterRunStatus.FAILURE)) for _ in range(5)]
        close_orphans(TrackingRuns(mlflow_url), instance)
        assert {status(client, run) for run in runs} == {"FAILED"}


def test_the_sensor_closes_and_says_so_and_survives_an_absent_server(
    client: MlflowClient, experiment: str, mlflow_url: str
) -> None:
    sensor = tracking_end_sensor()
    with dg.DagsterInstance.ephemeral() as instance:
        run = opened(client, experiment, dagster_run(instance, DagsterRunStatus.FAILURE))
        gone = dg.build_sensor_context(instance, resources={"tracking": Tracking(f"http://127.0.0.1:{free_port()}")})
        assert "doesn't answer" in str(sensor(gone).skip_message)  # type: ignore[union-attr]
        assert status(client, run) == "RUNNING"
        there = dg.build_sensor_context(instance, resources={"tracking": Tracking(mlflow_url)})
        assert run in str(sensor(there).skip_message)  # type: ignore[union-attr]
        assert status(client, run) == "FAILED"


def context(run_id: str) -> Any:
    """What `Tracking.run` reads of an asset's context."""
    run = SimpleNamespace(run_id=run_id, job_name="loans_train")
    return SimpleNamespace(run=run, log=logging.getLogger(__name__))


def test_stages_of_one_run_share_an_mlflow_run_which_ends_as_the_last_did(
    client: MlflowClient, mlflow_url: str
) -> None:
    tracking, run_id, name = Tracking(mlflow_url), secrets.token_hex(8), f"product-{secrets.token_hex(4)}"
    with tracking.run(name, context(run_id)) as first:
        own = first.active_run().info.run_id
        assert status(client, own) == "RUNNING"
    assert status(client, own) == "FINISHED"
    with contextlib.suppress(ZeroDivisionError), tracking.run(name, context(run_id)) as second:
        assert second.active_run().info.run_id == own
        raise ZeroDivisionError
    assert status(client, own) == "FAILED"
    with tracking.run(name, context(secrets.token_hex(8))) as other:
        assert other.active_run().info.run_id != own


def test_a_run_is_gone_on_with_under_its_own_dagster_run(client: MlflowClient, mlflow_url: str) -> None:
    tracking, name = Tracking(mlflow_url), f"product-{secrets.token_hex(4)}"
    with tracking.run(name, context("first")) as opened_run:
        own = opened_run.active_run().info.run_id
    with tracking.run(name, context("second"), {"dagster_run_id": "first"}, resume=own) as resumed:
        assert resumed.active_run().info.run_id == own
    assert client.get_run(own).data.tags["dagster_run_id"] == "first"


def test_a_model_is_registered_once_for_its_run(client: MlflowClient, mlflow_url: str) -> None:
    import mlflow
    import numpy as np
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", [value], [answer])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    tracking, name = Tracking(mlflow_url), f"product-{secrets.token_hex(4)}"
    with tracking.run(name, context("registering")) as run:
        run_id = run.active_run().info.run_id
        signature = mlflow.models.infer_signature(np.zeros((1, 1), dtype=np.float32))
        uri = mlflow.onnx.log_model(model, name="model", signature=signature, pip_requirements=["numpy"]).model_uri
    versions = [tracking.register(name, uri, run_id, {"release": "1"}) for _ in range(3)]
    assert versions == ["1", "1", "1"]
    registry = Registry(mlflow_url)
    registry.point(name, "1", None)
    assert client.get_model_version_by_alias(name, "champion").version == "1"
    registry.point(name, None, "1")
    assert client.get_model_version_by_alias(name, "challenger").version == "1"
    assert client.get_registered_model(name).aliases == {"challenger": "1"}
    registry.point("nothing-registered-yet", None, None)
    with pytest.raises(httpx.HTTPStatusError):
        registry.point("nothing-registered-yet", "1", None)
