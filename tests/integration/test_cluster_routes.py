"""A cluster's HTTPRoutes follow a real ledger; the cluster is a small server that answers as an API server does."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from mlops_assets.cli import app
from mlops_assets.installation.gateway_files import online_products
from mlops_assets.rollout.gateway import Upstream
from mlops_assets.rollout.gateway_api import Attachment
from mlops_assets.rollout.kubernetes_api import KubernetesApi, KubernetesError, RouteKeeper
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import load
from mlops_assets.storage.database import Database, DatasetVersion
from mlops_assets.training.catalogue import declared_products
from tests.api_server import api_server

PRODUCT = "house_prices"
WHERE = Upstream(PRODUCT, 0, ("/api/predict_home_price",), 6001, 6002)
STEPS = (0.2, 0.5)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """Production 1, and candidate 2 that waits."""
    with database.session() as session, session.begin():
        session.add(
            DatasetVersion(product=PRODUCT, version=1, sha256="0" * 64, rows=1, uri="u", source="s", sample=False)
        )
    found = Ledger(database)
    for run in ("a", "b"):
        version = found.reserve(PRODUCT, run, 1)
        found.publish(PRODUCT, version, f"/releases/{version}", {"mlflow_version": str(version)}, "test")
    return found


def test_weights_follow_every_decision_of_a_rollout(ledger: Ledger, tmp_path: Path) -> None:
    with api_server(tmp_path) as place, KubernetesApi(place.url, tmp_path) as api:
        keeper = RouteKeeper(ledger, [WHERE], Attachment("public"), api)

        def after_a_step() -> dict[int, int]:
            keeper.step()
            return place.cluster.weights("house-prices")

        assert set(after_a_step()) == {6001}
        ledger.begin(PRODUCT, STEPS, actor="test", reason="loaded", expected_seq=ledger.state(PRODUCT).seq)
        assert after_a_step() == {6001: 8000, 6002: 2000}
        ledger.share(PRODUCT, 0.5, actor="test", reason="faster", steps=STEPS)
        assert after_a_step() == {6001: 5000, 6002: 5000}
        ledger.rollback(PRODUCT, actor="test", reason="worse")
        assert set(after_a_step()) == {6001}


def test_routes_that_are_shown_are_those_that_would_be_applied(
    ledger: Ledger, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.begin(PRODUCT, STEPS, actor="test", reason="loaded", expected_seq=ledger.state(PRODUCT).seq)
    monkeypatch.setenv("MLOPS_DATABASE_URL", postgres_url)
    asked = ["rollout", "routes", "--gateway", "public", "--gateway-namespace", "gateways", "--hostname", "a.example"]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    upstreams = [online.upstream for online in online_products(load(), declared_products())]
    attachment = Attachment("public", "gateways", hostnames=("a.example",))
    with api_server(tmp_path) as place, KubernetesApi(place.url, tmp_path) as api:
        RouteKeeper(ledger, upstreams, attachment, api).step()
        held = list(place.cluster.held.values())
        assert place.cluster.weights("house-prices") == {6001: 8000, 6002: 2000}
    assert list(yaml.safe_load_all(shown.output)) == held


def test_outside_a_cluster_nothing_is_applied(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_DATABASE_URL", postgres_url)
    tried = CliRunner().invoke(app, ["rollout", "routes", "--gateway", "public", "--apply"])
    assert isinstance(tried.exception, KubernetesError)
    assert "can't be read" in str(tried.exception)
