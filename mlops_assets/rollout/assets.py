"""A product's rollout as Dagster assets: rollout_evidence → rollout_verdict → rollout_chart, and release_retention.

Each is thin: it calls a plain function and shows a person what came out. Keep out looks (`looking`), pictures
(`chart`), tables for people (`shown`) and what makes these happen (`automation`).
"""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.runs.schedules import fresh_daily
from mlops_assets.runs.stages import Stage

SAMPLE_RATIO_GATE = "sample_ratio_gate"
GUARDRAILS_GATE = "guardrails_gate"
HOUR_TAG = "mlops/look_hour"
# Each reads some tables and writes a row or a picture.
STAGE_SECONDS = 300
RETENTION_CRON = "30 2 * * *"


@dataclass(frozen=True)
class Group:
    """The product whose rollouts these are."""

    name: str
    title: str
    owner: str
    policy: RolloutPolicy

    def key(self, stage: str) -> dg.AssetKey:
        """`<product>/<stage>`."""
        return dg.AssetKey([self.name, stage])

    def stage(self, name: str) -> Stage:
        """The rules of a stage: its time limit and when it is tried again."""
        return Stage(self.name, name, STAGE_SECONDS)

    def common(self, kinds: set[str], stage_type: str = "model_comparison") -> dict[str, Any]:
        """What every asset of the group has."""
        return {
            "group_name": self.name,
            "owners": [self.owner],
            "tags": {"stage": stage_type},
            "kinds": kinds,
        }


def evidence_asset(group: Group) -> dg.AssetsDefinition:
    """What the prediction log holds of the comparison, beside each other."""

    stage = group.stage("rollout_evidence")

    @dg.asset(
        key=group.key("rollout_evidence"),
        op_tags=stage.op_tags,
        metadata={"mlops/watches": "ledger, prediction log"},
        description=f"{group.title}: requests, errors and ratings of candidate and production since the rollout began",
        **group.common({"postgres"}),
    )
    @stage
    def rollout_evidence(context: dg.AssetExecutionContext, database: dg.ResourceParam[Any]) -> dg.MaterializeResult:
        from datetime import UTC, datetime

        from mlops_assets.rollout import looking, shown
        from mlops_assets.rollout.evidence import read_evidence
        from mlops_assets.rollout.ledger import Ledger

        state = Ledger(database).state(group.name)
        why = looking.nothing_to_compare(state)
        if why is not None:
            return dg.MaterializeResult(metadata={"said": why})
        found = read_evidence(
            database,
            state,
            group.policy,
            datetime.now(UTC),
            slow_ms=looking.fixed_slow_ms(database, state),
            candidate_problem=None,
        )
        return dg.MaterializeResult(
            metadata={
                "production": state.production or 0,
                "candidate": state.candidate or 0,
                "share": state.candidate_share,
                "hours": round(found.hours, 2),
                "counts": dg.MetadataValue.md(shown.arms(found)),
                "watermark": found.watermark,
            }
        )

    return rollout_evidence


def verdict_asset(group: Group) -> dg.AssetsDefinition:
    """One recorded look: the verdict, why, and the gates on split and guardrails."""
    asset_key = group.key("rollout_verdict")
    stage = group.stage("rollout_verdict")

    @dg.asset(
        key=asset_key,
        op_tags=stage.op_tags,
        metadata={"mlops/writes": "ledger"},
        deps=[group.key("rollout_evidence")],
        check_specs=[
            dg.AssetCheckSpec(SAMPLE_RATIO_GATE, asset=asset_key, description="users are split as told"),
            dg.AssetCheckSpec(GUARDRAILS_GATE, asset=asset_key, description="no per-request limit is broken"),
        ],
        description="A look at the evidence; its verdict is in the ledger and in force when this is done.",
        **group.common({"postgres"}),
    )
    @stage
    def rollout_verdict(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Any],
        database: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from datetime import UTC, datetime

        from mlops_assets.rollout import shown
        from mlops_assets.rollout.ledger import Ledger
        from mlops_assets.rollout.looking import look_once

        ledger = Ledger(database)
        # A run that the schedule asked for, and every retry of it, is the look of its hour; any other is its own.
        moment = context.run.tags.get(HOUR_TAG) or f"run:{context.run.root_run_id or context.run.run_id}"
        result = look_once(
            ledger,
            database,
            group.name,
            group.policy,
            now=datetime.now(UTC),
            key=f"look:{ledger.state(group.name).rollout}:{moment}",
        )
        context.log.info(result.said)
        return dg.MaterializeResult(
            metadata={
                **shown.verdict(result),
                "chart": dg.MetadataValue.url(f"{settings.dagster_url}/assets/{group.name}/rollout_chart"),
            },
            check_results=[
                _check(SAMPLE_RATIO_GATE, asset_key, *shown.sample_ratio(result, group.policy)),
                _check(GUARDRAILS_GATE, asset_key, *shown.guardrails(result)),
            ],
        )

    return rollout_verdict


def _check(name: str, asset: dg.AssetKey, passed: bool, said: str, metadata: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=asset,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata=metadata,
    )


def chart_asset(group: Group) -> dg.AssetsDefinition:
    """The newest rollout as a picture."""

    stage = group.stage("rollout_chart")

    @dg.asset(
        key=group.key("rollout_chart"),
        deps=[group.key("rollout_verdict")],
        op_tags=stage.op_tags,
        description="Whether the candidate is better, and how sure that is, over time.",
        **group.common({"matplotlib", "png"}),
    )
    @stage
    def rollout_chart(
        context: dg.AssetExecutionContext,
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from mlops_assets.rollout import chart, story
        from mlops_assets.rollout.ledger import Ledger

        told = story.newest(Ledger(database), group.name)
        if told is None:
            return dg.MaterializeResult(metadata={"said": f"{group.name} had no candidate yet: nothing to draw"})
        image = chart.draw(told, group.policy)
        folder, file = storage.at(group.name, "charts", "rollouts"), f"rollout_{told.rollout}.png"
        folder.write_bytes(file, image)
        return dg.MaterializeResult(
            metadata={
                "said": chart.headline(told, group.policy),
                "chart": dg.MetadataValue.md(chart.inline(image)),
                "file": folder.locate(file),
                "looks": len(told.looks),
            }
        )

    return rollout_chart


def retention_asset(group: Group) -> dg.AssetsDefinition:
    """Releases beyond the newest ones are marked as archived; nothing is deleted."""

    stage = group.stage("release_retention")

    @dg.asset(
        key=group.key("release_retention"),
        op_tags=stage.op_tags,
        freshness_policy=fresh_daily(RETENTION_CRON),
        description=f"Marks releases beyond the newest {group.policy.keep_releases} as archived; deletes nothing.",
        **group.common({"postgres"}, "cleanup"),
    )
    @stage
    def release_retention(context: dg.AssetExecutionContext, database: dg.ResourceParam[Any]) -> dg.MaterializeResult:
        from mlops_assets.rollout import archive

        done = archive.archive(database, group.name, group.policy.keep_releases)
        return dg.MaterializeResult(
            metadata={
                "archived_now": dg.MetadataValue.json(list(done.archived)),
                "returned": dg.MetadataValue.json(list(done.returned)),
                "archived": dg.MetadataValue.json(list(done.all_archived)),
                "kept": done.kept,
            }
        )

    return release_retention
