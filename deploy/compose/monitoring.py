"""What Prometheus and Alertmanager read in `compose.yaml`: `python deploy/compose/monitoring.py` writes it anew.

The files under `deploy/prometheus` and `deploy/alertmanager` with the places of the stack filled in. A test fails when
one of them, a product's ports or its objectives changed and this wasn't run again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mlops_assets.installation import monitoring_files
from mlops_assets.settings import Settings
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.spec import Product

HERE = Path(__file__).resolve().parent
MADE = "# Made by `python deploy/compose/monitoring.py`; change what it is made from.\n"
Config = dict[str, Any]


def files() -> dict[str, str]:
    """Every file that is made here, by its name in this folder."""
    settings, products = Settings(_env_file=None, port_offset=0), declared_products()
    configs = {
        "prometheus.yml": prometheus(settings, products),
        "alertmanager.yml": alertmanager(settings),
        "objectives.yml": monitoring_files.objectives(products),
    }
    return {name: MADE + yaml.safe_dump(config, sort_keys=False, width=120) for name, config in configs.items()}


def prometheus(settings: Settings, products: list[Product]) -> Config:
    """The shipped configuration with the stack's containers as targets."""
    config: Config = yaml.safe_load(monitoring_files.PROMETHEUS.read_text(encoding="utf-8"))
    ports = settings.ports
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    jobs["platform"]["static_configs"] = [_at(f"orchestrator:{ports.metrics}")]
    jobs["gateway"]["static_configs"] = [_at(f"gateway:{ports.gateway_metrics}", program="gateway")]
    jobs["prometheus"]["static_configs"] = [_at(f"127.0.0.1:{ports.prometheus}", program="prometheus")]
    jobs["alertmanager"]["static_configs"] = [_at(f"alertmanager:{ports.alertmanager}", program="alertmanager")]
    services = {
        port: {"product": product.name, "variant": variant, "program": f"{product.name}_{variant}"}
        for product in products
        if product.serving is not None
        for variant, port in (
            ("production", ports.production(product.serving.slot)),
            ("candidate", ports.candidate(product.serving.slot)),
        )
    }
    # Every host that has the name is a target of its own; its port says which service it is.
    del jobs["services"]["static_configs"]
    jobs["services"]["dns_sd_configs"] = [{"names": ["serving"], "type": "A", "port": port} for port in services]
    jobs["services"]["relabel_configs"] = [
        {"source_labels": ["__address__"], "regex": f".+:{port}", "target_label": name, "replacement": value}
        for port, labels in services.items()
        for name, value in labels.items()
    ]
    config["rule_files"] = ["rules/*.yml", "objectives.yml"]
    config["alerting"]["alertmanagers"] = [{"static_configs": [_at(f"alertmanager:{ports.alertmanager}")]}]
    return config


def alertmanager(settings: Settings) -> Config:
    """The shipped configuration, which tells the control API inside the stack."""
    config: Config = yaml.safe_load(monitoring_files.ALERTMANAGER.read_text(encoding="utf-8"))
    (platform,) = (receiver for receiver in config["receivers"] if receiver["name"] == "platform")
    (hook,) = platform["webhook_configs"]
    hook["url"] = f"http://orchestrator:{settings.ports.api_server}/api/v1/alerts"
    hook["http_config"]["authorization"]["credentials_file"] = "/alerts/token"
    return config


def _at(address: str, **labels: str) -> Config:
    place: Config = {"targets": [address]}
    return place | {"labels": labels} if labels else place


def main() -> None:
    """Write every file."""
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
