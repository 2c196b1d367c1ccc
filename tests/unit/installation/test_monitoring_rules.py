"""The rules as they are written: they read what is really exported, and tell people enough to act on."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from inference.metrics import BUCKETS, Metrics
from mlops_assets.installation.monitoring import RULES
from mlops_assets.installation.monitoring_files import ALERTMANAGER
from mlops_assets.observability.exporter.metrics import METRICS, Kind
from mlops_assets.training.objectives import LATENCIES_MS

TESTS = RULES.parent / "tests"
RUNBOOK = (RULES.parents[1] / "ALERTS.md").read_text().splitlines()
# What Prometheus, Alertmanager and the gateway export and rules read; the gateway's names are those of the real Envoy,
# which an integration test asks.
OTHERS = {
    *("up", "scrape_duration_seconds", "prometheus_rule_evaluation_failures_total"),
    *("prometheus_notifications_dropped_total", "alertmanager_notifications_failed_total"),
    *("envoy_cluster_upstream_rq_xx", "envoy_cluster_upstream_rq_time_bucket", "envoy_cluster_membership_healthy"),
    *("envoy_cluster_upstream_rq_per_try_timeout", "envoy_http_rds_update_rejected", "envoy_http_rds_update_failure"),
    "envoy_http_local_rate_limit_rate_limited",
}
NAME = re.compile(r"(?<![\w:\"])([a-z][a-zA-Z0-9_]*(?::[a-zA-Z0-9_]+)*)(?![\w:]*\()")
WORDS = {"and", "or", "unless", "offset", "bool", "sum", "max", "min", "count"}


def rules() -> list[dict[str, Any]]:
    return [rule for path in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]
            for rule in group["rules"]]  # fmt: skip


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def read(expression: str) -> set[str]:
    """The metrics that an expression reads: its words without those in braces, brackets and label lists."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|on|ignoring) *\([^)]*\)", " ", expression)
    return set(NAME.findall(bare)) - WORDS


def exported() -> set[str]:
    """Every name that a scrape may hold."""
    found = set(OTHERS)
    for metric in METRICS.values():
        endings = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        found |= {metric.name + ending for ending in endings}
    return found


def services(folder: Path) -> set[str]:
    """The names of a service's metrics, by the service's own code."""
    served: Any = SimpleNamespace(label="production")
    journal: Any = SimpleNamespace(state=lambda: SimpleNamespace(backlog_bytes=0, buffered_lines=0, lost_lines=0))
    text = Metrics("homes", served, folder, journal).exposition().decode()
    return set(re.findall(r"^([a-z_]+)", text, re.MULTILINE))


def test_expressions_are_taken_apart() -> None:
    expression = 'sum by (product) (rate(a_total{x="b_total"}[5m])) > on (product) p:c:rate5m and max(d) == 0 or 0 * e'
    assert read(expression) == {"a_total", "p:c:rate5m", "d", "e"}


def test_rules_read_what_is_exported_or_recorded(tmp_path: Path) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    known = exported() | services(tmp_path) | recorded
    known |= {"product:availability_objective:share", "product:latency_objective:share"}
    unknown = {(rule.get("alert") or rule["record"], name) for rule in rules() for name in read(rule["expr"]) - known}
    assert not unknown


def test_label_values_in_rules_are_those_that_are_exported() -> None:
    for rule in rules():
        for name, labels in re.findall(r"(mlops_\w+)\{([^}]*)\}", rule["expr"]):
            asked = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", labels))
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            assert asked <= {*METRICS[base].labels, "job"}, f"{rule.get('alert')}: {name} has no {asked}"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: f"{alert['alert']}-{alert['labels']['severity']}")
def test_an_alert_says_what_is_wrong_and_what_to_do(alert: dict[str, Any]) -> None:
    assert re.fullmatch(r"([A-Z][a-z]+)+", alert["alert"])
    assert alert["labels"]["severity"] in ("critical", "warning") or alert["alert"] == "Watchdog"
    words = alert["annotations"]
    assert words["runbook"] == f"deploy/ALERTS.md#{alert['alert'].lower()}"
    assert f"### {alert['alert']}" in RUNBOOK, "the runbook has no entry"
    assert len(words["summary"]) > 10
    assert len(words["description"]) > 20
    # A label that the expression's result hasn't got would be a gap in the sentence.
    aggregated = re.match(r"\s*(sum|max|min|count)\s*\(", alert["expr"])
    if aggregated:
        assert "$labels" not in words["summary"] + words["description"]


def test_every_alert_is_fired_by_a_test_of_the_rules() -> None:
    tested = "\n".join(path.read_text() for path in TESTS.glob("*.yml"))
    missing = {alert["alert"] for alert in alerts() if not re.search(rf"\b{alert['alert']}\b", tested)}
    assert not missing


def test_alertmanager_routes_and_inhibits_alerts_that_there_are() -> None:
    names = {alert["alert"] for alert in alerts()}
    for said in re.findall(r'alertname =~? "([^"]+)"', ALERTMANAGER.read_text()):
        for name in said.split("|"):
            assert any(re.fullmatch(name, known) for known in names), f"no alert is called {name}"


def test_what_the_platform_tells_itself_is_marked_where_it_does() -> None:
    marked = {alert["alert"] for alert in alerts() if alert["labels"].get("told_by") == "platform"}
    # Asked by the notifier, told of as failed run, block or degraded health.
    assert marked == {"ServiceDown", "GatewayDown", "JobFailing", "DriftBlocks", "PlatformDegraded"}


def test_objectives_can_only_be_what_services_count_by() -> None:
    assert [ms / 1000 for ms in LATENCIES_MS] == list(BUCKETS)
