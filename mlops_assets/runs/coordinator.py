"""A run queue without the wait: runs start at once while nothing is against it, and queue in order otherwise.

Add here when a run may start. Keep out how it starts: the launcher does that.
Dagster's queue leaves every run to the daemon, which looks once a second at best. Here the submitting
process starts the run itself when no limit and nobody before it stands in the way; the rest (what waits for a
limit by tag, pools, priorities, retries that wait for their time) stays the daemon's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dagster import (
    Array,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    Field,
    IntSource,
    Permissive,
    QueuedRunCoordinator,
    RunRecord,
    RunsFilter,
    Shape,
)
from dagster._config import Noneable
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._core.storage.dagster_run import ACTIVE_RUN_STATUSES
from dagster._core.storage.tags import PARENT_RUN_ID_TAG, RETRY_NUMBER_TAG
from dagster._serdes import ConfigurableClassData
from dagster._utils.tags import TagConcurrencyLimitsCounter

from mlops_assets.runs.admission import AdmissionTimeoutError, admission
from mlops_assets.runs.retries import run_delay

log = logging.getLogger(__name__)

UNLIMITED = -1
MOST_RETRIES = 20
QUEUE_PAGE = 100


class ImmediateRunCoordinator(QueuedRunCoordinator[DagsterInstance]):
    """Launches a submitted run at once if no limit forbids it and no run that could start waits before it.

    Configured like QueuedRunCoordinator, by `retry_delay_seconds`, and by `location_tags`. The limits are exact:
    submits are serialised by the admission lock, and a run that the daemon dequeued on a view that was outdated by a
    direct launch goes back to the head of the queue (see `admits`).

    A run that Dagster retries by itself waits in the queue: `retry_delay_seconds` for the first retry, twice as
    long for each further one. Nothing but the queue remembers that, so it holds through any restart.
    """

    def __init__(
        self, retry_delay_seconds: int = 10, location_tags: Sequence[Mapping[str, Any]] = (), **values: Any
    ) -> None:
        super().__init__(**values)
        self._retry_delay_seconds = retry_delay_seconds
        self._location_tags = {entry["location"]: dict(entry["tags"]) for entry in location_tags}

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Dagster's fields; limits by tag may come from the environment here, as other numbers may."""
        fields = dict(super().config_type())  # type: ignore[arg-type]
        limit = fields["tag_concurrency_limits"].config_type.inner_type.inner_type.fields
        return fields | {
            "tag_concurrency_limits": Field(
                Noneable(Array(Shape({**limit, "limit": Field(IntSource)}))),  # type: ignore[no-untyped-call]
                is_required=False,
                description=fields["tag_concurrency_limits"].description,
            ),
            "location_tags": Field(
                Array(Shape({"location": Field(str), "tags": Field(Permissive())})),  # type: ignore[no-untyped-call]
                is_required=False,
                default_value=[],
                description="Tags that every run of a code location has, whoever starts it.",
            ),
            "retry_delay_seconds": Field(
                IntSource,
                is_required=False,
                default_value=10,
                description="How long the first automatic retry of a run waits; doubled for each further one.",
            ),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ImmediateRunCoordinator:
        return cls(inst_data=inst_data, **config_value)

    def get_run_queue_config(self) -> RunQueueConfig:
        """The configured limits, and for now one of zero for each retry whose time hasn't come.

        The daemon asks before every look at the queue, so a retry is dequeued in the second in which it may start.
        """
        config = super().get_run_queue_config()
        limits = [*config.tag_concurrency_limits, *self._held_back(time.time())]
        return config._replace(tag_concurrency_limits=limits)

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Launch or enqueue the run; the run as it is afterwards."""
        context = self._tagged(context)
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
        if self._is_early(run, time.time()):
            # Queued between the daemon's look at the limits and its look at the queue.
            self._put_back(run, "this retry has to wait")
            return False
        try:
            with admission(self._instance):
                config = self._queue_config()
                others = [active for active in self._active() if active.run_id != run.run_id]
                if not UNLIMITED < config.max_concurrent_runs <= len(others):
                    if not TagConcurrencyLimitsCounter(config.tag_concurrency_limits, others).is_blocked(run):
                        return True
                    self._put_back(run, "a limit by tag is reached")
                else:
                    self._put_back(run, f"{config.max_concurrent_runs} runs are in progress already")
        except AdmissionTimeoutError as error:
            self._put_back(run, str(error))
        return False

    def _tagged(self, context: SubmitRunContext) -> SubmitRunContext:
        """The run with its location's tags; one that was started on Dagster's own pages doesn't have them."""
        run = context.dagster_run
        origin = run.remote_job_origin
        location = origin.repository_origin.code_location_origin.location_name if origin is not None else ""
        missing = {key: value for key, value in self._location_tags.get(location, {}).items() if key not in run.tags}
        if not missing:
            return context
        self._instance.add_run_tags(run.run_id, missing)
        return context._replace(dagster_run=self._reload(run.run_id))

    def _may_skip_queue(self, run: DagsterRun) -> bool:
        """Pools need the daemon's bookkeeping, retries have to wait."""
        return not _has_pools(run) and RETRY_NUMBER_TAG not in run.tags

    def _take_place(self, run: DagsterRun) -> bool:
        """Mark the run as starting if no limit forbids it and nobody waits before it; both under the lock."""
        try:
            with admission(self._instance):
                config = self._queue_config()
                active = self._active()
                if UNLIMITED < config.max_concurrent_runs <= len(active):
                    return False
                limits = TagConcurrencyLimitsCounter(config.tag_concurrency_limits, active)
                if limits.is_blocked(run) or any(not limits.is_blocked(waiting) for waiting in self._waiting()):
                    return False
                starting = DagsterEvent(
                    event_type_value=DagsterEventType.PIPELINE_STARTING.value, job_name=run.job_name
                )
                self._instance.report_dagster_event(starting, run_id=run.run_id)
                return True
        except AdmissionTimeoutError as error:
            log.warning("run %s is queued: %s", run.run_id, error)
            return False

    def _waiting(self) -> Iterator[DagsterRun]:
        """The queue in its order, without runs that wait for a pool: only the daemon knows when they may start."""
        cursor: str | None = None
        while True:
            queued = RunsFilter(statuses=[DagsterRunStatus.QUEUED])
            page = self._instance.get_runs(queued, cursor=cursor, limit=QUEUE_PAGE, ascending=True)
            yield from (run for run in page if not _has_pools(run))
            if len(page) < QUEUE_PAGE:
                return
            cursor = page[-1].run_id

    def _held_back(self, now: float) -> list[dict[str, Any]]:
        """A limit of zero for each queued retry before its time; a run has at most one child that is such a retry."""
        if not self.has_instance or not self._instance.run_retries_enabled:
            return []
        numbers = [str(number) for number in range(1, MOST_RETRIES + 1)]
        retries = RunsFilter(statuses=[DagsterRunStatus.QUEUED], tags={RETRY_NUMBER_TAG: numbers})
        return [
            {"key": PARENT_RUN_ID_TAG, "value": record.dagster_run.tags[PARENT_RUN_ID_TAG], "limit": 0}
            for record in self._instance.get_run_records(retries)
            if now < self._due(record)
        ]

    def _is_early(self, run: DagsterRun, now: float) -> bool:
        """Whether the run is a retry whose time hasn't come."""
        if RETRY_NUMBER_TAG not in run.tags or not self._instance.run_retries_enabled:
            return False
        record = self._instance.get_run_record_by_id(run.run_id)
        return record is not None and now < self._due(record)

    def _due(self, record: RunRecord) -> float:
        """When a retry may start, in seconds since 1970."""
        run = record.dagster_run
        delay = run_delay(int(run.tags[RETRY_NUMBER_TAG]), run.run_id, self._retry_delay_seconds)
        return record.create_timestamp.timestamp() + delay

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

    def _active(self) -> Sequence[DagsterRun]:
        return self._instance.get_runs(RunsFilter(statuses=ACTIVE_RUN_STATUSES))

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


def _has_pools(run: DagsterRun) -> bool:
    pools = run.run_op_concurrency
    return bool(pools and (pools.all_pools or pools.root_key_counts))
