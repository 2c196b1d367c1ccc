"""`mlops notify …`: who hears of what.

Keep out the doing (`notifications.commands`).
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from mlops_assets.notifications import commands
from mlops_assets.settings import load

app = typer.Typer(no_args_is_help=True, help="Who hears of what: channels and notices.")


@app.command("test")
def notify_test() -> None:
    """Send a test message to every channel and say which took it."""
    raise typer.Exit(0 if commands.send_test(load(), Console()) else 1)


@app.command("recent")
def notify_recent(limit: Annotated[int, typer.Option(min=1, max=500)] = 20) -> None:
    """The newest notices, and where each went."""
    commands.recent(load(), Console(), limit)
