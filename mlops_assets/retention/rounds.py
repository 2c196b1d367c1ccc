"""All removals of one round, one after the other, each with its share of the time and of the blame.

Add a removal here with the name that its line in `declared` has. Keep out what each does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.retention import (
    by_capability,
    dagster_runs,
    leftovers,
    log_files,
    mlflow_runs,
    rollout_counts,
    run_files,
    run_logs,
)
from mlops_assets.retention.round import Round, Swept
from mlops_assets.storage.files import StorageError

# Runs, the many, come when the others have left them most of the time, and files that go with them after them.
NIGHTLY: dict[str, Callable[[Round], Swept]] = {
    "pipeline_files": by_capability.pipeline_files,
    "stage_usage": by_capability.stage_usage,
    "run_logs": run_logs.sweep,
    "run_log_copies": run_logs.copies,
    "log_files": log_files.sweep,
    "rollout_counts": rollout_counts.sweep,
    "replaced_scores": leftovers.replaced_scores,
    "unpublished_releases": leftovers.unpublished_releases,
    "partial_files": leftovers.partial_files,
    "checkouts": leftovers.checkouts,
    "mlflow_runs": mlflow_runs.sweep,
    "dagster_runs": dagster_runs.sweep,
    "run_files": run_files.sweep,
}
# Each product's own asset removes this, once its hours are exported; here only for `mlops retention`.
SWEEPS = {"prediction_log": by_capability.prediction_log} | NIGHTLY

log = logging.getLogger(__name__)


def run(work: Round, names: Iterable[str]) -> dict[str, Swept]:
    """What each removal did, or would do. One that fails is told in the log and stops no other."""
    left = list(names)
    done: dict[str, Swept] = {}
    while left:
        # What one leaves of its share is the others'.
        share = (work.until - time.monotonic()) / len(left)
        name = left.pop(0)
        try:
            done[name] = SWEEPS[name](replace(work, until=time.monotonic() + share))
        except (SQLAlchemyError, StorageError, OSError) as error:
            log.warning("%s: %s", name, str(error).splitlines()[0])
            done[name] = Swept(failed=1)
    return done
