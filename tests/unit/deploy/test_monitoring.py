"""What Prometheus and Alertmanager read in the stack: made from the shipped files, with places that there are."""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import Any

import pytest
import yaml

from mlops_assets.settings import PROJECT
from mlops_assets.training.catalogue import declared_products
from tests.unit.deploy.stack import services
from tests.unit.deploy.test_compose import our_ports

COMPOSE = PROJECT / "deploy" / "compose"
sys.path.insert(0, str(COMPOSE))

import monitoring  # noqa: E402


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return monitoring.files()


@cache
def read(name: str) -> Any:
    return yaml.safe_load((COMPOSE / name).read_text())


@pytest.mark.parametrize("name", ["prometheus.yml", "alertmanager.yml", "objectives.yml"])
def test_a_file_is_what_is_made_now(made: dict[str, str], name: str) -> None:
    assert (COMPOSE / name).read_text() == made[name], "run python deploy/compose/monitoring.py"


def test_nothing_else_is_made(made: dict[str, str]) -> None:
    assert set(made) == {file.name for file in COMPOSE.glob("*.yml")}


def test_every_target_is_a_service_that_listens_there() -> None:
    targets = [
        target
        for job in read("prometheus.yml")["scrape_configs"]
        for place in job.get("static_configs", ())
        for target in place["targets"]
    ]
    targets += [f"{name}:{place['port']}" for place in discovered() for name in place["names"]]
    for target in targets:
        host, port = target.split(":")
        service = "prometheus" if host == "127.0.0.1" else host
        assert service in services()
        assert int(port) in our_ports()[service]


def discovered() -> list[dict[str, Any]]:
    (job,) = (job for job in read("prometheus.yml")["scrape_configs"] if job["job_name"] == "services")
    found: list[dict[str, Any]] = job["dns_sd_configs"]
    return found


def test_each_service_has_the_labels_that_the_rules_ask_for() -> None:
    (job,) = (job for job in read("prometheus.yml")["scrape_configs"] if job["job_name"] == "services")
    for product in declared_products():
        if product.serving is None:
            continue
        for variant in ("production", "candidate"):
            labels = {"product": product.name, "variant": variant, "program": f"{product.name}_{variant}"}
            matching = [
                place["port"] for place in discovered() if relabelled(job, f"10.0.0.7:{place['port']}") == labels
            ]
            assert len(matching) == 1


def relabelled(job: dict[str, Any], address: str) -> dict[str, str]:
    """The labels that a target at an address is given."""
    return {
        rule["target_label"]: rule["replacement"]
        for rule in job["relabel_configs"]
        if re.fullmatch(rule["regex"], address)
    }


def test_files_that_they_name_are_mounted() -> None:
    mounted = {volume.split(":")[1] for volume in services()["prometheus"]["volumes"]}
    for pattern in read("prometheus.yml")["rule_files"]:
        name = pattern.removesuffix("/*.yml")
        assert f"/etc/prometheus/{name}" in mounted
    token = read("alertmanager.yml")["receivers"][1]["webhook_configs"][0]["http_config"]["authorization"]
    assert any(
        token["credentials_file"].startswith(f"{volume.split(':')[1]}/")
        for volume in services()["alertmanager"]["volumes"]
    )


def test_alerts_go_to_the_control_api_inside_the_stack() -> None:
    (url,) = [
        hook["url"]
        for receiver in read("alertmanager.yml")["receivers"]
        for hook in receiver.get("webhook_configs", ())
    ]
    host, port = re.fullmatch(r"http://([\w-]+):(\d+)/api/v1/alerts", url).groups()  # type: ignore[union-attr]
    assert int(port) in our_ports()[host]
    assert set(services()[host]["networks"]) & set(services()["alertmanager"]["networks"])
