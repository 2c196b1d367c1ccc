"""Which schedules are late and which ticks failed, by Dagster's own records of them.

How late: a schedule's ticks are never further apart than its cron expression's longest gap, in any time zone, so one
whose newest tick is older has missed its time. Keep out judging (`rules`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from mlops_assets.observability.health.errors import first_line
from mlops_assets.observability.health.facts import FailedTick, LateSchedule
from mlops_assets.observability.health.machinery import Ticks

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from dagster._core.scheduler.instigation import InstigatorState

GAPS = 60
DAY = 86_400
# On two days of the year the clocks of a zone are changed.
CLOCK_CHANGE = 3600
SENSOR_FAILURES = 3


def running(instance: DagsterInstance, known: Collection[str]) -> list[InstigatorState]:
    """Schedules and sensors that are on and among `known`: rows of others stay when a definition is gone."""
    from dagster._core.scheduler.instigation import InstigatorStatus

    on = {InstigatorStatus.RUNNING, InstigatorStatus.DECLARED_IN_CODE}
    states = instance.all_instigator_state(instigator_statuses=on)
    return [state for state in states if state.instigator_name in known]


def late_schedules(states: Sequence[InstigatorState], ticks: Mapping[str, Ticks], now: float) -> list[LateSchedule]:
    """Schedules that should have ticked by now and didn't, by how many seconds; `now` is in seconds since 1970."""
    from dagster._core.scheduler.instigation import ScheduleInstigatorData

    found = []
    for state in states:
        told = state.instigator_data
        if not isinstance(told, ScheduleInstigatorData):
            continue
        newest = ticks.get(state.selector_id)
        since = [newest.age] if newest is not None else []
        since += [now - told.start_timestamp] if told.start_timestamp else []
        if not since:
            continue
        over = min(since) - longest_gap(told.cron_schedule, now)
        if over > 0:
            found.append(LateSchedule(name=first_line(state.instigator_name), seconds=over))
    return sorted(found, key=lambda late: (-late.seconds, late.name))


def longest_gap(cron: str | Sequence[str], now: float) -> float:
    """The most seconds between two of the next ticks, and an hour more for those of days: clocks are changed."""
    from dagster._utils.schedules import schedule_execution_time_iterator

    coming = schedule_execution_time_iterator(now, cron, "UTC")
    times = [time.timestamp() for time in islice(coming, GAPS)]
    longest = max((later - earlier for earlier, later in pairwise(times)), default=float("inf"))
    return longest + CLOCK_CHANGE if longest > DAY / 2 else longest


def failed_ticks(states: Sequence[InstigatorState], ticks: Mapping[str, Ticks]) -> list[FailedTick]:
    """Schedules whose newest tick failed, and sensors whose newest three did."""
    from dagster._core.definitions.run_request import InstigatorType

    found = []
    for state in states:
        newest = ticks.get(state.selector_id)
        schedule = state.instigator_type == InstigatorType.SCHEDULE
        if newest is None or newest.failures < (1 if schedule else SENSOR_FAILURES):
            continue
        kind = "schedule" if schedule else "sensor"
        name = first_line(state.instigator_name)
        found.append(FailedTick(name=name, kind=kind, error=newest.error, age=newest.age))
    return sorted(found, key=lambda tick: tick.name)
