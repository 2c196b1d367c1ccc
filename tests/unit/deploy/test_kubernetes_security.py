"""What pods may do, whom they may reach, and that no secret is written down."""

from __future__ import annotations

from itertools import product

import pytest

from mlops_assets.settings import Settings
from mlops_assets.training.catalogue import declared_products
from tests.unit.deploy.kubernetes_objects import (
    COMPONENT,
    K8S,
    PARTS,
    WORKLOADS,
    Peer,
    containers,
    may_talk,
    named,
    of_kind,
    pod_spec,
    rendered,
    with_every_component,
)

POD = {part: Peer(part, {COMPONENT: part}) for part in PARTS}
USERS = Peer("ingress", namespace={"mlops/ingress": "allowed"})
MONITORING = Peer("monitoring", namespace={"mlops/monitoring": "allowed"})
STRANGER = Peer("another team", namespace={"kubernetes.io/metadata.name": "default"})


def test_only_the_flows_that_the_parts_need_are_allowed() -> None:
    ports = Settings().ports
    services = {
        port(each.serving.slot)
        for each in declared_products()
        if each.serving is not None
        for port in (ports.production, ports.candidate)
    }
    inner = {ports.api_server, ports.dagster, ports.mlflow}
    front = {ports.gateway, ports.api}
    expected = {
        ("gateway", "orchestrator"): inner,
        ("gateway", "serving"): services,
        ("orchestrator", "serving"): services,
        ("orchestrator", "gateway"): front | {ports.gateway_metrics},
        ("ingress", "gateway"): front,
        ("monitoring", "orchestrator"): {ports.metrics},
        ("monitoring", "serving"): services,
        ("monitoring", "gateway"): {ports.gateway_metrics},
    }
    every_port = inner | front | services | {ports.gateway_metrics, ports.metrics, ports.code, 5432, 22, 443}
    peers = (*POD.values(), USERS, MONITORING, STRANGER)
    for source, target in product(peers, POD.values()):
        allowed = {port for port in every_port if may_talk(rendered("base"), source, target, port)}
        assert allowed == expected.get((source.name, target.name), set()), f"{source.name} → {target.name}"


def test_jobs_of_another_dagster_reach_mlflow_and_nothing_else() -> None:
    everything = with_every_component()
    runs = Peer("runs", namespace={"mlops/runs": "allowed"})
    ports = Settings().ports
    for port in (ports.mlflow, ports.api_server, ports.dagster, ports.metrics):
        assert may_talk(everything, runs, POD["orchestrator"], port) == (port == ports.mlflow)
    assert not may_talk(rendered("base"), runs, POD["orchestrator"], ports.mlflow)


@pytest.mark.parametrize("folder", ["base", "overlays/example", "overlays/aws"])
def test_addresses_outside_are_reached_at_known_ports_only(folder: str) -> None:
    outside = {
        (policy["metadata"]["name"], peer["ipBlock"]["cidr"], port["port"])
        for policy in of_kind(rendered(folder), "NetworkPolicy")
        for rule in policy["spec"].get("egress", ())
        for peer in rule["to"]
        if "ipBlock" in peer
        for port in rule["ports"]
    }
    assert {port for name, _, port in outside if name == "database"} == {5432}
    # All of the world for encrypted storage alone; whoever asks a node's metadata address could become the node.
    assert {(name, port) for name, cidr, port in outside if cidr == "0.0.0.0/0"} == {("storage", 443)}
    storage = named(rendered(folder), "NetworkPolicy", "storage")["spec"]["egress"][0]["to"][0]["ipBlock"]
    assert "169.254.0.0/16" in storage["except"]


def test_pods_keep_to_the_restricted_standard() -> None:
    # Of Kubernetes' pod security standards; the namespace has the API server refuse anything else.
    labels = named(rendered("base"), "Namespace", "mlops")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for part, container, pod in containers(with_every_component()):
        of_pod, own = pod["securityContext"], container["securityContext"]
        assert of_pod["runAsNonRoot"] is True, part
        assert of_pod["runAsUser"] > 0
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own["readOnlyRootFilesystem"] is True
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume]


