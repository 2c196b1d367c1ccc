"""The list: every table and every folder of an installation, with how long it is kept.

Add a line with each new place; a test names what has none. What may stay for ever needs a reason that holds when there
are a hundred million rows. Keep out how a line is found and shown (`policy`), and the removal (`rounds`).
"""

from __future__ import annotations

from mlops_assets.retention.policy import Kept


def _in(schema: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{schema}.{name}" for name in names)


_OURS = (
    Kept(
        "data versions",
        "for ever: each release names its own, and an old one can be asked for",
        tables=_in("mlops", "dataset_version", "labelled_source"),
        storage=("*/datasets",),
        oldest="mlops.dataset_version.created_at",
    ),
    Kept(
        "releases",
        "for ever: the ledger names them, and any of them can serve again",
        tables=_in("mlops", "release"),
        home=("bentos",),
        storage=("*/releases", "*/references", "*/bentos"),
        oldest="mlops.release.created_at",
    ),
    Kept("releases never published", "of no use to anybody; the numbers stay given", 30, sweep="unpublished_releases"),
    Kept(
        "decisions",
        "for ever: the ledger is append-only, and says who served when and why",
        tables=_in("mlops", "ledger"),
        oldest="mlops.ledger.created_at",
    ),
    Kept(
        "counts of rollouts",
        "after a rollout's last decision; the newest rollout's stay",
        "run_days",
        tables=_in("mlops", "traffic", "exposure", "units"),
        sweep="rollout_counts",
    ),
    Kept(
        "prediction log",
        "only what is in hourly files goes; the number is in each product's `rollout`",
        until="log_retention_days",
        tables=_in("mlops", "prediction", "prediction_*", "feedback", "request_failure", "log_hour"),
        oldest="mlops.log_hour.hour",
        sweep="prediction_log",
    ),
    Kept(
        "feedback that waits",
        "until its answer is in the log, or the shipper gives up",
        1,
        tables=_in("mlops", "feedback_waiting"),
    ),
    Kept(
        "hourly files of the log",
        "and their rows; a day that is still in the log keeps its files",
        "log_file_days",
        tables=_in("mlops", "log_export"),
        storage=("*/prediction_log",),
        oldest="mlops.log_export.hour",
        sweep="log_files",
    ),
    Kept(
        "drift by day",
        "for ever: a row and a small file a day; full reports go by the product's `drift.keep_reports`",
        tables=_in("mlops", "drift_verdict"),
        storage=("*/drift",),
        oldest="mlops.drift_verdict.computed_at",
    ),
    Kept(
        "scored months",
        "for ever: one file a month, which a new run of the month replaces",
        tables=_in("mlops", "scored_month", "scored_record"),
        storage=("*/scores",),
        oldest="mlops.scored_month.scored_at",
    ),
    Kept("scores that were replaced", "no row names them any more", 30, sweep="replaced_scores"),
    Kept(
        "notices",
        "by the notifier, every hour",
        90,
        tables=_in("mlops", "notice", "notice_group", "notice_delivery"),
        oldest="mlops.notice.noted_at",
    ),
    Kept(
        "state of channels and probes",
        "for ever: one row for each of them",
        tables=_in("mlops", "notice_channel", "notice_cursor", "service_probe"),
    ),
    Kept(
        "tokens and acts",
        "for ever: append-only, so that nobody can take away what was done; the log names revoked tokens",
        tables=_in("mlops", "api_token", "audit"),
        oldest="mlops.audit.at",
    ),
    Kept(
        "answers to repeated requests",
        "each new request removes some that are too old",
        1,
        tables=_in("mlops", "answered_request"),
        oldest="mlops.answered_request.created_at",
    ),
    Kept(
        "declared pipelines",
        "for ever: versions are small, and the log of acts names them",
        tables=_in("mlops", "pipeline", "pipeline_version"),
        oldest="mlops.pipeline_version.created_at",
    ),
    Kept(
        "files and logs of their runs",
        "the rows go with the run",
        "artifact_days",
        tables=_in("mlops", "artifact"),
        home=("logs/stages",),
        storage=("pipelines",),
        oldest="mlops.artifact.created_at",
        sweep="pipeline_files",
    ),
    Kept(
        "use of the machine",
        "by attempt of a stage",
        "usage_days",
        tables=_in("mlops", "stage_usage"),
        oldest="mlops.stage_usage.started_at",
        sweep="stage_usage",
    ),
    Kept(
        "health reports",
        "`keep_days` of the platform's defs.yaml; each new report removes old ones",
        400,
        tables=_in("mlops", "health_report"),
        oldest="mlops.health_report.made_at",
    ),
    Kept("version of the tables", "for ever: one row", tables=_in("mlops", "migration")),
)

_DAGSTER = (
    Kept(
        "runs in Dagster",
        "with their events; but not a release's, the newest of an asset, partition or sensor, or one that left files",
        "run_days",
        tables=_in("dagster", "runs", "run_tags", "event_logs", "asset_event_tags"),
        sweep="dagster_runs",
    ),
    Kept(
        "what runs printed",
        "the runs themselves stay longer",
        "run_log_days",
        home=("logs/runs",),
        sweep="run_logs",
    ),
    Kept(
        "copies of what runs printed",
        "in an object store only; those of declared pipelines' stages by MLOPS_ARTIFACT_DAYS",
        "run_log_days",
        storage=("run_logs",),
        sweep="run_log_copies",
    ),
    Kept(
        "files that stages hand on",
        "with their run, unless a run that is left refers to them",
        "run_days",
        storage=("references", "*/models", "*/features", "*/charts"),
        sweep="run_files",
    ),
    Kept(
        "results of checks",
        "for ever: Dagster has no call that removes a run's; some rows a training",
        tables=_in("dagster", "asset_check_executions"),
        oldest="dagster.asset_check_executions.create_timestamp",
    ),
    Kept(
        "looks of schedules and sensors",
        "by Dagster itself: `retention` in dagster.yaml, looks that found nothing after 7 days (schedules: 90, 400)",
        90,
        tables=_in("dagster", "job_ticks"),
        oldest="dagster.job_ticks.timestamp",
    ),
    Kept(
        "evaluations of automation conditions",
        "by Dagster itself",
        30,
        tables=_in("dagster", "asset_daemon_asset_evaluations"),
    ),
    Kept(
        "shapes of jobs",
        "for ever: one for each shape that a job ever had, by its content; Dagster has no call that removes one",
        tables=_in("dagster", "snapshots"),
    ),
    Kept(
        "backfills",
        "for ever: only people make them; Dagster has no call that removes one",
        tables=_in("dagster", "bulk_actions", "backfill_tags"),
    ),
    Kept(
        "Dagster's state",
        "for ever: one row for each asset, partition, schedule, sensor, daemon, limit or step at work",
        tables=_in(
            "dagster",
            *("asset_keys", "dynamic_partitions", "jobs", "instigators", "daemon_heartbeats", "kvs"),
            *("concurrency_limits", "concurrency_slots", "pending_steps"),
            *("instance_info", "secondary_indexes", "alembic_version"),
        ),
    ),
)

_MLFLOW = (
    Kept(
        "runs in MLflow",
        "with their models and files; 30 days more they can be brought back; never a release's",
        "run_days",
        tables=_in(
            "mlflow",
            *("runs", "params", "metrics", "latest_metrics", "tags", "inputs", "input_tags", "logged_models"),
            *("logged_model_metrics", "logged_model_params", "logged_model_tags"),
        ),
        storage=("mlflow",),
        sweep="mlflow_runs",
    ),
    Kept(
        "registered models",
        "for ever: one version for each release",
        tables=_in("mlflow", "registered_model*", "model_version*"),
    ),
    Kept(
        "experiments and MLflow's other tables",
        "for ever: one experiment for each product; into the others the platform writes nothing",
        tables=_in("mlflow", "*"),
    ),
)

_PLACES = (
    Kept("files never finished", "a killed process was writing them", 2, sweep="partial_files"),
    Kept("code of commits", "after their last use", "checkout_days", home=("repositories",), sweep="checkouts"),
    Kept("copies of releases", "by each service", until="the last 3", home=("serving",)),
    Kept("answers that aren't shipped", "refused lines stay, up to a size", until="shipped", home=("journal",)),
    Kept("the gateway's files", "its log of failures is started anew", until="shipped", home=("gateway",)),
    Kept("logs of programs", "each is started anew at a size, so many times", until="a size", home=("logs/*.log*",)),
    Kept("working folders of stages", "what a kill leaves goes in the night", until="the end", home=("stages",)),
    Kept(
        "history of Prometheus and Alertmanager",
        "by themselves: 30 days or 2 GB, and 5 days",
        30,
        home=("prometheus",),
    ),
    Kept(
        "the database and the storage root",
        "for ever: what is in them has its own lines",
        home=("postgres", "storage"),
    ),
    Kept(
        "what was made or given once",
        "for ever: keys, your functions, configuration, sockets, locks, counters",
        home=(
            *("secrets", "functions", "run", "metrics", "dagster.yaml", "migrated.json", "restoring"),
            *(".lock", ".logs_queue"),
        ),
    ),
)

KEPT = (*_OURS, *_DAGSTER, *_MLFLOW, *_PLACES)
