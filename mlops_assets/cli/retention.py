"""`mlops retention`: how long everything is kept, how much of it there is, and the removal of what is older.

Keep out the list (`mlops_assets.retention.declared`) and the removal (`mlops_assets.retention.rounds`).
"""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.installation.commands import CommandError
from mlops_assets.settings import load
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage

# Without --apply somebody waits for a table; what there is no time for is told with a plus.
LOOK_SECONDS = 60.0
APPLY_SECONDS = 6 * 3600.0


def retention(
    apply: Annotated[bool, typer.Option("--apply", help="Remove it now, instead of saying what would go.")] = False,
    why: Annotated[bool, typer.Option("--why", help="Only the reasons, and what is special about each kind.")] = False,
) -> None:
    """How long everything is kept, how much there is, and what is older. Changes nothing without --apply."""
    # Services and gateways have this command line without Dagster.
    from dagster import DagsterInstance

    from mlops_assets.retention.measure import held
    from mlops_assets.retention.round import Round
    from mlops_assets.retention.rounds import SWEEPS, run
    from mlops_assets.retention.shown import as_table, in_all, reasons, size

    if why:
        Console().print(reasons())
        return
    settings = load()
    if not (settings.home / "dagster.yaml").exists():
        raise CommandError(f"{settings.home} isn't set up yet; run: mlops up")
    os.environ.update(settings.environment())
    database, storage = Database.connect(settings.database), Storage(settings.storage)
    try:
        database.check()
    except SQLAlchemyError as error:
        raise CommandError(f"the database doesn't answer ({type(error).__name__}); is it up? mlops status") from error
    with DagsterInstance.get() as instance:
        seconds = APPLY_SECONDS if apply else LOOK_SECONDS
        work = Round.begun(settings, database, storage, instance, apply=apply, seconds=seconds)
        done = run(work, SWEEPS)
    console = Console()
    console.print(as_table(held(settings, database, storage), done, settings, applied=apply))
    total = in_all(done)
    failed = f"; {total.failed:,} couldn't be removed" if total.failed else ""
    said = "removed" if apply else "would remove"
    console.print(
        f"{said} {total.removed:,} with {size(total.bytes)} in files; {total.kept:,} old ones are still needed{failed}",
        highlight=False,
    )
    raise typer.Exit(1 if total.failed else 0)
