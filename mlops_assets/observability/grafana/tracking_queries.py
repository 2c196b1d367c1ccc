"""What a dashboard asks MLflow's tables about runs that log a share of anomalies.

Add a query here for another panel about runs. Keep out the platform's own tables (`score_queries`). Grafana replaces
`$__timeFilter(x)` by a range of times: x must be a bare column, since the macro ends at the first closing bracket.
MLflow keeps times as milliseconds since 1970. A run without the tag `kind` is called a run. The data's
version is a tag of trainings and a number among the parameters of others.
"""

# ruff: noqa: S608 (every part of a query is a constant; variables are quoted by Grafana)
from __future__ import annotations

EXPERIMENT = "traffic_anomaly_detection"

_RUNS = f"""WITH run AS (
  SELECT
    r.run_uuid, r.name, r.status,
    to_timestamp(r.start_time / 1000.0) AS started,
    coalesce(nullif(r.end_time, 0) / 1000.0, extract(epoch FROM now())) - r.start_time / 1000.0 AS seconds,
    coalesce(kind.value, 'run') AS kind, coalesce(version.value, 'V' || told.value) AS data_version,
    gates.value AS gates, rate.value AS anomaly_rate
  FROM mlflow.runs AS r
  JOIN mlflow.experiments AS e ON e.experiment_id = r.experiment_id
  LEFT JOIN mlflow.tags AS kind ON kind.run_uuid = r.run_uuid AND kind.key = 'kind'
  LEFT JOIN mlflow.tags AS version ON version.run_uuid = r.run_uuid AND version.key = 'data_version'
  LEFT JOIN mlflow.params AS told ON told.run_uuid = r.run_uuid AND told.key = 'data_version'
  LEFT JOIN mlflow.tags AS gates ON gates.run_uuid = r.run_uuid AND gates.key = 'gates'
  LEFT JOIN mlflow.latest_metrics AS rate
    ON rate.run_uuid = r.run_uuid AND rate.key = 'anomaly_rate' AND NOT rate.is_nan
  WHERE e.name = '{EXPERIMENT}' AND r.lifecycle_stage = 'active'
)
"""

RUNS = f"""{_RUNS}SELECT count(*) AS runs, count(*) FILTER (WHERE status = 'FAILED') AS failed,
  count(*) FILTER (WHERE started > now() - interval '1 day') AS "last 24 h"
FROM run"""

# A series comes in the order of time, so the newest run of each kind is chosen first.
LATEST_RATE = f"""{_RUNS}SELECT started AS "time", kind AS metric, anomaly_rate AS value
FROM (
  SELECT DISTINCT ON (kind) * FROM run WHERE anomaly_rate IS NOT NULL ORDER BY kind, started DESC, run_uuid
) AS newest
ORDER BY started, kind"""

STATUS = f"""{_RUNS}SELECT status, count(*) AS runs
FROM run
GROUP BY status
ORDER BY runs DESC, status"""

RATE_OVER_TIME = f"""{_RUNS}SELECT started AS "time", kind AS metric, anomaly_rate AS value
FROM run
WHERE anomaly_rate IS NOT NULL AND $__timeFilter(started)
ORDER BY started, run_uuid"""

RECENT = f"""{_RUNS}SELECT name AS run, kind, status, started AS start, seconds AS duration,
  anomaly_rate AS "anomaly rate", data_version AS "data version", gates
FROM run
ORDER BY started DESC, run_uuid
LIMIT 20"""
