-- The login that Grafana uses: it may read the tables that the dashboards ask, and nothing else.
-- Run it as the database's owner once MLflow and the platform have made their tables; running it again does no harm.
-- Then give the login a password: \password grafana
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'grafana') THEN
    CREATE ROLE grafana LOGIN CONNECTION LIMIT 8;
  END IF;
END
$$;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
ALTER ROLE grafana SET timezone = 'UTC';
GRANT USAGE ON SCHEMA mlflow, mlops TO grafana;
GRANT SELECT ON mlflow.experiments, mlflow.runs, mlflow.tags, mlflow.params, mlflow.latest_metrics TO grafana;
GRANT SELECT ON mlops.scored_month, mlops.scored_record TO grafana;
GRANT SELECT ON mlops.stage_usage, mlops.drift_verdict, mlops.health_report TO grafana;
-- Not the keys of orders and not the evidence.
GRANT SELECT (id, product, event, phase, production, candidate, candidate_share, actor, reason, created_at)
  ON mlops.ledger TO grafana;
