"""The only client of Dagster's GraphQL API: launch, status, events of runs, and the health of the instance.

Add a call here when a part outside Dagster has to ask it something. Keep out what the answers mean.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from mlops_assets.access.roles import Role
from mlops_assets.settings import Settings

CALL_SECONDS = 30.0
FINISHED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})

LAUNCH = """
mutation Launch($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } }
  ... on PipelineNotFoundError { message }
  ... on InvalidSubsetError { message }
  ... on UnauthorizedError { message }
} }"""

EVENTS = """
query Events($run: ID!, $cursor: String) { logsForRun(runId: $run, afterCursor: $cursor, limit: 500) {
  __typename
  ... on EventConnection { cursor hasMore events {
    __typename
    ... on MessageEvent { timestamp level message stepKey eventType }
    ... on StepEvent { stepKey }
    ... on MaterializationEvent { assetKey { path } metadataEntries {
      label
      ... on IntMetadataEntry { intRepr }
      ... on FloatMetadataEntry { floatValue }
      ... on TextMetadataEntry { text }
    } }
    ... on AssetCheckEvaluationEvent { evaluation {
      checkName success severity assetKey { path } description
    } }
    ... on ErrorEvent { error { message causes { message } } }
  } }
  ... on RunNotFoundError { message }
  ... on PythonError { message }
} }"""

STATUS = "query Status($run: ID!) { runOrError(runId: $run) { __typename ... on Run { status } } }"

ACTIVE = """
query Active($job: String!) { runsOrError(limit: 5, filter: {pipelineName: $job,
  statuses: [QUEUED, NOT_STARTED, STARTING, STARTED]}) { __typename ... on Runs { results { runId } } } }"""

LOCATIONS = """
query Locations { locationStatusesOrError { __typename
  ... on WorkspaceLocationStatusEntries { entries { name loadStatus } } }
  workspaceOrError { __typename ... on Workspace { locationEntries { name
    locationOrLoadError { __typename ... on PythonError { message } } } } } }"""

DAEMONS = """
query Daemons { instance { daemonHealth { allDaemonStatuses {
  daemonType healthy required lastHeartbeatTime lastHeartbeatErrors { message } } } } }"""


class OrchestratorError(RuntimeError):
    """Dagster doesn't answer, or refuses; the message holds its words."""


@dataclass(frozen=True)
class RunEvent:
    """One event of a run as a person reads it. `data` is the GraphQL event."""

    at: float
    kind: str
    level: str
    step: str | None
    message: str
    data: Mapping[str, Any]


class Orchestrator:
    """Dagster behind its webserver. Opens no connection until it is used; `with` closes what it opened."""

    def __init__(
        self, url: str, transport: httpx.BaseTransport | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url, timeout=CALL_SECONDS, transport=transport, headers=headers)

    @classmethod
    def of(cls, settings: Settings) -> Orchestrator:
        """That of an installation, which may launch runs: the platform itself asks, behind the door."""
        return cls(settings.dagster_server_url, headers=settings.inner_headers(Role.OPERATOR))

    def __enter__(self) -> Orchestrator:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def query(self, text: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run a GraphQL document and return its data.

        Raises:
            OrchestratorError: no answer in time, not JSON, or GraphQL errors.
        """
        try:
            answer = self.client.post("/graphql", json={"query": text, "variables": dict(variables or {})})
            answer.raise_for_status()
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise OrchestratorError(f"Dagster doesn't answer at {self.url}: {error}") from error
        if body.get("errors"):
            raise OrchestratorError("; ".join(e["message"] for e in body["errors"]))
        return dict(body["data"])

    def launch(self, job: str, config: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None) -> str:
        """Launch a job of the products' code location; returns the run id."""
        params = {
            "selector": {
                "repositoryLocationName": "products",
                "repositoryName": "__repository__",
                "jobName": job,
            },
            "runConfigData": dict(config or {}),
            "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in (tags or {}).items()]},
        }
        result = self.query(LAUNCH, {"params": params})["launchRun"]
        if result["__typename"] != "LaunchRunSuccess":
            errors = result.get("errors") or [result]
            raise OrchestratorError(f"{job}: " + "; ".join(e.get("message", str(e)) for e in errors))
        return str(result["run"]["runId"])

    def active_runs(self, job: str) -> list[str]:
        """Ids of the job's runs that haven't finished."""
        found = self.query(ACTIVE, {"job": job})["runsOrError"]
        return [r["runId"] for r in found.get("results", [])]

    def status(self, run_id: str) -> str:
        """Dagster's status word of a run."""
        found = self.query(STATUS, {"run": run_id})["runOrError"]
        if found["__typename"] != "Run":
            raise OrchestratorError(f"Dagster knows no run {run_id}")
        return str(found["status"])

    def follow(self, run_id: str, timeout_seconds: float, pause_seconds: float = 0.3) -> Iterator[RunEvent]:
        """Every event of a run as it comes, until the run has finished.

        Raises:
            OrchestratorError: the run is still going after `timeout_seconds`.
        """
        cursor: str | None = None
        give_up = time.monotonic() + timeout_seconds
        while True:
            finished = self.status(run_id) in FINISHED
            more = True
            while more:
                page = self.query(EVENTS, {"run": run_id, "cursor": cursor})["logsForRun"]
                if page["__typename"] != "EventConnection":
                    raise OrchestratorError(page["message"])
                yield from (_event(e) for e in page["events"])
                cursor, more = page["cursor"], page["hasMore"]
            if finished:
                return
            if time.monotonic() > give_up:
                raise OrchestratorError(f"run {run_id} hasn't finished after {timeout_seconds:.0f} s")
            time.sleep(pause_seconds)

    def location_problems(self) -> dict[str, str]:
        """Code locations that failed to load, or that are still loading, with the reason."""
        data = self.query(LOCATIONS)
        problems = {}
        for entry in data["workspaceOrError"].get("locationEntries", []):
            loaded = entry["locationOrLoadError"]
            if loaded is None:
                problems[entry["name"]] = "still loading"
            elif loaded["__typename"] == "PythonError":
                problems[entry["name"]] = str(loaded["message"])
        if not data["workspaceOrError"].get("locationEntries"):
            problems["workspace"] = "no code location is loaded"
        return problems

    def daemons(self) -> list[dict[str, Any]]:
        """Heartbeats of the daemon's parts."""
        return list(self.query(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"])


def _event(event: Mapping[str, Any]) -> RunEvent:
    return RunEvent(
        at=float(event.get("timestamp") or 0) / 1000,
        kind=str(event.get("eventType") or event["__typename"]),
        level=str(event.get("level") or ""),
        step=event.get("stepKey"),
        message=str(event.get("message") or ""),
        data=event,
    )
