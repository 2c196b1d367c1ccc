"""`mlops database …`: what the administrator of a PostgreSQL of one's own needs.

Keep out what the roles may do (`storage.rights`).
"""

from __future__ import annotations

import typer
from sqlalchemy import make_url

from mlops_assets.settings import load
from mlops_assets.storage import rights

app = typer.Typer(no_args_is_help=True, help="A PostgreSQL of your own.")


@app.callback()
def database() -> None:
    """Keep `roles` a command of its own, however few there are."""


@app.command("roles")
def roles() -> None:
    """Print the SQL that makes a role for each part, with the rights it needs: mlops database roles | psql …."""
    url = make_url(load().database)
    typer.echo(rights.roles_sql(url.database or "mlops"), nl=False)
