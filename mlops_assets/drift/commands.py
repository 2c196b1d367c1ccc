"""What `mlops drift …` does, for the CLI and for tests.

Keep out argument parsing (`cli`) and comparisons themselves (`daily`, `judge`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlops_assets.drift import daily, shown, store
from mlops_assets.drift.daily import Watched
from mlops_assets.drift.facts import Status, Verdict
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage

COLOURS = {Status.OK: "green", Status.DRIFTED: "red", Status.INSUFFICIENT: "yellow", Status.NO_REFERENCE: "yellow"}


def show(database: Database, console: Console, watched: Watched, days: int, api_url: str) -> None:
    """Print the newest days, and whether promotions are blocked."""
    today = datetime.now(UTC).date()
    kept = store.days(database, watched.name, today - timedelta(days=days), today)
    console.print(f"[bold]{escape(watched.title)}[/]: live data beside what production was trained on")
    if not kept:
        console.print("  no day has been compared yet; the first comes the night after the first day with traffic")
        console.print("  [dim]now: mlops drift check[/]")
    else:
        console.print(_days([one.verdict for one in kept]))
    block = Ledger(database).state(watched.name).drift_block
    console.print(
        f"  promotion   {'[yellow]blocked:[/] ' + escape(block) if block else 'not blocked'}", highlight=False
    )
    console.print(f"  [dim]{api_url}/drift/{watched.name}[/]", highlight=False)


def check(database: Database, storage: Storage, console: Console, watched: Watched, hours: float) -> int:
    """Compare the last hours now and print every column; 1 if something drifted, else 0."""
    verdict = daily.compare_now(watched, hours, database, storage)
    console.print(
        f"[bold]{escape(watched.title)}[/]: the last {hours:g} h ({verdict.current_rows:,} of {verdict.logged_rows:,} "
        f"requests) beside the training rows of release {verdict.release} ({verdict.reference_rows:,})",
        highlight=False,
    )
    if verdict.columns:
        console.print(_columns(verdict))
    console.print(f"[{COLOURS[verdict.status]}]{verdict.status}[/]: {escape(shown.headline(verdict))}", highlight=False)
    return int(verdict.status is Status.DRIFTED)


def _days(verdicts: list[Verdict]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("day", "", "release", "rows", "drifted, strongest first"):
        table.add_column(name, justify="right" if name in ("release", "rows") else "left")
    for verdict in sorted(verdicts, key=lambda one: one.day, reverse=True):
        drifted = ", ".join(verdict.drifted) or ("" if verdict.status is Status.OK else shown.headline(verdict))
        table.add_row(
            str(verdict.day),
            f"[{COLOURS[verdict.status]}]{shown.SIGNS[verdict.status]} {verdict.status}[/]",
            str(verdict.release),
            f"{verdict.current_rows:,}",
            escape(drifted),
        )
    return table


def _columns(verdict: Verdict) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("column", "", "distance", "limit", "p", "in training", "now"):
        table.add_column(name, justify="right" if name in ("distance", "limit", "p") else "left")
    for column in shown.ordered(verdict.columns):
        table.add_row(
            escape(column.name),
            f"[{COLOURS[column.status]}]{shown.SIGNS[column.status]} {column.status}[/]",
            shown.number(column.effect),
            shown.number(column.floor),
            shown.p_value(column.p_value),
            escape(shown.side(column, column.reference, most=1)),
            escape(shown.side(column, column.current, most=1)),
        )
    return table
