"""`mlops backup` and `mlops restore`: an installation's state in a folder, and back.

Keep out the doing (`mlops_assets.backup`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mlops_assets.backup.make import backup
from mlops_assets.backup.restore import restore
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
