"""What runs printed: on this host, and the copies in the object store, if the installation has one.

Keep out how copies are made (`runs.kept_logs`) and the logs of declared pipelines' stages on this host, which go with
the other files that their runs leave.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import dagster as dg

from mlops_assets.retention.by_capability import unfinished_of
from mlops_assets.retention.dagster_runs import living
from mlops_assets.retention.round import Round, Swept
from mlops_assets.retention.run_files import remove_old_folder
from mlops_assets.runs.kept_logs import FOLDER, PRINTED, KeptLogs, kept_logs
from mlops_assets.storage.files import Storage, StorageError
from mlops_assets.storage.folders import last_written

BATCH = 100

log = logging.getLogger(__name__)


def sweep(work: Round) -> Swept:
    """Remove what is older than `MLOPS_RUN_LOG_DAYS` on this host; the runs themselves may stay."""
    folder = work.settings.run_logs
    done = Swept()
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if work.over:
            return done + Swept(unfinished=True)
        done += remove_old_folder(work, path, work.settings.run_log_days)
    return done


def copies(work: Round) -> Swept:
    """Make the copies that are missing, then remove those that are as old as what they are of may get.

    Raises StorageError when the store can't be listed, SQLAlchemyError.
    """
    found = kept_logs(work.settings)
    if not found:
        return Swept()
    done = Swept()
    for logs in found:
        done += _missed(work, logs)
    for run in _old(work, work.storage.at(FOLDER)):
        if work.over:
            return done + Swept(unfinished=True)
        for logs in found:
            days = work.settings.run_log_days if logs.name == PRINTED else work.settings.artifact_days
            done += _remove(work, logs, run, days)
    return done


def _missed(work: Round, logs: KeptLogs) -> Swept:
    """A run that was killed, or whose process couldn't wait for the store, has made none."""
    runs = [path.name for path in logs.folder.iterdir()] if logs.folder.is_dir() else []
    missed = sorted(run for run in runs if not run.startswith(".") and not logs.kept(run))
    ended = living(work.instance, missed) - unfinished_of(work.instance, missed) if missed else set()
    for number, run in enumerate(sorted(ended)):
        if work.over or not work.apply:
            return Swept(unfinished=work.over)
        try:
            logs.keep(run)
        except (OSError, StorageError) as error:
            log.warning("what %d runs printed isn't in the store yet: %s", len(ended) - number, error)
            return Swept(failed=1)
    return Swept()


def _old(work: Round, root: Storage) -> Iterator[str]:
    """Runs with copies that are old, or that Dagster doesn't know any more."""
    runs = root.names()
    days = min(work.settings.run_log_days, work.settings.artifact_days)
    for start in range(0, len(runs), BATCH):
        batch = runs[start : start + BATCH]
        young = dg.RunsFilter(run_ids=list(batch), created_after=work.before(days))
        known = {record.dagster_run.run_id for record in work.instance.get_run_records(young)}
        yield from (run for run in batch if run not in known)


def _remove(work: Round, logs: KeptLogs, run: str, days: int) -> Swept:
    try:
        written = last_written(logs.root.at(run, logs.name))
        if written is None or written >= work.before(days):
            return Swept()
        if work.apply:
            logs.remove(run)
    except StorageError as error:
        log.warning("the copy of what run %s printed can't be removed: %s", run, error)
        return Swept(failed=1)
    return Swept(removed=1)
