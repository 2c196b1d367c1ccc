"""The cluster's objects against the API's own schemas, each other, and the guides that tell of them."""

from __future__ import annotations

import re
import tomllib

import kubernetes_validate
import pytest

from tests.documents import Command
from tests.documents import named as named_commands
from tests.unit.deploy.kubernetes_objects import (
    K8S,
    PARTS,
    PROJECT,
    WORKLOADS,
    Object,
    containers,
    named,
    of_kind,
    pod_spec,
    rendered,
    selects,
    settings_of,
    with_every_component,
)
from tests.unit.documents.test_commands import refused

GUIDES = ("deploy/k8s/README.md", "deploy/k8s/dagster/README.md", "deploy/aws/README.md")
OVERLAYS = ("overlays/example", "overlays/aws")
# The versions that the manifests are for: the oldest that knows all of their fields, and the newest known here.
VERSIONS = ("1.30", "1.37")
# Kinds that a cluster doesn't know by itself: their schemas come with what is installed for them.
FOREIGN = {"HTTPRoute", "PodMonitor", "ExternalSecret", "SecretStore"}


@pytest.mark.parametrize("version", VERSIONS)
def test_base_and_components_are_what_the_api_takes(version: str) -> None:
    everything = with_every_component()
    assert {"HTTPRoute", "PodMonitor", "Ingress", "StatefulSet"} < {each["kind"] for each in everything}
    for each in everything:
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_overlays_are_what_the_api_takes(folder: str) -> None:
    for each in rendered(folder):
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, VERSIONS[-1], strict=True)


def test_a_field_that_the_api_does_not_know_is_found() -> None:
    wrong: Object = {**named(rendered("base"), "Service", "gateway"), "spec": {"port": 7000}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_commands_of_the_guides_are_ones_that_there_are() -> None:
    inside = [
        Command(guide, number, words)
        for guide in GUIDES
        for number, line in enumerate((PROJECT / guide).read_text().splitlines(), start=1)
        for words in re.findall(r" -- (mlops [^`\n]+)", line)
    ]
    commands = inside + [command for guide in GUIDES for command in named_commands(guide)]
    assert inside
    assert [f"{command}: {why}" for command in commands if (why := refused(command))] == []


def test_files_that_the_guides_name_are_there() -> None:
    for guide in GUIDES:
        folder, text = (PROJECT / guide).parent, (PROJECT / guide).read_text()
        linked = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
        listed = re.findall(r"^\| `([a-z_/]+\.py)` \|", text, re.MULTILINE)
        components = re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE) if guide.startswith("deploy/k8s/R") else []
        for name in (*linked, *listed, *(f"components/{name}" for name in components)):
            assert (folder / name).exists(), f"{guide}: {name}"
        assert set(components) in (set(), {path.name for path in (K8S / "components").iterdir()})


def test_a_service_leads_to_ports_of_the_pods_that_it_means() -> None:
    objects = rendered("base")
    for service in of_kind(objects, "Service"):
        [workload] = [
            each
            for each in of_kind(objects, *WORKLOADS)
            if selects({"matchLabels": service["spec"]["selector"]}, each["spec"]["template"]["metadata"]["labels"])
        ]
        [container] = pod_spec(workload)["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_hosts_are_names_of_services() -> None:
    given = settings_of(rendered("base"))
    names = {each["metadata"]["name"]: each["spec"] for each in of_kind(rendered("base"), "Service")}
    assert {given["MLOPS_ORCHESTRATOR_HOST"], given["MLOPS_GATEWAY_HOST"]} < set(names)
    # The gateway must see every replica, not one address that spreads connections.
    assert names[given["MLOPS_SERVING_HOSTS"]]["clusterIP"] == "None"


def test_autoscalers_and_budgets_are_of_what_there_is() -> None:
    objects = rendered("base")
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        workload = named(objects, target["kind"], target["name"])
        # An apply must not put back what the autoscaler decided.
        assert "replicas" not in workload["spec"]
        # It counts in shares of a request, so there has to be one.
        assert all("cpu" in container["resources"]["requests"] for container in pod_spec(workload)["containers"])
        [budget] = [
            each
            for each in of_kind(objects, "PodDisruptionBudget")
            if selects(each["spec"]["selector"], workload["spec"]["template"]["metadata"]["labels"])
        ]
        # One may go, and one stays.
        assert 1 <= budget["spec"]["maxUnavailable"] < scaler["spec"]["minReplicas"]


def test_there_is_never_a_second_orchestrator() -> None:
    assert named(rendered("base"), "StatefulSet", "orchestrator")["spec"]["replicas"] == 1
    assert not [
        scaler
        for scaler in of_kind(rendered("base"), "HorizontalPodAutoscaler")
        if scaler["spec"]["scaleTargetRef"]["name"] == "orchestrator"
    ]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_images_are_those_of_this_version(folder: str) -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    for part, container, _ in containers(rendered(folder)):
        name, _, tag = container["image"].rpartition(":")
        assert tag == version
        assert name.endswith("/mlops/orchestrator" if part == "orchestrator" else "/mlops/serving")


def test_routes_from_outside_lead_to_the_gateway_alone() -> None:
    everything = with_every_component()
    ports = named(everything, "Service", "gateway")["spec"]["ports"]
    by_name = {port["name"]: port["port"] for port in ports}
    [ingress] = of_kind(everything, "Ingress")
    backends = [path["backend"]["service"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
    reached = {(each["name"], by_name[each["port"]["name"]]) for each in backends}
    routes = {
        (backend["name"], backend["port"])
        for route in of_kind(everything, "HTTPRoute")
        for rule in route["spec"]["rules"]
        for backend in rule["backendRefs"]
    }
    assert reached == routes == {("gateway", by_name["users"]), ("gateway", by_name["operators"])}


def test_every_part_has_a_workload_and_an_account_of_its_own() -> None:
    workloads = of_kind(rendered("base"), *WORKLOADS)
    assert {each["metadata"]["name"] for each in workloads} == set(PARTS)
    accounts = {each["metadata"]["name"] for each in of_kind(rendered("base"), "ServiceAccount")}
    assert {pod_spec(each)["serviceAccountName"] for each in workloads} == accounts == set(PARTS)
