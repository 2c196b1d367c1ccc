"""The dashboard of the machine and what runs on it: health report, programs, disk, database, and monitoring itself.

Add a panel here; it stands after the one before it, and the widths of a line add up to 24. Keep out runs and stages
(`orchestration`).
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
    below,
    lines,
    plain,
    rows,
    state,
    told,
)
from mlops_assets.observability.grafana.promql import increase, of, rate, total

PROGRAM, PLATFORM = 'program=~"$program"', 'job="platform"'
USED, AVAILABLE, TOTAL = 'use="used"', 'use="available"', 'use="total"'
# The collectors that fail together when the database is away.
READERS = 'collector=~"runs|stages|automation"'
FREE = f"{of('mlops_disk_free_bytes')} / {of('mlops_disk_size_bytes')}"
CONNECTED = f"sum({of('mlops_database_connections')}) / max({of('mlops_database_connections_limit')})"
REPORT_SECONDS = 7500


def made() -> Dashboard:
    """The dashboard."""
    return board(
        "machine",
        "Machine and platform health",
        "Is the platform healthy, and is there enough of everything? The newest report's issues come first.",
        pages=("health", "resources"),
        variables=(choice("program", "Program", of("mlops_program_up"), many=True),),
        parts=(
            ("Now", _now()),
            ("Health", _health()),
            ("Machine", _machine()),
            ("What runs", _programs()),
            ("Disk and database", _storage()),
            ("Monitoring itself", _monitoring()),
        ),
    )


def _now() -> Panels:
    available = f"sum({of('mlops_machine_memory_bytes', AVAILABLE)}) / sum({of('mlops_machine_memory_bytes', TOTAL)})"
    load = f"{of('mlops_machine_load1')} / {of('mlops_machine_cpus')}"
    restarts = f"max(changes({of('mlops_program_started_timestamp_seconds', PROGRAM)}[10m]))"
    down = f"sum({of('mlops_program_up', PROGRAM)} == bool 0)"
    yes = {0: ("healthy", "green"), 1: ("degraded", "red")}
    return [
        firing(4, "All alerts that fire now."),
        state(told("Health report", "The newest one; its issues are below.", f"max({of('mlops_health_degraded')})", 4,
                   height=4, alerts=("PlatformDegraded", "HealthReportOld")),
              units.NoUnit, above(None, 1), none="no report yet", words=yes),
        state(told("Database", "Whether those that read it can.",
                   f"max({of('mlops_collector_success', READERS)})", 4, height=4, alerts=("DatabaseDown",)),
              units.NoUnit, below(1), none="unknown", words={0: ("down", "red"), 1: ("up", "green")}),
        state(told("Free share of the disk", "Where the installation keeps its state.", FREE, 4, height=4,
                   alerts=("DiskFilling", "DiskFillingSoon")), units.PercentUnit, below(0.05, 0.1), none="unknown"),
        state(told("Available memory", "Of the machine's.", available, 4, height=4, alerts=("MemoryShort",)),
              units.PercentUnit, below(0.05, 0.15), none="unknown"),
        state(told("Load for each core", "Load average of one minute.", load, 4, height=4,
                   alerts=("MachineOverloaded",)), units.Short, above(2, 4), none="unknown"),
        state(told("Programs that are down", "Of the chosen ones; supervisord starts them again.", down, 4, height=4,
                   alerts=("ProgramDown",)), units.NoUnit, above(None, 1), none="not kept up here"),
        state(told("Most restarts in 10 minutes", "Of one program.", restarts, 4, height=4,
                   alerts=("ProgramRestarting",)), units.NoUnit, above(1, 3), none="not kept up here"),
        state(told("Database answers in", "The simplest question.", f"max({of('mlops_database_answer_seconds')})", 4,
                   height=4, alerts=("DatabaseSlow",)), units.Seconds, above(0.1, 0.5), none="unknown"),
        state(told("Connections in use", "Share of those that the database allows.", CONNECTED, 4, height=4,
                   alerts=("ConnectionsNearLimit",)), units.PercentUnit, above(0.7, 0.85), none="unknown"),
        state(told("Oldest transaction", "Open ones hold back cleaning up.",
                   f"max({of('mlops_database_oldest_transaction_seconds')})", 4, height=4,
                   alerts=("LongTransaction",)), units.Seconds, above(60, 300), none="unknown"),
        state(told("Notices that didn't go out", "Waiting for a channel, or given up.",
                   f"sum({of('mlops_notices_undelivered')})", 4, height=4, alerts=("NoticesUndelivered",)),
              units.NoUnit, above(1, 10), none="unknown"),
    ]  # fmt: skip


def _health() -> Panels:
    alerts = of("ALERTS", 'alertstate="firing"', 'alertname!="Watchdog"')
    issues = total(of("mlops_health_issues"), "issue", "severity")
    age = f"time() - max({of('mlops_health_report_timestamp_seconds')})"
    return [
        panels.rows(
            panels.Shown("Issues", "Of the newest health report, with the likely cause and what to do.",
                         operation_queries.HEALTH_ISSUES, 24, 8),
            {"message": panels.width_look(320), "likely cause": panels.width_look(320),
             "what to do": panels.width_look(320)},
        ),
        rows(told("Alerts that fire", "Their runbook entries are in deploy/ALERTS.md under these names.",
                  f"count by (alertname, severity, product) ({alerts})", 8, legend="series"),
             ("severity", "alertname", "product"), {}, none="none"),
        lines(told("Issues over time", "By name; a report is made every hour.", issues, 8,
                   legend="{{issue}} {{severity}}", alerts=("PlatformDegraded",)), units.Short, stacked=True),
        lines(told("Age of the report", "It is made every hour.", age, 4, alerts=("HealthReportOld",)),
              units.Seconds, steps=above(4500, REPORT_SECONDS)),
        bars(told("Notices", "What people were to hear of, by outcome.",
                  total(increase("mlops_notices_total"), "outcome"), 4, legend="{{outcome}}",
                  alerts=("NoticesUndelivered",)), units.Short),
    ]  # fmt: skip


def _machine() -> Panels:
    busy = total(rate("mlops_machine_cpu_seconds_total", 'mode!="idle"'), "mode")
    memory = tuple(Asked(f"sum({of('mlops_machine_memory_bytes', use)})", name)
                   for use, name in ((USED, "used"), (AVAILABLE, "available")))  # fmt: skip
    load = (Asked(of("mlops_machine_load1"), "load"), Asked(of("mlops_machine_cpus"), "cores"))
    return [
        lines(told("CPU", "Cores in use, by what for.", busy, 8, legend="{{mode}}", alerts=("MachineOverloaded",)),
              units.Short, stacked=True),
        lines(Told("Memory", "Used, and available to programs.", memory, 8, alerts=("MemoryShort",)), units.BytesSI,
              stacked=True),
        lines(Told("Load", "Beside the number of cores.", load, 8, alerts=("MachineOverloaded",)), units.Short),
    ]  # fmt: skip


def _programs() -> Panels:
    programs = (
        Asked(f"min by (program) ({of('mlops_program_up', PROGRAM)})", "up"),
        Asked(f"time() - max by (program) ({of('mlops_program_started_timestamp_seconds', PROGRAM)})", "runs for"),
    )
    return [
        rows(Told("Programs", "Kept up by supervisord.", programs, 8, 10, ("ProgramDown", "ProgramRestarting")),
             ("program",), {"up": (units.NoUnit, below(1)), "runs for": (units.Seconds, plain())},
             none="not kept up here"),
        lines(told("CPU of programs", "Cores in use, with children.",
                   total(rate("mlops_program_cpu_seconds_total", PROGRAM), "program"), 8, legend="{{program}}",
                   height=10), units.Short, stacked=True),
        lines(told("Memory of programs", "Resident, with children.",
                   total(of("mlops_program_memory_bytes", PROGRAM), "program"), 8, legend="{{program}}", height=10),
              units.BytesSI, stacked=True),
    ]  # fmt: skip


def _storage() -> Panels:
    disk = (
        Asked(of("mlops_disk_free_bytes"), "free"),
        # Where the last six hours lead to, in a day.
        Asked(f"clamp_min(predict_linear({of('mlops_disk_free_bytes')}[6h], 86400), 0)", "free in a day, at this rate"),
    )
    return [
        lines(Told("Free disk", "Now, and in a day if it goes on like the last six hours.", disk, 8,
                   alerts=("DiskFilling", "DiskFillingSoon")), units.BytesSI),
        lines(told("Files", "Below the installation's folder, by area.", total(of("mlops_storage_bytes"), "area"), 8,
                   legend="{{area}}", alerts=("DiskFilling",)), units.BytesSI, stacked=True),
        lines(told("Size of the database", "Tables and indexes, by schema.",
                   total(of("mlops_database_size_bytes"), "schema"), 8, legend="{{schema}}"), units.BytesSI,
              stacked=True),
        lines(told("Connections", "By state.", total(of("mlops_database_connections"), "state"), 8,
                   legend="{{state}}", alerts=("ConnectionsNearLimit",)), units.Short, stacked=True),
        lines(told("Time of the database to answer", "The simplest question.", of("mlops_database_answer_seconds"), 8,
                   alerts=("DatabaseSlow",)), units.Seconds, steps=above(0.1, 0.5)),
        lines(told("Age of the oldest transaction", "That is open.",
                   of("mlops_database_oldest_transaction_seconds"), 8, alerts=("LongTransaction",)),
              units.Seconds, steps=above(60, 300)),
    ]  # fmt: skip


def _monitoring() -> Panels:
    targets = f"min by (job, program) ({of('up')})"
    unsent = " + ".join(
        f"(sum({increase(name, window='1h')}) or vector(0))"
        for name in ("alertmanager_notifications_failed_total", "prometheus_notifications_dropped_total")
    )
    dropped = total(increase("mlops_series_dropped_total", window="1h"))
    return [
        rows(told("Targets", "What Prometheus reads.", targets, 8, legend="up", height=10,
                  alerts=("ExporterDown", "ServiceDown", "GatewayDown")), ("job", "program"),
             {"up": (units.NoUnit, below(1))}, none="none"),
        rows(Told("Collectors", "Of the exporter: whether the newest look worked, how long it took, and when one did.",
                  (Asked(f"min by (collector) ({of('mlops_collector_success')})", "worked"),
                   Asked(f"max by (collector) ({of('mlops_collector_duration_seconds')})", "took"),
                   Asked(f"time() - max by (collector) ({of('mlops_collector_last_success_timestamp_seconds')})",
                         "worked ago")), 8, 10, ("CollectorFailing", "DatabaseDown")), ("collector",),
             {"worked": (units.NoUnit, below(1)), "took": (units.Seconds, above(1, 5)),
              "worked ago": (units.Seconds, above(60, 300))}, none="none"),
        lines(told("Time of a scrape", "Of each target.", of("scrape_duration_seconds"), 8,
                   legend="{{job}} {{program}}", height=10, alerts=("ExporterSlow",)), units.Seconds,
              steps=above(1, 5)),
        state(told("Exporter", "What tells of the platform.", f"min({of('up', PLATFORM)})", 4, height=4,
                   alerts=("ExporterDown",)), units.NoUnit, below(1), none="unknown",
              words={0: ("down", "red"), 1: ("up", "green")}),
        state(told("Rules that failed", "In the last hour.",
                   total(increase("prometheus_rule_evaluation_failures_total", window="1h")), 5, height=4,
                   alerts=("RulesFailing",)), units.Short, above(None, 1), none="no rules"),
        state(told("Alerts that didn't go out", "In the last hour.", unsent, 5, height=4, alerts=("AlertsNotSent",)),
              units.Short, above(None, 1), none="unknown"),
        state(told("Series left out", "In the last hour, over a metric's bound.", f"{dropped} or vector(0)", 5,
                   height=4, alerts=("SeriesDropped",)), units.Short, above(1, None), none="0"),
        state(told("Series in Prometheus", "That it keeps in memory.", f"max({of('prometheus_tsdb_head_series')})", 5,
                   height=4), units.Short, plain(), none="unknown"),
    ]  # fmt: skip
