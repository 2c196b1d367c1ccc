"""What Prometheus and Alertmanager are told: the files under `deploy/` with the places of this installation filled in.

Add here what differs between installations or products. Keep out what doesn't: intervals, limits, routes and rules are
in `deploy/prometheus` and `deploy/alertmanager`, which both programs could also be started with as they are.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.utils import floatToGoString

from mlops_assets.installation import monitoring
from mlops_assets.installation.supervisor import write_private
from mlops_assets.settings import PROJECT, Settings
from mlops_assets.training.spec import Product

PROMETHEUS = PROJECT / "deploy" / "prometheus" / "prometheus.yml"
ALERTMANAGER = PROJECT / "deploy" / "alertmanager" / "alertmanager.yml"
# What Alertmanager shows the control API, on one path of it, and is good for nothing else.
ALERTS_TOKEN_FILE = "alerts_token"  # noqa: S105 (a file's name)
Config = dict[str, Any]


def configure(settings: Settings, products: Sequence[Product]) -> None:
    """Write all files, readable by their owner only; the token is generated once."""
    place = monitoring.folder(settings)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = settings.secrets / ALERTS_TOKEN_FILE
    if not token.exists():
        write_private(token, secrets.token_urlsafe(32) + "\n")
    for path, config in (
        (place / "objectives.yml", objectives(products)),
        (monitoring.prometheus_file(settings), prometheus_config(settings, products, place / "objectives.yml")),
        (monitoring.alertmanager_file(settings), alertmanager_config(settings, token)),
    ):
        write_private(path, yaml.safe_dump(config, sort_keys=False, width=120))


def prometheus_config(settings: Settings, products: Iterable[Product], objectives_file: Path) -> Config:
    """What Prometheus reads: targets by job, rule files, where alerts go."""
    config: Config = yaml.safe_load(PROMETHEUS.read_text())
    ports = settings.ports
    (orchestrator, *_), (gateway, *_) = settings.places("orchestrator"), settings.places("gateway")
    places = {
        "platform": [_target([orchestrator], ports.metrics)],
        "gateway": [_target([gateway], ports.gateway_metrics, program="gateway")],
        "services": [target for product in products for target in _services(settings, product)],
        "prometheus": [_target([settings.host], ports.prometheus, program="prometheus")],
        "alertmanager": [_target([settings.host], ports.alertmanager, program="alertmanager")],
    }
    for job in config["scrape_configs"]:
        job["static_configs"] = places[job["job_name"]]
    config["rule_files"] = [str(monitoring.RULES / "*.yml"), str(objectives_file)]
    config["alerting"]["alertmanagers"] = [{"static_configs": [_target([settings.host], ports.alertmanager)]}]
    return config


def _services(settings: Settings, product: Product) -> list[Config]:
    if product.serving is None:
        return []
    slot, ports = product.serving.slot, settings.ports
    return [
        _target(
            settings.places("serving"), port, product=product.name, variant=variant, program=f"{product.name}_{variant}"
        )
        for variant, port in (("production", ports.production(slot)), ("candidate", ports.candidate(slot)))
    ]


def _target(hosts: Sequence[str], port: int, **labels: str) -> Config:
    place: Config = {"targets": [f"{host}:{port}" for host in hosts]}
    return place | {"labels": labels} if labels else place


def alertmanager_config(settings: Settings, token: Path) -> Config:
    """What Alertmanager reads: the control API as the only one who is told."""
    config: Config = yaml.safe_load(ALERTMANAGER.read_text())
    (platform,) = (receiver for receiver in config["receivers"] if receiver["name"] == "platform")
    (hook,) = platform["webhook_configs"]
    hook["url"] = f"{settings.api_server_url}/api/v1/alerts"
    hook["http_config"]["authorization"]["credentials_file"] = str(token)
    return config


def objectives(products: Iterable[Product]) -> Config:
    """The products' objectives as rules that record them, so that the rules on burn rates are the same for all."""
    rules = []
    for product in products:
        if product.serving is None:
            continue
        promised = product.serving.objectives
        rules.append(_objective("availability", promised.availability, product=product.name))
        bucket: str = floatToGoString(promised.latency_ms / 1000)  # type: ignore[no-untyped-call]
        rules.append(_objective("latency", promised.latency_share, product=product.name, le=bucket))
    return {"groups": [{"name": "objectives of products", "rules": rules}]}


def _objective(kind: str, share: float, **labels: str) -> Config:
    return {"record": f"product:{kind}_objective:share", "expr": f"vector({share!r})", "labels": labels}
