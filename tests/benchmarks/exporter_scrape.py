"""How long a scrape of the exporter takes, and each look behind it, with a platform's worth of rows in the database.

`python -m tests.benchmarks.exporter_scrape [--runs N] [--pipelines N] [--stages N]`. A PostgreSQL server of its own
with made rows, the exporter as an installation runs it, and scrapes in both formats while it looks. Prints a table and
keeps the figures in `results/exporter_scrape.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import create_engine, text

from mlops_assets.storage.database import Database
from tests.integration.exporter.made_rows import dagster_instance, in_schema
from tests.servers import free_port, process, running_postgres

RESULT = Path(__file__).parent / "results" / "exporter_scrape.json"
SCRAPES = 200
WATCHED_SECONDS = 60.0
GOAL_MS, GOAL_SERIES, GOAL_MB = 300.0, 10_000, 90.0
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}

# Of each 100 runs 90 are of declared pipelines; products have 12 jobs, the platform 3. Ended runs are up to 30 days
# old, ten wait or go now.
_STATEMENTS = """
INSERT INTO mlops.pipeline (id, name, revision, version, active, created_by)
SELECT gen_random_uuid(), 'pipeline_' || lpad(n::text, 4, '0'), 1, 1, true, 'benchmark'
FROM generate_series(1, :pipelines) AS n;

INSERT INTO mlops.pipeline_version (pipeline_id, version, spec, digest, created_by)
SELECT id, 1, '{}', repeat('0', 64), 'benchmark' FROM mlops.pipeline;
UPDATE mlops.pipeline SET deployed_version = 1;

INSERT INTO mlops.dataset_version (product, version, sha256, rows, uri, source, sample)
SELECT product, 1, repeat('0', 64), 1000, 'u', 's', false
FROM unnest(ARRAY['house_prices', 'traffic_anomalies']) AS product;
INSERT INTO mlops.release (product, version, run_id, dataset_version, uri)
SELECT product, n, 'run' || n, 1, 'u' FROM unnest(ARRAY['house_prices', 'traffic_anomalies']) AS product,
  generate_series(1, 30) AS n;
INSERT INTO mlops.ledger (product, seq, event, production, candidate, candidate_share, rollout, phase, step, paused,
  actor, reason, details, created_at)
SELECT product, n, 'look', 1, 2, 0.2, n / 500, 'ramp', 1, false, 'b', 'r',
  jsonb_build_object('evidence', repeat('x', 2000)), now() - (5000 - n) * interval '1 hour'
FROM unnest(ARRAY['house_prices', 'traffic_anomalies']) AS product, generate_series(1, 5000) AS n;

CREATE TEMP TABLE made AS
SELECT n, gen_random_uuid()::text AS run_id, n % 10 <> 0 AS declared,
  CASE WHEN n > :runs - 10 THEN (ARRAY['QUEUED', 'STARTED'])[1 + n % 2]
    WHEN n % 23 = 0 THEN 'FAILURE' WHEN n % 101 = 0 THEN 'CANCELED' ELSE 'SUCCESS' END AS status,
  now() - (:runs - n) * (interval '30 days' / :runs) AS at
FROM generate_series(1, :runs) AS n;

INSERT INTO dagster.runs (run_id, pipeline_name, status, run_body, create_timestamp, update_timestamp, start_time,
  end_time)
SELECT run_id, CASE WHEN declared THEN '__ASSET_JOB' WHEN n % 150 = 0 THEN 'platform_job_' || n % 3
    ELSE (ARRAY['house_prices', 'traffic_anomalies'])[1 + n % 2] || '_job_' || (n / 10) % 6 END,
  status, repeat(md5(n::text), 60), at, at,
  CASE WHEN status <> 'QUEUED' THEN extract(epoch FROM at) + n % 7 END,
  CASE WHEN status NOT IN ('QUEUED', 'STARTED') THEN extract(epoch FROM at) + n % 7 + n % 200 END
FROM made;

INSERT INTO dagster.run_tags (run_id, key, value)
SELECT run_id, key, value FROM made JOIN (
  SELECT id, name, row_number() OVER (ORDER BY name) - 1 AS place FROM mlops.pipeline) AS p
  ON p.place = made.n % :pipelines, LATERAL (VALUES
  ('mlops/declared', 'pipeline'), ('mlops/pipeline', p.id::text), ('mlops/pipeline_name', p.name),
  ('mlops/trigger', 'SCHEDULE'), ('mlops/pipeline_version', '1'), ('dagster/max_runtime', '3600')) AS tag (key, value)
WHERE declared;
INSERT INTO dagster.run_tags (run_id, key, value)
SELECT run_id, key, value FROM made, LATERAL (VALUES ('dagster/max_runtime', '3600'),
  ('dagster/code_location', 'products'), ('.dagster/grpc_info', '{}')) AS t (key, value)
WHERE NOT declared;

INSERT INTO mlops.stage_usage (run_id, step_key, attempt, kind, product, stage, job, started_at, ended_at, outcome,
  wall_seconds, cpu_seconds, peak_memory_bytes, read_bytes, written_bytes)
