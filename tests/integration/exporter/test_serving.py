"""Who serves, what was answered, what drifted: read from rows that the platform's own parts have written."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from mlops_assets.observability.exporter.collectors import drift, prediction_log, rollouts
from mlops_assets.observability.exporter.collectors.prediction_log import put_backlog
from mlops_assets.observability.exporter.collectors.source import Source
from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.observability.exporter.metrics import METRICS
from mlops_assets.observability.exporter.rising import Rising
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.phases import Phase
from mlops_assets.storage.database import Database
from tests.integration.exporter.made_rows import Rows, look
from tests.integration.notifications.notifying import PRODUCT, release, with_production
from tests.made_log import MadeLog
from tests.made_verdicts import keep, number, verdict
from tests.scored_months import month, put

HOUR, DAY = 3600.0, 86_400.0
# The newest row again, with what is decided now; times in seconds ago.
DECIDED = """
INSERT INTO mlops.ledger (product, seq, event, production, candidate, candidate_share, rollout, phase, step, paused,
  started_at, phase_at, drift_block, actor, reason, details, created_at)
SELECT product, seq + 1, :event, production, candidate, coalesce(:candidate_share, candidate_share), rollout,
  coalesce(:phase, phase), step, paused, now() - make_interval(secs => :started),
  now() - make_interval(secs => :phase_since), :drift_block, 'kim', 'r', CAST(:details AS jsonb),
  now() - make_interval(secs => :ago)
