"""The log's hours as files that pandas, DuckDB and Polars read, and days that leave the log only when they are safe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from inference.ship_rows import OPTIONS, LogDatabase
from inference.timed_connection import TimedConnection
from mlops_assets.prediction_log.component import log_definitions
from mlops_assets.prediction_log.exporting import Exported, ExportError, export_hour
from mlops_assets.prediction_log.hours import due_hours
from mlops_assets.prediction_log.retention import remove_old
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from tests.integration.test_prediction_log import id_of
from tests.journal_lines import encoded, feedback, prediction

HOUR = datetime(2026, 3, 9, 12, tzinfo=UTC)
Ship = Callable[..., None]


@pytest.fixture
def ship(database: Database, postgres_url: str) -> Iterator[Ship]:
    """Ship these records in one transaction."""
    log = LogDatabase(TimedConnection(postgres_url, name="test", options=OPTIONS))
    yield lambda *records: log.ship(encoded(*records))
    log.close()


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))


def made(minute: float = 0, hour: datetime = HOUR, **changes: Any) -> dict[str, Any]:
    moment = hour + timedelta(minutes=minute)
    return prediction(id=id_of(moment), at=moment.timestamp(), **changes)


def given(on: dict[str, Any], minute: float = 0, hour: datetime = HOUR, **changes: Any) -> dict[str, Any]:
    return feedback(on["id"], at=(hour + timedelta(minutes=minute)).timestamp(), product=on["product"], **changes)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def file_of(storage: Storage, name: str, hour: datetime = HOUR) -> Path:
    return Path(storage.url) / "homes" / "prediction_log" / f"date={hour:%Y-%m-%d}" / f"hour={hour:%H}" / name


def read_by_pandas(path: Path) -> list[dict[str, Any]]:
    import pandas as pd

    frame = pd.read_parquet(path).astype(object)
    found = frame.where(frame.notna(), None).to_dict("records")
    return [{str(k): v.to_pydatetime() if isinstance(v, pd.Timestamp) else v for k, v in r.items()} for r in found]


def read_by_duckdb(path: Path) -> list[dict[str, Any]]:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # Times as texts: DuckDB would need another package to make aware datetimes.
        found = connection.execute(f'SELECT * REPLACE ("at"::VARCHAR AS "at") FROM read_parquet(\'{path}\')')
        names = [column[0] for column in found.description or []]
        records = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return [r | {"at": datetime.fromisoformat(r["at"])} for r in records]


def read_by_polars(path: Path) -> list[dict[str, Any]]:
    import polars as pl

    return list(pl.read_parquet(path).to_dicts())


READERS = [read_by_pandas, read_by_duckdb, read_by_polars]


@pytest.mark.parametrize("read", READERS)
def test_the_files_hold_what_the_tables_hold(
    database: Database, ship: Ship, storage: Storage, read: Callable[[Path], list[dict[str, Any]]]
) -> None:
    inside = [made(n, user=None if n % 3 else "u1", ms=0.25 + n) for n in range(0, 60, 7)]
    unusual = {"area": None, "town": 5, "new": None, "_": "ß|\n"}
    odd = made(59.99, features=unusual, rollout=None, step=None, trace_id="5" * 32)
    outside = [made(-0.001), made(60), made(5, product="loans")]
    ship(*inside, odd, *outside)
    ship(given(inside[0], 30, value=None, text="ok", type="comment"), given(outside[0], 59), given(inside[1], 60))
    done = export_hour(database, storage, "homes", HOUR)
    assert (done.predictions, done.feedback) == (len(inside) + 1, 2)
    assert done.variants == {"production": len(inside) + 1}

    found = read(file_of(storage, "predictions.parquet"))
    expected = rows(
        database,
        "SELECT id::text, product, at, variant, version, assigned, rollout, step, user_hash, latency_ms, request_id, "
        "trace_id, sample, batch, features, output FROM mlops.prediction WHERE product = 'homes' "
        "AND date_trunc('hour', at, 'UTC') = '2026-03-09 12:00+00' ORDER BY at, id",
    )
    plain = ("id", "product", "at", "variant", "version", "assigned", "rollout", "step", "user_hash", "latency_ms")
    plain += ("request_id", "trace_id", "sample", "batch")
    assert [tuple(r[name] for name in plain) for r in found] == [row[:14] for row in expected]
    assert [(json.loads(r["features"]), json.loads(r["output"])) for r in found] == [row[14:] for row in expected]
    assert {r["estimate"] for r in found} == {55.25}
    assert [r["feature_area"] for r in found] == [1200.5] * len(inside) + [None]
    assert [r["feature_town"] for r in found] == ["Pune"] * len(inside) + ["5"]
    assert [r["feature_new"] for r in found] == [True] * len(inside) + [None]
    assert "feature_garden" not in found[0]

    answers = read(file_of(storage, "feedback.parquet"))
    assert [(r["prediction_id"], r["type"], r["value"], r["text"]) for r in answers] == [
        (inside[0]["id"], "comment", None, "ok"),
        (outside[0]["id"], "rating", 4.0, None),
    ]
    assert {r["estimate"] for r in answers} == {55.25}


def test_hours_are_read_together(database: Database, ship: Ship, storage: Storage) -> None:
    import duckdb
    import polars as pl

    ship(made(1), made(61, features={"area": 3, "new": False}))
    for hour in (HOUR, HOUR + timedelta(hours=1), HOUR + timedelta(hours=2)):
        export_hour(database, storage, "homes", hour)
    every = f"{storage.url}/homes/prediction_log/**/predictions.parquet"
    with duckdb.connect() as connection:
        source = f"read_parquet('{every}', union_by_name = true)"
        query = f"SELECT hour::int, feature_area, feature_town FROM {source} ORDER BY id"
        assert connection.execute(query).fetchall() == [(12, 1200.5, "Pune"), (13, 3.0, None)]
    together = pl.scan_parquet(every, missing_columns="insert", extra_columns="ignore").sort("at")
    assert together.collect()["feature_area"].to_list() == [1200.5, 3.0]


def test_an_hour_without_rows_is_two_empty_files(database: Database, storage: Storage) -> None:
    done = export_hour(database, storage, "homes", HOUR)
    assert (done.predictions, done.feedback, done.max_batch) == (0, 0, 0)
    assert read_by_polars(file_of(storage, "predictions.parquet")) == []
    assert read_by_polars(file_of(storage, "feedback.parquet")) == []
    assert due_hours(database, "homes", HOUR + timedelta(hours=1)).hours == ()


def test_only_whole_hours_are_exported(database: Database, storage: Storage) -> None:
    with pytest.raises(ExportError, match="beginning of an hour"):
        export_hour(database, storage, "homes", HOUR + timedelta(minutes=1))


def test_an_hour_that_is_being_exported_is_refused(database: Database, storage: Storage) -> None:
    with database.engine.begin() as connection:
        lock = "SELECT pg_advisory_xact_lock(hashtext('mlops.log_export'), hashtext('homes ' || :hour))"
        connection.execute(text(lock), {"hour": HOUR.isoformat()})
        with pytest.raises(ExportError, match="another run") as caught:
            export_hour(database, storage, "homes", HOUR)
    assert caught.value.transient


def test_finished_hours_with_rows_and_the_last_one_are_due(database: Database, ship: Ship, storage: Storage) -> None:
    now = HOUR + timedelta(hours=3, minutes=10)
    ship(made(0), made(61), made(190), made(0, product="loans", hour=HOUR - timedelta(hours=9)))
    hours = [HOUR, HOUR + timedelta(hours=1), HOUR + timedelta(hours=2)]  # the last one has no rows
    assert due_hours(database, "homes", now).hours == tuple(hours)
    assert due_hours(database, "homes", now, most=1).more
    for hour in hours:
        export_hour(database, storage, "homes", hour)
    assert due_hours(database, "homes", now).hours == ()


def test_late_rows_are_exported_again(database: Database, ship: Ship, storage: Storage) -> None:
    now = HOUR + timedelta(hours=1, minutes=10)
    first = made(1)
    ship(first)
    before = export_hour(database, storage, "homes", HOUR)
    ship(made(2))
    assert due_hours(database, "homes", now).hours == (HOUR,)
    after = export_hour(database, storage, "homes", HOUR)
    assert (after.predictions, after.max_batch > before.max_batch) == (2, True)
    assert due_hours(database, "homes", now).hours == ()
    ship(given(first, 3))
    assert due_hours(database, "homes", now).hours == (HOUR,)
    assert export_hour(database, storage, "homes", HOUR).feedback == 1
    assert len(read_by_polars(file_of(storage, "predictions.parquet"))) == 2
    assert due_hours(database, "homes", now).hours == ()


def test_a_large_hour_streams(
    database: Database, ship: Ship, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_assets.storage.parquet_rows.CHUNK_ROWS", 100)
    records = [made(n / 20) for n in range(450)]
    ship(*records)
    assert export_hour(database, storage, "homes", HOUR).predictions == 450
    assert pq.ParquetFile(file_of(storage, "predictions.parquet")).num_row_groups == 5
    found = read_by_polars(file_of(storage, "predictions.parquet"))
    assert [r["id"] for r in found] == [r["id"] for r in records]


DAYS = 30
LATER = HOUR + timedelta(days=DAYS + 1)
DAY = HOUR.date()


def partitions(database: Database) -> list[str]:
    query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'mlops.prediction'::regclass ORDER BY 1"
    return [name for (name,) in rows(database, query)]


def test_an_exported_day_leaves_the_log(database: Database, ship: Ship, storage: Storage) -> None:
    first, next_day = made(0), made(24 * 60)
    ship(first, next_day, given(first, 5), given(first, 24 * 60))
    fail_a_request(database, HOUR)
    export_hour(database, storage, "homes", HOUR)
    done = remove_old(database, "homes", DAYS, LATER)
    assert (done.days, done.dropped_partitions, done.predictions, done.feedback, done.failures) == ((DAY,), 1, 1, 1, 1)
    assert done.kept == ()
    assert partitions(database) == ["mlops.prediction_20260310", "mlops.prediction_default"]
    assert rows(database, "SELECT id::text FROM mlops.prediction") == [(next_day["id"],)]
    assert rows(database, "SELECT count(*) FROM mlops.feedback") == [(1,)]
    assert remove_old(database, "homes", DAYS, LATER).days == ()
    assert len(read_by_polars(file_of(storage, "predictions.parquet"))) == 1
    with pytest.raises(ExportError, match="the files stay as they are"):
        export_hour(database, storage, "homes", HOUR)
    assert len(read_by_polars(file_of(storage, "predictions.parquet"))) == 1


def fail_a_request(database: Database, at: datetime) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO mlops.request_failure (request_id, at, product, status, batch) "
                "VALUES ('r1', :at, 'homes', 503, 1)"
            ),
            {"at": at},
        )


@pytest.mark.parametrize("late", ["never exported", "a later prediction", "a later feedback"])
def test_a_day_that_is_not_safe_in_files_stays(database: Database, ship: Ship, storage: Storage, late: str) -> None:
    first = made(0)
    ship(first, made(90))
    for hour in (HOUR, HOUR + timedelta(hours=1)) if late != "never exported" else (HOUR,):
        export_hour(database, storage, "homes", hour)
    if late == "a later prediction":
        ship(made(100))
    if late == "a later feedback":
        ship(given(first, 100))
    done = remove_old(database, "homes", DAYS, LATER)
    assert (done.days, done.dropped_partitions) == ((), 0)
    assert done.kept == ((DAY, "hour 2026-03-09 13 is not exported with its newest rows"),)
    assert rows(database, "SELECT count(*) >= 2 FROM mlops.prediction") == [(True,)]


def test_young_days_stay(database: Database, ship: Ship, storage: Storage) -> None:
    ship(made(0))
    export_hour(database, storage, "homes", HOUR)
    done = remove_old(database, "homes", DAYS, HOUR + timedelta(days=DAYS))
    assert (done.days, done.kept) == ((), ())


def test_another_products_rows_stay_as_long_as_that_product_says(
    database: Database, ship: Ship, storage: Storage
) -> None:
    ship(made(0), made(1, product="loans"))
    export_hour(database, storage, "homes", HOUR)
    done = remove_old(database, "homes", DAYS, LATER)
    assert (done.days, done.dropped_partitions, done.predictions) == ((DAY,), 0, 1)
    assert rows(database, "SELECT product FROM mlops.prediction") == [("loans",)]
    export_hour(database, storage, "loans", HOUR)
    done = remove_old(database, "loans", DAYS, LATER)
    assert (done.days, done.dropped_partitions) == ((DAY,), 1)
    assert partitions(database) == ["mlops.prediction_default"]


def test_rows_that_come_after_their_day_was_removed_are_kept(database: Database, ship: Ship, storage: Storage) -> None:
    ship(made(0), made(1))
    export_hour(database, storage, "homes", HOUR)
    remove_old(database, "homes", DAYS, LATER)
    ship(made(2))
    assert HOUR not in due_hours(database, "homes", LATER).hours
    done = remove_old(database, "homes", DAYS, LATER)
    assert [day for day, _ in done.kept] == [DAY]
    assert rows(database, "SELECT count(*) FROM mlops.prediction") == [(1,)]


def test_rows_of_a_wrong_clock_are_told(database: Database, ship: Ship) -> None:
    ship(prediction(id=id_of(datetime(5000, 1, 1, tzinfo=UTC)), at=HOUR.timestamp()))
    done = remove_old(database, "homes", DAYS, LATER)
    assert any("tell no day" in reason for _, reason in done.kept)


@pytest.fixture
def location(database: Database, storage: Storage) -> dg.Definitions:
    declared = log_definitions("homes", "Homes", "team:homes", RolloutPolicy(log_retention_days=DAYS))
    return dg.Definitions.merge(declared, dg.Definitions(resources={"database": database, "storage": storage}))


def test_the_schedule_asks_for_due_hours_and_the_job_exports_them(
    database: Database, ship: Ship, storage: Storage, location: dg.Definitions
) -> None:
    ship(made(0), made(61))
    repository = location.get_repository_def()
    schedule = repository.get_schedule_def("homes_log_export_schedule")
    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> Any:
            context = dg.build_schedule_context(
                instance=instance,
                scheduled_execution_time=HOUR + timedelta(hours=2, minutes=10),
                repository_def=repository,
                resources={"database": database},
            )
            return schedule.evaluate_tick(context)

        asked = [request.partition_key for request in tick().run_requests]
        assert asked == ["2026-03-09-12:00", "2026-03-09-13:00"]
        for key in asked:
            result = location.resolve_job_def("homes_log_export").execute_in_process(
                partition_key=key, instance=instance
            )
            assert result.success
        materialized = result.asset_materializations_for_node("homes__prediction_log")
        metadata = materialized[0].metadata
        assert metadata["predictions"].value == 1
        assert "| production | 1 |" in metadata["by_variant"].value
        assert "feature_area" in metadata["preview"].value
        assert "every finished hour" in str(tick().skip_message)
    assert file_of(storage, "predictions.parquet").exists()


def test_the_retention_job_says_what_it_kept(database: Database, ship: Ship, location: dg.Definitions) -> None:
    ship(made(0))
    with dg.DagsterInstance.ephemeral() as instance:
        result = location.resolve_job_def("homes_log_retention").execute_in_process(instance=instance)
        metadata = result.asset_materializations_for_node("homes__log_retention")[0].metadata
    assert metadata["days"].value == []
    assert f"| {date(2026, 3, 9)} | hour 2026-03-09 12 is not exported" in metadata["kept"].value


def test_a_failed_export_leaves_the_files_before(
    database: Database, ship: Ship, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(made(0))
    done: Exported = export_hour(database, storage, "homes", HOUR)
    ship(made(1))
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "write_file", _full)
        with pytest.raises(OSError, match="full"):
            export_hour(database, storage, "homes", HOUR)
    assert len(read_by_polars(file_of(storage, "predictions.parquet"))) == done.predictions
    assert due_hours(database, "homes", HOUR + timedelta(hours=1)).hours == (HOUR,)


def _full(*_: object) -> None:
    raise OSError("full")
