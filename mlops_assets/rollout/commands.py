"""What `mlops rollout …` does, for the CLI and for tests.

Keep out argument parsing (`cli`) and decisions themselves (`ledger`, `decide`).
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mlops_assets.rollout.facts import Evidence
from mlops_assets.rollout.ledger import Ledger, LedgerError, State
from mlops_assets.rollout.phases import MEANING
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.storage.database import Database, LedgerEntry


def choose(products: Sequence[str], asked: str | None) -> str:
    """The product that a command is about: the asked one, or the only one.

    Raises:
        LedgerError: unknown, or not clear which.
    """
    if asked is not None:
        if asked not in products:
            raise LedgerError(f"no served product {asked!r}; there are: {', '.join(products) or 'none'}")
        return asked
    if len(products) != 1:
        raise LedgerError(f"say which product: --product {' | '.join(products)}")
    return products[0]


def show(ledger: Ledger, console: Console, product: str, limit: int) -> None:
    """Print who serves, where the rollout stands, what the newest look saw, and the newest decisions."""
    state = ledger.state(product)
    labels = ledger.labels(product)
    console.print(f"[bold]{escape(product)}[/]")
    console.print(f"  production  {_release(ledger, product, state.production, labels)}", highlight=False)
    console.print(f"  candidate   {_release(ledger, product, state.candidate, labels)}", highlight=False)
    if state.previous is not None:
        console.print(f"  previous    {_release(ledger, product, state.previous, labels)}", highlight=False)
    if state.rollout is not None:
        console.print(f"  rollout {state.rollout}   {_standing(state)}", highlight=False)
    entries = ledger.history(product, limit)
    looks = ledger.looks(product, state.rollout)[-1:] if state.candidate is not None and state.rollout else []
    for entry in looks:
        show_look(console, entry)
    console.print(_decisions(entries))


def _standing(state: State) -> str:
    share = f", {state.candidate_share:.0%} of users" if state.comparing else ""
    paused = ", [yellow]paused[/]" if state.paused else ""
    drift = f", [yellow]blocked: {escape(state.drift_block)}[/]" if state.drift_block else ""
    return f"{state.phase}{share}{paused}{drift} [dim]({MEANING[state.phase]})[/]"


def show_look(console: Console, entry: LedgerEntry) -> None:
    """Print what one look saw and concluded."""
    evidence = Evidence.from_json(entry.details["evidence"])
    table = Table(box=None, pad_edge=False, title=f"look of {entry.created_at:%Y-%m-%d %H:%M:%S} UTC")
    for column in ("", "requests", "errors", "slow", "ratings", "raters", "mean rating", "mean ms"):
        table.add_column(column, justify="right" if column else "left")
    for name, arm in (("production", evidence.production), ("candidate", evidence.candidate)):
        numbers = [arm.requests, arm.errors, arm.slow, arm.ratings, arm.raters]
        means = [f"{m:.2f}" if m is not None else "–" for m in (arm.mean_rating, arm.mean_ms)]
        table.add_row(name, *(f"{n:,}" for n in numbers), *means)
    console.print(table)
    for reason in entry.details["reasons"]:
        console.print(f"  {escape(reason)}", highlight=False, soft_wrap=True)


def _decisions(entries: Sequence[LedgerEntry]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("when (UTC)", "event", "serves", "by"):
        table.add_column(column, no_wrap=True)
    table.add_column("reason", overflow="fold")
    for entry in entries:
        label = f" {entry.label}" if entry.label else ""
        beside = f" + {entry.candidate} at {entry.candidate_share:.0%}" if entry.candidate is not None else ""
        table.add_row(
            f"{entry.created_at:%m-%d %H:%M:%S}",
            f"{entry.event}{label}",
            f"{entry.production or '–'}{beside}",
            escape(entry.actor),
            escape(entry.reason),
        )
    return table


def promote(ledger: Ledger, console: Console, product: str, actor: str, reason: str, version: int | None) -> State:
    """Promote by hand and say what serves now."""
    before = ledger.state(product)
    after = ledger.promote(product, actor, reason, version)
    console.print(
        f"{product}: release {after.production} is production (was {before.production}); "
        "the service follows within 2 s",
        highlight=False,
    )
    return after


def roll_back(ledger: Ledger, console: Console, product: str, actor: str, reason: str, retrain: bool) -> State:
    """Withdraw the candidate, or go back to the production before, and say which it was."""
    before = ledger.state(product)
    after = ledger.rollback(product, actor=actor, reason=reason, retrain=retrain)
    if before.candidate is not None:
        said = f"candidate {before.candidate} is withdrawn; production {after.production} serves everybody"
    else:
        said = f"release {after.production} is production again (was {before.production})"
    console.print(f"{product}: {said} within 2 s", highlight=False)
    return after


def replay(ledger: Ledger, database: Database, console: Console, product: str, rollout: int | None) -> bool:
    """Compute every recorded look again from the raw log; whether all match."""
    from mlops_assets.rollout.replay import replay as recompute

    looks = recompute(ledger, database, product, rollout)
    if not looks:
        console.print(f"{product}: no look was recorded{f' for rollout {rollout}' if rollout else ''} yet")
        return True
    table = Table(box=None, pad_edge=False)
    for column in ("look (UTC)", "rollout", "recorded", "replayed", ""):
        table.add_column(column)
    for look in looks:
        said = "[green]same[/]" if look.matches else f"[red]differs: {escape(look.difference or '')}[/]"
        table.add_row(f"{look.at:%Y-%m-%d %H:%M:%S}", str(look.rollout), look.recorded, look.replayed, said)
    console.print(table)
    return all(look.matches for look in looks)


def simulate(console: Console, policy: RolloutPolicy, requests_per_hour: float, rated: float, runs: int) -> None:
    """Print how rollouts under this policy would end with this traffic, for candidates of known quality."""
    from mlops_assets.rollout.simulate import forecast

    with Progress(TextColumn("simulating"), BarColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("simulating", total=None)
        told = forecast(
            policy,
            requests_per_hour,
            rated,
            runs=runs,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    table = Table(
        box=None,
        pad_edge=False,
        title=f"{runs} rollouts each: {requests_per_hour:g} requests/h, {rated:.1%} rated, candidate at "
        f"{', '.join(f'{step:.0%}' for step in policy.steps)}, policy {policy.policy}",
        title_justify="left",
    )
    for column in (
        "if the candidate is",
        "promoted",
        "rolled back",
        f"none in {policy.max_days:g} d",
        "median",
        "90 %",
    ):
        table.add_column(column, justify="left" if column.startswith("if") else "right")
    for row in told:
        shares = [f"{share:.1%}" for share in (row.promoted, row.rolled_back, row.undecided)]
        table.add_row(row.truth, *shares, _hours(row.median_hours), _hours(row.p90_hours))
    console.print(table)


def _hours(hours: float | None) -> str:
    if hours is None:
        return "–"
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.0f} h"


def _release(ledger: Ledger, product: str, version: int | None, labels: dict[int, list[str]]) -> str:
    if version is None:
        return "[dim]none[/]"
    release = ledger.release(product, version)
    names = " ".join(labels.get(version, []))
    sample = ", sample data" if (release.manifest or {}).get("dataset", {}).get("sample") else ""
    return f"release {version} [dim]({names}) data V{release.dataset_version}{sample}, run {release.run_id}[/]"
