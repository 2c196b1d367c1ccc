"""What Dagster's log of a run tells of its steps: the newest attempt of each, and why the run itself failed.

Add a kind of event here when something of an attempt is told by it. Keep out what a step means (`stage_runs`). Reads
Dagster's instance. Events come in the order of the log; one that was heard isn't read again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlops_assets.pipelines.stage_facts import ENTRY, MESSAGE, TRACEBACK, StageFacts
from mlops_assets.pipelines.statuses import StageStatus
from mlops_assets.sandbox.order import StageError

if TYPE_CHECKING:
    from dagster import DagsterEvent, DagsterEventType, DagsterInstance, EventLogEntry

INTERRUPTED = "INTERRUPT"
OWN_FAILURE = "dagster._core.definitions.events.Failure: "


@dataclass(frozen=True)
class Attempt:
    """The newest attempt of one step. `status` None: it is at work."""

    number: int = 0
    status: StageStatus | None = None
    began: float | None = None
    ended: float | None = None
    facts: StageFacts | None = None
    error: StageError | None = None
    interrupted: bool = False


@dataclass
class RunLog:
    """What a run's events have told so far: attempts by step key, and what ended the run other than success."""

    run_id: str
    attempts: dict[str, Attempt] = field(default_factory=dict)
    fault: str | None = None
    cursor: str | None = None

    def read(self, instance: DagsterInstance) -> None:
        """Go on with the events that came since."""
        found = instance.get_records_for_run(self.run_id, cursor=self.cursor, of_type=_told_of())
        self.cursor = found.cursor
        for record in found.records:
            self.hear(record.event_log_entry)

    def hear(self, entry: EventLogEntry) -> None:
        """Take in the next event."""
        event = entry.dagster_event
        if event is None:
            return
        if event.step_key is None:
            if event.is_failure:
                self.fault = _run_fault(event)
            return
        heard = _HEARD.get(event.event_type_value)
        if heard is not None:
            self.attempts[event.step_key] = heard(
                self.attempts.get(event.step_key, Attempt()), event, float(entry.timestamp)
            )


def read(instance: DagsterInstance, run_id: str) -> RunLog:
    """All that the run's events tell."""
    log = RunLog(run_id)
    log.read(instance)
    return log


def first_failures(instance: DagsterInstance, run_ids: Collection[str]) -> dict[str, RunLog]:
    """Of each run the first failure of a stage, or its own where that tells nothing; by run, whose rest isn't read."""
    from dagster import DagsterEventType

    logs = {run_id: RunLog(run_id) for run_id in run_ids}
    for run_id, event in _first(instance, run_ids, DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE):
        logs[run_id].hear(event)
    unclear = [log.run_id for log in logs.values() if any(one.interrupted for one in log.attempts.values())]
    for run_id, event in _first(instance, unclear, DagsterEventType.RUN_FAILURE):
        logs[run_id].hear(event)
    return logs


def _first(
    instance: DagsterInstance, run_ids: Collection[str], *kinds: DagsterEventType
) -> Iterator[tuple[str, EventLogEntry]]:
    """The first event of these kinds of each run, in one statement: Dagster's own questions are about one run."""
    from dagster import EventLogEntry
    from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable
    from dagster._serdes import deserialize_value
    from sqlalchemy import func, select

    if not run_ids:
        return
    storage, events = instance.event_log_storage, SqlEventLogStorageTable.c
    assert isinstance(storage, SqlEventLogStorage)
    fitting = events.run_id.in_(run_ids), events.dagster_event_type.in_([kind.value for kind in kinds])
    first = select(func.min(events.id)).where(*fitting).group_by(events.run_id)
    with storage.index_connection() as connection:
        rows = connection.execute(select(events.run_id, events.event).where(events.id.in_(first))).all()
    for run_id, event in rows:
        yield run_id, deserialize_value(event, EventLogEntry)


