"""Services that fall silent and answer again, asked for real; the state is kept over restarts."""

from __future__ import annotations

from datetime import UTC, datetime

from mlops_assets.notifications import outbox
from mlops_assets.notifications.notice import Kind
from mlops_assets.notifications.probes import Probe, Probes
from mlops_assets.storage.database import Database
from tests.integration.notifications.notified import HandClock, Webhook, webhook
from tests.servers import free_port


def test_services_that_fall_silent_are_told_of_and_again_when_they_answer(database: Database, web: Webhook) -> None:
    clock = HandClock(datetime.now(UTC))
    port = free_port()
    services = [Probe("up", "Up", f"tcp://{web.place}"), Probe("mlflow", "MLflow", f"tcp://127.0.0.1:{port}")]
    clock.forward(-200)
    probes = Probes(database, services, clock)
    clock.forward(200)
    for _ in range(5):
        probes.step()
        clock.forward(10)
    again = Probes(database, services, clock)
    clock.forward(200)
    for _ in range(5):
        again.step()
        clock.forward(10)
    told = outbox.newest(database, 10)
    assert [(each.notice.kind, each.notice.subject) for each in told] == [(Kind.UNHEALTHY, "mlflow")]
    assert "Connection refused" in told[0].notice.body
    with webhook() as revived:
        moved = [Probe("mlflow", "MLflow", f"tcp://{revived.place}")]
        back = Probes(database, moved, clock)
        for _ in range(3):
            back.step()
            clock.forward(10)
    assert outbox.newest(database, 1)[0].notice.kind is Kind.RECOVERED


def test_services_that_start_beside_the_notifier_are_given_time(database: Database) -> None:
    clock = HandClock(datetime.now(UTC))
    probes = Probes(database, [Probe("mlflow", "MLflow", f"http://127.0.0.1:{free_port()}/health")], clock)
    for _ in range(11):
        probes.step()
        clock.forward(10)
    assert outbox.newest(database, 1) == []
    for _ in range(5):
        clock.forward(10)
        probes.step()
    assert [each.notice.kind for each in outbox.newest(database, 9)] == [Kind.UNHEALTHY]


def test_several_notifiers_ask_no_service_more_often(database: Database) -> None:
    clock, asked = HandClock(datetime.now(UTC)), []

    def ask(url: str) -> str | None:
        asked.append(url)
        return "HTTP 503"

    services = [Probe("mlflow", "MLflow", "http://127.0.0.1/health")]
    several = [Probes(database, services, clock, ask) for _ in range(3)]
    clock.forward(200)
    for _ in range(2):
        for probes in several:
            probes.step()
        clock.forward(10)
    assert len(asked) == 2
    assert outbox.newest(database, 1) == []
