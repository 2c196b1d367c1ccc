"""Daemons, ticks and schedules as Dagster's tables tell of them; when a schedule is due is asked of a stand-in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from mlops_assets.observability.exporter.collectors import automation, daemons
from mlops_assets.observability.exporter.collectors.schedules import AGAIN_SECONDS, MOST_ASKED, LookAtSchedules
from mlops_assets.observability.exporter.collectors.schedules import collector as schedules
from mlops_assets.observability.exporter.collectors.source import Source, Webserver, WebserverError
from mlops_assets.storage.database import Database
from tests.integration.exporter.made_rows import Found, Rows, look
from tests.integration.platform_tables import PlatformTables

HOUR = 3600.0


class Dagster(Webserver):
    """Answers when each schedule is due: so many seconds after the moment that is asked from; None: unknown."""

    def __init__(self, after: dict[str, float | None]) -> None:
        super().__init__("http://127.0.0.1:1")
        self.after, self.asked, self.away = after, list[str](), False

    def ask(self, document: str, variables: Any = None) -> dict[str, Any]:
        if self.away:
            raise WebserverError("ConnectError")
        answer = {}
        for n in range(len(variables) // 2):
            name = variables[f"s{n}"]["scheduleName"]
            self.asked.append(name)
            after = self.after.get(name)
            ticks = [] if after is None else [{"timestamp": variables[f"c{n}"] - 1 + after}]
            answer[f"s{n}"] = {"futureTicks": {"results": ticks}} if ticks else {}
        return answer


@pytest.fixture
def looks(source: Source) -> Callable[[], Found]:
    """One collector of ticks, to look with again and again."""
    made = automation.collector(source)
    return lambda: look(made)


class Instance(Webserver):
    """Says which daemons it needs; None: it is away."""

    def __init__(self, *needed: str) -> None:
        super().__init__("http://127.0.0.1:1")
        self.needed: tuple[str, ...] | None = needed
        self.asked = 0

    def ask(self, document: str, variables: Any = None) -> dict[str, Any]:
        self.asked += 1
        if self.needed is None:
            raise WebserverError("ConnectError")
        told = [{"daemonType": name, "required": name in self.needed} for name in ("SENSOR", "SCHEDULER", "BACKFILL")]
        return {"instance": {"daemonHealth": {"allDaemonStatuses": told}}}


AGE = "mlops_daemon_heartbeat_age_seconds"


def test_heartbeats(rows: Rows, source: Source) -> None:
    rows.heartbeat("SENSOR", ago=5)
    rows.heartbeat("SCHEDULER", ago=400, errors=2)
    rows.heartbeat("BACKFILL", ago=-30)
    found = look(daemons.collector(source, Instance("SENSOR", "SCHEDULER", "BACKFILL")))
    assert found.of(AGE, daemon="SCHEDULER") == pytest.approx(400, abs=20)
    # Of a daemon whose clock is ahead.
    assert found.of(AGE, daemon="BACKFILL") == 0
    assert found.of("mlops_daemon_errors", daemon="SCHEDULER") == 2
    assert found.of("mlops_daemon_errors", daemon="SENSOR") == 0


def test_a_daemon_that_was_configured_away_is_not_told_of(
    rows: Rows, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.heartbeat("SENSOR", ago=5)
    rows.heartbeat("SCHEDULER", ago=86_400, errors=1)
    instance = Instance("SENSOR")
    looks = daemons.collector(source, instance)
    for metric in (AGE, "mlops_daemon_errors"):
        assert set(look(looks).all(metric)) == {("SENSOR",)}
    assert instance.asked == 1, "asked again only after a while"
    monkeypatch.setattr(daemons, "AGAIN_SECONDS", 0.0)
    instance.needed = None
    assert set(look(looks).all(AGE)) == {("SENSOR",)}, "what it said holds while it is away"
    instance.needed = ("SENSOR", "SCHEDULER")
    assert set(look(looks).all(AGE)) == {("SENSOR",), ("SCHEDULER",)}


@pytest.mark.parametrize("answer", [None, {}, {"instance": None}, {"instance": {"daemonHealth": {}}}])
def test_without_an_answer_every_daemon_counts(
    rows: Rows, source: Source, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | None
) -> None:
    rows.heartbeat("SCHEDULER", ago=400)
    instance = Instance()
    if answer is None:
        instance.needed = None
    else:
        monkeypatch.setattr(instance, "ask", lambda document: answer)
    assert set(look(daemons.collector(source, instance)).all(AGE)) == {("SCHEDULER",)}


def test_backfills(rows: Rows, looks: Callable[[], Found]) -> None:
    for n, status in enumerate(("REQUESTED", "REQUESTED", "CANCELING", "COMPLETED_SUCCESS", "FAILED")):
        insert = "INSERT INTO dagster.bulk_actions (key, status, timestamp) VALUES (:key, :status, now())"
        rows.execute(insert, key=f"k{n}", status=status)
    assert looks().all("mlops_backfills") == {("REQUESTED",): 2, ("CANCELING",): 1, ("FAILING",): 0}


def test_the_difference_of_the_clocks(rows: Rows, looks: Callable[[], Found], monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(automation.time, "time", lambda: now() + 90)
    assert looks().all("mlops_clock_skew_seconds")[()] == pytest.approx(90, abs=20)


def test_ticks_count_once_each_over_many_looks(
    rows: Rows, looks: Callable[[], Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automation, "STEP", 2)
    rows.instigator("house_prices_retrain_on_drift", "SENSOR")
    rows.instigator("one_schedule", "SCHEDULE", location="pipelines")
    rows.instigator("another_schedule", "SCHEDULE", location="pipelines")
    for ago in (9 * HOUR, 8 * HOUR, 7 * HOUR, 60):
        rows.tick("house_prices_retrain_on_drift", "SENSOR", "SKIPPED", ago=ago)
        rows.tick("one_schedule", "SCHEDULE", ago=ago)
    rows.tick("another_schedule", "SCHEDULE", "FAILURE", ago=30)
    rows.tick("house_prices_retrain_on_drift", "SENSOR", "STARTED", ago=1)
    rows.tick("nobody_knows_it_any_more", "SENSOR", ago=1)
    expected = {
        ("house_prices_retrain_on_drift", "SKIPPED"): 4,
        ("declared", "SUCCESS"): 4,
        ("declared", "FAILURE"): 1,
    }
    for _ in range(2):
        ticks = looks().all("mlops_ticks_total")
        assert {key: value for key, value in ticks.items() if value} == expected
    # As Dagster removes ticks after some days, and one that was under way is decided.
    rows.execute("DELETE FROM dagster.job_ticks WHERE create_timestamp < now() - interval '7 hours'")
    rows.execute("UPDATE dagster.job_ticks SET status = 'FAILURE' WHERE status = 'STARTED'")
    ticks = looks().all("mlops_ticks_total")
    more = {("house_prices_retrain_on_drift", "FAILURE"): 1}
    assert {key: value for key, value in ticks.items() if value} == expected | more
    assert ticks["house_prices_retrain_on_drift", "SUCCESS"] == 0


def test_the_newest_tick_of_sensors_that_are_on(rows: Rows, looks: Callable[[], Found]) -> None:
    rows.instigator("house_prices_retrain_on_drift", "SENSOR")
    rows.instigator("turned_off", "SENSOR", status="STOPPED")
    for name in ("house_prices_retrain_on_drift", "turned_off"):
        rows.tick(name, "SENSOR", ago=500)
        rows.tick(name, "SENSOR", "SKIPPED", ago=40)
    found = looks().all("mlops_sensor_last_tick_timestamp_seconds")
    assert found == {("house_prices_retrain_on_drift",): pytest.approx(time.time() - 40, abs=20)}


def test_times_without_a_zone_are_in_that_of_the_server(empty_tables: PlatformTables) -> None:
    with in_zone(empty_tables, "Asia/Kolkata") as server:
        # Connections that ask for no zone, as Dagster's own.
        engine = create_engine(empty_tables.url)
        Rows(Database(engine)).heartbeat("SENSOR", ago=5)
        engine.dispose()
        found = look(daemons.collector(server, Instance("SENSOR")))
    assert found.of("mlops_daemon_heartbeat_age_seconds", daemon="SENSOR") == pytest.approx(5, abs=20)


@contextmanager
def in_zone(tables: PlatformTables, name: str) -> Iterator[Source]:
    """The database as collectors ask it, with connections in that time zone unless they ask for another."""
    database = make_url(tables.url).database
    with tables.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ALTER DATABASE {database} SET timezone = '{name}'"))
        source = Source(tables.url)
        try:
            yield source
        finally:
            source.close()
            connection.execute(text(f"ALTER DATABASE {database} RESET timezone"))


def test_how_late_the_newest_tick_came_and_the_next_one_is(source: Source, rows: Rows) -> None:
    rows.instigator("punctual", "SCHEDULE", started=1000)
    rows.instigator("missed", "SCHEDULE", started=1000)
    rows.instigator("never", "SCHEDULE", started=time.time() - 500)
    rows.instigator("turned_off", "SCHEDULE", status="STOPPED", started=1000)
    rows.tick("punctual", "SCHEDULE", ago=30, delay=2)
    rows.tick("missed", "SCHEDULE", ago=4000, delay=50)
    rows.tick("turned_off", "SCHEDULE", ago=90_000)
    dagster = Dagster({"punctual": HOUR, "missed": HOUR, "never": 60, "turned_off": 60})
    found = look(schedules(source, dagster))
    delays = {name: value for (name,), value in found.all("mlops_schedule_delay_seconds").items()}
    assert delays == {"punctual": 2, "missed": 50}
    late = {name: value for (name,), value in found.all("mlops_schedule_overdue_seconds").items()}
    assert late == {"punctual": 0, "missed": pytest.approx(400, abs=20), "never": pytest.approx(440, abs=20)}
    assert sorted(dagster.asked) == ["missed", "never", "punctual"]


def test_a_schedule_turned_on_again_is_due_from_then_on(source: Source, rows: Rows) -> None:
    rows.instigator("daily", "SCHEDULE", started=time.time() - 10)
    rows.tick("daily", "SCHEDULE", ago=90_000)
    found = look(schedules(source, Dagster({"daily": HOUR})))
    assert found.of("mlops_schedule_overdue_seconds", schedule="daily") == 0


def test_what_is_known_of_a_schedule_holds_while_the_webserver_is_away(source: Source, rows: Rows) -> None:
    rows.instigator("hourly", "SCHEDULE", started=1000)
    rows.tick("hourly", "SCHEDULE", ago=4000)
    dagster = Dagster({"hourly": HOUR})
    looks = schedules(source, dagster)
    for away in (False, True, False):
        dagster.away = away
        assert look(looks).of("mlops_schedule_overdue_seconds", schedule="hourly") == pytest.approx(400, abs=30)
    assert dagster.asked == ["hourly"]
    # It ticked: the next time is another one, which nobody can tell now.
    rows.tick("hourly", "SCHEDULE", ago=1)
    dagster.away = True
    assert look(looks).of("mlops_schedule_overdue_seconds", schedule="hourly") == 0
    dagster.away = False
    assert look(looks).of("mlops_schedule_overdue_seconds", schedule="hourly") == 0
    assert dagster.asked == ["hourly", "hourly"]


def test_a_schedule_that_dagster_does_not_know_is_never_late(source: Source, rows: Rows) -> None:
    rows.instigator("gone", "SCHEDULE", started=1000)
    dagster = Dagster({})
    looking = LookAtSchedules(source, dagster)
    for _ in range(3):
        sheet = schedules(source, dagster).sheet()
        looking(sheet)
        assert sheet.values == {}
    assert dagster.asked == ["gone"], f"asked again before {AGAIN_SECONDS} s have gone"


def test_the_schedules_of_a_thousand_pipelines_are_one_series_and_few_questions(source: Source, rows: Rows) -> None:
    late = time.time() - 2 * HOUR
    rows.execute(
        """
        INSERT INTO dagster.instigators (selector_id, repository_selector_id, status, instigator_type, instigator_body)
        SELECT 's' || n, 'r', 'DECLARED_IN_CODE', 'SCHEDULE', jsonb_build_object(
          'origin', jsonb_build_object('job_name', 'p' || n, 'external_repository_origin', jsonb_build_object(
            'repository_name', '__repository__',
            'repository_location_origin', jsonb_build_object('location_name', 'pipelines'))),
          'job_specific_data', jsonb_build_object('start_timestamp', CAST(:late AS float8)))::text
        FROM generate_series(1, 1000) AS n""",
        late=late,
    )
    dagster = Dagster({f"p{n}": HOUR for n in range(1, 1001)})
    looks = schedules(source, dagster)
    for n in range(1, 4):
        found = look(looks)
        assert len(dagster.asked) == n * MOST_ASKED
    assert list(found.all("mlops_schedule_overdue_seconds")) == [("declared",)]
    assert found.of("mlops_schedule_overdue_seconds", schedule="declared") == pytest.approx(HOUR, abs=30)
