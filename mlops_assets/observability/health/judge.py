"""Judges the facts of the platform by its policy: which issues there are, why that is likely, and what to do. Pure.

`judge` is all of it. Add a rule here when it is about runs and stages, in `rules` when it is about Dagster's machinery,
in `resources` when it is about what everything stands on; each gives issues for its facts, and none for facts that
aren't there. Keep out reading (`look`).
"""

from __future__ import annotations

from mlops_assets.notifications.notice import Severity
from mlops_assets.observability.health import resources, rules
from mlops_assets.observability.health.facts import Facts, FailurePatterns, JobRuns, RunMetrics, StageFailures
from mlops_assets.observability.health.issues import MOST_ISSUES, HealthReport, Issue, IssueName
from mlops_assets.observability.health.policy import HealthPolicy

# A share of the failures from which on a cause explains them.
MOST_OF_THEM = 0.5
MOST_NAMED = 5
SEE_STAGES = "see the stages that failed on the page /health"


def judge(facts: Facts, policy: HealthPolicy) -> HealthReport:
    """The report on these facts. A platform without runs or without traffic is healthy."""
    runs, failures = facts.runs, facts.failures
    found = [
        *([] if runs is None else run_issues(runs, failures, policy)),
        *([] if failures is None else stage_issues(failures, policy)),
        *(issue for rule in (*rules.RULES, *resources.RULES) for issue in rule(facts, policy)),
        *missing_issues(facts),
    ]
    worst = sorted(found, key=lambda issue: -issue.severity.rank)
    return HealthReport(
        status="degraded" if worst else "healthy", made_at=facts.at, issues=tuple(worst[:MOST_ISSUES]), facts=facts
    )


def run_issues(runs: RunMetrics, failures: FailurePatterns | None, policy: HealthPolicy) -> list[Issue]:
    """The failure rate, the number of failures, and jobs that keep failing."""
    found = []
    cause = cause_of_failures(runs, failures)
    rate = runs.failure_rate
    if rate is not None and rate > policy.max_failure_rate and runs.decided >= policy.least_ended_runs:
        found.append(
            Issue(
                name=IssueName.FAILURE_RATE_HIGH,
                severity=Severity.CRITICAL,
                subject="",
                message=f"{rate:.1%} of the runs of {runs.hours} h failed ({runs.failed} of {runs.decided}); "
                f"{policy.max_failure_rate:.1%} may",
                cause=cause,
                action=f"mlops doctor; {SEE_STAGES}",
            )
        )
    if runs.failed > policy.max_failures:
        found.append(
            Issue(
                name=IssueName.FAILURES_MANY,
                severity=Severity.CRITICAL,
                subject="",
                message=f"{runs.failed} runs failed within {runs.hours} h; {policy.max_failures} may",
                cause=cause,
                action=f"mlops doctor; {SEE_STAGES}",
            )
        )
    return found + [_keeps_failing(runs, job.job, failures, job.in_a_row) for job in _failing_jobs(runs, policy)]


def _failing_jobs(runs: RunMetrics, policy: HealthPolicy) -> list[JobRuns]:
    return [job for job in runs.jobs if job.in_a_row >= policy.failures_in_a_row]


def _keeps_failing(runs: RunMetrics, job: str, failures: FailurePatterns | None, times: int) -> Issue:
    told = [stage for stage in (failures.stages if failures else ()) if _belongs(stage, job)]
    return Issue(
        name=IssueName.JOB_FAILS_IN_A_ROW,
        severity=Severity.WARNING,
        subject=job,
        message=f"the newest {times} runs of {job} failed, one after the other, within {runs.hours} h",
        cause=cause_of_stage(told[0]) if told else "its errors say why",
        action="mlops dagster run list --limit 20; " + SEE_STAGES,
    )


def _belongs(stage: StageFailures, job: str) -> bool:
    """Whether a stage is likely one of the job's: jobs are named after their product, pipelines by themselves."""
    return stage.owner == job or job.startswith(f"{stage.owner}_")


def cause_of_failures(runs: RunMetrics, failures: FailurePatterns | None) -> str:
    """What most of the failures have in common: an error, a stage, a job; else that they have nothing."""
    if failures is None:
        return "the runs' errors couldn't be read"
    count = sum(stage.failures for stage in failures.stages)
    for stage in failures.stages[:1]:
        if count and stage.failures / count >= MOST_OF_THEM:
            return f"{stage.failures} of {count} failures are of the same stage: {cause_of_stage(stage)}"
    for job in runs.jobs[:1]:
        if job.failed and job.failed / runs.failed >= MOST_OF_THEM:
            return f"{job.failed} of {runs.failed} failed runs are of {job.job}, at different stages"
    names = ", ".join(stage.title for stage in failures.stages[:MOST_NAMED])
    return (
        f"several stages fail, each by itself: {names}" if names else "no stage failed: the runs ended outside of any"
    )


def cause_of_stage(stage: StageFailures) -> str:
    """Why a stage fails, as far as its errors tell."""
    if not stage.stage:
        said = f": {stage.errors[0].line}" if stage.errors else ""
        return f"runs of {stage.owner} ended outside of any stage, killed or never started{said}"
    if not stage.errors:
        return f"{stage.title} fails; its errors couldn't be read"
    first, read = stage.errors[0], sum(error.count for error in stage.errors)
    if first.count == read and read > 1:
        return f"{stage.title} fails with the same error each time: {first.line}"
    if read > 1:
        return f"{stage.title} fails with different errors, most often ({first.count} of {read}): {first.line}"
    return f"{stage.title} failed with: {first.line}"


def stage_issues(failures: FailurePatterns, policy: HealthPolicy) -> list[Issue]:
    """Stages that failed more often than the policy lets them."""
    return [
        Issue(
            name=IssueName.STAGE_FAILS_OFTEN,
            severity=Severity.WARNING,
            subject=stage.title,
            message=f"{stage.title} failed {stage.failures} times within {failures.hours} h "
            f"({stage.share:.0%} of {stage.attempts} tries); {policy.stage_failures_warning} may",
            cause=cause_of_stage(stage),
            action=_stage_action(stage),
        )
        for stage in failures.stages
        if stage.failures > policy.stage_failures_warning
    ]


def _stage_action(stage: StageFailures) -> str:
    if not stage.errors:
        return SEE_STAGES
    run = stage.errors[0].run_id
    if stage.owner.startswith("pipeline "):
        return f"mlops pipeline status {run}"
    return f"mlops logs runs; look at run {run} in Dagster" if not stage.stage else f"look at run {run} in Dagster"


def missing_issues(facts: Facts) -> list[Issue]:
    """What couldn't be looked at, once for each reason: that is as likely as not an issue itself."""
    by_reason: dict[str, list[str]] = {}
    for part, why in sorted(facts.missing.items()):
        by_reason.setdefault(why, []).append(part)
    return [
        Issue(
            name=IssueName.FACTS_MISSING,
            severity=Severity.WARNING,
            subject=", ".join(parts),
            message=f"{', '.join(parts)} couldn't be looked at",
            cause=why,
            action="mlops doctor; mlops status",
        )
        for why, parts in by_reason.items()
    ]
