"""A day of live data as a sample: from exported hours of a real log, whole or with a clear error, always the same."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pandas.testing import assert_frame_equal
from sqlalchemy import text

from mlops_assets.drift.days import NotExportedError, due_days, read_day
from mlops_assets.drift.facts import Monitored
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.recent import read_recent
from mlops_assets.drift.sample import Sample
from mlops_assets.prediction_log.exporting import export_hour
from mlops_assets.prediction_log.retention import remove_old
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, StorageError
from tests.made_log import count_batch

DAY = date(2026, 3, 9)
NOW = datetime(2026, 3, 12, 1, 30, tzinfo=UTC)
PRODUCT = "homes"
MONITORED = (
    Monitored("area", "number"),
    Monitored("town", "category"),
    Monitored("garden", "number", optional=True),
    Monitored("estimate", "number", "prediction"),
    Monitored("error", "number", "error"),
)
POLICY = DriftPolicy()
_PREDICTION = """
INSERT INTO mlops.prediction (id, product, at, variant, version, assigned, user_hash, features, output, latency_ms,
  sample, batch)
VALUES (:id, :product, :at, 'production', :version, 'production', :user, cast(:features AS jsonb),
  jsonb_build_object('price', cast(:estimate AS double precision)), 5, false, :batch)
"""
_FEEDBACK = """
INSERT INTO mlops.feedback (id, prediction_id, product, at, type, value, variant, version, assigned, user_hash,
  predicted_at, estimate, batch)
SELECT :id, id, product, :at, :type, :value, variant, version, assigned, user_hash, at, mlops.numeric_answer(output),
  :batch FROM mlops.prediction WHERE id = :prediction
"""


class Log:
    """Writes rows of the log straight into the tables, counted as the shipper counts."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self.database, self.storage = database, storage
        self._numbers = itertools.count(1)

    def predict(self, *requests: dict[str, Any], at: datetime | None = None, hour: float = 12.0) -> list[UUID]:
        """Requests a second apart, in one batch; keys `user`, `version` and `estimate` are not features."""
        moment = at or moment_of(hour)
        rows = []
        for place, request in enumerate(requests):
            own = {"user": None, "version": 3, "estimate": 55.0, "product": PRODUCT} | {
                name: request[name] for name in ("user", "version", "estimate", "product") if name in request
            }
            features = {name: value for name, value in request.items() if name not in own}
            when = moment + timedelta(seconds=place)
            rows.append(own | {"id": self._id(when), "at": when, "features": json.dumps(features)})
        self._ship(_PREDICTION, rows)
        return [row["id"] for row in rows]

    def price(self, prediction: UUID, value: float | None, hour: float = 13.0, kind: str = "actual_price") -> None:
        """Feedback on a prediction."""
        when = moment_of(hour)
        row = {"id": self._id(when), "at": when, "type": kind, "value": value, "prediction": prediction}
        self._ship(_FEEDBACK, [row])

    def export(self, *hours: int, day: date = DAY) -> None:
        """Write the files of these hours, or of the whole day."""
        for hour in hours or range(24):
            export_hour(self.database, self.storage, PRODUCT, moment_of(hour, day))

    def read(self, release: int = 3, policy: DriftPolicy = POLICY, day: date = DAY) -> Sample:
        return read_day(self.database, self.storage, PRODUCT, day, MONITORED, release, policy)

    def file(self, hour: int, name: str = "predictions.parquet") -> Path:
        return Path(self.storage.url) / PRODUCT / "prediction_log" / f"date={DAY}" / f"hour={hour:02d}" / name

    def _ship(self, statement: str, rows: list[dict[str, Any]]) -> None:
        with self.database.engine.begin() as connection:
            batch = int(connection.execute(text("SELECT nextval('mlops.batch')")).scalar_one())
            connection.execute(text(statement), [row | {"batch": batch} for row in rows])
            count_batch(connection, batch)

    def _id(self, when: datetime) -> UUID:
        return UUID(int=int(when.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | next(self._numbers))


def moment_of(hour: float, day: date = DAY) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)


def asked(area: Any = 1200, town: Any = "Pune", **more: Any) -> dict[str, Any]:
    return {"area": area, "town": town, **more}


@pytest.fixture
def log(database: Database, tmp_path: Path) -> Log:
    return Log(database, Storage(str(tmp_path / "storage")))


