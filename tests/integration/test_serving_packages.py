"""The serving image's programs find all that they import among its packages, with everything else hidden from them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from mlops_assets.settings import PROJECT
from tests.integration.service_process import Ledger, eventually, following, serving
from tests.servers import child_environment
from tests.serving_packages import hidden_modules, serving_environment
from tests.unit.inference.tiny_release import PRODUCT

# What a serving or gateway host runs, and all of `inference`.
ENTRIES = (
    *("mlops_assets.cli", "mlops_assets.installation.entry", "mlops_assets.installation.up"),
    *("mlops_assets.installation.supervisor", "mlops_assets.installation.run_routes"),
    *("mlops_assets.rollout.controller", "mlops_assets.rollout.gateway", "mlops_assets.storage.folders"),
    *("mlops_assets.products.house_prices", "mlops_assets.products.traffic_anomalies"),
    *(f"inference.{path.stem}" for path in sorted((PROJECT / "inference").glob("*.py")) if path.stem != "__init__"),
)


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """The variables of a host that has the serving image's packages only."""
    return child_environment({"MLOPS_HOME": str(tmp_path / "home"), **serving_environment(tmp_path / "packages")})


def run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False
    )


def test_what_the_image_lacks_is_hidden_from_a_process_and_its_children(alone: dict[str, str]) -> None:
    assert {"pandas", "dagster", "mlflow", "sklearn"} <= set(hidden_modules())
    inner = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', 'import numpy; import pandas']))"
    done = run(alone, sys.executable, "-c", inner)
    assert done.returncode == 1
    assert "'pandas': the serving image doesn't hold it" in done.stderr


def test_programs_of_serving_import_what_their_image_holds(alone: dict[str, str]) -> None:
    code = f"import importlib\nfor name in {ENTRIES!r}: importlib.import_module(name)\nimport s3fs, uvloop, httptools"
    done = run(alone, sys.executable, "-W", "ignore", "-c", code)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_command_line_works_with_what_the_serving_image_holds(alone: dict[str, str]) -> None:
    done = run(alone, str(Path(sys.executable).parent / "mlops"), "status")
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_loads_a_release_answers_and_logs_with_these_packages_alone(
    postgres_url: str, database: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in serving_environment(tmp_path / "packages").items():
        monkeypatch.setenv(name, value)
    ledger = Ledger(postgres_url, tmp_path)
    ledger.publish(1)
    ledger.decide(1)
    key = tmp_path / "key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    logged = {"key_file": str(key), "journal_dir": str(tmp_path / "journal")}
    with serving(tmp_path / "service", **following(ledger), **logged) as service:
        service.serves(1)
        assert service.predict().json()["variant"] == "production"
        assert service.health()["status"] == "ok"
        assert httpx.get(f"{service.url}/metrics", timeout=5).status_code == 200
        assert httpx.get(f"{service.url}/", timeout=5, follow_redirects=True).status_code == 200
        journal = tmp_path / "journal"
        eventually(lambda: any(file.stat().st_size for file in journal.rglob("*") if file.is_file()), "it is logged")
    assert PRODUCT in next(journal.iterdir()).name
    assert "doesn't hold it" not in service.log.read_text()