def test_what_programs_write_to_is_a_volume() -> None:
    # The root file system is read-only.
    for part, container, _ in containers(rendered("base")):
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {"/var/lib/mlops", "/tmp"}, part


def test_pods_hold_no_token_of_the_api_server_and_read_no_setting_from_other_services() -> None:
    for workload in of_kind(rendered("base"), *WORKLOADS):
        assert pod_spec(workload)["automountServiceAccountToken"] is False
        # A service called mlops-gateway would be the variable MLOPS_GATEWAY_PORT=tcp://….
        assert pod_spec(workload)["enableServiceLinks"] is False


def test_what_keeps_routes_may_change_routes_and_nothing_else() -> None:
    everything = with_every_component()
    holders = [
        pod_spec(each)["serviceAccountName"]
        for each in of_kind(everything, *WORKLOADS)
        if pod_spec(each)["automountServiceAccountToken"]
    ]
    assert holders == ["routes"]
    assert not of_kind(everything, "ClusterRole", "ClusterRoleBinding")
    [role] = of_kind(everything, "Role")
    assert role["rules"] == [
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": ["create", "patch"]}
    ]
    [binding] = of_kind(everything, "RoleBinding")
    assert [subject["name"] for subject in binding["subjects"]] == holders


def test_the_clusters_own_gateway_reaches_services_and_nothing_else() -> None:
    proxies = Peer("gateways", namespace={"mlops/gateway": "allowed"})
    ports = Settings().ports
    everything = with_every_component()
    assert may_talk(everything, proxies, POD["serving"], ports.candidate(0))
    assert not may_talk(everything, proxies, POD["orchestrator"], ports.api_server)
    assert not may_talk(rendered("base"), proxies, POD["serving"], ports.candidate(0))


def test_memory_is_bounded_and_everything_is_requested() -> None:
    for part, container, _ in containers(with_every_component()):
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), part
        assert "memory" in container["resources"]["limits"], part


@pytest.mark.parametrize("folder", ["base", "overlays/example", "overlays/aws"])
def test_secrets_are_named_and_never_written_down(folder: str) -> None:
    assert not of_kind(rendered(folder), "Secret")
    for _, container, _ in containers(rendered(folder)):
        for variable in container.get("env", ()):
            secret = any(word in variable["name"] for word in ("URL", "TOKEN", "KEY", "PASSWORD", "SECRET"))
            assert ("secretKeyRef" in variable.get("valueFrom", {})) == secret, variable["name"]


def test_serving_and_gateway_have_no_rights_of_the_orchestrator() -> None:
    given = {
        (part, container["name"]): {
            variable["valueFrom"]["secretKeyRef"]["name"] for variable in container["env"] if "valueFrom" in variable
        }
        for part, container, _ in containers(rendered("base"))
    }
    # Whoever answers people's requests can't change what the orchestrator decided.
    assert given == {
        ("orchestrator", "migrate"): {"database-orchestrator"},
        ("orchestrator", "orchestrator"): {"database-orchestrator"},
        ("serving", "serving"): {"database-serving"},
        ("gateway", "gateway"): {"database-serving"},
    }


def test_the_guide_makes_every_secret_and_file_that_pods_ask_for() -> None:
    guide = (K8S / "README.md").read_text()
    asked: set[str] = set()
    for _, container, pod in containers(rendered("base")):
        asked |= {v["valueFrom"]["secretKeyRef"]["name"] for v in container["env"] if "valueFrom" in v}
        asked |= {each["secretRef"]["name"] for each in container["envFrom"] if "secretRef" in each}
        for volume in pod["volumes"]:
            sources = [source["secret"]["name"] for source in volume.get("projected", {}).get("sources", ())]
            asked |= {*sources, volume.get("secret", {}).get("secretName"), volume.get("configMap", {}).get("name")}
    assert {name for name in asked - {None} if f" {name} " not in guide.replace("`", " ")} == set()
