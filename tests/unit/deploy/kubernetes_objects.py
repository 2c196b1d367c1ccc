"""What `kubectl kustomize` makes of a folder, and how to find one's way in it.

Add here how an object is found or read. Keep out what is expected of it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[3]
K8S = PROJECT / "deploy/k8s"
KUBECTL = Path(sys.executable).parent / "kubectl"
COMPONENT = "app.kubernetes.io/component"
WORKLOADS = ("StatefulSet", "Deployment")
PARTS = ("orchestrator", "serving", "gateway")

Object = dict[str, Any]


@cache
def rendered(folder: str) -> tuple[Object, ...]:
    """Every object of a folder below deploy/k8s."""
    return kustomized(K8S / folder)


def kustomized(folder: Path) -> tuple[Object, ...]:
    """Every object that `kubectl apply -k` would send."""
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


@cache
def with_every_component() -> tuple[Object, ...]:
    """The base with all components, as a folder of one's own beside them would hold them."""
    text = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "mlops",
        "resources": ["../base"],
        "components": [f"../components/{path.name}" for path in sorted((K8S / "components").iterdir())],
    }
    with TemporaryDirectory() as copy:
        shutil.copytree(K8S, copy, dirs_exist_ok=True)
        (Path(copy) / "all").mkdir()
        (Path(copy) / "all/kustomization.yaml").write_text(yaml.safe_dump(text))
        return kustomized(Path(copy) / "all")


def of_kind(objects: tuple[Object, ...], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def named(objects: tuple[Object, ...], kind: str, name: str) -> Object:
    [found] = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
    return found


def pod_spec(workload: Object) -> Object:
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def containers(objects: tuple[Object, ...]) -> Iterator[tuple[str, Object, Object]]:
    """Every container with the name of its part and its pod."""
    for workload in of_kind(objects, *WORKLOADS):
        pod = pod_spec(workload)
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            yield workload["metadata"]["name"], container, pod


def settings_of(objects: tuple[Object, ...]) -> dict[str, str]:
    """The variables that all parts share."""
    [found] = [each for each in of_kind(objects, "ConfigMap") if each["metadata"]["name"].startswith("settings-")]
    data: dict[str, str] = found["data"]
    return data


@dataclass(frozen=True)
class Peer:
    """A pod, or an address outside, that policies are asked about."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    namespace: dict[str, str] | None = None
    """Labels of its namespace; None for the platform's own."""


def selects(selector: Object | None, labels: dict[str, str]) -> bool:
    """Whether a label selector means something with these labels; an empty one means everything."""
    selector = selector or {}
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    for rule in selector.get("matchExpressions", ()):
        assert rule["operator"] == "In", rule
        exact = exact and labels.get(rule["key"]) in rule["values"]
    return exact


def may_talk(objects: tuple[Object, ...], source: Peer, target: Peer, port: int) -> bool:
    """Whether the policies let `source` open a connection to a port of `target`, judged as a cluster does."""
    policies = of_kind(objects, "NetworkPolicy")
    leaves = source.namespace is not None or _side(policies, "Egress", "to", source, target, port)
    return leaves and (target.namespace is not None or _side(policies, "Ingress", "from", target, source, port))


def _side(policies: list[Object], kind: str, word: str, own: Peer, other: Peer, port: int) -> bool:
    """One end's view: what no policy chooses may do everything; what is chosen may do what any of them allows."""
    chosen = [
        policy["spec"]
        for policy in policies
        if kind in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], own.labels)
    ]
    rules = [rule for spec in chosen for rule in spec.get(kind.lower(), ())]
    return not chosen or any(
        any(_means(peer, other) for peer in rule[word]) and any(each["port"] == port for each in rule["ports"])
        for rule in rules
    )


def _means(peer: Object, other: Peer) -> bool:
    if "ipBlock" in peer:
        return False
    if "namespaceSelector" in peer:
        inside = other.namespace is not None and selects(peer["namespaceSelector"], other.namespace)
    else:
        inside = other.namespace is None
    return inside and selects(peer.get("podSelector"), other.labels)
