"""What dashboards ask the platform's tables beside Prometheus: single attempts, decisions, judged days, health issues.

Add a query here when a person needs rows and not a figure; `deploy/grafana/reader.sql` must grant what it reads. Keep
out scored months (`score_queries`). `${name:sqlstring}` is a dashboard's variable as quoted SQL texts, none or more.
`$__timeFilter(x)` ends at the first closing bracket, so x must be a bare column.
"""

# ruff: noqa: S608 (every part of a query is a constant; variables are quoted by Grafana)
from __future__ import annotations

_PRODUCT = "product = ANY(ARRAY[${product:sqlstring}]::text[])"

# No outcome and no process any more can't be told from one at work here: those go by the name "at work or lost".
FAILED_ATTEMPTS = f"""SELECT started_at AS started, product, stage, attempt,
  coalesce(outcome, 'at work or lost') AS outcome, wall_seconds AS seconds, peak_memory_bytes AS "peak memory",
  run_id AS run
FROM mlops.stage_usage
WHERE kind <> 'pipeline' AND {_PRODUCT} AND outcome IS DISTINCT FROM 'SUCCESS' AND $__timeFilter(started_at)
ORDER BY started_at DESC
LIMIT 20"""

COSTLY_PIPELINES = """SELECT product AS pipeline, count(DISTINCT run_id) AS runs, count(*) AS attempts,
  count(*) FILTER (WHERE outcome IN ('FAILURE', 'RETRY')) AS failed, sum(wall_seconds) AS seconds,
  sum(cpu_seconds) AS "CPU seconds", max(peak_memory_bytes) AS "peak memory"
FROM mlops.stage_usage
WHERE kind = 'pipeline' AND $__timeFilter(started_at)
GROUP BY product
ORDER BY sum(cpu_seconds) DESC NULLS LAST, product
LIMIT 20"""

FAILED_PIPELINE_STAGES = """SELECT started_at AS started, product AS pipeline, stage, attempt,
  coalesce(outcome, 'at work or lost') AS outcome, wall_seconds AS seconds, run_id AS run
FROM mlops.stage_usage
WHERE kind = 'pipeline' AND outcome IS DISTINCT FROM 'SUCCESS' AND $__timeFilter(started_at)
ORDER BY started_at DESC
LIMIT 20"""

DECISIONS = f"""SELECT created_at AS at, product, event, phase, production, candidate, candidate_share AS share, actor,
  reason
FROM mlops.ledger
WHERE {_PRODUCT} AND $__timeFilter(created_at)
ORDER BY id DESC
LIMIT 30"""

JUDGED_DAYS = f"""SELECT day::text AS day, product, release, status, strength,
  array_to_string(drifted, ', ') AS "drifted columns", candidate_status AS "candidate's status"
FROM mlops.drift_verdict
WHERE {_PRODUCT} AND $__timeFilter(day)
ORDER BY mlops.drift_verdict.day DESC, product
LIMIT 60"""

STRENGTH = f"""SELECT day::timestamp AS "time", product AS metric, strength AS value
FROM mlops.drift_verdict
WHERE {_PRODUCT} AND status IN ('ok', 'drifted') AND $__timeFilter(day)
ORDER BY day, product"""

DRIFTED_COLUMNS = f"""SELECT product, name AS "column", count(*) AS days, max(day)::text AS newest
FROM mlops.drift_verdict, unnest(drifted) AS name
WHERE {_PRODUCT} AND $__timeFilter(day)
GROUP BY product, name
ORDER BY days DESC, newest DESC, product, name
LIMIT 30"""

HEALTH_ISSUES = """SELECT issue ->> 'severity' AS severity, issue ->> 'name' AS issue, issue ->> 'subject' AS subject,
  issue ->> 'message' AS message, issue ->> 'cause' AS "likely cause", issue ->> 'action' AS "what to do"
FROM (SELECT report FROM mlops.health_report ORDER BY made_at DESC, id DESC LIMIT 1) AS newest,
  jsonb_array_elements(report -> 'issues') AS issue
ORDER BY issue ->> 'severity', issue ->> 'name', issue ->> 'subject'"""
