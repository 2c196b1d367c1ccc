"""From a figure to a message and back: real Prometheus, Alertmanager, control API, notifier and receiver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from mlops_assets.installation import monitoring
from mlops_assets.storage.database import Database
from tests.integration.alerts.chain import SECONDS, Chain, api, chain, telling
from tests.integration.gateway_rig import HOUSES, PRODUCTION, running_rig, users
from tests.integration.notifications.notified import Webhook
from tests.servers import wait_until

SILENT = 'mlops_daemon_heartbeat_age_seconds{daemon="SENSOR"}'
ERRORS = 'mlops_series_dropped_total{metric="mlops_runs"}'


def noted(database: Database) -> int:
    with database.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM mlops.notice WHERE kind = 'alert'")).scalar_one())


def test_a_fault_becomes_a_message_and_so_does_its_end_over_restarts_of_both(way: Chain) -> None:
    with api(way.settings, way.database), telling(way.settings, way.database):
        way.exporter.figures = {SILENT: 5}
        wait_until(lambda: "Watchdog" in way.firing(), SECONDS)
        way.exporter.figures = {SILENT: 300}
        said = way.wait_for("DaemonSilent", "SENSOR is silent for 5m 0s")
        assert "What to do: deploy/ALERTS.md#daemonsilent" in said
        for name in ("prometheus", "alertmanager"):
            way.stop(name)
            way.start(name)
        wait_until(lambda: {"DaemonSilent", "Watchdog"} <= way.firing(), SECONDS)
        way.exporter.figures = {SILENT: 5}
        way.wait_for("DaemonSilent is over", "SENSOR")
        told = [title for title in way.told.titles if "DaemonSilent:" in title]
        assert len(told) == 1, "a restart tells nothing a second time"
        # Targets of this test that aren't there are told by nobody: the platform's own notifier would.
        assert all("DaemonSilent" in title for title in way.told.titles), way.told.titles
        good, state = monitoring.condition(way.settings)
        assert not good
        assert "can't be read: gateway" in state
        way.stop("alertmanager")
        assert monitoring.condition(way.settings) == (False, "Prometheus or Alertmanager doesn't answer (ConnectError)")


def storm(count: int, ended: bool = False) -> list[dict[str, Any]]:
    """Alerts of twenty names about as many things as are left."""
    now = datetime.now(UTC)
    made = []
    for number in range(count):
        labels = {"alertname": f"Storm{number % 20}", "severity": "warning", "stage": f"stage-{number}"}
        times = {"startsAt": (now - timedelta(minutes=1)).isoformat()}
        times["endsAt"] = (now - timedelta(seconds=1) if ended else now + timedelta(hours=1)).isoformat()
        made.append({"labels": labels, "annotations": {"summary": f"stage-{number} fails"}, **times})
    return made


def test_two_hundred_alerts_are_a_handful_of_messages_and_none_is_lost(way: Chain) -> None:
    with api(way.settings, way.database), telling(way.settings, way.database):
        alerts = storm(200)
        for first in range(0, 200, 25):
            way.post(alerts[first : first + 25])
        wait_until(lambda: noted(way.database) == 200, SECONDS)
        wait_until(lambda: counted(way.told) == 200, SECONDS, lambda: str(way.told.titles))
        assert len(way.told.posted) <= 8, way.told.titles


def counted(told: Webhook) -> int:
    """How many alerts the messages together speak of."""
    found = 0
    for title in list(told.titles):
        first, _, rest = title.partition(" ")
        found += int(first) if rest.startswith("notices") else 1
    return found


def test_what_the_api_refuses_or_misses_is_told_when_it_takes_it(way: Chain) -> None:
    token = way.settings.secrets / "alerts_token"
    right = token.read_text()
    token_of_alertmanager = way.settings.home / "copied_token"
    config = monitoring.alertmanager_file(way.settings)
    token_of_alertmanager.write_text("a-token-that-is-not-the-right-one\n")
    config.write_text(config.read_text().replace(str(token), str(token_of_alertmanager)))
    way.stop("alertmanager")
    way.start("alertmanager")
    failed = 'sum(alertmanager_notifications_failed_total{integration="webhook"})'
    # First there is no API at all, then one that refuses the token, then all is right.
    way.post(storm(3))
    wait_until(lambda: any(float(found["value"][1]) > 0 for found in way.ask(failed)), SECONDS)
    with api(way.settings, way.database), telling(way.settings, way.database):
        before = float(way.ask(failed)[0]["value"][1])
        wait_until(lambda: float(way.ask(failed)[0]["value"][1]) > before, SECONDS)
        assert noted(way.database) == 0
        token_of_alertmanager.write_text(right)
        wait_until(lambda: noted(way.database) == 3, SECONDS)


def test_rules_find_the_real_gateway_by_product_and_variant(database: Database, told: Webhook) -> None:
    with running_rig() as rig, chain(database, told, gateway_metrics=rig.metrics_port) as way:
        everyone = users(300)

        def answered() -> list[dict[str, Any]]:
            rig.counted(everyone[:30])
            return way.ask(f'product:gateway_requests:rate5m{{product="{HOUSES}"}} > 0')

        wait_until(lambda: bool(answered()), SECONDS)
        assert way.ask(f'product:gateway_failure_share:ratio5m{{product="{HOUSES}"}} == 0')
        quick = f'product_variant:gateway_seconds:p95_5m{{product="{HOUSES}", variant="{PRODUCTION}"}}'
        wait_until(lambda: bool(way.ask(f"{quick} > 0 < 5")), SECONDS)
        for service in rig.services.values():
            service.control(mode="fail")

        def failing() -> bool:
            rig.counted(everyone[:30])
            return bool(way.ask(f'product:gateway_failure_share:ratio5m{{product="{HOUSES}"}} > 0'))

        wait_until(failing, SECONDS)
        for service in ("envoy_cluster_membership_healthy", "envoy_cluster_upstream_rq_per_try_timeout"):
            assert way.ask(f'{service}{{product="{HOUSES}", variant="{PRODUCTION}"}}')
        others = "envoy_http_rds_update_rejected + envoy_http_rds_update_failure"
        assert way.ask(others)
        assert way.ask("envoy_http_local_rate_limit_rate_limited")
