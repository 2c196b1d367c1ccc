"""A product's drift as Dagster assets: drift_report, one partition a day, and drift_overview of the newest days.

Each is thin: it calls a plain function and shows a person what came out. Keep out the steps (`daily`), pictures
(`heatmap`), tables for people (`shown`) and what makes these happen (`automation`).
"""

import base64
from typing import Any

import dagster as dg

from mlops_assets.drift.daily import Watched
from mlops_assets.runs.retries import RETRY as HOUSE_RETRY
from mlops_assets.runs.stages import Stage

DRIFT_GATE = "drift_gate"
FIRST_DAY = "2026-01-01"
DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone="UTC")
OVERVIEW_DAYS = 30
# The last hour of a day is exported ten minutes after it ended; a late export is waited for.
RETRY = dg.RetryPolicy(max_retries=3, delay=60, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
LIMIT_SECONDS = 1500
OVERVIEW_SECONDS = 300


def common(watched: Watched, kinds: set[str]) -> dict[str, Any]:
    """What both assets have. Their group is their own: a group with a partitioned asset can't be run as a whole."""
    return {
        "group_name": f"{watched.name}_drift",
        "owners": [watched.owner],
        "tags": {"stage": "model_monitoring"},
        "kinds": kinds,
    }


def report_asset(watched: Watched) -> dg.AssetsDefinition:
    """One day against what production was trained on: verdict, report, and what follows."""
    asset_key = dg.AssetKey([watched.name, "drift_report"])
    stage = Stage(watched.name, "drift_report", LIMIT_SECONDS, RETRY)

    @dg.asset(
        key=asset_key,
        partitions_def=DAYS,
        deps=[
            dg.AssetKey([watched.name, "prediction_log"]),
            dg.AssetKey([watched.name, "release"]),
        ],
        check_specs=[
            dg.AssetCheckSpec(
                DRIFT_GATE, asset=asset_key, description="no column changed both significantly and by much"
            )
        ],
        op_tags=stage.op_tags,
        metadata={"mlops/writes": "drift verdicts, ledger"},
        description=f"{watched.title}: live data of one day compared with what the production model was trained on",
        **common(watched, {"evidently", "html"}),
    )
    @stage
    def drift_report(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Any],
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from datetime import date

        from mlops_assets.drift import daily, shown
        from mlops_assets.drift.days import NotExportedError
        from mlops_assets.drift.facts import Status
        from mlops_assets.drift.references import DamagedReferenceError

        day = date.fromisoformat(context.partition_key)
        try:
            done = daily.compare(watched, day, database, storage, context.run.run_id)
        except NotExportedError as error:
            raise dg.Failure(str(error), allow_retries=True) from error
        except (daily.NothingServedError, DamagedReferenceError) as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        verdict = done.verdict
        said = shown.headline(verdict)
        context.log.info(f"{day}: {verdict.status}. {said}")
        page = f"{settings.console_url}/drift/{watched.name}/{day}"
        metadata: dict[str, Any] = {
            "status": str(verdict.status),
            "said": said,
            "drifted": ", ".join(verdict.drifted) or "none",
            "strength": round(verdict.strength, 3),
            "release": verdict.release,
            "dagster/row_count": verdict.logged_rows,
            "compared_rows": f"{verdict.current_rows:,} of the day with {verdict.reference_rows:,} of training",
            "columns": dg.MetadataValue.md(shown.columns_table(verdict)),
            "page": dg.MetadataValue.url(page),
            "verdict_file": done.verdict_uri,
            "promotion": f"blocked: {done.block}" if done.block else "not blocked by drift",
        }
        if done.report_uri is not None:
            metadata |= {"report": dg.MetadataValue.url(f"{page}/report"), "report_file": done.report_uri}
        if done.candidate is not None:
            metadata["candidate"] = f"release {done.candidate.release}: {done.candidate.status}"
        return dg.MaterializeResult(
            metadata=metadata,
            check_results=[
                dg.AssetCheckResult(
                    check_name=DRIFT_GATE,
                    asset_key=asset_key,
                    # A day without a verdict is not a good one: the check doesn't pass, and says why.
                    passed=verdict.status is Status.OK,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=said,
                    metadata={"strength": round(verdict.strength, 3), "limit": 1.0},
                )
            ],
        )

    return drift_report


def overview_asset(watched: Watched) -> dg.AssetsDefinition:
    """The newest days at a glance, drawn anew by itself after each report."""
    stage = Stage(watched.name, "drift_overview", OVERVIEW_SECONDS, HOUSE_RETRY)

    @dg.asset(
        key=dg.AssetKey([watched.name, "drift_overview"]),
        deps=[dg.AssetKey([watched.name, "drift_report"])],
        automation_condition=dg.AutomationCondition.any_deps_updated().since_last_handled()
        & ~dg.AutomationCondition.in_progress(),
        op_tags=stage.op_tags,
        description=f"{watched.title}: column by day, how strongly live data differs from training",
        **common(watched, {"matplotlib", "png"}),
    )
    @stage
    def drift_overview(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Any],
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from datetime import UTC, datetime, timedelta

        from mlops_assets.drift import heatmap, shown, store

        today = datetime.now(UTC).date()
        kept = store.days(database, watched.name, today - timedelta(days=OVERVIEW_DAYS), today)
        verdicts = [one.verdict for one in kept]
        page = dg.MetadataValue.url(f"{settings.console_url}/drift/{watched.name}")
        if not verdicts:
            said = f"no day of the last {OVERVIEW_DAYS} was compared yet"
            return dg.MaterializeResult(metadata={"said": said, "page": page})
        image = heatmap.draw(verdicts, f"{watched.title}: drift of the last {OVERVIEW_DAYS} days")
        folder, file = storage.at(watched.name, "charts"), "drift.png"
        folder.write_bytes(file, image)
        drifted = sum(bool(verdict.drifted) for verdict in verdicts)
        picture = base64.b64encode(image).decode()
        return dg.MaterializeResult(
            metadata={
                "said": f"{drifted} of {len(verdicts)} compared days drifted",
                "chart": dg.MetadataValue.md(f"![drift](data:image/png;base64,{picture})"),
                "days": dg.MetadataValue.md(shown.days_table(verdicts)),
                "file": folder.locate(file),
                "page": page,
            }
        )

    return drift_overview
