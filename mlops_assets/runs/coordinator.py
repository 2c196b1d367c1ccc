"""A run queue without the wait: runs start at once while there is room, and queue in order otherwise.

Add here when a run may start. Keep out how it starts: the launcher does that.
Dagster's queue leaves every run to the daemon, which looks once a second at best. Here the submitting
process starts the run itself when nothing is ahead of it; everything else (limits by tag, pools,
priorities) stays the daemon's.
"""

from __future__ import annotations

import logging

from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    QueuedRunCoordinator,
    RunsFilter,
)
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._core.storage.dagster_run import ACTIVE_RUN_STATUSES

from mlops_assets.runs.admission import AdmissionTimeoutError, admission

log = logging.getLogger(__name__)

UNLIMITED = -1


class ImmediateRunCoordinator(QueuedRunCoordinator[DagsterInstance]):
    """Launches a submitted run at once when fewer than `max_concurrent_runs` are active and none is queued.

    Configured like QueuedRunCoordinator, or by `concurrency:` in dagster.yaml. The limit is exact: submits
    are serialised by the admission lock, and a run that the daemon dequeued on a view that was outdated by
    a direct launch goes back to the head of the queue (see `admits`).
    """

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Launch or enqueue the run; the run as it is afterwards."""
        run = context.dagster_run
        if run.status == DagsterRunStatus.NOT_STARTED and self._may_skip_queue(run) and self._take_place(run):
            self._launch(run.run_id, context)
            return self._reload(run.run_id)
        return super().submit_run(context)

    def admits(self, run: DagsterRun) -> bool:
        """Whether a run that is about to be launched may be; one too many is put back into the queue.

        The daemon counts the active runs, then reads the queue; a run launched directly between the two is
        missing from its count. So whoever launches a dequeued run counts again, under the lock.
        """
        if run.run_id in self._admitted():
            return True
        limit = self._queue_config().max_concurrent_runs
        if limit == UNLIMITED:
            return True
        try:
            with admission(self._instance):
                if self._active() <= limit:
                    return True
                self._put_back(run, f"{limit} runs are in progress already")
        except AdmissionTimeoutError as error:
            self._put_back(run, str(error))
        return False

    def _may_skip_queue(self, run: DagsterRun) -> bool:
        """Limits by tag and pools need the daemon's bookkeeping."""
        config = self._queue_config()
        pools = run.run_op_concurrency
        return not config.tag_concurrency_limits and not (pools and (pools.all_pools or pools.root_key_counts))

    def _take_place(self, run: DagsterRun) -> bool:
        """Mark the run as starting if there is room for it and nobody waits; both under the lock."""
        limit = self._queue_config().max_concurrent_runs
        try:
            with admission(self._instance):
                if limit != UNLIMITED and self._active() >= limit:
                    return False
                if self._instance.get_run_ids(RunsFilter(statuses=[DagsterRunStatus.QUEUED]), limit=1):
                    return False
                starting = DagsterEvent(
                    event_type_value=DagsterEventType.PIPELINE_STARTING.value, job_name=run.job_name
                )
                self._instance.report_dagster_event(starting, run_id=run.run_id)
                return True
        except AdmissionTimeoutError as error:
            log.warning("run %s is queued: %s", run.run_id, error)
            return False

    def _put_back(self, run: DagsterRun, reason: str) -> None:
        self._instance.report_engine_event(f"Put back into the queue: {reason}.", run, cls=self.__class__)
        self._instance.report_dagster_event(DagsterEvent.job_enqueue(run), run_id=run.run_id)

    def _launch(self, run_id: str, context: SubmitRunContext) -> None:
        run = self._reload(run_id)
        self._admitted().add(run_id)
        try:
            self._instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=context.workspace))
        finally:
            self._admitted().discard(run_id)

    def _admitted(self) -> set[str]:
        """Runs that this process has admitted and is launching."""
        if not hasattr(self, "_admitted_runs"):
            self._admitted_runs: set[str] = set()
        return self._admitted_runs

    def _active(self) -> int:
        return self._instance.get_runs_count(RunsFilter(statuses=ACTIVE_RUN_STATUSES))

    def _queue_config(self) -> RunQueueConfig:
        # `concurrency:` in dagster.yaml wins over this coordinator's own config, as it does for the daemon.
        config = self._instance.get_concurrency_config().run_queue_config
        assert config is not None, "a queued run coordinator always has a run queue config"
        return config

    def _reload(self, run_id: str) -> DagsterRun:
        run = self._instance.get_run_by_id(run_id)
        if run is None:
            raise LookupError(f"run {run_id} was deleted while it was submitted")
        return run
