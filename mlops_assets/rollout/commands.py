"""What `mlops rollout …` does, for the CLI and for tests.

Keep out argument parsing (`cli.py`) and decisions themselves (`ledger.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlops_assets.rollout.ledger import Ledger, LedgerError, State


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
    """Print who serves and the newest decisions."""
    state = ledger.state(product)
    labels = ledger.labels(product)
    console.print(f"[bold]{escape(product)}[/]")
    console.print(f"  production  {_release(ledger, product, state.production, labels)}", highlight=False)
    console.print(f"  candidate   {_release(ledger, product, state.candidate, labels)}", highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in ("when (UTC)", "event", "production", "candidate", "label", "by", "reason"):
        table.add_column(column)
    for entry in ledger.history(product, limit):
        table.add_row(
            f"{entry.created_at:%Y-%m-%d %H:%M:%S}",
            entry.event,
            str(entry.production or ""),
            str(entry.candidate or ""),
            entry.label or "",
            escape(entry.actor),
            escape(entry.reason),
        )
    console.print(table)


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


def _release(ledger: Ledger, product: str, version: int | None, labels: dict[int, list[str]]) -> str:
    if version is None:
        return "[dim]none[/]"
    release = ledger.release(product, version)
    names = " ".join(labels.get(version, []))
    sample = ", sample data" if (release.manifest or {}).get("dataset", {}).get("sample") else ""
    return f"release {version} [dim]({names}) data V{release.dataset_version}{sample}, run {release.run_id}[/]"
