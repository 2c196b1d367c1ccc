"""Health for people: tables in Markdown, as Dagster's metadata shows them. Pure.

Whatever comes from a run is written so that none of it is Markdown. Keep out pictures (`chart`) and the web page, which
has files of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlops_assets.observability.health.errors import cell
from mlops_assets.observability.health.facts import FailurePatterns, Platform, RunMetrics
from mlops_assets.observability.health.issues import HealthReport
from mlops_assets.observability.health.words import span

MOST_ROWS = 30


def jobs_table(runs: RunMetrics) -> str:
    """Job by job, most failures first."""
    if not runs.jobs:
        return f"no run in {runs.hours} h"
    heads = ("job", "success", "failed", "canceled", "running", "queued", "median")
    rows = [
        (
            *(job.job, f"{job.success:,}", f"{job.failed:,}", f"{job.canceled:,}", f"{job.running:,}"),
            *(f"{job.queued:,}", "–" if job.seconds is None else span(job.seconds)),
        )
        for job in runs.jobs
    ]
    return table(heads, rows, numbers=range(1, 7), more=runs.more_jobs)


def stages_table(failures: FailurePatterns) -> str:
    """Stage by stage, most failures first, each with its commonest errors."""
    if not failures.stages:
        return f"no stage failed in {failures.hours} h"
    rows = [
        (
            stage.owner,
            stage.stage or "(outside of any stage)",
            f"{stage.failures:,}",
            f"{stage.share:.0%}",
            f"{stage.retries:,}",
            "; ".join(f"{error.count} × {error.line}" for error in stage.errors) or "–",
        )
        for stage in failures.stages
    ]
    heads = ("of", "stage", "failures", "share of tries", "tried again", "errors")
    return table(heads, rows, numbers=range(2, 5), more=failures.more_stages)


def machinery_table(platform: Platform) -> str:
    """Part by part, in words."""
    rows: list[tuple[str, str]] = []
    for beat in platform.heartbeats or ():
        said = "never told of itself" if beat.age is None else f"heartbeat {span(beat.age)} ago"
        rows.append((f"daemon {beat.daemon.lower()}", said + (f"; {beat.errors[0]}" if beat.errors else "")))
    rows += [(f"code location {one.name}", one.error or "loaded") for one in platform.locations or ()]
    if platform.queue is not None:
        waits = f", the oldest for {span(platform.queue.oldest_seconds)}" if platform.queue.queued else ""
        used = "; ".join(f"{slots.used} of {slots.most} {slots.limit}" for slots in platform.queue.slots)
        rows.append(("queue", f"{platform.queue.queued} waiting{waits}; going: {used}"))
    rows += [(f"run {run.run_id[:8]} of {run.job}", f"{span(run.seconds)} overdue") for run in platform.overdue or ()]
    rows += [(f"schedule {one.name}", f"{span(one.seconds)} late") for one in platform.late or ()]
    rows += [(f"{tick.kind} {tick.name}", f"failed: {tick.error}") for tick in platform.failed_ticks or ()]
    for program in platform.programs or ():
        rows.append((f"program {program.name}", f"{program.state.lower()} for {span(program.seconds)}"))
    for service in platform.services or ():
        down = service.down_seconds
        rows.append((f"service {service.name}", "answers" if down is None else f"no answer for {span(down)}"))
    rows += _stands_on(platform)
    return table(("part", "state"), rows) if rows else "nothing could be looked at"


def _stands_on(platform: Platform) -> Iterable[tuple[str, str]]:
    if platform.disk is not None:
        free, size = platform.disk.free / 1e9, platform.disk.size / 1e9
        yield "disk", f"{free:,.1f} GB of {size:,.0f} GB are free"
    if platform.database is not None:
        found = platform.database
        yield (
            "database",
            f"answers in {found.answer_seconds * 1e3:.1f} ms, {found.size / 1e9:,.2f} GB, "
            f"{found.connections} of {found.most_connections} connections",
        )
        yield "clock", f"{found.skew:+.3f} s to the database's"
    if platform.prediction_log is not None:
        yield "prediction log", f"oldest answer not in the database: {span(platform.prediction_log.oldest_seconds)}"


def issues_table(report: HealthReport) -> str:
    """Issue by issue, worst first."""
    if not report.issues:
        return "no issue"
    rows = [
        (
            str(one.severity),
            f"{one.name} {one.subject}".strip(),
            *(one.message, one.cause, one.action),
        )
        for one in report.issues
    ]
    return table(("", "issue", "seen", "likely cause", "what to do"), rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: range = range(0), more: int = 0) -> str:
    """A Markdown table of plain texts; the columns in `numbers` are set to the right."""
    lines = [
        "| " + " | ".join(heads) + " |",
        "|" + "|".join("---:" if place in numbers else "---" for place in range(len(heads))) + "|",
    ]
    lines += ["| " + " | ".join(map(cell, row)) + " |" for row in rows[:MOST_ROWS]]
    left_out = more + max(0, len(rows) - MOST_ROWS)
    return "\n".join([*lines, *(["", f"and {left_out} more"] if left_out else [])])
