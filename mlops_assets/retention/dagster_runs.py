"""Old runs leave Dagster: record, events, what was printed. Through Dagster's own calls, never in its tables.

Deleting a run takes its events along, and with them what Dagster knows of assets and partitions, so a run stays as long
as something still rests on it (`_Needed`). Add here another reason to keep a run. Keep out files that stages handed on
(`run_files`) and MLflow's side of a run (`mlflow_runs`).

Killed at any moment, the next round goes on: the run's own record goes last, and a run without its events rests on
nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from sqlalchemy import delete, func, select

from mlops_assets.retention.round import Round, Swept
from mlops_assets.storage.database import Release
from mlops_assets.storage.pipeline_tables import Artifact

BATCH = 100
EVENTS = 500
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
# Assets whose partitions the platform's own tables list (log_export, drift_verdict): their runs, one an hour and one a
# day, may go. A partition of any other asset would be missing in Dagster, and be made again.
OWN_RECORD = frozenset({"prediction_log", "drift_report"})
ROOT_TAG = "dagster/root_run_id"
SENSOR_TAG = "dagster/sensor_name"

log = logging.getLogger(__name__)


def sweep(work: Round) -> Swept:
    """Remove finished runs older than `MLOPS_RUN_DAYS` that nothing rests on. Raises SQLAlchemyError."""
    needed = _Needed(work)
    done = Swept()
    for batch in _old(work):
        free = needed.without_reason(batch)
        done += Swept(kept=len(batch) - len(free))
        for run in free:
            if work.over:
                return done + Swept(unfinished=True)
            if work.apply:
                _remove(work, run.dagster_run.run_id)
            done += Swept(removed=1)
    return done


def _old(work: Round) -> Iterator[Sequence[dg.RunRecord]]:
    """Old finished runs in batches, oldest first. The next batch is read first: it is found by a run of this one."""
    filters = dg.RunsFilter(created_before=work.before(work.settings.run_days), statuses=FINISHED)
    batch = work.instance.get_run_records(filters, limit=BATCH, ascending=True)
    while batch:
        last = batch[-1].dagster_run.run_id
        following = work.instance.get_run_records(filters, limit=BATCH, ascending=True, cursor=last)
        yield batch
        batch = following


def _remove(work: Round, run_id: str) -> None:
    with work.database.session() as session, session.begin():
        # Their files went before; what is left only says that they were there.
        session.execute(delete(Artifact).where(Artifact.run_id == run_id))
    work.instance.compute_log_manager.delete_logs(prefix=[run_id])
    work.instance.event_log_storage.delete_events(run_id)
    work.instance.delete_run(run_id)


class _Needed:
    """Why a run stays: it is the run of a release, or made the newest of an asset or partition, or is the newest that a
    sensor asked for (by which that sensor knows that it asked already), or files that it left are still there; or one
    of those that it was tried again by stays, or isn't old.
    """

    def __init__(self, work: Round) -> None:
        self._work = work
        self._instance: Any = work.instance
        self._newest: dict[dg.AssetKey, int] = {}
        self._partitions: dict[dg.AssetKey, dict[str, int]] = {}
        self._asked: dict[str, str] = {}
        self._releases = releases(work)

    def without_reason(self, batch: Sequence[dg.RunRecord]) -> list[dg.RunRecord]:
        """Those that nothing rests on, nor on any of their tries."""
        tries: dict[str, list[dg.RunRecord]] = {}
        roots = sorted({_root(record) for record in batch})
        again = self._instance.get_run_records(dg.RunsFilter(tags={ROOT_TAG: roots}))
        first = self._instance.get_run_records(dg.RunsFilter(run_ids=roots))
        for record in {one.dagster_run.run_id: one for one in [*batch, *again, *first]}.values():
            tries.setdefault(_root(record), []).append(record)
        kept = self._with_files([one.dagster_run.run_id for group in tries.values() for one in group])
        stays = {root for root, group in tries.items() if any(self._stays(one, kept) for one in group)}
        return [record for record in batch if _root(record) not in stays]

    def _stays(self, record: dg.RunRecord, with_files: set[str]) -> bool:
        run = record.dagster_run
        return (
            not self._is_old(record)
            or run.run_id in self._releases
            or run.run_id in with_files
            or self._asked_last(run)
            or self._made_newest(run.run_id)
        )

    def _is_old(self, record: dg.RunRecord) -> bool:
        # Dagster's times are UTC and say so or don't.
        made = record.create_timestamp.replace(tzinfo=self._work.now.tzinfo)
        return made < self._work.before(self._work.settings.run_days) and record.dagster_run.is_finished

    def _with_files(self, runs: Sequence[str]) -> set[str]:
        with self._work.database.session() as session:
            named = select(Artifact.run_id).where(Artifact.run_id.in_(runs), Artifact.uri.is_not(None))
            return set(session.scalars(named.distinct()))

    def _asked_last(self, run: dg.DagsterRun) -> bool:
        sensor = run.tags.get(SENSOR_TAG)
        if sensor is None:
            return False
        if sensor not in self._asked:
            (newest,) = self._instance.get_run_records(dg.RunsFilter(tags={SENSOR_TAG: sensor}), limit=1)
            self._asked[sensor] = newest.dagster_run.run_id
        return self._asked[sensor] == run.run_id

    def _made_newest(self, run_id: str) -> bool:
        cursor = None
        while True:
            page = self._instance.get_records_for_run(
                run_id, cursor=cursor, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION, limit=EVENTS
            )
            if any(self._is_newest(record) for record in page.records):
                return True
            if not page.has_more:
                return False
            cursor = page.cursor

    def _is_newest(self, record: dg.EventLogRecord) -> bool:
        key, partition = record.asset_key, record.partition_key
        if key is None:
            return False
        if key not in self._newest:
            found = self._instance.fetch_materializations(key, limit=1).records
            self._newest[key] = found[0].storage_id if found else 0
        if record.storage_id >= self._newest[key]:
            return True
        if partition is None or key.path[-1] in OWN_RECORD:
            return False
        if key not in self._partitions:
            self._partitions[key] = self._instance.event_log_storage.get_latest_storage_id_by_partition(
                key, dg.DagsterEventType.ASSET_MATERIALIZATION
            )
        return record.storage_id >= self._partitions[key].get(partition, 0)


def releases(work: Round) -> set[str]:
    """Dagster's runs behind published releases, which are kept for ever."""
    told = func.jsonb_extract_path_text(Release.manifest, "runs", "dagster")
    with work.database.session() as session:
        found = session.execute(select(Release.run_id, told).where(Release.uri.is_not(None))).all()
    return {run for row in found for run in row if run is not None}


def living(instance: dg.DagsterInstance, runs: Sequence[str]) -> set[str]:
    """Those of the runs that Dagster knows."""
    known: set[str] = set()
    for start in range(0, len(runs), BATCH):
        known |= set(instance.get_run_ids(dg.RunsFilter(run_ids=list(runs[start : start + BATCH]))))
    return known


def _root(record: dg.RunRecord) -> str:
    """The first of the tries that a run is one of."""
    return record.dagster_run.tags.get(ROOT_TAG) or record.dagster_run.run_id
