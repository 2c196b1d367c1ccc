"""The health graph in Dagster: runs, failures and machinery as assets with checks, then the report; hourly.

Each asset is thin: it looks, judges, and shows a person what came out. None fails because a part is away: what couldn't
be looked at is an issue of the report. Keep out the looks (`look`) and the rules (`judge`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.observability.health.policy import HealthPolicy
from mlops_assets.runs.schedules import running_schedule
from mlops_assets.runs.stages import Stage

if TYPE_CHECKING:
    from mlops_assets.observability.health.facts import Facts
    from mlops_assets.observability.health.look import Look

GROUP = "platform"
JOB = "platform_health"
# Away from the full hour, when everything else starts.
CRON = "50 * * * *"
STAGE_SECONDS = 240
RUN_SECONDS = 600
REPORT = "health_report"
HEALTHY, FRESH = "healthy", "report_fresh"


def health_definitions(policy: HealthPolicy) -> dg.Definitions:
    """Assets, checks, job and schedule. Resources: `settings`, `database`."""
    assets = [run_metrics(policy), failure_patterns(policy), daemon_health(policy), health_report(policy)]
    job = dg.define_asset_job(
        JOB,
        selection=assets,
        description="How the platform is: runs and failures of a day, the machinery, what is wrong and why",
        tags={"mlops/one_at_a_time": JOB, "dagster/max_runtime": str(RUN_SECONDS)},
    )
    return dg.Definitions(assets=assets, jobs=[job], schedules=[running_schedule(job, CRON)])


def _asset(name: str, description: str, kinds: set[str], **more: Any) -> Any:
    """What the four assets have in common, with each one's checks."""
    from mlops_assets.observability.health.checks import CHECKS

    key = dg.AssetKey([GROUP, name])
    stage = Stage(GROUP, name, STAGE_SECONDS)
    specs = [
        dg.AssetCheckSpec(check.name, asset=key, description=check.description)
        for check in CHECKS
        if check.asset == name
    ]
    asset = dg.asset(
        key=key,
        group_name=f"{GROUP}_health",
        owners=["team:platform"],
        tags={"stage": "monitoring"},
        kinds=kinds,
        op_tags=stage.op_tags,
        description=description,
        check_specs=[*specs, *more.pop("checks", ())],
        **more,
    )
    return lambda body: asset(stage(body))


def _look(context: dg.AssetExecutionContext, settings: Any, database: Any, policy: HealthPolicy) -> "Look":
    from mlops_assets.observability.health.look import Look

    return Look(settings, database, policy, own_run=context.run.run_id)


def _results(name: str, facts: "Facts", policy: HealthPolicy) -> list[dg.AssetCheckResult]:
    """The asset's checks. They warn: people are told by the report, once, and a failed ERROR check would tell too."""
    from mlops_assets.observability.health.checks import CHECKS, outcome
    from mlops_assets.observability.health.judge import judge

    report = judge(facts, policy)
    results = {check.name: outcome(check, report, policy) for check in CHECKS if check.asset == name}
    severity = {check: {"severity": one.severity} if one.severity else {} for check, one in results.items()}
    return [
        _warning(name, check, one.passed, one.said, {**one.figures, **severity[check]})
        for check, one in results.items()
    ]


def _warning(asset: str, name: str, passed: bool, said: str, figures: Mapping[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=dg.AssetKey([GROUP, asset]),
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata=figures,
    )


def _seen(name: str, facts: "Facts", policy: HealthPolicy, shown: dict[str, Any]) -> dg.MaterializeResult:
    """What an asset saw, as the report reads it again, as people are shown it, and judged by the asset's checks."""
    told = {"facts": dg.MetadataValue.json(facts.model_dump(mode="json")), **shown}
    return dg.MaterializeResult(metadata=told, check_results=_results(name, facts, policy))


def run_metrics(policy: HealthPolicy) -> dg.AssetsDefinition:
    """Asset `platform/run_metrics`."""

    @_asset("run_metrics", "Runs of a day: how many ended how, by job and hour", {"postgres", "matplotlib"})
    def run_metrics(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Any], database: dg.ResourceParam[Any]
    ) -> dg.MaterializeResult:
        from mlops_assets.observability.health import chart, shown
        from mlops_assets.observability.health.facts import Facts
        from mlops_assets.rollout.chart import inline

        look = _look(context, settings, database, policy)
        runs = look.runs()
        facts = Facts(at=look.at, runs=runs, missing=look.missing)
        if runs is None:
            return _seen("run_metrics", facts, policy, {"said": f"it couldn't be looked at: {look.missing['runs']}"})
        rates = {"failure_rate": runs.failure_rate, "success_rate": runs.success_rate}
        figures = {
            "said": chart.said(runs),
            "chart": dg.MetadataValue.md(inline(chart.draw(runs))),
            "jobs": dg.MetadataValue.md(shown.jobs_table(runs)),
            **{name: getattr(runs, name) for name in ("total", "success", "failed", "canceled", "running")},
            "queued": runs.queued,
            "tried_again": runs.retried,
            **{name: round(rate, 4) for name, rate in rates.items() if rate is not None},
        }
        return _seen("run_metrics", facts, policy, figures)

    return run_metrics


