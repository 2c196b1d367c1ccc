"""`mlops token …`: who may use the control API besides whoever holds the installation's own token.

Add a command here. Keep out what is stored of tokens (`access.tokens`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from mlops_assets.access import tokens
from mlops_assets.access.roles import AccessError, Caller, Kind, Role
from mlops_assets.cli.options import actor_of
from mlops_assets.settings import load
from mlops_assets.storage.access_tables import ApiToken
from mlops_assets.storage.database import Database

app = typer.Typer(no_args_is_help=True, help="Who may use the control API: tokens with roles.")


@app.command("create")
def token_create(
    role: Annotated[Role, typer.Option(help="viewer reads, editor changes pipelines, operator does all.")],
    name: Annotated[str, typer.Option(help="What it is for; the audit shows it.")],
    days: Annotated[int | None, typer.Option(min=1, max=tokens.LONGEST_DAYS, help="Else it doesn't expire.")] = None,
) -> None:
    """Issue a token and print it. It is shown this once; only a hash of it is kept."""
    with _database() as database:
        made = tokens.create(database, _somebody(), name, role, days)
    Console(stderr=True).print(f"{role} token [bold]{escape(name)}[/], shown only now:", highlight=False)
    typer.echo(made)


@app.command("list")
def token_list() -> None:
    """Every issued token, the newest first."""
    with _database() as database:
        found = tokens.listed(database)
    if not found:
        Console().print("no token has been issued")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("name", "id", "role", "state", "created", "last used", "expires", "revoked"):
        table.add_column(column, overflow="fold")
    now = datetime.now(UTC)
    for token in found:
        moments = (token.created_at, token.last_used_at, token.expires_at, token.revoked_at)
        table.add_row(escape(token.name), token.id, token.role, state_of(token, now), *map(_moment, moments))
    Console().print(table)


@app.command("revoke")
def token_revoke(name_or_id: Annotated[str, typer.Argument(metavar="NAME_OR_ID")]) -> None:
    """End a token. Within two seconds nobody gets in with it any more."""
    with _database() as database:
        token = tokens.revoke(database, _somebody(), name_or_id)
    Console().print(f"token [bold]{escape(token.name)}[/] ({token.id}) is revoked", highlight=False)


def state_of(token: ApiToken, now: datetime) -> str:
    """Whether it lets anybody in."""
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at is not None and token.expires_at <= now else "active"


def _moment(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _somebody() -> Caller:
    """Whoever is at the terminal, who may open the database and so may do all."""
    return Caller("cli", actor_of(None), Role.OPERATOR, Kind.CLI)


@contextmanager
def _database() -> Iterator[Database]:
    """The installation's database. AccessError if it can't be asked; the driver's own words may hold its address."""
    database = Database.connect(load().database)
    try:
        yield database
    except DBAPIError as error:
        cause = type(error.orig).__name__
        raise AccessError(f"the database doesn't take it ({cause}); is everything started with `mlops up`?") from None
    finally:
        database.dispose()
