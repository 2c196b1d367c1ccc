"""What Dagster knows and people should hear of: failed runs, failed gates, retrains that were asked for.

A sensor only notes facts; sending is the notifier's, so no channel can fail a run or a sensor. Its cursor moves only
when the facts are noted, so an outage of the database loses none. The first tick ever notes nothing. Keep out what
is read (`dagster_runs`) and its words (`from_runs`).
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterInstance

SENSOR_SECONDS = 15
RUN_SENSOR = "platform_notify_on_failed_run"
GATE_SENSOR = "platform_notify_on_failed_gate"
RETRAIN_SENSOR = "platform_notify_on_asked_retrain"

# Notes what is new since a cursor (None: the first tick): how many facts were new, and the next cursor.
Note = Callable[[DagsterInstance, Any, Any, str | None], tuple[int, str]]


def note_failed_runs(instance: DagsterInstance, database: Any, settings: Any, cursor: str | None) -> tuple[int, str]:
    """Note every run that failed since."""
    from mlops_assets.notifications import dagster_runs, from_runs, outbox
    from mlops_assets.notifications.links import Links

    begin, seen = _moments(cursor)
    if cursor is None:
        return 0, _cursor(begin, seen)
    page = dagster_runs.failed_since(instance, begin, seen)
    by_key = {from_runs.run_key(record.dagster_run.run_id): record for record in page.records}
    new = by_key.keys() - outbox.known(database, by_key)
    links = Links.of(settings)
    failed = [dagster_runs.failed_run(instance, record) for key, record in by_key.items() if key in new]
    return outbox.note(database, [from_runs.failed_run(run, links) for run in failed]), _cursor(begin, page.seen)


def note_failed_gates(instance: DagsterInstance, database: Any, settings: Any, cursor: str | None) -> tuple[int, str]:
    """Note every failed check of severity ERROR since."""
    from mlops_assets.notifications import dagster_runs, from_runs, outbox
    from mlops_assets.notifications.links import Links

    if cursor is None:
        newest = dagster_runs.newest_check(instance)
        return 0, json.dumps({"begin": newest, "seen": newest})
    position = json.loads(cursor)
    gates, seen = dagster_runs.failed_gates_since(instance, position["begin"], position["seen"])
    links = Links.of(settings)
    new = outbox.note(database, [from_runs.failed_gate(gate, links) for gate in gates])
    return new, json.dumps({"begin": position["begin"], "seen": seen})


def note_retrains(instance: DagsterInstance, database: Any, settings: Any, cursor: str | None) -> tuple[int, str]:
    """Note every training run since that a rollback or drift asked for."""
    from mlops_assets.notifications import dagster_runs, from_runs, outbox
    from mlops_assets.notifications.links import Links

    begin, seen = _moments(cursor)
    if cursor is None:
        return 0, _cursor(begin, seen)
    page = dagster_runs.retrains_since(instance, begin, seen)
    asked = [dagster_runs.asked_retrain(record) for record in page.records]
    links = Links.of(settings)
    return outbox.note(database, [from_runs.asked_retrain(run, links) for run in asked]), _cursor(begin, page.seen)


def _moments(cursor: str | None) -> tuple[datetime, datetime]:
    """Since when runs are noted, and up to when they are; now and now on the first tick."""
    if cursor is None:
        now = datetime.now(UTC)
        return now, now
    position = json.loads(cursor)
    return datetime.fromisoformat(position["begin"]), datetime.fromisoformat(position["seen"])


def _cursor(begin: datetime, seen: datetime) -> str:
    return json.dumps({"begin": begin.isoformat(), "seen": seen.isoformat()})


def failed_run_sensor() -> dg.SensorDefinition:
    """`platform_notify_on_failed_run`, for the runs of all products."""
    return _sensor(RUN_SENSOR, note_failed_runs, "Notes runs that failed, crashed or didn't start, for people")


def failed_gate_sensor() -> dg.SensorDefinition:
    """`platform_notify_on_failed_gate`, for the checks of all products: they fail without failing their run."""
    return _sensor(GATE_SENSOR, note_failed_gates, "Notes failed checks of severity ERROR, for people")


def asked_retrain_sensor() -> dg.SensorDefinition:
    """`platform_notify_on_asked_retrain`, for the training runs of all products."""
    return _sensor(RETRAIN_SENSOR, note_retrains, "Notes training runs that a rollback or drift asked for")


def _sensor(name: str, note: Note, description: str) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sensor(
        context: dg.SensorEvaluationContext, database: dg.ResourceParam[Any], settings: dg.ResourceParam[Any]
    ) -> dg.SensorResult | dg.SkipReason:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            new, cursor = note(context.instance, database, settings, context.cursor)
        except SQLAlchemyError as error:
            return dg.SkipReason(f"nothing could be noted: {type(error).__name__}; looking again from the same place")
        if context.cursor is None:
            said = "first look: what happens from now on is noted"
        else:
            said = f"noted {new} new" if new else "nothing new"
        return dg.SensorResult(skip_reason=dg.SkipReason(said), cursor=cursor)

    return sensor