def areas(sample: Sample) -> list[float]:
    return sample.rows["area"].tolist()


def test_a_day_is_what_was_asked_in_its_hours_whoever_answered(log: Log) -> None:
    log.predict(asked(1), hour=-1 / 3600)
    log.predict(asked(2, garden=3), asked(3, None), hour=0)
    log.predict(asked(4, version=2, estimate=99), asked(5, product="loans"), hour=12)
    log.predict(asked(6, other="not monitored"), hour=24 - 1 / 3600)
    log.predict(asked(7), hour=24)
    log.export()
    sample = log.read()
    assert areas(sample) == [2, 3, 4, 6]
    assert sample.rows["town"].tolist() == ["Pune", None, "Pune", "Pune"]
    assert sample.rows["garden"].tolist() == pytest.approx([3, *[float("nan")] * 3], nan_ok=True)
    assert list(sample.rows.columns) == ["area", "town", "garden"]
    assert sample.logged_rows == 4
    assert sample.scored["estimate"].tolist() == [55.0] * 3
    assert log.read(release=2).scored["estimate"].tolist() == [99.0]
    assert len(log.read(release=9).scored) == 0


def test_hours_that_differ_in_a_features_type_or_lack_it(log: Log) -> None:
    """`export_hour` gives a column its type by the values of the hour."""
    log.predict(asked(1.5, 5), asked(True, 6), hour=1)  # area as text, town as a number
    log.predict(asked(2.5, "Pune"), asked(None, "5"), hour=2)  # a number, text
    log.predict({"garden": 4}, hour=3)  # neither
    log.predict(asked("3.5", "Goa"), asked("many", True), hour=4)  # text
    log.predict(asked(True, True), hour=5)  # truth values
    log.export()
    sample = log.read()
    nan = float("nan")
    assert areas(sample) == pytest.approx([1.5, 1, 2.5, nan, nan, 3.5, nan, 1], nan_ok=True)
    assert sample.rows["town"].tolist() == ["5", "6", "Pune", "5", None, "Goa", "true", "true"]
    assert sample.rows["garden"].tolist() == pytest.approx([nan] * 4 + [4] + [nan] * 3, nan_ok=True)
    assert sample.rows["garden"].dtype == sample.rows["area"].dtype == "float64"


def test_equal_requests_of_one_user_count_once_a_day(log: Log) -> None:
    log.predict(asked(1, user="a"), asked(1, user="a"), asked(1, user="b"), asked(1), asked(1), hour=1)
    log.predict(asked("1", user="a"), asked(1, user="a", other=2), asked(2, "x", user="a"), hour=9)
    log.predict(asked(1, user="a", version=2, estimate=99), hour=20)
    log.export()
    sample = log.read()
    # User a once for 1, b once, two unknown ones, and a's other question.
    assert areas(sample) == [1, 1, 1, 1, 2]
    assert sample.logged_rows == 9
    assert len(sample.scored) == 5
    # What a's first answer of release 2 was is known, although the question was asked before.
    assert log.read(release=2).scored["estimate"].tolist() == [99.0]


def test_errors_are_of_the_last_price_of_each_answer_of_the_release(log: Log) -> None:
    yesterday = log.predict(asked(), at=moment_of(-5))[0]
    mine, twice, other, zero, never = log.predict(
        asked(1), asked(2, estimate=80), asked(3, version=2), asked(4), asked(5), hour=3
    )
    log.price(yesterday, 110, hour=1)
    log.price(mine, 50, hour=4)
    log.price(twice, 20, hour=4)
    log.price(twice, 100, hour=23)
    log.price(twice, 40, hour=24)  # the next day's
    log.price(other, 50, hour=4)
    log.price(zero, 0, hour=4)
    log.price(never, 4, hour=4, kind="rating")
    log.export()
    sample = log.read()
    assert sorted(sample.scored["error"].dropna()) == pytest.approx([0.1, 0.2, 0.5])
    assert sorted(sample.scored["estimate"].dropna()) == [55.0, 55.0, 55.0, 80.0]
    assert log.read(release=2).scored["error"].dropna().tolist() == pytest.approx([0.1])