def failure_patterns(policy: HealthPolicy) -> dg.AssetsDefinition:
    """Asset `platform/failure_patterns`."""

    @_asset("failure_patterns", "Stages that failed within a day, how often, and with which errors", {"postgres"})
    def failure_patterns(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Any], database: dg.ResourceParam[Any]
    ) -> dg.MaterializeResult:
        from mlops_assets.observability.health import shown
        from mlops_assets.observability.health.facts import Facts

        look = _look(context, settings, database, policy)
        failures = look.failures()
        facts = Facts(at=look.at, failures=failures, missing=look.missing)
        if failures is None:
            why = look.missing["failures"]
            return _seen("failure_patterns", facts, policy, {"said": f"it couldn't be looked at: {why}"})
        figures = {
            "said": f"{failures.failures:,} failures of {len(failures.stages) + failures.more_stages:,} stages",
            "stages": dg.MetadataValue.md(shown.stages_table(failures)),
            "failures": failures.failures,
            "errors_read": failures.read,
        }
        return _seen("failure_patterns", facts, policy, figures)

    return failure_patterns


def daemon_health(policy: HealthPolicy) -> dg.AssetsDefinition:
    """Asset `platform/daemon_health`."""

    @_asset("daemon_health", "Daemon, code locations, queue, schedules, programs, disk, database", {"postgres"})
    def daemon_health(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Any], database: dg.ResourceParam[Any]
    ) -> dg.MaterializeResult:
        from mlops_assets.observability.health import shown
        from mlops_assets.observability.health.facts import Facts

        look = _look(context, settings, database, policy)
        platform = look.platform(context.instance)
        facts = Facts(at=look.at, platform=platform, missing=look.missing)
        missing = "; ".join(f"{part}: {why}" for part, why in sorted(look.missing.items()))
        parts = dg.MetadataValue.md(shown.machinery_table(platform))
        return _seen("daemon_health", facts, policy, {"parts": parts, "not_looked_at": missing or "nothing"})

    return daemon_health


def health_report(policy: HealthPolicy) -> dg.AssetsDefinition:
    """Asset `platform/health_report`."""
    key = dg.AssetKey([GROUP, REPORT])

    @_asset(
        REPORT,
        "Healthy or degraded: every issue, its likely cause and what to do; people are told when that changes",
        {"postgres", "markdown"},
        deps=[dg.AssetKey([GROUP, name]) for name in ("run_metrics", "failure_patterns", "daemon_health")],
        checks=[
            dg.AssetCheckSpec(HEALTHY, asset=key, description="the report has no issue"),
            dg.AssetCheckSpec(FRESH, asset=key, description="the report before this one isn't too long ago"),
        ],
        metadata={"mlops/writes": "health reports, notices"},
    )
    def health_report(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Any], database: dg.ResourceParam[Any]
    ) -> dg.MaterializeResult:
        from mlops_assets.notifications.links import Links
        from mlops_assets.observability.health import shown, store
        from mlops_assets.observability.health.judge import judge

        facts = _seen_in_this_run(context) or _look(context, settings, database, policy).facts(context.instance)
        report = judge(facts, policy)
        before = store.newest(database)
        saved = store.save(database, report, policy, Links.of(settings), context.run.run_id)
        context.log.info(report.said)
        gap = (report.made_at - before[1].made_at).total_seconds() if before and before[0] != saved.number else 0.0
        return dg.MaterializeResult(
            metadata={
                "status": report.status,
                "said": report.said,
                "issues": dg.MetadataValue.md(shown.issues_table(report)),
                "number_of_issues": len(report.issues),
                "told": saved.told or "nothing: nothing changed",
                "page": dg.MetadataValue.url(Links.of(settings).health()),
            },
            check_results=[
                _warning(REPORT, HEALTHY, not report.issues, report.said, {"value": len(report.issues), "limit": 0}),
                _warning(
                    REPORT,
                    FRESH,
                    gap <= policy.report_seconds,
                    f"{gap / 60:.0f} min since the report before" if gap else "the first report",
                    {"value": round(gap), "limit": policy.report_seconds},
                ),
            ],
        )

    return health_report


def _seen_in_this_run(context: dg.AssetExecutionContext) -> "Facts | None":
    """What the three other assets of this run found; None when they aren't all part of it."""
    from mlops_assets.observability.health.facts import Facts

    records = context.instance.get_records_for_run(
        context.run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    found: dict[str, Facts] = {}
    for record in records:
        made = record.event_log_entry.asset_materialization
        if made is not None and "facts" in made.metadata:
            told: Any = made.metadata["facts"].value
            found[made.asset_key.path[-1]] = Facts.model_validate(told)
    if len(found) < 3:
        return None
    runs, failures, machinery = (found[name] for name in ("run_metrics", "failure_patterns", "daemon_health"))
    return Facts(
        at=machinery.at,
        runs=runs.runs,
        failures=failures.failures,
        platform=machinery.platform,
        missing={**runs.missing, **failures.missing, **machinery.missing},
    )
