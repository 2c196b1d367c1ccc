"""What a platform's webserver tells about runs: their messages, times and retries.

Add here what several test files ask. Keep out starting and stopping: `run_platform`.
"""

from __future__ import annotations

from tests.integration.run_platform import Platform, wait_for


def messages(platform: Platform, run_id: str) -> str:
    """All messages of a run's event log and its errors, a line each."""
    text = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
      ... on MessageEvent { message } ... on ErrorEvent { error { message } } } } } }"""
    events = platform.query(text, id=run_id)["logsForRun"]["events"]
    lines = [event.get("message") or "" for event in events]
    return "\n".join(lines + [event["error"]["message"] for event in events if event.get("error")])


def events_of(platform: Platform, run_id: str, event_type: str) -> list[float]:
    """When a run had events of a GraphQL type, in seconds, in the order of its log."""
    text = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events { __typename
      ... on MessageEvent { timestamp } } } } }"""
    events = platform.query(text, id=run_id)["logsForRun"]["events"]
    return [float(event["timestamp"]) / 1000 for event in events if event["__typename"] == event_type]


def was_queued(platform: Platform, run_id: str) -> bool:
    """Whether a run has ever waited in the queue."""
    return bool(events_of(platform, run_id, "RunEnqueuedEvent"))


def runs_of(platform: Platform, job: str) -> list[str]:
    """Every run of a job, oldest first."""
    text = "query($job: String!) { runsOrError(filter: {pipelineName: $job}) { ... on Runs { results { runId } } } }"
    return [run["runId"] for run in platform.query(text, job=job)["runsOrError"]["results"]][::-1]


def unfinished(platform: Platform) -> list[str]:
    """Runs that have not ended."""
    text = """{ runsOrError(filter: {statuses: [NOT_STARTED, QUEUED, STARTING, STARTED, CANCELING]}) {
      ... on Runs { results { runId } } } }"""
    return [run["runId"] for run in platform.query(text)["runsOrError"]["results"]]


def will_be_retried(platform: Platform, run_id: str) -> bool:
    """Whether a failed run is retried by itself; that is written a moment after its status."""
    wait_for(lambda: "dagster/will_retry" in platform.tags(run_id), 10, "the decision on a retry")
    return platform.tags(run_id)["dagster/will_retry"] == "true"
