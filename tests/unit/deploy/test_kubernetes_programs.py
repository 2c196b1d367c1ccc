"""What pods run, ask, are given and keep, against the platform's own programs and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from mlops_assets.cli import app
from mlops_assets.installation.programs import platform_programs, product_programs, rollout_programs
from mlops_assets.settings import Settings, load
from mlops_assets.training.catalogue import declared_products
from tests.unit.deploy.kubernetes_objects import (
    COMPONENT,
    PARTS,
    PROJECT,
    WORKLOADS,
    containers,
    named,
    of_kind,
    pod_spec,
    rendered,
    settings_of,
    with_every_component,
)

OVERLAYS = ("overlays/example", "overlays/aws")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As a pod reads them."""
    for name, value in settings_of(rendered("overlays/example")).items():
        if name.startswith("MLOPS_"):
            monkeypatch.setenv(name, value)
    return load()


@pytest.mark.parametrize("folder", ["base", *OVERLAYS])
def test_every_variable_is_a_setting(folder: str) -> None:
    known = {f"MLOPS_{name.upper()}" for name in Settings.model_fields}
    given = set(settings_of(rendered(folder)))
    for _, container, _ in containers(rendered(folder)):
        given |= {variable["name"] for variable in container.get("env", ())}
    assert {name for name in given if name.startswith("MLOPS_")} - known == set()


