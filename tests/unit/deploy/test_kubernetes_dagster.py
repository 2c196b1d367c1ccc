"""The values for Dagster's own chart against Dagster itself and against the platform's settings and manifests."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

import pytest
import yaml
from dagster._cli.api import grpc_command
from dagster._config import process_config

from mlops_assets.settings import load
from tests.unit.deploy.kubernetes_objects import K8S, rendered, settings_of

FOLDER = K8S / "dagster"


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    given: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text())
    return given


@pytest.fixture(scope="module")
def products(values: dict[str, Any]) -> dict[str, Any]:
    [found] = values["dagster-user-deployments"]["deployments"]
    return dict(found)


def snake(name: str) -> str:
    """`envSecrets` → `env_secrets`, which is how the chart hands values on."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name.replace("K8s", "_k8s_").strip("_")).replace("__", "_").lower()


def test_the_launcher_takes_its_configuration(values: dict[str, Any]) -> None:
    from dagster_k8s import K8sRunLauncher

    given = {snake(name): value for name, value in values["runLauncher"]["config"]["k8sRunLauncher"].items()}
    given["run_k8s_config"] = {snake(name): value for name, value in given["run_k8s_config"].items()}
    told = {"dagster_home": "/opt", "instance_config_map": "instance", "service_account_name": "dagster"}
    result = process_config(K8sRunLauncher.config_type(), given | told)
    assert result.success, result.errors


def test_the_code_server_takes_its_arguments(products: dict[str, Any]) -> None:
    arguments = ["-h", "0.0.0.0", "-p", str(products["port"]), *products["dagsterApiGrpcArgs"]]
    # Parsed as the chart's container would, and not run.
    context = grpc_command.make_context("grpc", arguments)
    assert context.params["module_name"] == "mlops_assets.definitions"
    assert products["port"] == load().ports.code


def test_runs_find_platform_storage_and_tracking(products: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in products["env"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLOPS_DATABASE_URL", "postgresql+psycopg2://role:password@host/mlops")
    settings = load()
    assert settings.mlflow_server_url == products["env"]["MLFLOW_TRACKING_URI"]
    assert settings.storage == settings_of(rendered("overlays/example"))["MLOPS_STORAGE_URL"]
    mounts = {mount["mountPath"] for mount in products["volumeMounts"]}
    assert {str(settings.home), str(settings.secrets)} < mounts


def test_nothing_is_started_twice(values: dict[str, Any]) -> None:
    # Schedules and sensors are on by default wherever the products' code is loaded by a daemon.
    assert values["dagsterDaemon"] == {"enabled": False}
    # Without a daemon nobody would take runs from a queue.
    assert values["additionalInstanceConfig"]["run_coordinator"]["class"] == "DefaultRunCoordinator"
    # The platform's own run monitoring ends what its launcher doesn't know.
    assert values["postgresql"]["postgresqlDatabase"] != "mlops"


def test_image_and_chart_are_of_the_versions_here(products: dict[str, Any]) -> None:
    [image] = [
        each
        for each in yaml.safe_load((K8S / "overlays/example/kustomization.yaml").read_text())["images"]
        if each["name"] == "mlops-orchestrator"
    ]
    assert products["image"] | {"pullPolicy": ""} == {
        "repository": image["newName"],
        "tag": image["newTag"],
        "pullPolicy": "",
    }
    version = importlib.metadata.version("dagster")
    assert f"dagster/dagster --version {version} " in (FOLDER / "README.md").read_text()


def test_jobs_are_as_shut_in_as_the_platforms_pods(products: dict[str, Any]) -> None:
    assert products["podSecurityContext"]["runAsNonRoot"] is True
    assert products["securityContext"]["readOnlyRootFilesystem"] is True
    assert products["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_secrets_are_named_and_made_by_the_guide(values: dict[str, Any], products: dict[str, Any]) -> None:
    guide = (FOLDER / "README.md").read_text()
    asked = {values["global"]["postgresqlSecretName"], *(each["name"] for each in products["envSecrets"])}
    asked |= {volume["secret"]["secretName"] for volume in products["volumes"] if "secret" in volume}
    for name in asked:
        assert f"create secret generic {name} " in guide
    assert not [name for name in products["env"] if re.search("TOKEN|PASSWORD|DATABASE_URL|SECRET", name)]
