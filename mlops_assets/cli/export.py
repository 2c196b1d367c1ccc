"""`mlops export`: what a team would take with it, in formats that others read.

Keep out the doing (`mlops_assets.export`).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mlops_assets.export.make import Asked, export
from mlops_assets.installation.report import Report
from mlops_assets.settings import load


def take(
    folder: Annotated[Path, typer.Argument(help="A new folder. It holds what users sent: keep it safe.")],
    product: Annotated[str | None, typer.Option("--product", help="Only what is of this product.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", formats=["%Y-%m-%d"], metavar="DATE", help="Only events since this UTC day."),
    ] = None,
) -> None:
    """Everything as Parquet, YAML and ONNX, of one moment, while it works. For others; to restore, `mlops backup`."""
    console = Console()
    asked = Asked(product, None if since is None else since.date())
    done = export(load(), folder, asked, Report(console))
    size = f"{done.size / 1e6:,.1f} MB in {len(done.files):,} files"
    console.print(f"exported {done.rows:,} rows, {size}: {folder}; README.md tells what is what", highlight=False)
