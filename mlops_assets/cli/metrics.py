"""`mlops metrics`: what the platform tells Prometheus of itself.

Keep out the doing (`observability.exporter.scraping`).
"""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_assets.observability.exporter.metric_docs import document
from mlops_assets.observability.exporter.scraping import scrape
from mlops_assets.settings import load


def metrics(
    name: Annotated[str, typer.Argument(help="Only metrics whose names hold this.")] = "",
    docs: Annotated[
        bool, typer.Option("--docs", help="Every metric in words: the content of deploy/METRICS.md.")
    ] = False,
) -> None:
    """What the exporter tells now; or what it can tell."""
    typer.echo(document() if docs else scrape(load().metrics_url, name), nl=False)
