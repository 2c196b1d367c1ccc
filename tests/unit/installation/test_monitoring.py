"""Monitoring of an installation: asked for once, kept, given up; and what both programs are told."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mlops_assets.installation import monitoring, monitoring_files
from mlops_assets.installation.monitoring import MonitoringError
from mlops_assets.installation.programs import Program, platform_programs, rollout_programs
from mlops_assets.settings import Settings
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.objectives import Objectives
from mlops_assets.training.spec import Product


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path / "home", port_offset=1000)
    made.secrets.mkdir(parents=True)
    return made


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search path on which both programs are, by Debian's names."""
    return on_path(tmp_path, monkeypatch, "prometheus", "prometheus-alertmanager")


def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def homes(**objectives: Any) -> Product:
    product = next(p for p in declared_products() if p.serving is not None)
    assert product.serving is not None
    serving = product.serving.model_copy(update={"objectives": Objectives(**objectives)})
    return product.model_copy(update={"serving": serving})


def started(settings: Settings) -> dict[str, Program]:
    return {p.name: p for p in platform_programs(settings)}


def test_the_choice_is_kept_until_it_is_taken_back(settings: Settings, installed: Path) -> None:
    assert not monitoring.choose(settings, None)
    assert monitoring.choose(settings, True)
    assert monitoring.choose(settings, None)
    assert not monitoring.choose(settings, False)
    assert not monitoring.choose(settings, None)
    assert not monitoring.choose(settings, False), "nothing to take back is no error"


@pytest.mark.parametrize("there", [(), ("prometheus",), ("alertmanager",)])
def test_asked_for_without_the_programs_nothing_is_kept(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...]
) -> None:
    on_path(tmp_path, monkeypatch, *there)
    with pytest.raises(MonitoringError) as refused:
        monitoring.choose(settings, True)
    said = str(refused.value)
    assert "apt-get install" in said
    assert said.index("systemctl mask") < said.index("apt-get install"), "or the system's own would be started"
    assert ("prometheus-alertmanager or alertmanager, not" in said) == ("alertmanager" not in there)
    assert not monitoring.wanted(settings)


def test_programs_that_went_away_are_left_out_and_the_choice_stays(
    settings: Settings, installed: Path, tmp_path: Path
) -> None:
    monitoring.choose(settings, True)
    monitoring_files.configure(settings, [homes()])
    assert {"prometheus", "alertmanager"} <= started(settings).keys()
    (installed / "prometheus-alertmanager").unlink()
    assert not {"prometheus", "alertmanager"} & started(settings).keys()
    assert monitoring.wanted(settings)


def test_upstreams_name_of_alertmanager_is_known(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = on_path(tmp_path, monkeypatch, "prometheus", "alertmanager")
    found = monitoring.find()
    assert found is not None
    assert found.alertmanager == str(folder / "alertmanager")


def test_both_listen_on_the_loopback_interface_and_allow_no_orders(settings: Settings, installed: Path) -> None:
    monitoring.choose(settings, True)
    monitoring_files.configure(settings, [homes()])
    programs = started(settings)
    for name, port in (("prometheus", settings.ports.prometheus), ("alertmanager", settings.ports.alertmanager)):
        words = programs[name].command
        assert f"--web.listen-address=127.0.0.1:{port}" in words
        assert not [word for word in words if "enable-lifecycle" in word or "enable-admin-api" in word]
    assert "--cluster.listen-address=" in programs["alertmanager"].command, "else it listens on every interface"
    assert all(programs[name].stage > programs["metrics"].stage for name in ("prometheus", "alertmanager"))


def test_another_objective_starts_both_again_and_the_same_one_does_not(settings: Settings, installed: Path) -> None:
    monitoring.choose(settings, True)
    found = []
    for product in (homes(), homes(), homes(availability=0.999)):
        monitoring_files.configure(settings, [product])
        found.append(started(settings)["prometheus"].environment)
    assert found[0] == found[1] != found[2]


def test_the_controller_starts_again_when_there_is_more_or_less_to_ask(settings: Settings, installed: Path) -> None:
    def controller() -> dict[str, str]:
        return next(p.environment for p in rollout_programs(settings, "") if p.name == "controller")

    before = controller()
    monitoring.choose(settings, True)
    assert controller() != before
    monitoring.choose(settings, False)
    assert controller() == before


def test_files_are_private_and_the_token_stays(settings: Settings) -> None:
    monitoring_files.configure(settings, [homes()])
    token = settings.secrets / "alerts_token"
    before = token.read_text()
    monitoring_files.configure(settings, [homes()])
    assert token.read_text() == before
    for path in (token, *monitoring.folder(settings).glob("*.yml")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert before.strip() not in path.read_text() or path == token


def test_targets_are_those_of_this_installation(settings: Settings) -> None:
    offline = next(p for p in declared_products()).model_copy(update={"serving": None, "name": "batch_only"})
    monitoring_files.configure(settings, [homes(), offline])
    config = yaml.safe_load(monitoring.prometheus_file(settings).read_text())
    jobs = {job["job_name"]: job["static_configs"] for job in config["scrape_configs"]}
    assert jobs["services"] == [
        {"targets": ["127.0.0.1:7001"], "labels": labels("production")},
        {"targets": ["127.0.0.1:7002"], "labels": labels("candidate")},
    ]
    assert jobs["gateway"][0]["targets"] == ["127.0.0.1:8001"]
    assert jobs["platform"][0]["targets"] == ["127.0.0.1:10464"]
    assert config["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["127.0.0.1:10093"]}]}]
    assert all(Path(name).is_absolute() for name in config["rule_files"])


def labels(variant: str) -> dict[str, str]:
    return {"product": "house_prices", "variant": variant, "program": f"house_prices_{variant}"}


def test_objectives_are_recorded_under_the_bucket_that_services_count() -> None:
    rules = monitoring_files.objectives([homes(availability=0.999, latency_ms=1000, latency_share=0.95)])
    found = {r["record"]: r for r in rules["groups"][0]["rules"]}
    assert found["product:availability_objective:share"]["expr"] == "vector(0.999)"
    assert found["product:latency_objective:share"]["expr"] == "vector(0.95)"
    assert found["product:latency_objective:share"]["labels"] == {"product": "house_prices", "le": "1.0"}


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"availability": 1}, "availability"),
        ({"availability": 0.5}, "availability"),
        ({"latency_ms": 120}, "latency_ms"),
        ({"latency_share": 1.5}, "latency_share"),
        ({"latency": 100}, "latency"),
    ],
)
def test_an_objective_that_cannot_be_watched_is_refused_by_name(bad: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Objectives(**bad)
    assert {error["loc"] for error in refused.value.errors()} == {(field,)}


def test_without_the_choice_nothing_is_asked_and_all_is_well(settings: Settings) -> None:
    good, said = monitoring.condition(settings)
    assert good
    assert "mlops up --monitoring" in said
