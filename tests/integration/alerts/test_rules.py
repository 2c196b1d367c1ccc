"""Prometheus' and Alertmanager's own tools on all files, as they are and as an installation writes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlops_assets.installation import monitoring, monitoring_files
from mlops_assets.installation.monitoring import RULES
from mlops_assets.settings import Settings
from mlops_assets.training.catalogue import declared_products

PROMETHEUS = RULES.parent


def tool(*command: str | Path) -> str:
    """Run one of the tools, which must be content; what it says."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    if path.stem == "products":
        tool("promtool", "check", "rules", path)
    else:
        tool("promtool", "test", "rules", path)


def test_the_files_could_be_used_as_they_are() -> None:
    assert "FAILED" not in tool("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    tool("amtool", "check-config", monitoring_files.ALERTMANAGER)


def test_what_an_installation_writes_is_understood(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.secrets.mkdir()
    monitoring_files.configure(settings, declared_products())
    said = tool("promtool", "check", "config", monitoring.prometheus_file(settings))
    assert f"{len(list(RULES.glob('*.yml'))) + 1} rule files found" in said
    tool("amtool", "check-config", monitoring.alertmanager_file(settings))


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=DaemonSilent severity=critical", "platform"),
        ("alertname=Watchdog", "shown"),
        ("alertname=ServiceDown told_by=platform", "shown"),
        ("alertname=ProgramDown program=gateway", "shown"),
        ("alertname=ProgramDown program=daemon", "platform"),
        ("alertname=MyOwn product=homes", "platform"),
    ],
)
def test_each_alert_goes_where_it_is_told_once(labels: str, receiver: str) -> None:
    said = tool("amtool", "config", "routes", "test", f"--config.file={monitoring_files.ALERTMANAGER}", *labels.split())
    assert said.strip() == receiver
