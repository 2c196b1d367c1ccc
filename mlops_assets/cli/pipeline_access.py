"""What every `mlops pipeline` command needs: the client, and values given as `key=value`.

Keep out commands and how things are shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops_assets.client import Client, ClientError
from mlops_assets.settings import load

# Where the API is and who asks, for whoever doesn't say it at every command.
URL_VARIABLE, TOKEN_VARIABLE = "MLOPS_URL", "MLOPS_TOKEN"
VARIABLES = frozenset({URL_VARIABLE, TOKEN_VARIABLE})

Opened = Callable[[], Client]

ParametersOption = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="KEY=VALUE", help="A parameter; KEY:=JSON for lists and objects."),
]


def opened(url: str | None, token: str | None) -> Client:
    """A client of this machine's installation, or of the one at `url`. ClientError: a token is missing or not one."""
    if token is None and url is None:
        return Client.local()
    if token is None:
        raise ClientError(
            f"--url needs --token or {TOKEN_VARIABLE}: this machine's own token isn't sent to other addresses"
        )
    return Client(url or load().api_server_url, token)


def client_of(context: typer.Context) -> Client:
    """The client that the options of `mlops pipeline` ask for."""
    make: Opened = context.obj
    return make()


def parameters_of(given: Sequence[str] | None, file: Path | None = None) -> dict[str, Any]:
    """Parameters of a file and, before those, of the command line. Text is for the API to convert."""
    found = _in_file(file) if file is not None else {}
    for pair in given or ():
        name, sign, value = pair.partition("=")
        if not sign or not name.rstrip(":"):
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--param")
        found[name.removesuffix(":")] = _json(pair, value) if name.endswith(":") else value
    return found


def tags_of(given: Sequence[str] | None) -> dict[str, str]:
    """Tags of the command line."""
    found = {}
    for pair in given or ():
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--tag")
        found[name] = value
    return found


def written(path: Path, text: str, *, replace: bool) -> None:
    """Write a file. ClientError: it can't be, or it is there and may not be replaced."""
    try:
        with path.open("w" if replace else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ClientError(f"{path} is there already") from None
    except OSError as error:
        raise ClientError(f"{path}: {error.strerror or error}") from None


def _json(pair: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise typer.BadParameter(f"{pair!r}: what follows := is no JSON", param_hint="--param") from None


def _in_file(path: Path) -> dict[str, Any]:
    """The parameters in a YAML or JSON file, which is YAML too."""
    import yaml

    try:
        found = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ClientError(f"{path}: {error.strerror or error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        raise ClientError(f"{path}: no YAML" + (f" at line {where.line + 1}" if where is not None else "")) from None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ClientError(f"{path}: parameters are written as name: value")
    return found
