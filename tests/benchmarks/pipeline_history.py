"""A platform that has been used: many pipelines, and many runs that ended in the last month.

Add here what else has piled up in a real installation. Keep out what is measured. Pipelines are stored as the API does
it. Runs are copies of one real run in Dagster's own tables, with all its tags and events and what it left, each of
another pipeline.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, create_engine, text

from mlops_assets.pipelines import store
from mlops_assets.pipelines.validate import checked
from mlops_assets.storage.database import Database
from tests.benchmarks.pipeline_runs import TWO_STAGE
from tests.integration.pipeline_rig import PipelineRig

# Nothing else in a run's records reads like this.
TEMPLATE = "copied_again_and_again"
AT_A_TIME = 100
# One in so many has a schedule.
SCHEDULED_EVERY = 10
SCHEDULE = "17 3 * * *"
LOAD_SECONDS = 120.0

_MADE = """
CREATE TEMP TABLE made ON COMMIT DROP AS
SELECT gen_random_uuid()::text AS run_id, pipeline.id::text AS pipeline_id, pipeline.name,
  (ARRAY['SUCCESS', 'SUCCESS', 'SUCCESS', 'SUCCESS', 'SUCCESS', 'SUCCESS', 'SUCCESS', 'SUCCESS', 'FAILURE', 'CANCELED'])
    [1 + (n / 7) % 10] AS status,
  (CAST(:runs AS int) - n + 1) * (interval '30 days' / CAST(:runs AS int)) AS ago, n
FROM generate_series(1, CAST(:runs AS int)) AS n
JOIN (
  SELECT id, name, row_number() OVER (ORDER BY name) - 1 AS place FROM mlops.pipeline
  WHERE name LIKE 'seeded%' AND deleted_at IS NULL
) AS pipeline ON pipeline.place = n % :pipelines
"""
_COPIED = "replace(replace(replace({0}, :run_id, made.run_id), :pipeline_id, made.pipeline_id), :name, made.name)"
_RUNS = f"""
INSERT INTO dagster.runs (run_id, snapshot_id, pipeline_name, mode, status, run_body, create_timestamp,
  update_timestamp, start_time, end_time)
SELECT made.run_id, snapshot_id, pipeline_name, mode, made.status,
  replace({_COPIED.format("run_body")}, 'PipelineRunStatus.SUCCESS', 'PipelineRunStatus.' || made.status),
  create_timestamp - ago, update_timestamp - ago,
  start_time - extract(epoch FROM ago), end_time - extract(epoch FROM ago)
FROM dagster.runs, made WHERE runs.run_id = :run_id ORDER BY made.n
"""
_TAGS = f"""
INSERT INTO dagster.run_tags (run_id, key, value)
SELECT made.run_id, key, {_COPIED.format("value")}
FROM dagster.run_tags, made WHERE run_tags.run_id = :run_id ORDER BY made.n, run_tags.id
"""
_EVENTS = f"""
INSERT INTO dagster.event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key)
SELECT made.run_id, {_COPIED.format("event")}, dagster_event_type, timestamp - ago,
  replace(step_key, :name, made.name), replace(asset_key, :name, made.name)
FROM dagster.event_logs, made WHERE event_logs.run_id = :run_id ORDER BY made.n, event_logs.id
"""
_ARTIFACTS = """
INSERT INTO mlops.artifact (id, pipeline_id, pipeline_version, run_id, stage, attempt, is_result, name, type, storage,
  format, size, sha256, type_name, uri, metadata, preview, created_at)
SELECT gen_random_uuid(), CAST(made.pipeline_id AS uuid), 1, made.run_id, stage, attempt, is_result, artifact.name,
  type, storage, format, size, sha256, type_name, uri, metadata, preview, created_at - ago
FROM mlops.artifact, made WHERE artifact.run_id = :run_id
"""


def fill_pipelines(rig: PipelineRig, count: int) -> None:
    """Store and deploy two-stage pipelines until there are `count`, and wait until the code server has them."""
    database = Database.connect(rig.settings.database)
    there = rig.ask("GET", "/pipelines", params={"q": "seeded", "limit": 1})["total"]
    for first in range(there, count, AT_A_TIME):
        with database.session() as session, session.begin():
            for number in range(first, min(first + AT_A_TIME, count)):
                store.create(session, checked(seeded(number)), "benchmark", deploy=True)
    database.dispose()
    last = f"seeded_{count - 1:04d}"
    rig.until(lambda: rig.ask("GET", f"/pipelines/{last}")["loaded"], LOAD_SECONDS, f"{last} to be loaded")


def seeded(number: int) -> dict[str, Any]:
    """One of many pipelines that differ in name, title and a tag; some have a schedule."""
    more = {"schedule": SCHEDULE} if number % SCHEDULED_EVERY == 0 else {}
    tags = {"team": f"team-{number % 20}"}
    return {**TWO_STAGE, "name": f"seeded_{number:04d}", "title": f"Pipeline {number}", "tags": tags, **more}


def fill_runs(rig: PipelineRig, count: int, pipelines: int) -> None:
    """`count` runs of the last month, over all pipelines made by `fill_pipelines`, of which there are `pipelines`."""
    made = rig.create({**TWO_STAGE, "name": TEMPLATE})
    run_id = rig.run(TEMPLATE)
    assert rig.finish(run_id)["status"] == "COMPLETED"
    given = {"runs": count, "pipelines": pipelines, "run_id": run_id, "pipeline_id": made["id"], "name": TEMPLATE}
    engine = create_engine(rig.settings.database, connect_args={"options": "-c synchronous_commit=off"})
    with engine.begin() as connection:
        for statement in (_MADE, _RUNS, _TAGS, _EVENTS, _ARTIFACTS):
            connection.execute(text(statement), given)
        found = _rows(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
    assert found >= count, f"{found} of {count} runs were made"


def _rows(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM dagster.runs JOIN made USING (run_id)")).scalar_one())