FROM mlops.ledger ORDER BY seq DESC LIMIT 1
"""


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return with_production(database)


def decided(rows: Rows, **given: object) -> None:
    nothing = {"candidate_share": None, "phase": None, "drift_block": None, "details": "{}"}
    rows.execute(DECIDED, **(nothing | {"started": 0, "phase_since": 0, "ago": 0} | given))


def log(database: Database, product: str = PRODUCT) -> MadeLog:
    return MadeLog(database, product, 1, {"production": 1, "candidate": 2}, datetime.now(UTC) - timedelta(minutes=5))


def test_nothing_is_told_of_a_product_without_a_release(source: Source, database: Database) -> None:
    for collector in (rollouts.collector(source), drift.collector(source), prediction_log.ratings(source)):
        assert look(collector).all(collector.metrics[0].name) == {}


def test_who_serves_and_where_the_rollout_stands(source: Source, ledger: Ledger, rows: Rows) -> None:
    release(ledger)
    found = look(rollouts.collector(source))
    assert found.all("mlops_release_info") == {(PRODUCT, "production", "1"): 1, (PRODUCT, "candidate", "2"): 1}
    assert found.of("mlops_release_age_seconds", product=PRODUCT, role="candidate") == pytest.approx(0, abs=30)
    phases = {phase for (_, phase), value in found.all("mlops_rollout_phase").items() if value}
    assert phases == {Phase.SHADOW}
    assert len(found.all("mlops_rollout_phase")) == len(Phase)
    assert found.all("mlops_rollout_look_age_seconds") == {}
    assert found.of("mlops_rollout_transitions_total", product=PRODUCT, action="candidate") == 1
    phase = {"event": "look", "phase": "hold", "candidate_share": 0.2, "started": 9 * HOUR, "phase_since": 2 * HOUR}
    decided(rows, **phase, ago=3 * HOUR, details='{"evidence": {}}')
    decided(rows, **phase, ago=HOUR)
    found = look(rollouts.collector(source))
    assert found.of("mlops_rollout_phase", product=PRODUCT, phase="hold") == 1
    assert found.of("mlops_rollout_phase", product=PRODUCT, phase="shadow") == 0
    assert found.of("mlops_rollout_candidate_share", product=PRODUCT) == 0.2
    assert found.of("mlops_rollout_phase_seconds", product=PRODUCT) == pytest.approx(2 * HOUR, abs=30)
    # The newest row came of somebody's order, the one before of a look.
    assert found.of("mlops_rollout_look_age_seconds", product=PRODUCT) == pytest.approx(3 * HOUR, abs=30)


def test_a_comparison_that_nobody_has_looked_at_yet(source: Source, ledger: Ledger, rows: Rows) -> None:
    release(ledger)
    decided(rows, event="started", phase="ramp", candidate_share=0.2, started=HOUR, phase_since=HOUR, ago=HOUR)
    found = look(rollouts.collector(source))
    assert found.of("mlops_rollout_look_age_seconds", product=PRODUCT) == pytest.approx(HOUR, abs=30)


def test_answers_and_feedback_count_from_the_first_look_on(
    source: Source, ledger: Ledger, database: Database, tmp_path: Path
) -> None:
    before = log(database)
    before.rate("production", "kim", 5)
    before.ship()
    rising = Rising(tmp_path / "counters.json")
    looks = prediction_log.counted(source, rising)
    assert look(looks).all("mlops_predictions_logged_total") == {}
    more = log(database)
    more.predict("production")
    for stars in (1, 4):
        more.rate("candidate", "ann", stars)
    more.ship()
    for _ in range(2):
        found = look(looks)
        predictions = {variant: n for (_, variant), n in found.all("mlops_predictions_logged_total").items()}
        assert predictions == {"production": 1, "candidate": 2}
        assert found.all("mlops_feedback_logged_total") == {(PRODUCT, "candidate", "rating"): 2}
    rising.save()
    # What comes while no exporter runs is counted by the next one.
    more.predict("production")
    more.ship()
    again = look(prediction_log.counted(source, Rising(tmp_path / "counters.json")))
    assert again.of("mlops_predictions_logged_total", product=PRODUCT, variant="production") == 2
    assert again.of("mlops_feedback_logged_total", product=PRODUCT, variant="candidate", kind="rating") == 2


def test_a_log_that_was_made_anew_is_counted_on(source: Source, ledger: Ledger, database: Database, rows: Rows) -> None:
    rising = Rising()
    rising.remember(prediction_log.MEMORY, {"batches": {"predictions": 900, "feedback": 900}, "counts": []})
    looks = prediction_log.counted(source, rising)
    look(looks)
    made = log(database)
    made.predict("production")
    made.ship()
    assert look(looks).of("mlops_predictions_logged_total", product=PRODUCT, variant="production") == 1


@pytest.mark.parametrize("kept", [None, [], {"batches": 1}, {"batches": {}, "counts": [[1]]}])
def test_a_memory_that_is_no_good_begins_anew(source: Source, ledger: Ledger, database: Database, kept: object) -> None:
    rising = Rising()
    rising.remember(prediction_log.MEMORY, kept)
    look(prediction_log.counted(source, rising))
    assert rising.recall(prediction_log.MEMORY)["counts"] == []


def test_the_stars_of_the_last_day(source: Source, ledger: Ledger, database: Database, rows: Rows) -> None:
    made = log(database)
    for stars in (2, 3):
        made.rate("candidate", "ann", stars)
    made.feedback(made.predict("candidate"), "comment")
    made.at -= timedelta(days=2)
    made.rate("candidate", "ann", 5)
    made.ship()
    assert look(prediction_log.ratings(source)).all("mlops_rating_mean") == {(PRODUCT, "candidate"): 2.5}


def test_what_waits_in_the_journal_goes_on_waiting_while_the_shipper_is_silent(tmp_path: Path) -> None:
    def told(content: str | None) -> dict[str, float]:
        file = tmp_path / "status.json"
        if content is not None:
            file.write_text(content)
        sheet = Sheet([metric for name, metric in METRICS.items() if name.startswith("mlops_prediction_log_")])
        put_backlog(sheet, file, now=1000.0)
        return {name.removeprefix("mlops_prediction_log_"): series[()] for name, series in sheet.values.items()}

    assert told(None) == {}
    status = {"updated_at": 900.0, "backlog_bytes": 12, "oldest_unshipped_seconds": 30}
    assert told(json.dumps(status)) == {
        "backlog_bytes": 12,
        "backlog_seconds": 130,
        "shipper_age_seconds": 100,
    }
    assert told(json.dumps(status | {"oldest_unshipped_seconds": 0}))["backlog_seconds"] == 0
    for broken in ("", "[]", '{"updated_at": 1}', '{"updated_at": "x"}'):
        with pytest.raises((ValueError, KeyError)):
            told(broken)


def test_what_the_newest_judged_day_said(source: Source, ledger: Ledger, database: Database, rows: Rows) -> None:
    days = [date(2026, 3, n) for n in (1, 2, 3)]
    keep(database, verdict(days[0], number("size", 1000, 300), product=PRODUCT, release=1))
    calm = look(drift.collector(source))
    assert calm.of("mlops_drift_drifted", product=PRODUCT) == 0
    assert calm.of("mlops_drift_columns", product=PRODUCT) == 0
    assert calm.of("mlops_drift_blocks_promotion", product=PRODUCT) == 0
    columns = [number(name, 1000, 300, effect=0.9) for name in ("size", "rooms")]
    keep(database, verdict(days[1], *columns, product=PRODUCT, release=1))
    keep(database, verdict(days[2], product=PRODUCT, release=1, status="too_few"))  # type: ignore[arg-type]
    decided(rows, event="blocked", drift_block="since 2 March")
    found = look(drift.collector(source))
    assert found.of("mlops_drift_drifted", product=PRODUCT) == 1
    assert found.of("mlops_drift_columns", product=PRODUCT) == 2
    assert found.of("mlops_drift_blocks_promotion", product=PRODUCT) == 1
    end = datetime(2026, 3, 3, tzinfo=UTC).timestamp()
    assert found.of("mlops_drift_judged_timestamp_seconds", product=PRODUCT) == end


def test_scored_months(source: Source, ledger: Ledger, database: Database) -> None:
    put(database, month("2023-05", 500, 50), month("2023-06", 1000, 20), month("2023-07", 0, 0))
    put(database, month("2023-06", 1000, 900, mode="compatibility", release=None))
    found = look(drift.collector(source))
    assert found.all("mlops_batch_anomaly_rate") == {("traffic_anomalies",): 0.02}
    assert found.all("mlops_batch_scored_records_total") == {("traffic_anomalies",): 1500}


def test_ages_are_seconds_that_have_gone(source: Source, ledger: Ledger, rows: Rows) -> None:
    rows.execute("UPDATE mlops.release SET created_at = now() - interval '3 days'")
    found = look(rollouts.collector(source))
    age = found.of("mlops_release_age_seconds", product=PRODUCT, role="production")
    assert age == pytest.approx(3 * DAY, abs=30)
    assert time.time() > DAY