SELECT run_id, 'stage_' || s, 1, CASE WHEN declared THEN 'pipeline' ELSE 'product' END,
  CASE WHEN declared THEN 'pipeline_' || n % :pipelines
    ELSE (ARRAY['house_prices', 'traffic_anomalies'])[1 + n % 2] END,
  'stage_' || (s + n % 16), 'job', at, CASE WHEN n % 500 <> 0 THEN at END,
  CASE WHEN n % 500 = 0 THEN NULL WHEN n % 23 = 0 THEN 'FAILURE' ELSE 'SUCCESS' END,
  n % 90, n % 60, 100000000 + n, 1000 * s, 500 * s
FROM made, generate_series(1, :each) AS s;

INSERT INTO dagster.instigators (selector_id, repository_selector_id, status, instigator_type, instigator_body)
SELECT kind || n, 'r', 'DECLARED_IN_CODE', kind, jsonb_build_object(
  'origin', jsonb_build_object('job_name', kind || '_' || n, 'external_repository_origin', jsonb_build_object(
    'repository_name', '__repository__', 'repository_location_origin', jsonb_build_object(
      'location_name', CASE WHEN n > 20 THEN 'pipelines' ELSE 'products' END))),
  'job_specific_data', jsonb_build_object('start_timestamp', 1000))::text
FROM unnest(ARRAY['SCHEDULE', 'SENSOR']) AS kind, generate_series(1, 1020) AS n WHERE kind = 'SCHEDULE' OR n <= 20;
INSERT INTO dagster.job_ticks (job_origin_id, selector_id, status, type, timestamp, tick_body, create_timestamp)
SELECT 'o', kind || (1 + n % most),
  CASE WHEN n % 50 = 0 THEN 'FAILURE' WHEN n % 3 = 0 THEN 'SUCCESS' ELSE 'SKIPPED' END,
  kind, at, repeat('x', 600), at + interval '1 second'
FROM generate_series(1, :runs) AS n, (VALUES ('SCHEDULE', 1020), ('SENSOR', 20)) AS k (kind, most),
  LATERAL (SELECT now() - (:runs - n) * (interval '7 days' / :runs) AS at) AS moment;
INSERT INTO dagster.daemon_heartbeats (daemon_type, daemon_id, timestamp, body)
SELECT daemon, 'd', now(), '{"errors": []}'
FROM unnest(ARRAY['SENSOR', 'SCHEDULER', 'BACKFILL', 'MONITORING']) AS daemon;

INSERT INTO dagster.asset_keys (asset_key)
SELECT '["house_prices", "asset_' || n || '"]' FROM generate_series(1, 40) AS n;
INSERT INTO dagster.asset_keys (asset_key)
SELECT '["pipelines", "' || name || '", "stage_' || s || '"]' FROM mlops.pipeline, generate_series(1, 3) AS s;
INSERT INTO dagster.event_logs (run_id, event, dagster_event_type, timestamp, asset_key)
SELECT 'r', '{"dagster_event": {"event_specific_data": {"new_state": {"__enum__": "FreshnessState.PASS"}}}}',
  (ARRAY['ASSET_MATERIALIZATION', 'FRESHNESS_STATE_CHANGE', 'STEP_SUCCESS'])[1 + n % 3], now(),
  (SELECT asset_key FROM dagster.asset_keys WHERE id = 1 + n % 3040)
FROM generate_series(1, :runs * 2) AS n;
INSERT INTO dagster.asset_check_executions (asset_key, check_name, run_id, execution_status, evaluation_event)
SELECT '["house_prices", "asset_' || n % 40 || '"]', 'check_' || n % 80, 'run' || n, 'SUCCEEDED',
  '{"dagster_event": {"event_specific_data": {"severity": {"__enum__": "AssetCheckSeverity.ERROR"}}}, "x": "'
    || repeat('y', 3000) || '"}'
FROM generate_series(1, 20000) AS n;

INSERT INTO mlops.prediction (id, product, at, variant, version, features, output, latency_ms, sample, batch)
SELECT gen_random_uuid(), 'house_prices', now(), (ARRAY['production', 'candidate'])[1 + n % 2], 1, '{}',
  '{"estimate": 1}', 3, false, n / 100 FROM generate_series(1, :runs) AS n;
INSERT INTO mlops.feedback (id, prediction_id, product, at, type, value, variant, version, predicted_at, batch)
SELECT gen_random_uuid(), gen_random_uuid(), 'house_prices', now() - n * interval '1 second', 'rating', 1 + n % 5,
  (ARRAY['production', 'candidate'])[1 + n % 2], 1, now(), n / 100 FROM generate_series(1, :runs) AS n;
