"""`mlops usage`: what products, stages and jobs used and cost, and what got slower or bigger since last week.

Add an option here that only reads. Keep out what is asked of the table (`observability.usage.queries`,
`usage.compared`) and what counts as a change (`usage.changes`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mlops_assets.api.usage.schemas import RunUsage, UsageChanges, UsagePage
from mlops_assets.api.usage.views import changes_view, page_view, run_view
from mlops_assets.cli.pipeline_tables import moment, plain
from mlops_assets.observability.usage import compared, queries
from mlops_assets.observability.usage.changes import amount
from mlops_assets.observability.usage.figures import By
from mlops_assets.observability.usage.queries import Period, PeriodError
from mlops_assets.observability.usage.sums import used
from mlops_assets.pipelines.ids import uuid_of
from mlops_assets.settings import Settings, load
from mlops_assets.storage.database import Database

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MOST_ROWS = 500
LEFT = frozenset({"product", "stage", "job", "outcome", "newest, UTC", "started, UTC"})


class AddedBy(StrEnum):
    """What to add up by."""

    product = "product"
    stage = "stage"
    job = "job"


def show_usage(
    since: Annotated[str, typer.Option(help="How far back: 90m, 24h, 7d, 4w, or a UTC day, YYYY-MM-DD.")] = "7d",
    by: Annotated[AddedBy, typer.Option(help="What to add up by.")] = AddedBy.product,
    changes: Annotated[bool, typer.Option("--changes", help="What got slower or bigger since last week.")] = False,
    run: Annotated[str | None, typer.Option(help="The attempts of one run, by its id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As the API answers.")] = False,
) -> None:
    """What stages used and cost: time, CPU, memory, bytes."""
    settings = load()
    database = Database.connect(settings.database)
    now = datetime.now(UTC)
    view: UsageChanges | UsagePage | RunUsage
    if changes and run is not None:
        raise typer.BadParameter("is for all stages: give either --changes or --run", param_hint="--changes")
    if changes:
        view = changes_view(compared.compare(database, now))
    elif run is not None:
        view = _of_run(settings, database, run)
    else:
        view = _sums(settings, database, since, now, by)
    console = Console()
    if as_json:
        typer.echo(view.model_dump_json(indent=2))
    elif isinstance(view, UsageChanges):
        print_changes(console, view)
    elif isinstance(view, RunUsage):
        print_run(console, view)
    else:
        print_sums(console, view)


def moment_of(text: str, now: datetime) -> datetime:
    """What `--since` means. Raises typer.BadParameter."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        try:
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError as error:
            raise typer.BadParameter(f"{text!r} is no day: {error}", param_hint="--since") from error
    found = re.fullmatch(r"([1-9]\d{0,5})([mhdw])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is neither such as 24h or 7d nor a day", param_hint="--since")
    try:
        return now - timedelta(**{UNITS[found[2]]: int(found[1])})
    except OverflowError as error:
        raise typer.BadParameter(f"{text!r} is before all time", param_hint="--since") from error


def _sums(settings: Settings, database: Database, since: str, now: datetime, by: AddedBy) -> UsagePage:
    try:
        period = Period.of(moment_of(since, now), now)
    except PeriodError as error:
        raise typer.BadParameter(str(error).removeprefix("since: "), param_hint="--since") from error
    prices = queries.prices_of(settings)
    added: By = by.value
    found = used(database, period, added, prices, limit=MOST_ROWS)
    return page_view(period, added, prices, found, 0)


def _of_run(settings: Settings, database: Database, run: str) -> RunUsage:
    known = uuid_of(run)
    attempts = queries.of_run(database, str(known)) if known is not None else None
    if attempts is None:
        raise typer.BadParameter(f"there is no run {run!r}", param_hint="--run")
    return run_view(str(known), attempts, queries.prices_of(settings), settings.dagster_url)


def print_sums(console: Console, view: UsagePage) -> None:
    """The sums, the dearest first, and what all of it costs."""
    if not view.items:
        console.print(f"no stage has begun since {moment(view.since)} UTC")
        return
    name = {"product": (), "stage": ("stage",), "job": ("job",)}[view.by]
    currency = view.prices.currency
    table = _table("product", *name, "runs", "tries", "failed", "time", "CPU", "peak", "read", "wrote", currency)
    for one in view.items:
        table.add_row(
            plain(one.product),
            *(plain(getattr(one, column)) for column in name),
            f"{one.runs:,}",
            f"{one.attempts:,}",
            f"{one.failed:,}" + (f" +{one.lost:,} lost" if one.lost else ""),
            amount(one.wall_seconds, "seconds"),
            amount(one.cpu_seconds, "seconds"),
            amount(one.peak_memory_bytes, "bytes"),
            amount(one.read_bytes, "bytes"),
            amount(one.written_bytes, "bytes"),
            f"{one.cost:,.4f}",
        )
    console.print(table)
    more = f", the {len(view.items)} dearest of {view.total}" if view.next_offset is not None else ""
    console.print(
        f"since {moment(view.since)} UTC{more}: {view.all.cost:,.4f} {currency} for "
        f"{amount(view.all.cpu_seconds, 'seconds')} of CPU and {view.all.gb_hours:,.2f} GB hours in all",
        highlight=False,
    )


def print_changes(console: Console, view: UsageChanges) -> None:
    """What changed, a line each."""
    for change in view.changes:
        console.print(plain(f"{'↑' if change.worse else '↓'} {change.said}", "red" if change.worse else "green"))
    if not view.changes:
        console.print("nothing got clearly slower, faster, bigger or smaller since last week")
    few = f"; {view.too_few} have too few successful attempts to tell" if view.too_few else ""
    console.print(f"{view.stages} stages compared{few}", highlight=False)


def print_run(console: Console, view: RunUsage) -> None:
    """The attempts of one run."""
    if not view.attempts:
        console.print("no stage of this run was measured")
        return
    currency = view.prices.currency
    table = _table(
        "product", "stage", "try", "outcome", "started, UTC", "time", "CPU", "peak", "read", "wrote", currency
    )
    for one in view.attempts:
        table.add_row(
            plain(one.product),
            plain(one.stage),
            str(one.attempt),
            one.outcome,
            f"{one.started_at:%m-%d %H:%M:%S}",
            _figure(one.wall_seconds, "seconds"),
            _figure(one.cpu_seconds, "seconds"),
            _figure(one.peak_memory_bytes, "bytes"),
            _figure(one.read_bytes, "bytes"),
            _figure(one.written_bytes, "bytes"),
            "–" if one.cost is None else f"{one.cost:,.6f}",
        )
    console.print(table)
    console.print(f"{view.cost:,.6f} {currency} in all", highlight=False)


def _figure(value: float | None, unit: str) -> str:
    return "–" if value is None else amount(value, unit)


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for name in names:
        # A figure that is broken can't be read; a name still can.
        table.add_column(name, justify="left" if name in LEFT else "right", overflow="fold", no_wrap=name not in LEFT)
    return table
