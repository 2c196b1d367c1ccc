"""What programs and files say of the machinery: the process manager, Dagster's webserver, the log's state, the disk.

Every call has a time limit. Add a look here when its facts are in no table. Keep out those that are (`machinery`) and
judging (`rules`, `resources`).
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from typing import Any

import httpx

from mlops_assets.observability.health.errors import first_line
from mlops_assets.observability.health.facts import Disk, Location, PredictionLog, Program
from mlops_assets.observability.supervisor_socket import SupervisorSilentError, call, socket_of
from mlops_assets.settings import Settings

ASK_SECONDS = 5.0
# The webserver asks each code server when it is asked for the first time.
LOCATIONS_SECONDS = 15.0
STATUS_FILE = "status.json"

LOCATIONS = """query Locations { workspaceOrError { __typename
  ... on PythonError { message }
  ... on Workspace { locationEntries { name locationOrLoadError { __typename
    ... on PythonError { message }
    ... on RepositoryLocation { repositories { schedules { name } sensors { name } } } } } } } }"""


class NotToldError(RuntimeError):
    """A program doesn't say how it is; the message says which, without addresses."""


@dataclass(frozen=True)
class Workspace:
    """Code locations, and the names of the schedules and sensors that are in the loaded ones."""

    locations: tuple[Location, ...]
    automation: frozenset[str]


def workspace(settings: Settings) -> Workspace:
    """What Dagster's webserver has loaded. Raises NotToldError."""
    try:
        with httpx.Client(timeout=LOCATIONS_SECONDS, trust_env=False, headers=settings.inner_headers()) as client:
            answer = client.post(f"{settings.dagster_server_url}/graphql", json={"query": LOCATIONS})
        found = answer.raise_for_status().json()["data"]["workspaceOrError"]
        if found["__typename"] != "Workspace":
            raise NotToldError("Dagster's webserver can't load its workspace")
        return _workspace(found["locationEntries"])
    except httpx.TimeoutException:
        raise NotToldError(f"Dagster's webserver didn't answer within {LOCATIONS_SECONDS:g} s") from None
    except httpx.HTTPError:
        raise NotToldError("Dagster's webserver doesn't answer") from None
    except (ValueError, KeyError, TypeError):
        raise NotToldError("Dagster's webserver gave an answer that can't be read") from None


def _workspace(entries: list[dict[str, Any]]) -> Workspace:
    locations, names = [], set()
    for entry in entries:
        loaded = entry["locationOrLoadError"]
        error = None
        if loaded is None:
            error = "it is still being loaded"
        elif loaded["__typename"] == "PythonError":
            error = first_line(str(loaded["message"])) or "no error was recorded"
        else:
            for repository in loaded["repositories"]:
                names |= {one["name"] for kind in ("schedules", "sensors") for one in repository[kind]}
        locations.append(Location(name=first_line(entry["name"]), error=error))
    return Workspace(tuple(locations), frozenset(names))


def programs(settings: Settings, now: float) -> tuple[Program, ...]:
    """Every program in its manager's words, by name; none where no manager runs. Raises NotToldError."""
    socket = socket_of(settings)
    if not socket.exists():
        return ()
    try:
        told = call(socket, "getAllProcessInfo", seconds=ASK_SECONDS)
    except SupervisorSilentError as error:
        raise NotToldError("the process manager doesn't answer") from error
    # A program that nobody wanted to start yet has no start.
    return tuple(
        Program(
            name=one["name"],
            state=one["statename"],
            seconds=max(0.0, now - one["start"]) if one["start"] else 0,
        )
        for one in sorted(told, key=lambda one: str(one["name"]))
        if one["start"]
    )


def disk(settings: Settings) -> Disk:
    """The disk of the installation's folder. Raises OSError."""
    usage = shutil.disk_usage(settings.home)
    # What only the system's own account may use isn't free.
    return Disk(free=usage.free, size=usage.used + usage.free)


def prediction_log(settings: Settings, now: float | None = None) -> PredictionLog | None:
    """What the shipper last told of itself; None where it never ran. Raises NotToldError."""
    try:
        told = json.loads((settings.journal / STATUS_FILE).read_text())
        silent = (time.time() if now is None else now) - float(told["updated_at"])
        return PredictionLog(oldest_seconds=float(told["oldest_unshipped_seconds"]), silent_seconds=max(0.0, silent))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise NotToldError("the prediction log's state can't be read") from None