def test_a_day_without_rows_is_an_empty_sample(log: Log) -> None:
    for exported in (False, True):
        if exported:
            log.export(0, 12)
        sample = log.read()
        assert (len(sample.rows), len(sample.scored), sample.logged_rows) == (0, 0, 0)
        assert list(sample.rows.columns) == ["area", "town", "garden"]
        assert list(sample.scored.columns) == ["estimate", "error"]


def test_only_what_is_monitored_is_read(log: Log) -> None:
    given = log.predict(asked(1), asked(2))
    log.price(given[0], 50)
    log.export()
    sample = read_day(log.database, log.storage, PRODUCT, DAY, MONITORED[1:3], 3, POLICY)
    assert list(sample.rows.columns) == ["town", "garden"]
    assert len(sample.rows) == 2
    assert sample.scored.columns.empty


def test_hours_that_are_not_exported_are_named(log: Log) -> None:
    log.predict(asked(), hour=3)
    log.predict(asked(), hour=14.5)
    log.export(3)
    with pytest.raises(NotExportedError, match=r"homes 2026-03-09: hours 14:00 \(UTC\) .*homes_log_export"):
        log.read()
    log.export(14)
    assert len(log.read().rows) == 2


def test_rows_that_came_after_the_export_are_waited_for(log: Log) -> None:
    (first,) = log.predict(asked(1), hour=3)
    log.export()
    assert areas(log.read()) == [1]
    log.predict(asked(2), hour=3.5)
    with pytest.raises(NotExportedError, match="03:00"):
        log.read()
    log.export(3)
    assert areas(log.read()) == [1, 2]
    log.price(first, 50, hour=9)  # late feedback counts too
    with pytest.raises(NotExportedError, match="09:00"):
        log.read()
    log.export(9)
    assert log.read().scored["error"].dropna().tolist() == pytest.approx([0.1])


def test_a_day_that_left_the_log_is_read_from_its_files(log: Log) -> None:
    with log.database.engine.begin() as connection:
        connection.execute(text("SELECT mlops.ensure_prediction_day(:day)"), {"day": DAY})
    (first,) = log.predict(asked(1), asked(2))[:1]
    log.price(first, 50)
    log.export()
    before = log.read()
    assert remove_old(log.database, PRODUCT, 1, NOW).days == (DAY,)
    after = log.read()
    assert_frame_equal(after.rows, before.rows)
    assert_frame_equal(after.scored, before.scored)
    # Rows that came later than that can't be exported any more: the files stay what they are, and are read.
    log.predict(asked(9))
    assert areas(log.read()) == [1, 2]


def test_lost_and_damaged_files_are_named(log: Log) -> None:
    log.predict(asked(), hour=3)
    log.export()
    kept = log.file(3).read_bytes()
    log.file(3).write_bytes(kept[:100])
    with pytest.raises(StorageError, match=r"hour=03/predictions.parquet"):
        log.read()
    log.file(3).unlink()
    with pytest.raises(NotExportedError, match=r"03:00 \(UTC\) were exported and their files are gone"):
        log.read()
    log.export(3)
    assert len(log.read().rows) == 1


def test_a_large_day_is_sampled_the_same_way_each_time(log: Log, tmp_path: Path) -> None:
    given = log.predict(*(asked(place, user=f"u{place % 400}" if place % 2 else None) for place in range(3000)))
    log.predict(*(asked(place, user=f"u{place % 400}") for place in range(1, 3000, 2)), hour=20)
    for prediction in given[::5]:
        log.price(prediction, 50)
    log.export()
    small = DriftPolicy(sample_rows=200)
    one, again, other = log.read(policy=small), log.read(policy=small), log.read(policy=DriftPolicy(sample_rows=201))
    assert (len(one.rows), one.logged_rows) == (200, 4500)
    assert one.scored["error"].notna().sum() == one.scored["estimate"].notna().sum() == 200
    assert_frame_equal(one.rows, again.rows)
    assert_frame_equal(one.scored, again.scored)
    assert set(areas(one)) < set(areas(other))
    assert areas(one) != areas(log.read(policy=DriftPolicy(sample_rows=200, seed=8)))
    assert len(set(areas(one))) == 200
    # Even: the mean of 200 of 0 … 2999 is 1,500 ± 61 (one standard deviation).
    assert abs(sum(areas(one)) / 200 - 1500) < 305
    # The same files somewhere else, whatever lies between.
    moved = Storage(str(tmp_path / "moved"))
    shutil.copytree(log.storage.url, moved.url)
    assert_frame_equal(
        read_day(log.database, moved, PRODUCT, DAY, MONITORED, 3, small).rows,
        one.rows,
    )


