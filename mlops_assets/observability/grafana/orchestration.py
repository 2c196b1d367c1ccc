"""The dashboard of orchestration: whether runs start, end well and in time, and whether data stays fresh.

Add a panel here; it stands after the one before it, and the widths of a line add up to 24. Keep out declared pipelines
(`pipelines`) and the machine (`machine`).
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units

from mlops_assets.observability.grafana import operation_queries, panels
from mlops_assets.observability.grafana.board import Panels, board, choice, firing
from mlops_assets.observability.grafana.measured import (
    Asked,
    Told,
    above,
    bars,
    lines,
    plain,
    rows,
    sizes,
    state,
    told,
)
from mlops_assets.observability.grafana.promql import RANGE, increase, mean, of, quantile, rate, share, total

JOB, PRODUCT = 'job=~"$job"', 'product=~"$product"'
FAILURE = 'outcome="FAILURE"'
ALERTS = (
    *("DaemonSilent", "DaemonErrors", "CodeLocationBroken", "QueueStuck", "QueueFull", "RunOverdue", "JobFailing"),
    *("StageFailing", "StagesLost", "RunFailureRate", "ManyRunFailures", "ScheduleLate", "SensorSilent", "AssetStale"),
    "ClockSkew",
)
DAY = "24h"


def made() -> Dashboard:
    """The dashboard."""
    return board(
        "orchestration",
        "Orchestration",
        "Do runs start, end well and in time, and does data stay fresh? The first lines say so; below is why.",
        pages=("health", "runs", "resources"),
        variables=(
            choice("job", "Job", of("mlops_runs_finished_total"), many=True),
            choice("product", "Product", of("mlops_stages_finished_total")),
        ),
        parts=(
            ("Now", _now()),
            ("Runs", _runs()),
            ("Stages", _stages()),
            ("Schedules, sensors and daemons", _automation()),
            ("Freshness and checks", _assets()),
        ),
    )


def _now() -> Panels:
    ended = total(increase("mlops_runs_finished_total", JOB, window=DAY))
    failed = total(increase("mlops_runs_finished_total", JOB, FAILURE, window=DAY))
    broken = f"sum({of('mlops_code_location_up')} == bool 0)"
    silent = f"time() - min({of('mlops_sensor_last_tick_timestamp_seconds')})"
    late = f"clamp_min(max({of('mlops_schedule_overdue_seconds')}), 0)"
    seconds = units.Seconds
    return [
        firing(4, "Alerts of orchestration that fire now.", *ALERTS),
        state(told("Oldest heartbeat", "Dagster's daemons tell of themselves every 30 s.",
                   f"max({of('mlops_daemon_heartbeat_age_seconds')})", 4, height=4, alerts=("DaemonSilent",)),
              seconds, above(45, 60), none="unknown"),
        state(told("Code locations that don't load", "Their schedules, sensors and jobs don't run.", broken, 4,
                   height=4, alerts=("CodeLocationBroken",)), units.NoUnit, above(None, 1), none="unknown"),
        state(told("Longest wait in the queue", "Of runs that wait now.",
                   f"max({of('mlops_run_queue_oldest_seconds')})", 4, height=4, alerts=("QueueStuck", "QueueFull")),
              seconds, above(20, 30), none="unknown"),
        state(told("Overdue runs", "Started, and over their time limit by a minute.",
                   f"sum({of('mlops_runs_overdue')})", 4, height=4, alerts=("RunOverdue",)),
              units.NoUnit, above(1, None), none="unknown"),
        state(told("Jobs whose newest run failed", "Until their next success.",
                   f"sum({of('mlops_job_last_run_failed', JOB)})", 4, height=4, alerts=("JobFailing",)),
              units.NoUnit, above(1, None), none="no runs"),
        state(told("Failed runs of 24 h", "Share of the runs that ended in the last 24 h.", share(failed, ended), 4,
                   height=4, alerts=("RunFailureRate", "ManyRunFailures")),
              units.PercentUnit, above(0.1, 0.2), none="no runs"),
        state(told("Stale assets", "Older than their freshness policies let them be.",
                   f"sum({of('mlops_asset_stale')})", 4, height=4, alerts=("AssetStale",)),
              units.NoUnit, above(1, None), none="no policies"),
        state(told("Checks that don't pass", "By their newest results, warnings too.",
                   f"sum({of('mlops_asset_check_passed')} == bool 0)", 4, height=4),
              units.NoUnit, above(1, None), none="no checks"),
        state(told("Latest schedule", "How late the tick is that is most overdue.", late, 4, height=4,
                   alerts=("ScheduleLate",)), seconds, above(30, 60), none="no schedules"),
        state(told("Most silent sensor", "Since its newest tick; sensors look every minute at least.", silent, 4,
                   height=4, alerts=("SensorSilent",)), seconds, above(120, 300), none="no sensors"),
        state(told("Clock skew", "Between this machine's clock and the database's.",
                   f"max(abs({of('mlops_clock_skew_seconds')}))", 4, height=4, alerts=("ClockSkew",)),
              seconds, above(2, 5), none="unknown"),
    ]  # fmt: skip


def _runs() -> Panels:
    slots = f"{of('mlops_run_slots_used')} / on (limit) ({of('mlops_run_slots')} > 0)"
    jobs = (
        Asked(total(increase("mlops_runs_finished_total", JOB, window=RANGE), "job"), "ended"),
        Asked(total(increase("mlops_runs_finished_total", JOB, FAILURE, window=RANGE), "job"), "failed"),
        Asked(mean("mlops_run_duration_seconds", JOB, by=("job",), window=RANGE), "mean duration"),
        Asked(f"time() - max by (job) ({of('mlops_job_last_success_timestamp_seconds', JOB)})", "since success"),
        Asked(f"max by (job) ({of('mlops_job_last_run_failed', JOB)})", "newest failed"),
    )
    return [
        lines(told("Runs that haven't ended", "By status; a queue that grows while few run is stuck.",
                   total(of("mlops_runs"), "status"), 8, legend="{{status}}", alerts=("QueueStuck",)),
              units.Short, stacked=True),
        bars(told("Runs that ended", "By outcome.", total(increase("mlops_runs_finished_total", JOB), "outcome"), 8,
                  legend="{{outcome}}", alerts=("RunFailureRate",)), units.Short),
        lines(told("Slots in use", "Share of how many runs may go at once, by limit.", slots, 8, legend="{{limit}}",
                   alerts=("QueueFull",)), units.PercentUnit, steps=above(0.8, 1)),
        lines(told("Wait before the start", "95 of 100 runs of the hour before waited no longer, by kind.",
                   quantile(0.95, "mlops_run_wait_seconds", by=("kind",), window="1h"), 8, legend="{{kind}}",
                   alerts=("QueueFull",)), units.Seconds),
        lines(told("Duration", "95 of 100 runs of the hour before took no longer, by job.",
                   quantile(0.95, "mlops_run_duration_seconds", JOB, by=("job",), window="1h"), 8,
                   legend="{{job}}"), units.Seconds),
        lines(told("Oldest run at work", "By kind.", f"max by (kind) ({of('mlops_run_oldest_seconds')})", 8,
                   legend="{{kind}}", alerts=("RunOverdue",)), units.Seconds),
        rows(Told("Jobs", "Runs that ended in the chosen range, and how each job did last.", jobs, 24, 10,
                  ("JobFailing",)), ("job",),
             {"mean duration": (units.Seconds, plain()), "since success": (units.Seconds, plain()),
              "newest failed": (units.NoUnit, above(None, 1))}, none="no runs"),
    ]  # fmt: skip


def _stages() -> Panels:
    finished = "mlops_stages_finished_total"
    moved = (
        Asked(total(rate("mlops_stage_read_bytes_total", PRODUCT), "product"), "{{product}} read"),
        Asked(total(rate("mlops_stage_written_bytes_total", PRODUCT), "product"), "{{product}} written"),
    )
    slow = quantile(0.95, "mlops_stage_duration_seconds", PRODUCT, by=("product", "stage"), window="1h")
    cost = total(increase("mlops_cost_total", PRODUCT, window=RANGE), "product", "currency")
    return [
        bars(told("Attempts", "By outcome; LOST: the process ended without a word.",
                  total(increase(finished, PRODUCT), "outcome"), 8, legend="{{outcome}}",
                  alerts=("StageFailing", "StagesLost")), units.Short),
        lines(told("Slowest stages", "95 of 100 attempts of the hour before took no longer; the ten slowest.",
                   f"topk(10, {slow})", 8, legend="{{product}} {{stage}}"), units.Seconds),
        sizes(told("Peak memory", "Of each stage's newest attempt; the ten largest.",
                   f"topk(10, {of('mlops_stage_peak_memory_bytes', PRODUCT)})", 8, legend="{{product}} {{stage}}"),
              units.BytesSI, plain(), none="no attempts"),
        lines(told("CPU", "Cores in use by stages.", total(rate("mlops_stage_cpu_seconds_total", PRODUCT), "product"),
                   8, legend="{{product}}"), units.Short, stacked=True),
        lines(Told("Reading and writing", "Bytes a second, by product.", moved, 8), units.BytesPerSecondSI),
        sizes(told("Cost", "Of CPU and memory in the chosen range, at the set prices.", cost, 8,
                   legend="{{product}} {{currency}}"), units.Short, plain(), none="no attempts"),
        panels.rows(
            panels.Shown("Attempts that didn't succeed", "The newest 20 in the chosen range, from the database.",
                         operation_queries.FAILED_ATTEMPTS, 24, 9),
            {"started": panels.unit_look(units.DatetimeISO), "seconds": panels.unit_look(units.Seconds),
             "peak memory": panels.unit_look(units.BytesSI), "run": panels.width_look(300)},
        ),
    ]  # fmt: skip


def _automation() -> Panels:
    return [
        lines(told("Heartbeats", "Age of each daemon's newest sign of life.",
                   f"max by (daemon) ({of('mlops_daemon_heartbeat_age_seconds')})", 8, legend="{{daemon}}",
                   alerts=("DaemonSilent",)), units.Seconds, steps=above(45, 60)),
        lines(told("Errors of daemons", "In their newest heartbeats.", of("mlops_daemon_errors"), 8,
                   legend="{{daemon}}", alerts=("DaemonErrors",)), units.Short),
        bars(told("Ticks", "Of schedules and sensors, by outcome.", total(increase("mlops_ticks_total"), "outcome"),
                  8, legend="{{outcome}}", alerts=("SensorSilent", "ScheduleLate")), units.Short),
        lines(told("Delay of schedules", "How long after its time each newest tick came.",
                   of("mlops_schedule_delay_seconds"), 8, legend="{{schedule}}", alerts=("ScheduleLate",)),
              units.Seconds, steps=above(30, 60)),
        lines(told("Load time of code", "How long each code location's newest load took.",
                   of("mlops_code_location_load_seconds"), 8, legend="{{location}}",
                   alerts=("CodeLocationBroken",)), units.Seconds),
        lines(told("Backfills", "That haven't ended, by status.", of("mlops_backfills"), 8, legend="{{status}}"),
              units.Short, stacked=True),
    ]  # fmt: skip


def _assets() -> Panels:
    assets = (
        Asked(f"time() - max by (asset) ({of('mlops_asset_last_materialization_timestamp_seconds')})", "age"),
        Asked(f"max by (asset) ({of('mlops_asset_stale')})", "stale"),
    )
    checks = f"{of('mlops_asset_check_passed')} == 0"
    return [
        rows(Told("Assets", "Since each one's newest success; stale by its own freshness policy.", assets, 12, 10,
                  ("AssetStale",)), ("asset",),
             {"age": (units.Seconds, plain()), "stale": (units.NoUnit, above(None, 1))}, none="no assets"),
        rows(told("Checks that don't pass now", "By their newest results.",
                  f"min by (asset, check, severity) ({checks})", 12, legend="passed", height=10),
             ("asset", "check", "severity"), {}, none="all pass"),
    ]  # fmt: skip
