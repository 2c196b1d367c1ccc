"""Every metric that the platform exports of itself: name, kind, labels, and how many series it may have at most.

Add a metric here, with the collector that fills it, and write deploy/METRICS.md anew (`mlops metrics --docs`). Keep out
where the figures come from (`collectors/`). Services and gateway export their own beside these: `predictions_total`,
`prediction_duration_seconds` and `envoy_*`.

A label's values are names that the platform gave or checked, never a stranger's words: whatever is more than `most`
series of a metric is left out and counted in `mlops_series_dropped_total`. All bounds together stay below 10,000 lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What Prometheus takes it for."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric. The name ends in its unit (seconds, bytes, …), a counter's in `_total`; `most` bounds its series.

    `buckets` are upper bounds in the metric's unit, of a histogram alone; a histogram's series are counted by label
    sets, each of which has a line for every bucket.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    most: int = 50
    buckets: tuple[float, ...] = ()


RUN_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
STAGE_SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0)
WAIT_SECONDS = (0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0)

RUNS = (
    Metric("mlops_runs", Kind.GAUGE, "Runs that haven't ended, by status.", ("kind", "status"), 20),
    Metric("mlops_runs_finished_total", Kind.COUNTER, "Runs that ended.", ("job", "outcome"), 300),
    Metric("mlops_run_duration_seconds", Kind.HISTOGRAM, "From start to end.", ("job",), 100, RUN_SECONDS),
    Metric("mlops_run_wait_seconds", Kind.HISTOGRAM, "From creation to start.", ("kind",), 5, WAIT_SECONDS),
    Metric("mlops_run_queue_oldest_seconds", Kind.GAUGE, "How long the oldest queued run waits.", ("kind",), 5),
    Metric("mlops_run_oldest_seconds", Kind.GAUGE, "How long the oldest started run goes.", ("kind",), 5),
    Metric("mlops_runs_overdue", Kind.GAUGE, "Started runs that are over their time limit by a minute.", ("kind",), 5),
    Metric("mlops_run_slots", Kind.GAUGE, "How many runs may go at once.", ("limit",), 10),
    Metric("mlops_run_slots_used", Kind.GAUGE, "How many of these go.", ("limit",), 10),
    Metric("mlops_job_last_success_timestamp_seconds", Kind.GAUGE, "End of a job's newest success.", ("job",), 100),
    Metric("mlops_job_last_run_failed", Kind.GAUGE, "1 if a job's newest ended run failed.", ("job",), 100),
)
STAGES = (
    Metric("mlops_stages_finished_total", Kind.COUNTER, "Attempts of stages.", ("product", "stage", "outcome"), 500),
    Metric("mlops_stage_duration_seconds", Kind.HISTOGRAM, "Of an attempt.", ("product", "stage"), 100, STAGE_SECONDS),
    Metric("mlops_stage_cpu_seconds_total", Kind.COUNTER, "CPU time of attempts.", ("product", "stage"), 100),
    Metric("mlops_stage_read_bytes_total", Kind.COUNTER, "Read by attempts.", ("product", "stage"), 100),
    Metric("mlops_stage_written_bytes_total", Kind.COUNTER, "Written by attempts.", ("product", "stage"), 100),
    Metric(
        "mlops_stage_peak_memory_bytes",
        Kind.GAUGE,
        "Newest attempt, of products.",
        ("product", "stage"),
        100,
    ),
    Metric("mlops_cost_total", Kind.COUNTER, "CPU and memory at the set prices.", ("product", "currency"), 50),
)
AUTOMATION = (
    Metric("mlops_daemon_heartbeat_age_seconds", Kind.GAUGE, "By the database's clock.", ("daemon",), 20),
    Metric("mlops_daemon_errors", Kind.GAUGE, "Errors in a daemon's newest heartbeat.", ("daemon",), 20),
    Metric("mlops_clock_skew_seconds", Kind.GAUGE, "This machine's clock less the database's."),
    Metric("mlops_schedule_delay_seconds", Kind.GAUGE, "Newest tick, after its time.", ("schedule",), 100),
    Metric("mlops_schedule_overdue_seconds", Kind.GAUGE, "How late a tick is that hasn't come.", ("schedule",), 100),
    Metric("mlops_ticks_total", Kind.COUNTER, "Ticks kept by Dagster.", ("automation", "outcome"), 400),
    Metric("mlops_sensor_last_tick_timestamp_seconds", Kind.GAUGE, "Newest tick.", ("sensor",), 100),
    Metric("mlops_code_location_up", Kind.GAUGE, "1 if Dagster has it loaded without an error.", ("location",), 10),
    Metric("mlops_code_location_load_seconds", Kind.GAUGE, "How long its newest load took.", ("location",), 10),
    Metric("mlops_backfills", Kind.GAUGE, "Backfills that haven't ended, by status.", ("status",), 10),
)
ASSETS = (
    Metric("mlops_asset_last_materialization_timestamp_seconds", Kind.GAUGE, "Newest success.", ("asset",), 250),
    Metric("mlops_asset_stale", Kind.GAUGE, "1 if it is older than its freshness policy lets it be.", ("asset",), 250),
    Metric("mlops_asset_check_passed", Kind.GAUGE, "Newest result.", ("asset", "check", "severity"), 400),
)
ROLLOUTS = (
    Metric("mlops_release_info", Kind.GAUGE, "1 for the release in each role.", ("product", "role", "release"), 100),
    Metric("mlops_release_age_seconds", Kind.GAUGE, "Since it was trained.", ("product", "role"), 100),
    Metric("mlops_rollout_phase", Kind.GAUGE, "1 for the phase that it is in.", ("product", "phase"), 400),
    Metric("mlops_rollout_phase_seconds", Kind.GAUGE, "How long it is in it.", ("product",), 50),
    Metric("mlops_rollout_candidate_share", Kind.GAUGE, "Share of users, 0 to 1.", ("product",), 50),
    Metric("mlops_rollout_look_age_seconds", Kind.GAUGE, "Since the newest look, while compared.", ("product",), 50),
    Metric("mlops_rollout_transitions_total", Kind.COUNTER, "Rows of the ledger.", ("product", "action"), 300),
    Metric("mlops_predictions_logged_total", Kind.COUNTER, "Since its first look.", ("product", "variant"), 100),
    Metric("mlops_feedback_logged_total", Kind.COUNTER, "Since its first look.", ("product", "variant", "kind"), 300),
    Metric("mlops_rating_mean", Kind.GAUGE, "Stars, of the last 24 h.", ("product", "variant"), 100),
    Metric("mlops_prediction_log_backlog_bytes", Kind.GAUGE, "Answered and not in the database yet."),
    Metric("mlops_prediction_log_backlog_seconds", Kind.GAUGE, "Age of the oldest of these."),
    Metric("mlops_prediction_log_shipper_age_seconds", Kind.GAUGE, "Since the shipper told of itself."),
)
DRIFT = (
    Metric("mlops_drift_judged_timestamp_seconds", Kind.GAUGE, "Newest judged day.", ("product",), 50),
    Metric("mlops_drift_drifted", Kind.GAUGE, "1 if the newest judged day drifted.", ("product",), 50),
    Metric("mlops_drift_columns", Kind.GAUGE, "Columns that drifted on that day.", ("product",), 50),
    Metric("mlops_drift_blocks_promotion", Kind.GAUGE, "1 while drift does.", ("product",), 50),
    Metric("mlops_batch_anomaly_rate", Kind.GAUGE, "Share, of the newest scored month.", ("product",), 50),
    Metric("mlops_batch_scored_records_total", Kind.COUNTER, "Scored records that are kept.", ("product",), 50),
)
PIPELINES = (
    Metric("mlops_pipelines", Kind.GAUGE, "Declared pipelines, by state.", ("state",), 10),
    Metric(
        "mlops_pipeline_runs_finished_total", Kind.COUNTER, "Of those that ran last.", ("pipeline", "outcome"), 1200
    ),
    Metric("mlops_pipeline_last_success_timestamp_seconds", Kind.GAUGE, "Newest success.", ("pipeline",), 400),
    Metric("mlops_artifact_bytes", Kind.GAUGE, "Kept files of pipelines' runs.", ("storage",), 10),
)
STORAGE = (
    Metric("mlops_database_size_bytes", Kind.GAUGE, "Tables and indexes.", ("schema",), 10),
    Metric("mlops_database_connections", Kind.GAUGE, "Open connections, by state.", ("state",), 10),
    Metric("mlops_database_connections_limit", Kind.GAUGE, "How many may be open."),
    Metric("mlops_database_oldest_transaction_seconds", Kind.GAUGE, "Age of the oldest open one."),
    Metric("mlops_database_answer_seconds", Kind.GAUGE, "How long the simplest question took."),
    Metric("mlops_disk_free_bytes", Kind.GAUGE, "Where the installation keeps its state."),
    Metric("mlops_disk_size_bytes", Kind.GAUGE, "Of the same disk."),
    Metric("mlops_storage_bytes", Kind.GAUGE, "Files below the installation's folder.", ("area",), 20),
)
MACHINE = (
    Metric("mlops_machine_cpu_seconds_total", Kind.COUNTER, "Of all cores.", ("mode",), 10),
    Metric("mlops_machine_cpus", Kind.GAUGE, "Cores."),
    Metric("mlops_machine_load1", Kind.GAUGE, "Load average of one minute."),
    Metric("mlops_machine_memory_bytes", Kind.GAUGE, "By use.", ("use",), 5),
    Metric("mlops_program_up", Kind.GAUGE, "1 if it runs.", ("program",), 60),
    Metric("mlops_program_started_timestamp_seconds", Kind.GAUGE, "Newest start.", ("program",), 60),
    Metric("mlops_program_memory_bytes", Kind.GAUGE, "Resident, with its children.", ("program",), 60),
    Metric("mlops_program_cpu_seconds_total", Kind.COUNTER, "With its children.", ("program",), 60),
    Metric("mlops_notices_total", Kind.COUNTER, "What people were to hear of.", ("kind", "outcome"), 100),
    Metric("mlops_notices_undelivered", Kind.GAUGE, "Waiting for a channel, or given up.", ("state",), 5),
    Metric("mlops_health_degraded", Kind.GAUGE, "1 if the newest health report says so."),
    Metric("mlops_health_report_timestamp_seconds", Kind.GAUGE, "When it was made."),
    Metric("mlops_health_issues", Kind.GAUGE, "Issues of the newest health report.", ("issue", "severity"), 60),
)
EXPORTER = (
    Metric("mlops_collector_success", Kind.GAUGE, "1 if its newest look worked.", ("collector",), 25),
    Metric("mlops_collector_duration_seconds", Kind.GAUGE, "Of its newest look.", ("collector",), 25),
    Metric("mlops_collector_last_success_timestamp_seconds", Kind.GAUGE, "Newest one that worked.", ("collector",), 25),
    Metric("mlops_series_dropped_total", Kind.COUNTER, "Left out, over a metric's bound.", ("metric",), 100),
)

GROUPS = {
    "runs": RUNS,
    "stages": STAGES,
    "automation": AUTOMATION,
    "assets": ASSETS,
    "rollouts": ROLLOUTS,
    "drift": DRIFT,
    "pipelines": PIPELINES,
    "storage": STORAGE,
    "machine": MACHINE,
    "exporter": EXPORTER,
}
METRICS = {metric.name: metric for group in GROUPS.values() for metric in group}
