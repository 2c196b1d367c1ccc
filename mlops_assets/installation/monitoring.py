"""Prometheus and Alertmanager beside an installation: whether they are wanted, where they are, how they do.

They are programs of the system, not of Python: asked for once with `mlops up --monitoring`, and kept until
`--no-monitoring`. Add here what concerns having them. Keep out what they are told (`monitoring_files`) and how they are
started (`programs`).
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from mlops_assets.settings import PROJECT, Settings

ASK_SECONDS = 5.0
RULES = PROJECT / "deploy" / "prometheus" / "rules"
# Debian calls the second one otherwise, since another package has the name.
PROMETHEUS = ("prometheus",)
ALERTMANAGER = ("prometheus-alertmanager", "alertmanager")
INSTALL = (
    # Masked first, for Debian starts what it installs, on every interface.
    "sudo systemctl mask prometheus prometheus-alertmanager && "
    "sudo apt-get install --no-install-recommends prometheus prometheus-alertmanager"
)


class MonitoringError(RuntimeError):
    """Monitoring was asked for and its programs aren't there; the message says how to install them."""


@dataclass(frozen=True)
class Executables:
    """Where both programs are."""

    prometheus: str
    alertmanager: str


def folder(settings: Settings) -> Path:
    """What both are told, and what they keep."""
    return settings.home / "prometheus"


def prometheus_file(settings: Settings) -> Path:
    """What Prometheus is started with."""
    return folder(settings) / "prometheus.yml"


def alertmanager_file(settings: Settings) -> Path:
    """What Alertmanager is started with."""
    return folder(settings) / "alertmanager.yml"


def digest(settings: Settings) -> str:
    """Of everything that both programs read at their start: another one means that they have to start again."""
    found = hashlib.sha256()
    for path in (*sorted(folder(settings).glob("*.yml")), *sorted(RULES.glob("*.yml"))):
        found.update(path.read_bytes())
    return found.hexdigest()


def wanted(settings: Settings) -> bool:
    """Whether this installation is to be monitored, as it was said last."""
    return _choice(settings).exists()


def choose(settings: Settings, asked: bool | None) -> bool:
    """Whether this installation is to be monitored; True and False are kept for later, None asks what was kept.

    Raises:
        MonitoringError: it is asked for now, and a program isn't installed. Nothing is kept then.
    """
    if asked is None:
        return wanted(settings)
    if asked and find() is None:
        raise MonitoringError(how_to_install())
    folder(settings).mkdir(mode=0o700, parents=True, exist_ok=True)
    if asked:
        _choice(settings).touch()
    else:
        _choice(settings).unlink(missing_ok=True)
    return asked


def _choice(settings: Settings) -> Path:
    return folder(settings) / "wanted"


def find() -> Executables | None:
    """Both programs on the search path, or None if one isn't there."""
    prometheus, alertmanager = _first(PROMETHEUS), _first(ALERTMANAGER)
    return Executables(prometheus, alertmanager) if prometheus and alertmanager else None


def _first(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


def how_to_install() -> str:
    """Which of the programs are missing, and the line that installs them."""
    missing = [" or ".join(names) for names in (PROMETHEUS, ALERTMANAGER) if _first(names) is None]
    return (
        f"monitoring needs {' and '.join(missing)}, not found on PATH. On Debian or Ubuntu, without the services that "
        f"the packages would start on every interface:\n  {INSTALL}\n"
        "Elsewhere put both programs of https://prometheus.io/download/ on PATH. Then again: mlops up --monitoring"
    )


def condition(settings: Settings) -> tuple[bool, str]:
    """Whether monitoring does what it is for, really asked, in words for a person; well when nobody wants it.

    It is well when Prometheus reaches every target, all rules are evaluated, and the alert that always fires has
    arrived at Alertmanager.
    """
    if not wanted(settings):
        return True, "off; mlops up --monitoring starts Prometheus and Alertmanager"
    try:
        with httpx.Client(timeout=ASK_SECONDS, trust_env=False) as client:
            targets = _asked(client, f"{settings.prometheus_url}/api/v1/targets?state=active")["data"]["activeTargets"]
            groups = _asked(client, f"{settings.prometheus_url}/api/v1/rules")["data"]["groups"]
            alerts = _asked(client, f"{settings.alertmanager_url}/api/v2/alerts?active=true")
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return False, f"Prometheus or Alertmanager doesn't answer ({type(error).__name__})"
    unread = sorted(
        str(target["labels"].get("program", target["labels"]["job"]))
        for target in targets
        if target["health"] == "down"
    )
    faulty = sorted(str(rule["name"]) for group in groups for rule in group["rules"] if rule["health"] == "err")
    names = [str(alert["labels"].get("alertname")) for alert in alerts]
    if unread or faulty:
        said = [f"can't be read: {', '.join(unread)}"] if unread else []
        return False, "; ".join([*said, *([f"rules that fail: {', '.join(faulty)}"] if faulty else [])])
    if "Watchdog" not in names:
        return False, "no alert reaches Alertmanager; the one that always fires isn't there"
    firing = sorted({name for name in names if name != "Watchdog"})
    return True, f"{len(targets)} targets read; " + (f"firing: {', '.join(firing)}" if firing else "no alert fires")


def _asked(client: httpx.Client, url: str) -> Any:
    answer = client.get(url)
    answer.raise_for_status()
    return answer.json()
