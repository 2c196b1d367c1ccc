"""What a capability knows best how to remove: prediction log, files of declared pipelines, use of the machine.

Keep out how: that is the capability's own `retention`.
"""

from __future__ import annotations

from collections.abc import Collection

import dagster as dg
from sqlalchemy import func, select, text

from mlops_assets.observability.usage.queries import remove_older
from mlops_assets.pipelines.retention import expire
from mlops_assets.pipelines.stage_folders import StageFolders
from mlops_assets.pipelines.stage_logs import StageLogs
from mlops_assets.prediction_log.retention import remove_old
from mlops_assets.retention.round import Round, Swept
from mlops_assets.storage.pipeline_tables import Artifact
from mlops_assets.storage.usage_tables import StageUsage
from mlops_assets.training.catalogue import declared_products

UNFINISHED = [
    *(dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING),
    *(dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING),
]
_LOGGED = """
SELECT coalesce(sum(predictions + feedback), 0) FROM mlops.log_hour WHERE product = :product AND hour < :before
"""


def prediction_log(work: Round) -> Swept:
    """Rows of the log, by each product's own policy. Raises SQLAlchemyError."""
    done = Swept()
    for product in declared_products():
        if product.serving is None:
            continue
        days = product.rollout.log_retention_days
        if work.apply:
            found = remove_old(work.database, product.name, days, work.now)
            done += Swept(removed=found.predictions + found.feedback, kept=len(found.kept))
            continue
        midnight = work.before(days).replace(hour=0, minute=0, second=0, microsecond=0)
        with work.database.engine.connect() as connection:
            rows = connection.execute(text(_LOGGED), {"product": product.name, "before": midnight}).scalar_one()
        done += Swept(removed=int(rows))
    return done


def pipeline_files(work: Round) -> Swept:
    """Files and logs of declared pipelines' runs, and working folders that a kill has left. Raises SQLAlchemyError."""
    days = work.settings.artifact_days
    if not work.apply:
        old = (Artifact.created_at < work.before(days)) & Artifact.uri.is_not(None)
        with work.database.session() as session:
            files, size = session.execute(
                select(func.count(), func.coalesce(func.sum(Artifact.size), 0)).where(old)
            ).one()
        return Swept(removed=files, bytes=int(size))

    def going(runs: Collection[str]) -> set[str]:
        return unfinished_of(work.instance, runs)

    StageFolders(work.settings.stage_folders).remove_left()
    done = expire(work.database, work.storage, StageLogs(work.settings.stage_logs), days, going=going, now=work.now)
    return Swept(removed=done.artifacts + done.logs + done.strays, bytes=done.bytes, failed=done.failed)


def stage_usage(work: Round) -> Swept:
    """Attempts of stages. Raises SQLAlchemyError."""
    before = work.before(work.settings.usage_days)
    if work.apply:
        return Swept(removed=remove_older(work.database, before))
    with work.database.session() as session:
        return Swept(removed=session.scalar(select(func.count()).where(StageUsage.started_at < before)) or 0)


def unfinished_of(instance: dg.DagsterInstance, runs: Collection[str]) -> set[str]:
    """Those of some runs that haven't ended."""
    if not runs:
        return set()
    found = instance.get_runs(dg.RunsFilter(run_ids=list(runs), statuses=UNFINISHED))
    return {run.run_id for run in found}
