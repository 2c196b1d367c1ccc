"""MLflow's server in one process, behind the guard: `python -m mlops_assets.installation.run_mlflow OPTIONS`.

The options are those of `mlflow server`; a place for artifacts is written as MLOPS_STORAGE_URL is. MLflow's own command
stays in memory beside the server that it starts, only to pass signals on: 0.2 GB for nothing. Here the command becomes
the server. Keep out the options: they are the program's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, NoReturn

from mlops_assets.installation.guard import Application, Guard, GuardError, Receive, Scope, Send, answer
from mlops_assets.settings import load
from mlops_assets.storage.azure import mlflow_url
from mlops_assets.storage.remote import Store, store_of

MLFLOW_APP = "mlflow.server.fastapi_app:app"
GUARDED_APP = "mlops_assets.installation.run_mlflow:guarded"


def guarded() -> Guard:
    """MLflow's application behind the guard, as uvicorn asks for it. Raises GuardError without an inner token."""
    from mlflow.server.assistant.api import assistant_router
    from mlflow.server.fastapi_app import app

    settings = load()
    return Guard.of(without(app, assistant_router.prefix), settings, settings.mlflow_url)


def without(application: Application, path: str) -> Application:
    """`application` without what is below `path`.

    MLflow's assistant runs programs for whoever comes from this machine, which behind the door is everybody.
    """

    async def rest(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(path):
            await answer(send, "http.response", 404, b"MLflow's assistant is switched off.\n")
        else:
            await application(scope, receive, send)

    return rest


def with_guard(command: Sequence[str]) -> list[str]:
    """MLflow's command that starts its server, to serve what `guarded` makes. Raises GuardError if it can't be told."""
    if list(command).count(MLFLOW_APP) != 1:
        raise GuardError(f"this MLflow doesn't serve {MLFLOW_APP}: its server would answer everybody")
    place = list(command).index(MLFLOW_APP)
    return [*command[:place], "--factory", GUARDED_APP, *command[place + 1 :]]


def become(command: Sequence[str], extra_env: Mapping[str, str] | None = None, **_: Any) -> NoReturn:
    """Replace this process by `command`."""
    os.execvpe(command[0], list(command), {**os.environ, **(extra_env or {})})  # noqa: S606 (no shell is wanted)


def become_guarded(command: Sequence[str], extra_env: Mapping[str, str] | None = None, **_: Any) -> NoReturn:
    """Replace this process by `command` with the guard before it."""
    become(with_guard(command), extra_env)


def for_mlflow(arguments: Sequence[str], environment: MutableMapping[str, str]) -> list[str]:
    """The arguments with a place in Azure as MLflow writes it, and its key in the variable where MLflow looks.

    Raises StorageError when no account is named.
    """
    if (key := environment.get("AZURE_STORAGE_ACCOUNT_KEY")) is not None:
        environment.setdefault("AZURE_STORAGE_ACCESS_KEY", key)
    return [mlflow_url(one) if store_of(one) is Store.AZURE else one for one in arguments]


def main(arguments: Sequence[str], guard: bool = True) -> None:
    """`mlflow server ARGUMENTS`. Without the guard only for tests that ask MLflow as it comes."""
    import mlflow.server
    from mlflow.cli import cli

    if not hasattr(mlflow.server, "_exec_cmd"):
        raise GuardError("this MLflow starts its server in another way: it would answer everybody")
    mlflow.server._exec_cmd = become_guarded if guard else become
    cli(["server", *for_mlflow(arguments, os.environ)])


if __name__ == "__main__":
    main(sys.argv[1:])