def _start(before: Attempt, event: DagsterEvent, at: float) -> Attempt:
    return Attempt(1, began=at)


def _restart(before: Attempt, event: DagsterEvent, at: float) -> Attempt:
    return Attempt(before.number + 1, began=at)


def _success(before: Attempt, event: DagsterEvent, at: float) -> Attempt:
    return replace(before, status=StageStatus.COMPLETED, ended=at, error=None)


def _skip(before: Attempt, event: DagsterEvent, at: float) -> Attempt:
    return replace(before, status=StageStatus.SKIPPED, ended=at)


def _made(before: Attempt, event: DagsterEvent, at: float) -> Attempt:
    # A process that dies right after this has done the stage's work.
    facts = _facts(event.step_materialization_data.materialization.metadata)
    return replace(before, status=StageStatus.COMPLETED, ended=at, facts=facts)


def _retry(before: Attempt, event: DagsterEvent, at: float) -> Attempt:
    return replace(before, status=StageStatus.PENDING, ended=at, error=_of_dagster(event.step_retry_data.error))


def _failure(before: Attempt, event: DagsterEvent, at: float) -> Attempt:
    data = event.step_failure_data
    said = data.user_failure_data
    facts = _facts(said.metadata) if said is not None else None
    if facts is not None and facts.error_type is not None:
        error = StageError(facts.error_type, facts.error_message or "", facts.traceback or "", facts.line)
    elif said is not None and said.description:
        error = _of_text(said.description)
    else:
        error = _of_dagster(data.error)
    return replace(
        before,
        # A process that was killed is told of as failed without it ever having begun to tell.
        number=before.number or 1,
        status=StageStatus.FAILED,
        ended=at,
        facts=facts,
        error=error,
        interrupted=data.error_source.value == INTERRUPTED,
    )


_HEARD: Mapping[str, Any] = {
    "STEP_START": _start,
    "STEP_RESTARTED": _restart,
    "STEP_SUCCESS": _success,
    "STEP_SKIPPED": _skip,
    "STEP_UP_FOR_RETRY": _retry,
    "STEP_FAILURE": _failure,
    "ASSET_MATERIALIZATION": _made,
}


def _told_of() -> set[DagsterEventType]:
    from dagster import DagsterEventType

    return {DagsterEventType(name) for name in _HEARD} | {DagsterEventType.RUN_FAILURE}


def _facts(metadata: Mapping[str, Any]) -> StageFacts | None:
    entry = getattr(metadata.get(ENTRY), "value", None)
    try:
        return StageFacts.read(entry) if isinstance(entry, Mapping) else None
    except TypeError:  # of another version of the platform
        return None


def _of_dagster(error: Any) -> StageError:
    """What is told of an attempt that has no facts: the innermost error that Dagster has kept."""
    if error is None:
        return StageError("Failed", "no error was told")
    while error.cause is not None:
        error = error.cause
    fault = _of_text(error.message)
    return replace(fault, traceback="".join(error.stack)[:TRACEBACK])


def _of_text(text: str) -> StageError:
    """`Kind: message`, as an error and our own failures say it; in Dagster's words with the failure's class before."""
    text = text.strip().removeprefix(OWN_FAILURE)
    kind, colon, message = text.partition(": ")
    if colon and all(part.isidentifier() for part in kind.split(".")):
        return StageError(kind.rpartition(".")[2], message[:MESSAGE])
    return StageError("Failed", text[:MESSAGE])


def _run_fault(event: DagsterEvent) -> str:
    """Why the run failed other than by a stage, as far as Dagster knows: its own sentence and the error behind it."""
    said = (event.message or "the run failed").strip()
    error = getattr(event.event_specific_data, "error", None)
    if error is None or error.cls_name == "DagsterExecutionInterruptedError":
        return said
    fault = _of_dagster(error)
    return said if fault.message in said else f"{said} {fault.type}: {fault.message}"
