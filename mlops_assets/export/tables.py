"""Which tables are exported, how their rows are chosen, and which aren't, each with its reason. Every table has a line.

Add a table here when the platform gets one. Columns come from the database itself, so that a new one is never
forgotten; `but` names those that nobody else needs to have. Keep out how columns are read (`columns`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exported:
    """One file of rows: `source` with its alias `t`, and what of it is wanted.

    `product` is SQL for the product of a row, None where rows are of no single product: those are left out when one is
    asked for. `since` is SQL for the moment of a row, None where rows are states and not events: those are always all
    there. `table` is where columns are from, `more` are columns by SQL and kind, `but` those left out.
    """

    name: str
    says: str
    table: str
    product: str | None = "t.product"
    since: str | None = None
    order: str = ""
    more: tuple[tuple[str, str, str], ...] = ()
    but: tuple[str, ...] = ()
    where: str = "true"
    joined: str = ""


EXPORTED = (
    Exported(
        "data_versions", "each distinct content of a source", "mlops.dataset_version",
        order="t.product, t.version",),
    Exported(
        "live_labels", "which sources were trained on with labels from users", "mlops.labelled_source",
        order="t.product, t.version",
    ),
    Exported(
        "releases", "trained models with their manifest: metrics, data, code, runs", "mlops.release",
        order="t.product, t.version", where="t.uri IS NOT NULL",
    ),
    Exported(
        "ledger", "every decision on who serves; looks have their verdict and all its numbers in `details`",
        "mlops.ledger", since="t.created_at", order="t.product, t.seq",
    ),
    Exported(
        "drift_verdicts", "each day beside what production was trained on", "mlops.drift_verdict", since="t.day",
        order="t.product, t.day",
    ),
    Exported("scored_months", "months of records, scored", "mlops.scored_month", order="t.product, t.mode, t.month"),
    Exported(
        "oddest_records", "the lowest scores of each month, with reasons", "mlops.scored_record",
        order="t.product, t.mode, t.month, t.place",
    ),
    Exported(
        "predictions", "answers that are in the log; older ones in the hourly files", "mlops.prediction", since="t.at",
        more=(("estimate", "mlops.numeric_answer(t.output)", "float64"),), but=("batch",),
    ),
    Exported(
        "feedback", "what users said of answers, by `prediction_id`", "mlops.feedback", since="t.at", but=("batch",)
    ),
    Exported(
        "request_failures", "requests that nobody could answer", "mlops.request_failure", since="t.at", but=("batch",)
    ),
    Exported(
        "traffic", "requests of rollouts by day, variant and latency (bucket b: up to 0.05 ms * 1.1^b)",
        "mlops.traffic", since="t.day", order="t.product, t.rollout, t.step, t.day",
    ),
    Exported("units", "users of rollouts by variant", "mlops.units", order="t.product, t.rollout, t.step"),
    Exported(
        "stages", "each attempt of a stage, with what it used", "mlops.stage_usage", since="t.started_at",
        order="t.started_at",
    ),
    Exported(
        "runs", "Dagster's runs with their tags", "dagster.runs", since="t.create_timestamp", order="t.id",
        product=(
            "(SELECT value FROM dagster.run_tags AS p WHERE p.run_id = t.run_id AND p.key = 'product' LIMIT 1)"
        ),
        more=(
            (
                "tags",
                "(SELECT coalesce(json_object_agg(g.key, g.value), '{}')::text FROM dagster.run_tags AS g "
                "WHERE g.run_id = t.run_id)",
                "string",
            ),
        ),
        but=("id", "run_body", "snapshot_id", "mode", "partition", "partition_set"),
    ),
    Exported(
        "checks", "results of contract checks and gates", "dagster.asset_check_executions",
        product="t.asset_key::json ->> 0", since="t.create_timestamp", order="t.id",
        but=("id", "materialization_event_storage_id"),
    ),
    Exported("pipelines", "declared pipelines", "mlops.pipeline", product=None, order="t.created_at"),
    Exported(
        "pipeline_versions", "their versions as JSON, as they were declared; as YAML in `pipelines/`",
        "mlops.pipeline_version", product=None, order="t.pipeline_id, t.version",
    ),
    Exported(
        "artifacts", "what stages of declared pipelines left", "mlops.artifact", product=None, since="t.created_at",
        order="t.created_at",
    ),
    Exported("audit", "who did what", "mlops.audit", product=None, since="t.at", order="t.id"),
    Exported(
        "notices", "what people were told", "mlops.notice", since="t.noted_at", order="t.id", but=("key", "group")
    ),
    Exported(
        "health_reports", "hourly reports on the platform", "mlops.health_report", product=None, since="t.made_at",
        order="t.id", but=("open",),
    ),
    Exported(
        "mlflow_runs", "MLflow's runs; `experiment` is the product's", "mlflow.runs", product="e.name",
        order="t.start_time",
        joined="JOIN mlflow.experiments AS e ON e.experiment_id = t.experiment_id",
        more=(("experiment", "e.name", "string"),), where="t.lifecycle_stage = 'active'",
    ),
    Exported(
        "mlflow_params", "parameters of MLflow's runs", "mlflow.params", product="e.name",
        joined="JOIN mlflow.runs AS r ON r.run_uuid = t.run_uuid JOIN mlflow.experiments AS e USING (experiment_id)",
        where="r.lifecycle_stage = 'active'", order="t.run_uuid, t.key",
    ),
    Exported(
        "mlflow_metrics", "the last value of each metric of MLflow's runs", "mlflow.latest_metrics", product="e.name",
        joined="JOIN mlflow.runs AS r ON r.run_uuid = t.run_uuid JOIN mlflow.experiments AS e USING (experiment_id)",
        where="r.lifecycle_stage = 'active'", order="t.run_uuid, t.key",
    ),
)  # fmt: skip

# Of the platform's own tables.
NOT_EXPORTED = {
    "mlops.api_token": "hashes of secrets; who has a token is in the audit",
    "mlops.answered_request": "answers of a day, kept for those who ask again",
    "mlops.feedback_waiting": "feedback whose answer isn't known yet",
    "mlops.exposure": "users of rollouts one by one; their counts are in `units`",
    "mlops.log_hour": "counts of rows that are exported themselves",
    "mlops.log_export": "where hourly files are; the files are exported",
    "mlops.notice_group": "state of the notifier",
    "mlops.notice_delivery": "state of the notifier",
    "mlops.notice_channel": "state of the notifier",
    "mlops.notice_cursor": "state of the notifier",
    "mlops.service_probe": "state of the notifier",
    "mlops.migration": "which version the tables are of; the manifest says it",
}