INSERT INTO mlops.notice (kind, subject, severity, title, body, key, "group", at, noted_at, outcome)
SELECT 'run_failed', 's', 'warning', 't', 'b', 'k' || n, 'g', now(), now(), 'told' FROM generate_series(1, 20000) AS n
"""


def main() -> None:
    """Fill, measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--pipelines", type=int, default=1_000)
    parser.add_argument("--stages", type=int, default=300_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as folder, running_postgres(Path(folder)) as url:
        fill(url, Path(folder), asked)
        figures = measured(url, Path(folder) / "home")
    figures["rows"] = vars(asked)
    RESULT.write_text(json.dumps(figures, indent=1) + "\n")
    show(figures)


def fill(url: str, folder: Path, asked: argparse.Namespace) -> None:
    """Make the tables and their rows."""
    began = time.monotonic()
    database = Database.connect(url)
    database.migrate()
    with database.engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA dagster"))
    database.dispose()
    (folder / "dagster").mkdir()
    with dagster_instance(in_schema(url, "dagster"), folder / "dagster"):
        pass
    given = {"runs": asked.runs, "pipelines": asked.pipelines, "each": max(1, asked.stages // asked.runs)}
    engine = create_engine(url, connect_args={"options": "-c synchronous_commit=off"})
    with engine.begin() as connection:
        for statement in _STATEMENTS.split(";\n"):
            connection.execute(text(statement), {k: v for k, v in given.items() if f":{k}" in statement})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
    print(f"rows made in {time.monotonic() - began:.0f} s", flush=True)


@contextmanager
def exporting(url: str, home: Path) -> Iterator[tuple[str, int]]:
    """The exporter as an installation runs it; its address and its process."""
    home.mkdir()
    port = free_port()
    environment = {"MLOPS_HOME": str(home), "MLOPS_DATABASE_URL": url, "MLOPS_METRICS_PORT": str(port)}
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/metrics", timeout=20).status_code == 200
        except httpx.HTTPError:
            return False

    command = [sys.executable, "-m", "mlops_assets.observability.exporter"]
    with process(command, home / "exporter.log", answers, environment) as running:
        yield address, running.pid


def measured(url: str, home: Path) -> dict[str, Any]:
    """Scrapes while the exporter looks, and what it tells of its looks."""
    began = time.monotonic()
    with exporting(url, home) as (address, pid), httpx.Client(base_url=address, timeout=20) as client:
        first = time.monotonic() - began
        program = psutil.Process(pid)
        first_looks = looks(client.get("/metrics").text)
        used, since = sum(program.cpu_times()[:2]), time.monotonic()
        plain, openmetrics = [], []
        while time.monotonic() - since < WATCHED_SECONDS or len(plain) < SCRAPES:
            plain.append(scrape(client, {}))
            openmetrics.append(scrape(client, OPENMETRICS))
            time.sleep(0.1)
        said = client.get("/metrics").text
        cpu = (sum(program.cpu_times()[:2]) - used) / (time.monotonic() - since)
        return {
            "first_answer_seconds": round(first, 2),
            "scrape_ms": {"text": percentiles(plain), "openmetrics": percentiles(openmetrics)},
            "series": sum(not line.startswith("#") for line in said.splitlines()),
            "bytes": len(said),
            "resident_mb": round(program.memory_info().rss / 2**20, 1),
            "cpu_share_of_a_core": round(cpu, 4),
            "first_look_seconds": first_looks,
            "look_seconds": looks(said),
        }


def scrape(client: httpx.Client, headers: dict[str, str]) -> float:
    """Milliseconds of one scrape."""
    began = time.perf_counter()
    assert client.get("/metrics", headers=headers).status_code == 200
    return (time.perf_counter() - began) * 1000


def looks(said: str) -> dict[str, float]:
    """Seconds of each collector's newest look."""
    name = "mlops_collector_duration_seconds{collector="
    lines = [line.removeprefix(name).split("} ") for line in said.splitlines() if line.startswith(name)]
    return {collector.strip('"'): round(float(seconds), 3) for collector, seconds in lines}


def percentiles(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and the worst."""
    cuts = statistics.quantiles(values, n=100)
    return {"p50": round(cuts[49], 1), "p95": round(cuts[94], 1), "worst": round(max(values), 1), "n": len(values)}


def show(figures: dict[str, Any]) -> None:
    """The table."""
    for name, ms in figures["scrape_ms"].items():
        good = "✓" if ms["p95"] <= GOAL_MS else "✗"
        print(f"{good} scrape, {name:<12} p50 {ms['p50']} ms, p95 {ms['p95']} ms, worst {ms['worst']} ms")
    print(f"{'✓' if figures['series'] <= GOAL_SERIES else '✗'} {figures['series']:,} lines, {figures['bytes']:,} bytes")
    print(f"{'✓' if figures['resident_mb'] <= GOAL_MB else '✗'} {figures['resident_mb']} MB resident")
    print(f"  {figures['cpu_share_of_a_core']:.1%} of a core; first answer after {figures['first_answer_seconds']} s")
    for name, seconds in figures["look_seconds"].items():
        first = figures["first_look_seconds"].get(name, 0.0)
        print(f"  look at {name:<18} {seconds * 1000:8.0f} ms, the first {first * 1000:8.0f} ms")


if __name__ == "__main__":
    main()
