"""Rows of an installation at work, in two parts: what there is before anybody looks, and what is added meanwhile.

Keep out what real programs make (traffic, a Dagster run, releases) and what is tested.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

from mlops_assets.drift.facts import Status
from mlops_assets.pipelines.naming import PIPELINE_TAG
from tests.integration.drifted_days import judge_day
from tests.integration.exporter.made_rows import DECLARED, Rows
from tests.scored_months import month, put

PIPELINE = UUID("11111111-2222-3333-4444-555555555555")
WAITING = "loans"  # whose candidate hasn't been loaded
TAGS = {**DECLARED, PIPELINE_TAG: str(PIPELINE)}
LEDGER = """
INSERT INTO mlops.ledger (product, seq, event, production, candidate, candidate_share, rollout, phase, step, paused,
  started_at, step_at, phase_at, drift_block, actor, reason, details)
VALUES (:product, 1, 'begin', 1, 2, 0, 1, 'shadow', 0, false, now(), now(), now() - interval '20 minutes',
  'the data drifted', 'platform', 'release 2 is to be loaded', '{}')
"""
PIPELINES = """
INSERT INTO mlops.pipeline (id, name, revision, version, deployed_version, active, created_by)
VALUES (:id, 'churn', 1, 1, NULL, true, 'ann');
INSERT INTO mlops.pipeline_version (pipeline_id, version, spec, digest, created_by)
VALUES (:id, 1, '{}', repeat('a', 64), 'ann');
UPDATE mlops.pipeline SET deployed_version = 1, deployed_at = now();
INSERT INTO mlops.artifact (id, pipeline_id, pipeline_version, run_id, stage, attempt, is_result, name, type, storage,
  format, uri, size, sha256, type_name, metadata, preview)
VALUES (:id, :id, 1, 'r', 'clean', 1, true, 'rows', 'table', 'file', 'parquet', '/somewhere', 12345, repeat('a', 64),
  'DataFrame', '{}', '{}')
"""
NOTICE = """
INSERT INTO mlops.notice (kind, subject, severity, title, body, key, "group", at, noted_at, outcome)
VALUES ('run', 'homes', 'warning', 't', 'b', :key, 'g', now(), now(), 'sent');
INSERT INTO mlops.notice_delivery (notice_id, channel, state, created_at)
SELECT max(id), 'mail', 'waiting', now() FROM mlops.notice
"""
REPORT = """
INSERT INTO mlops.health_report (made_at, status, report, open) VALUES (now(), 'degraded', :report, '[]')
"""
ISSUE = {
    "name": "run_failures", "severity": "warning", "subject": "homes_train", "message": "3 of 4 runs failed",
    "cause": "the source is empty", "action": "mlops doctor",
}  # fmt: skip


def before(rows: Rows, product: str) -> None:
    """What there is when the exporter starts."""
    more(rows, product)
    for status in ("QUEUED", "STARTED"):
        for tags in ({}, TAGS):
            rows.run("homes_train", status, started=9000 if status == "STARTED" else None, ended=None, tags=tags)
    # The newest one, so that the job's state is a failure.
    rows.run(f"{product}_rollout", "FAILURE", made=3, started=2, ended=1)
    rows.heartbeat("SENSOR", 5, errors=1)
    rows.heartbeat("QUEUED_RUN_COORDINATOR", 90)
    rows.instigator("nightly", "SCHEDULE")
    rows.instigator("watch", "SENSOR")
    rows.tick("nightly", "SCHEDULE", ago=120, delay=3)
    rows.tick("watch", "SENSOR", ago=400)
    rows.execute("INSERT INTO dagster.bulk_actions (key, status, timestamp) VALUES ('b', 'REQUESTED', now())")
    rows.execute(
        "INSERT INTO mlops.dataset_version (product, version, sha256, rows, uri, source, sample) "
        "VALUES (:product, 1, '', 1, '', '', true)", product=WAITING,
    )  # fmt: skip
    for version in (1, 2):
        rows.execute(
            "INSERT INTO mlops.release (product, version, run_id, dataset_version, uri) "
            "VALUES (:product, :version, :run, 1, '/somewhere')", product=WAITING, version=version, run=f"w{version}",
        )  # fmt: skip
    rows.execute(LEDGER, product=WAITING)
    rows.execute(PIPELINES, id=PIPELINE)
    rows.execute(NOTICE, key="1")
    rows.execute(REPORT, report=json.dumps({"status": "degraded", "issues": [ISSUE], "facts": {}}))
    today = datetime.now(UTC).date()
    for ago, status in ((3, Status.OK), (2, Status.INSUFFICIENT), (1, Status.DRIFTED)):
        judge_day(rows.database, today - timedelta(days=ago), status, product=product)
    # Both a product of batches and one of the dashboards' products have scored months.
    put(rows.database, month("2026-02", 3000, 400, product=product), month("2026-03", 3000, 400))


def more(rows: Rows, product: str) -> None:
    """What is added while everybody looks, so that counters rise."""
    for job, tags in ((f"{product}_train", {}), ("churn_job", TAGS)):
        rows.run(job, "SUCCESS", tags=tags)
        rows.run(job, "FAILURE", tags=tags)
    for outcome in ("SUCCESS", "FAILURE", "RETRY"):
        rows.stage(product, "model", outcome)
        rows.stage("churn", "clean", outcome, kind="pipeline")


def more_ticks(rows: Rows) -> None:
    """Ticks beside those, a failed one among them."""
    rows.tick("nightly", "SCHEDULE", "FAILURE", ago=60, delay=1)
