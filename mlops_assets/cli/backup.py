"""`mlops backup`, `mlops restore`, `mlops upgrade`: an installation's state in a folder, back, and under newer code.

Keep out the doing (`mlops_assets.backup`).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mlops_assets.backup.make import backup
from mlops_assets.backup.restore import restore
from mlops_assets.installation import commands
from mlops_assets.installation.report import Report
from mlops_assets.settings import load


def save(
    folder: Annotated[Path, typer.Argument(help="A new folder. It holds secrets: keep it as safe as the platform.")],
) -> None:
    """Save everything while it works: database, files, secrets. The copy is checked by `mlops restore`."""
    console = Console()
    record = backup(load(), folder, Report(console))
    size = f"{record.size / 1e6:,.1f} MB in {len(record.files):,} files"
    console.print(f"saved {record.rows:,} rows of {len(record.tables)} tables, {size}: {folder}", highlight=False)


def put_back(folder: Annotated[Path, typer.Argument(help="A folder that `mlops backup` made.")]) -> None:
    """Put a backup back into an empty installation, compared row by row; then `mlops up`."""
    console = Console()
    record = restore(load(), folder, Report(console))
    console.print(f"restored the state of {record.made_at:%Y-%m-%d %H:%M:%S} UTC; start it with: mlops up")


def upgrade(
    backup_to: Annotated[
        Path | None, typer.Option("--backup", metavar="FOLDER", help="Save everything there before; a new folder.")
    ] = None,
) -> None:
    """Start the installed version in the place of the one that runs, program by program, while users are answered."""
    settings = load()
    before = None if backup_to is None else partial(backup, settings, backup_to)
    commands.upgrade(settings, Console(), before)