def test_finished_days_with_traffic_and_no_verdict_are_due(log: Log) -> None:
    for back in (0, 1, 2, 5, 14, 15):
        log.predict(asked(), at=NOW - timedelta(days=back))
    log.predict(asked(product="loans"), at=NOW - timedelta(days=4))
    assert due_days(log.database, PRODUCT, NOW) == [
        date(2026, 2, 26), date(2026, 3, 7), date(2026, 3, 10), date(2026, 3, 11),
    ]  # fmt: skip
    assert due_days(log.database, PRODUCT, NOW, days=2) == [date(2026, 3, 10), date(2026, 3, 11)]
    with log.database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO mlops.drift_verdict (product, day, release, status, strength, drifted, verdict) VALUES "
                "('homes', '2026-03-10', 3, 'ok', 0, '{}', '{}'), ('loans', '2026-03-11', 3, 'ok', 0, '{}', '{}')"
            )
        )
    assert due_days(log.database, PRODUCT, NOW, days=2) == [date(2026, 3, 11)]
    assert due_days(log.database, "shop", NOW) == []


def test_a_day_that_only_files_hold_is_due(log: Log) -> None:
    with log.database.engine.begin() as connection:
        connection.execute(text("SELECT mlops.ensure_prediction_day(:day)"), {"day": DAY})
    log.predict(asked())
    log.export()
    remove_old(log.database, PRODUCT, 1, NOW)
    assert due_days(log.database, PRODUCT, NOW) == [DAY]


@pytest.mark.parametrize("policy", [POLICY, DriftPolicy(sample_rows=200)])
def test_the_last_hours_from_the_tables_are_what_the_files_would_give(log: Log, policy: DriftPolicy) -> None:
    now = datetime.now(UTC)
    log.predict(asked(-1), at=now - timedelta(hours=3))
    given = log.predict(
        *(asked(place, user=f"u{place}" if place % 2 else None, version=3 - place % 2) for place in range(300)),
        *(asked(place, user=f"u{place}", version=3) for place in range(1, 300, 2)),
        asked("7.5", None, garden=None),
        asked(True, 5.0, product="loans"),
        at=now - timedelta(minutes=90),
    )
    for prediction in given[:100]:
        log.price(prediction, 50, hour=(now - moment_of(0)).total_seconds() / 3600 - 0.5)
        log.price(prediction, 110, hour=(now - moment_of(0)).total_seconds() / 3600 - 0.4)
    sample = read_recent(log.database, PRODUCT, 2, MONITORED, 3, policy)
    again = read_recent(log.database, PRODUCT, 2, MONITORED, 3, policy)
    assert_frame_equal(sample.rows, again.rows)
    assert_frame_equal(sample.scored, again.scored)
    assert sample.logged_rows == 451
    assert len(sample.rows) == min(301, policy.sample_rows)
    assert sample.rows["area"].dtype == "float64"
    if policy is POLICY:
        assert sorted(areas(sample)) == sorted([*map(float, range(300)), 7.5])
        assert sample.rows["town"].isna().sum() == 1
    # Release 3 answered all of the even ones, the odd ones the second time, and the last.
    assert sample.scored["estimate"].notna().sum() == min(301, policy.sample_rows)
    assert sample.scored["error"].dropna().tolist() == pytest.approx([0.5] * 50)
    assert len(read_recent(log.database, PRODUCT, 4, MONITORED, 3, POLICY).rows) == 302
    empty = read_recent(log.database, "shop", 2, MONITORED, 3, policy)
    assert (len(empty.rows), len(empty.scored), empty.logged_rows) == (0, 0, 0)


@pytest.mark.parametrize("hours", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_span_that_is_none_is_refused(hours: float) -> None:
    nowhere: Callable[[], Any] = lambda: None  # noqa: E731
    with pytest.raises(ValueError, match="hours: "):
        read_recent(nowhere, PRODUCT, hours, MONITORED, 3, POLICY)  # type: ignore[arg-type]
