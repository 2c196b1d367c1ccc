"""From journal lines to rows: each exactly once, joined to what it belongs to."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from inference.journal import Journal
from inference.prediction_id import uuid7
from inference.shipping import Shipper
from inference.timed_connection import DatabaseDownError
from mlops_assets.storage.database import Database
from tests.integration.shipped_log import (
    assert_counts_match_the_rows,
    count,
    ids,
    rejected,
    rows,
    segments,
    shipper_on,
)
from tests.journal_lines import encoded, feedback, prediction


def test_each_line_becomes_a_row_of_its_day(database: Database, journal: Journal, shipper: Shipper, root: Path) -> None:
    given = prediction(user=None, assigned="candidate")
    journal.append(encoded(given))
    shipper.step()
    (row,) = rows(
        database,
        "SELECT id::text, product, extract(epoch FROM at), variant, version, assigned, rollout, step, user_hash, "
        "features, output, latency_ms, request_id, sample, batch > 0, tableoid::regclass::text FROM mlops.prediction",
    )
    day = datetime.fromtimestamp(given["at"], UTC)
    assert float(row[2]) == pytest.approx(given["at"], abs=1e-5)
    assert row[:2] + row[3:] == (
        *(given["id"], "homes", "production", 3, "candidate", 1, 0, None),
        *(given["features"], given["output"], pytest.approx(0.41), given["request_id"], False, True),
        f"mlops.prediction_{day:%Y%m%d}",
    )
    assert len(segments(root)) == 1  # it may still grow
    journal.close()
    shipper.step()
    assert segments(root) == []
    assert_counts_match_the_rows(database)


def test_lines_shipped_twice_count_once(
    database: Database, journal: Journal, shipper: Shipper, postgres_url: str, root: Path
) -> None:
    given = [prediction(user=f"u{n % 3}" if n % 4 else None) for n in range(40)]
    lines = encoded(*given, feedback(given[0]["id"]), given[5])
    journal.append(lines)
    shipper.step()
    with shipper_on(postgres_url, root) as other:
        other.step()
        assert (other.counts.predictions, other.counts.feedback) == (0, 0)
        journal.append(lines)
        other.step()
    assert count(database, "prediction") == 40
    assert count(database, "feedback") == 1
    assert count(database, "feedback_waiting") == 0
    assert_counts_match_the_rows(database)


def test_rows_outside_a_rollout_and_forced_ones_are_no_units(
    database: Database, journal: Journal, shipper: Shipper
) -> None:
    outside = prediction(rollout=None, step=None, assigned=None)
    forced = [prediction(assigned="forced", user="me"), prediction(assigned="forced", user=None)]
    journal.append(encoded(outside, *forced, prediction(user="me", assigned="candidate")))
    shipper.step()
    assert rows(database, "SELECT assigned, n FROM mlops.units") == [("candidate", 1)]
    assert rows(database, "SELECT assigned, sum(requests) FROM mlops.traffic GROUP BY 1 ORDER BY 1") == [
        ("candidate", 1),
        ("forced", 2),
    ]
    assert_counts_match_the_rows(database)


def test_bad_lines_hold_nothing_up_and_are_kept_with_the_reason(
    database: Database, journal: Journal, shipper: Shipper, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = [prediction() for _ in range(60)]
    bad = [
        b"not json at all, but private\n",
        b"[1, 2]\n",
        b"\xff\xfe\n",
        b'{"k":"p","id":"nobody"}\n',
        b'{"k":"x"}\n',
        b"\0\0\0\n",
        encoded(prediction(product=None)),
        encoded(prediction(ms=None)),
        encoded(prediction(features=[1])),
        encoded(prediction(at=1e300)),
        encoded(prediction(version=2**40)),
        encoded(prediction(k="p")).rstrip(b"\n") + b"," + encoded(prediction()),
        encoded(feedback(good[0]["id"], type=None)),
    ]
    for number, record in enumerate(good):
        journal.append(encoded(record))
        journal.append(bad[number] if number < len(bad) else b"\n")
    shipper.step()
    assert ids(database) == {record["id"] for record in good}
    assert shipper.counts.rejected == len(rejected(root)) == len(bad)
    assert all(entry["reason"] for entry in rejected(root))
    assert "private" in rejected(root)[0]["line"]
    assert "private" not in caplog.text
    assert_counts_match_the_rows(database)


def test_characters_that_jsonb_cannot_hold_are_replaced(database: Database, journal: Journal, shipper: Shipper) -> None:
    broken = prediction(features={"town": "a\0b"})
    journal.append(encoded(prediction()) + json.dumps(broken).encode() + b"\n")
    shipper.step()
    assert shipper.counts.repaired == 1
    assert rows(database, "SELECT features FROM mlops.prediction WHERE id = :id", id=broken["id"]) == [
        ({"town": "a\ufffdb"},)
    ]


def test_feedback_is_joined_to_its_prediction(database: Database, journal: Journal, shipper: Shipper) -> None:
    given = prediction(assigned="candidate", variant="candidate", version=7, step=2)
    journal.append(encoded(given, feedback(given["id"], type="actual_price", value=61.5)))
    shipper.step()
    assert rows(
        database,
        "SELECT product, type, value, text, variant, version, assigned, rollout, step, user_hash, estimate, "
        "predicted_at = (SELECT at FROM mlops.prediction) FROM mlops.feedback",
    ) == [("homes", "actual_price", 61.5, None, "candidate", 7, "candidate", 1, 2, "u1", 55.25, True)]


def test_feedback_before_its_prediction_waits_for_it(database: Database, journal: Journal, shipper: Shipper) -> None:
    given = prediction()
    journal.append(encoded(feedback(given["id"])))
    shipper.step()
    assert (count(database, "feedback"), count(database, "feedback_waiting")) == (0, 1)
    assert shipper.counts.waiting == 1
    journal.append(encoded(given))
    shipper.step()
    assert (count(database, "feedback"), count(database, "feedback_waiting")) == (1, 0)
    assert_counts_match_the_rows(database)


def test_feedback_joins_a_prediction_that_another_hosts_shipper_brings_later(
    database: Database, postgres_url: str, journal: Journal, shipper: Shipper, tmp_path: Path
) -> None:
    """Without another line to ship: the last rating before a quiet night counts, too."""
    asked = prediction()
    other = Journal(tmp_path / "other" / "homes_production", "homes_production")
    with shipper_on(postgres_url, tmp_path / "other") as another:
        # From here on it knows that nothing of its own waits.
        another.step()
        journal.append(encoded(feedback(asked["id"])))
        shipper.step()
        assert (count(database, "feedback_waiting"), count(database, "feedback")) == (1, 0)
        other.append(encoded(asked))
        another.step()
    other.close()
    assert (count(database, "prediction"), count(database, "feedback")) == (1, 0)
    shipper.step()
    assert (count(database, "feedback_waiting"), count(database, "feedback")) == (0, 1)
    assert_counts_match_the_rows(database)


def test_feedback_whose_prediction_never_comes_is_dropped_after_a_day(
    database: Database, journal: Journal, shipper: Shipper, postgres_url: str, root: Path
) -> None:
    journal.append(encoded(feedback(uuid7()), feedback(uuid7())))
    shipper.step()
    with database.engine.begin() as connection:
        old = "UPDATE mlops.feedback_waiting SET first_seen = first_seen - interval '25 hours' WHERE ctid = '(0,1)'"
        connection.execute(text(old))
    with shipper_on(postgres_url, root / "elsewhere") as other:
        other.step()
    assert count(database, "feedback_waiting") == 1


def test_feedback_for_another_product_is_refused(
    database: Database, journal: Journal, shipper: Shipper, root: Path
) -> None:
    given = prediction(product="loans")
    journal.append(encoded(given, feedback(given["id"], product="homes", text="private")))
    shipper.step()
    assert (count(database, "feedback"), count(database, "feedback_waiting")) == (0, 0)
    assert shipper.counts.refused == 1
    (entry,) = rejected(root)
    assert entry["reason"] == "feedback for a prediction of another product: loans"
    assert json.loads(entry["line"])["text"] == "private"


def test_the_last_feedback_wins_and_the_others_stay(database: Database, journal: Journal, shipper: Shipper) -> None:
    given = prediction()
    now = time.time()
    first, second = (feedback(given["id"], at=now + n, value=float(n + 1)) for n in range(2))
    journal.append(encoded(given, second, feedback(given["id"], type="comment", value=None, text="ok")))
    shipper.step()
    before = rows(database, "SELECT max(batch) FROM mlops.feedback")[0][0]
    journal.append(encoded(first))  # given earlier, shipped later
    shipper.step()
    current = "SELECT type, value FROM {} ORDER BY 1"
    assert count(database, "feedback") == 3
    assert rows(database, current.format("mlops.feedback_current")) == [("comment", None), ("rating", 2.0)]
    third = feedback(given["id"], at=now + 5, value=5.0)
    journal.append(encoded(third))
    shipper.step()
    assert rows(database, current.format("mlops.feedback_current")) == [("comment", None), ("rating", 5.0)]
    until = f"mlops.feedback_until({before})"
    assert rows(database, current.format(until)) == [("comment", None), ("rating", 2.0)]


def id_of(moment: datetime) -> str:
    """A UUIDv7 of that moment."""
    milliseconds = f"{int(moment.timestamp() * 1000):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}{uuid7()[13:]}"


def test_a_clock_that_jumps_gets_a_partition_and_an_absurd_one_does_not(
    database: Database, journal: Journal, shipper: Shipper
) -> None:
    for year in (1975, 2024, 2033, 5000):
        moment = datetime(year, 3, 9, 12, tzinfo=UTC)
        journal.append(encoded(prediction(id=id_of(moment), at=moment.timestamp())))
    shipper.step()
    found = rows(
        database, "SELECT extract(year FROM at)::int, tableoid::regclass::text FROM mlops.prediction ORDER BY 1"
    )
    assert found == [
        (1975, "mlops.prediction_default"),
        (2024, "mlops.prediction_20240309"),
        (2033, "mlops.prediction_20330309"),
        (5000, "mlops.prediction_default"),
    ]
    assert_counts_match_the_rows(database)


def test_rows_that_came_before_their_partition_are_moved_to_it(
    database: Database, journal: Journal, shipper: Shipper
) -> None:
    moment = datetime(2019, 5, 6, 7, tzinfo=UTC)  # no partition is made for it by itself
    journal.append(encoded(prediction(id=id_of(moment), at=moment.timestamp())))
    shipper.step()
    with database.engine.begin() as connection:
        assert connection.execute(text("SELECT mlops.ensure_prediction_day('2019-05-06')")).scalar() is True
        assert connection.execute(text("SELECT mlops.ensure_prediction_day('2019-05-06')")).scalar() is False
    assert rows(database, "SELECT tableoid::regclass::text FROM mlops.prediction") == [("mlops.prediction_20190506",)]


def test_batches_become_visible_in_their_order(database: Database, journal: Journal, shipper: Shipper) -> None:
    for _ in range(3):
        journal.append(encoded(prediction()))
        shipper.step()
    found = rows(database, "SELECT batch FROM mlops.prediction ORDER BY id")
    assert found == sorted(set(found))
    with database.engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('mlops.prediction_log'))"))
        with shipper_on(
            connection.engine.url.render_as_string(False), Path(journal._folder).parent, statement_seconds=0.3
        ) as second:
            journal.append(encoded(prediction()))
            with pytest.raises(DatabaseDownError):
                second.step()
    shipper.step()
    assert count(database, "prediction") == 4
