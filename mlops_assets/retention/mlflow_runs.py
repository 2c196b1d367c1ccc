"""Old runs in MLflow go, but none behind a published release or a run that Dagster still tells of. Asked of a process
of its own (`mlflow_process`).

Keep out how MLflow is asked.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time

from dagster import RunsFilter
from pydantic import ValidationError
from sqlalchemy import func, select

from mlops_assets.retention.mlflow_process import Done, Order
from mlops_assets.retention.round import Round, Swept
from mlops_assets.storage.database import Release

MODULE = "mlops_assets.retention.mlflow_process"
# Marked runs can be brought back in MLflow for so long.
GRACE_DAYS = 30
# Of its imports, and of the removal of files, beyond the time in which it begins with another run.
MORE_SECONDS = 300
SHOWN = 500

log = logging.getLogger(__name__)


def sweep(work: Round, grace_days: float = GRACE_DAYS) -> Swept:
    """Remove runs that began more than `MLOPS_RUN_DAYS` ago. Raises SQLAlchemyError.

    An MLflow that doesn't answer is told in the log: it is asked again in the next round.
    """
    told = func.jsonb_extract_path_text(Release.manifest, "runs", "mlflow")
    with work.database.session() as session:
        needed = set(session.scalars(select(told).where(Release.uri.is_not(None), told.is_not(None))))
    before = work.before(work.settings.run_days)
    seconds = max(1.0, work.until - time.monotonic())
    order = Order(
        before_ms=int(before.timestamp() * 1000),
        needed=frozenset(needed),
        of_dagster=frozenset(work.instance.get_run_ids(RunsFilter(created_before=before))),
        apply=work.apply,
        grace_days=grace_days,
        seconds=seconds,
        tables=work.settings.database_for("mlflow"),
    )
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE], input=order.model_dump_json(), env=work.settings.environment(),
            capture_output=True, text=True, timeout=seconds + MORE_SECONDS, check=True,
        )  # fmt: skip
        found = Done.model_validate_json(done.stdout)
    except subprocess.TimeoutExpired:
        log.warning("MLflow's old runs weren't removed: it took over %.0f s", seconds + MORE_SECONDS)
        return Swept(failed=1)
    except subprocess.CalledProcessError as error:
        log.warning("MLflow's old runs weren't removed: %s", (error.stderr.strip().splitlines() or ["?"])[-1][:SHOWN])
        return Swept(failed=1)
    except ValidationError:
        log.warning("MLflow's old runs weren't removed: it answered %r", done.stdout[-SHOWN:])
        return Swept(failed=1)
    return Swept(removed=found.removed, kept=found.kept, unfinished=found.unfinished)
