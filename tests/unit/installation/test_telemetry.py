"""Dagster tells its maker nothing and sends no log away, whether its own settings or its environment are asked."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from dagster._core.instance.config import dagster_instance_config
from dagster._core.telemetry_upload import upload_logs

from mlops_assets.installation.up import keep_logs
from mlops_assets.settings import PROJECT, Settings
from tests.servers import free_port

VARIABLE = "DAGSTER_DISABLE_TELEMETRY"


class Once(threading.Event):
    """Over after the first look."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log below the home of an installation; Dagster's maker is away."""
    for name in ("BUILDKITE", "TF_BUILD", VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_TELEMETRY_URL", f"http://127.0.0.1:{free_port()}/")
    path = Settings(home=tmp_path).logs / "code.log"
    path.parent.mkdir()
    path.write_text("what a program said\n")
    return path


def test_the_instance_has_telemetry_turned_off() -> None:
    config, _ = dagster_instance_config(str(PROJECT / "dagster_home"))
    assert config["telemetry"] == {"enabled": False}


def test_with_an_installations_environment_no_log_is_taken_away(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in Settings(home=log.parent.parent).environment().items():
        monkeypatch.setenv(name, value)
    upload_logs(Once(), raise_errors=True)
    assert log.read_text() == "what a program said\n"


def test_without_it_dagster_would_take_them_whatever_its_settings_say(log: Path) -> None:
    (log.parent.parent / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    upload_logs(Once())
    assert not log.exists()
    assert (log.parent.parent / ".logs_queue" / log.name).exists()


def test_of_a_prepared_installation_they_stay_without_the_environment_too(log: Path) -> None:
    for _ in range(2):
        keep_logs(log.parent.parent)
        upload_logs(Once())
        assert log.read_text() == "what a program said\n"