@pytest.mark.parametrize("folder", OVERLAYS)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_takes_the_settings_that_it_is_given(folder: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings_of(rendered(folder)).items():
        monkeypatch.setenv(name, value)
    for own, container, _ in containers(rendered(folder)):
        if own == part:
            for variable in container["env"]:
                monkeypatch.setenv(
                    variable["name"], variable.get("value", "postgresql+psycopg2://role:password@host/mlops")
                )
    loaded = load()
    assert loaded.runs(part)
    assert not loaded.alone


@pytest.mark.parametrize("folder", OVERLAYS)
def test_an_overlay_says_where_files_are_and_how_people_come(folder: str) -> None:
    given = settings_of(rendered(folder))
    assert given["MLOPS_STORAGE_URL"].startswith("s3://")
    assert given["MLOPS_PUBLIC_API_URL"].startswith("https://")


def test_every_command_is_one_that_there_is() -> None:
    asked = [
        words
        for _, container, _ in containers(with_every_component())
        for words in (container["args"], container.get("startupProbe", {}).get("exec", {}).get("command"))
        if words is not None
    ]
    assert len(asked) > len(PARTS)
    for program, *words in asked:
        assert program == "mlops"
        part: Any = get_command(app)
        while hasattr(part, "commands"):
            name, *words = words
            part = part.commands[name]
        # As at a start, but not run; a wrong option or value raises.
        part.make_context(name, list(words))


def test_each_workload_runs_the_part_that_it_is_named_after() -> None:
    for part, container, _ in containers(rendered("base")):
        assert {"name": "MLOPS_PARTS", "value": part} in container["env"]


def test_ports_are_those_of_the_programs(settings: Settings) -> None:
    ports = settings.ports
    slots = [product.serving.slot for product in declared_products() if product.serving is not None]
    expected = {
        "orchestrator": {ports.api_server, ports.dagster, ports.mlflow, ports.metrics},
        "serving": {port(slot) for slot in slots for port in (ports.production, ports.candidate)},
        "gateway": {ports.gateway, ports.api, ports.gateway_metrics},
    }
    services = {"orchestrator": "orchestrator", "serving": "serving-headless", "gateway": "gateway"}
    for part, container, _ in containers(rendered("base")):
        if "ports" in container:
            assert {port["containerPort"] for port in container["ports"]} == expected[part]
    for part, name in services.items():
        service = named(rendered("base"), "Service", name)
        assert {port["port"] for port in service["spec"]["ports"]} == expected[part]


def test_a_port_is_named_after_its_variant_and_slot(settings: Settings) -> None:
    [serving] = pod_spec(named(rendered("base"), "StatefulSet", "serving"))["containers"]
    for port in serving["ports"]:
        variant, slot = port["name"].split("-")
        assert port["containerPort"] == getattr(settings.ports, variant)(int(slot))


def test_probes_ask_what_programs_answer(settings: Settings) -> None:
    [product, *_] = (each for each in declared_products() if each.serving is not None)
    programs = [
        *platform_programs(settings),
        *rollout_programs(settings, "digest"),
        *product_programs(settings, product),
    ]
    answered = {(program.port, program.ready_path) for program in programs}
    for part, container, _ in containers(rendered("base")):
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        for probe in ("readinessProbe", "livenessProbe"):
            asked = container.get(probe, {})
            if "tcpSocket" in asked:
                assert asked["tcpSocket"]["port"] in ports
            elif asked and part != "gateway" and asked["httpGet"]["path"] != "/readyz":
                assert (ports[asked["httpGet"]["port"]], asked["httpGet"]["path"]) in answered


def test_only_what_needs_no_database_ends_a_pod() -> None:
    # Its answer is 503 while the database is away, and a restart would bring nothing back.
    [orchestrator] = pod_spec(named(rendered("base"), "StatefulSet", "orchestrator"))["containers"]
    assert "httpGet" not in orchestrator["livenessProbe"]
    for part, container, _ in containers(rendered("base")):
        if part == "serving":
            assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_a_pod_has_the_time_that_its_programs_take_to_stop(settings: Settings) -> None:
    longest = max(program.stop_seconds for program in platform_programs(settings))
    for workload in of_kind(rendered("base"), *WORKLOADS):
        pod = pod_spec(workload)
        [container] = pod["containers"]
        waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["terminationGracePeriodSeconds"] - waits >= max(60, longest)


def test_journal_and_models_outlive_the_pod(settings: Settings) -> None:
    serving = named(rendered("base"), "StatefulSet", "serving")
    [container] = pod_spec(serving)["containers"]
    mounts = {mount["name"]: Path(mount["mountPath"]) for mount in container["volumeMounts"]}
    claims = {claim["metadata"]["name"] for claim in serving["spec"]["volumeClaimTemplates"]}
    assert any(settings.journal.is_relative_to(mounts[name]) for name in claims)
    assert set(serving["spec"]["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}


def test_secrets_are_mounted_where_programs_look_for_them(settings: Settings) -> None:
    for part, container, pod in containers(rendered("base")):
        [mount] = [mount for mount in container["volumeMounts"] if Path(mount["mountPath"]) == settings.secrets]
        assert mount["readOnly"], part
        [volume] = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
        sources = volume["projected"]["sources"] if "projected" in volume else [{"secret": volume["secret"]}]
        assert sources[0]["secret"].get("name", sources[0]["secret"].get("secretName")) == "shared-tokens"


def test_monitors_scrape_ports_of_the_pods_under_the_names_that_rules_know() -> None:
    everything = with_every_component()
    known = yaml.safe_load((PROJECT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    programs = {
        f"{product.name}_{variant}"
        for product in declared_products()
        if product.serving is not None
        for variant in ("production", "candidate")
    }
    told, scraped = set(), {}
    for monitor in of_kind(everything, "PodMonitor"):
        part = monitor["spec"]["selector"]["matchLabels"][COMPONENT]
        ports = {
            port["name"]: port["containerPort"]
            for name, container, _ in containers(everything)
            if name == part
            for port in container.get("ports", ())
        }
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            labels = {rule["targetLabel"]: rule["replacement"] for rule in endpoint["relabelings"]}
            assert endpoint["port"] in ports
            told.add(labels["job"])
            if part == "serving":
                assert labels["program"] == f"{labels['product']}_{labels['variant']}"
                scraped[labels["program"]] = ports[endpoint["port"]]
    assert told == {each["job_name"] for each in known} - {"prometheus", "alertmanager"}
    ports_of = Settings().ports
    for product in declared_products():
        if product.serving is not None:
            assert scraped[f"{product.name}_production"] == ports_of.production(product.serving.slot)
            assert scraped[f"{product.name}_candidate"] == ports_of.candidate(product.serving.slot)
    assert set(scraped) == programs
