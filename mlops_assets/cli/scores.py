"""`mlops scores …`: months of records that were scored, and what stands out in them.

Add a command here that only reads. Keep out what is asked of the tables (`batch.store`) and scoring itself.
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlops_assets.api.scores import records
from mlops_assets.api.scores.views import rate
from mlops_assets.batch import store
from mlops_assets.batch.months import day_of, of_day
from mlops_assets.batch.store import Mode
from mlops_assets.settings import load
from mlops_assets.storage.database import Database, ScoredMonth, ScoredRecord

# From these shares of anomalies on a month is yellow, or red; the dashboards have the same.
YELLOW, RED = 0.05, 0.10
RIGHT = ("records", "anomalies", "rate", "release", "score")

ModeOption = Annotated[Mode, typer.Option("--mode", help="By the production release, or by a forest fitted to all.")]

app = typer.Typer(no_args_is_help=True, help="Months of records that were scored, and what stands out in them.")


@app.command("status")
def scores_status(
    product: Annotated[str | None, typer.Argument(help="A product's name; without it, all that are scored.")] = None,
    mode: ModeOption = store.PRODUCTION,
) -> None:
    """The scored months: records, anomalies, their rate, and which release scored them."""
    settings = load()
    show_months(Database.connect(settings.database), Console(), product, mode, settings.console_url)


@app.command("show")
def scores_show(
    product: Annotated[str, typer.Argument(help="A product's name.")],
    month: Annotated[str, typer.Argument(help="A month, YYYY-MM.")],
    mode: ModeOption = store.PRODUCTION,
) -> None:
    """One month: its figures and its lowest scores with their reasons."""
    show_month(Database.connect(load().database), Console(), product, month, mode)


def show_months(database: Database, console: Console, product: str | None, mode: Mode, api_url: str) -> None:
    """Print every month with records, newest first. Raises typer.BadParameter for a product without scored months."""
    if product is not None:
        _require_scored(database, product)
    known = [product] if product is not None else records.products(database)
    if not known:
        console.print("no month has been scored yet")
    for name in known:
        every = store.overview(database, name, mode)
        months = [month for month in every if month.records]
        without = f", {len(every) - len(months)} more without records" if len(every) > len(months) else ""
        console.print(f"[bold]{escape(name)}[/]: {len(months)} scored months{without}, {mode}", highlight=False)
        if months:
            console.print(_months(months))
        console.print(f"  [dim]{api_url}/scores/{escape(name)}/report[/]", highlight=False)


def show_month(database: Database, console: Console, product: str, month: str, mode: Mode) -> None:
    """Print one month. Raises typer.BadParameter for what isn't a month or wasn't scored."""
    try:
        day = day_of(month)
    except ValueError:
        raise typer.BadParameter(f"{month!r} is no month such as 2023-07", param_hint="MONTH") from None
    _require_scored(database, product)
    found = store.one(database, product, day, mode)
    if found is None:
        raise typer.BadParameter(f"{product} has no scored month {month} in {mode}", param_hint="MONTH")
    console.print(f"[bold]{escape(product)}[/] {month}, {mode}", highlight=False)
    console.print(_months([found]))
    lowest = store.lowest(database, product, mode, day)
    if lowest:
        console.print(_records(lowest))


def _require_scored(database: Database, product: str) -> None:
    try:
        records.require_scored(database, product)
    except records.UnscoredError as unscored:
        raise typer.BadParameter(str(unscored), param_hint="PRODUCT") from None


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in RIGHT else "left", overflow="fold")
    return table


def _months(months: list[ScoredMonth]) -> Table:
    table = _table("month", "records", "anomalies", "rate", "release", "in training")
    for month in reversed(months):
        table.add_row(
            of_day(month.month),
            f"{month.records:,}",
            f"{month.anomalies:,}",
            _rate(month),
            "–" if month.release is None else str(month.release),
            "yes" if month.in_training else "no",
        )
    return table


def _rate(month: ScoredMonth) -> str:
    share = rate(month)
    if share is None:
        return "–"
    colour = "red" if share >= RED else "yellow" if share >= YELLOW else "green"
    return f"[{colour}]{share:.2%}[/]"


def _records(lowest: list[ScoredRecord]) -> Table:
    table = _table("at", "score", "why")
    for record in lowest:
        table.add_row(f"{record.at:%Y-%m-%d %H:%M}", f"{record.score:.4f}", escape("; ".join(record.reasons)))
    return table
