"""`mlops drift …`: how live data differs from what production was trained on.

Keep out the doing (`drift.commands`).
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from mlops_assets.cli.options import ProductOption, product_of
from mlops_assets.drift import commands
from mlops_assets.settings import load
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.training.monitoring import watched

app = typer.Typer(no_args_is_help=True, help="How live data differs from what production was trained on.")


@app.command("status")
def drift_status(product: ProductOption = None, days: Annotated[int, typer.Option(min=1, max=366)] = 14) -> None:
    """The newest days, what drifted, and what follows from it."""
    settings = load()
    commands.show(
        Database.connect(settings.database), Console(), watched(product_of(product)), days, settings.console_url
    )


@app.command("check")
def drift_check(
    product: ProductOption = None,
    hours: Annotated[float, typer.Option(min=0.05, max=720, help="How far back to look.")] = 24,
) -> None:
    """Compare the last hours now, column by column. Keeps nothing; exit code 1 if something drifted."""
    settings = load()
    database, storage = Database.connect(settings.database), Storage(settings.storage)
    raise typer.Exit(commands.check(database, storage, Console(), watched(product_of(product)), hours))
