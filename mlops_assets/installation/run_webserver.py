"""`python -m mlops_assets.installation.run_webserver …`: Dagster's webserver behind the guard, read-only by role.

It sees changes of a location sooner: it asks each code server once a second whether what that has loaded is another
one, and has no setting for that. A pipeline that was just deployed is seen after a tenth of a second instead; the
question costs a millisecond. Keep out the guard (`guard.py`) and who has which role: the door says.
"""

from __future__ import annotations

import gc
from typing import Any

import dagster._grpc.server_watcher
import dagster_webserver.cli
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from starlette.requests import HTTPConnection

from mlops_assets.access.roles import Role
from mlops_assets.installation.graphql_form import OneForm
from mlops_assets.installation.guard import Guard, GuardError
from mlops_assets.settings import ROLE_HEADER, load

LOOK_SECONDS = 0.1
# Loading a location makes a million objects, all of which stay: Python's usual looks for garbage meanwhile take a third
# of the time that it takes.
GARBAGE_THRESHOLD = (100_000, 20, 50)
# What Dagster's command makes its application and its workspace with.
REPLACED = ("create_app_from_workspace_process_context", "WorkspaceProcessContext")


class WorkspaceByRole(WorkspaceProcessContext):
    """Read-only for each request whose role isn't operator: Dagster refuses changes and greys its buttons out."""

    def create_request_context(self, source: object | None = None) -> WorkspaceRequestContext:
        return WorkspaceRequestContext(
            instance=self._instance,
            current_workspace=self.get_current_workspace(),
            process_context=self,
            version=self.version,
            source=source,
            read_only=self._read_only or not may_change(source),
        )


def may_change(source: object | None) -> bool:
    """Whether a request came with the operator's role, which the guard has let through."""
    return isinstance(source, HTTPConnection) and source.headers.get(ROLE_HEADER) == Role.OPERATOR


def guard_the_command() -> None:
    """Make Dagster's command serve its application behind the guard. Raises GuardError if it can't be told."""
    command: Any = dagster_webserver.cli
    missing = [name for name in REPLACED if not hasattr(command, name)]
    if missing:
        raise GuardError(f"this Dagster starts its webserver without {', '.join(missing)}: it would answer everybody")
    settings, make = load(), command.create_app_from_workspace_process_context

    def guarded(context: Any, prefix: str = "", *more: Any, **named: Any) -> Guard:
        application = OneForm(make(context, prefix, *more, **named), f"{prefix}/graphql")
        return Guard.of(application, settings, settings.dagster_url)

    command.create_app_from_workspace_process_context = guarded
    command.WorkspaceProcessContext = WorkspaceByRole


if __name__ == "__main__":
    dagster._grpc.server_watcher.WATCH_INTERVAL = LOOK_SECONDS  # type: ignore[assignment]
    guard_the_command()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLD)
    dagster_webserver.cli.main()  # type: ignore[no-untyped-call]
