"""What containers and the system's own process manager run: `mlops up --stay`, `mlops ready`, `mlops migrate`.

Keep out what a person does at a terminal (`commands`).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType

from rich.console import Console

from mlops_assets.installation import schema
from mlops_assets.installation.commands import CommandError, down
from mlops_assets.installation.programs import all_programs, of_this_host
from mlops_assets.installation.supervisor import Supervisor
from mlops_assets.installation.up import is_ready
from mlops_assets.settings import Settings
from mlops_assets.training.catalogue import declared_products

LOOK_SECONDS = 2.0


class _StopAsked(BaseException):
    """Somebody wants everything stopped. Not an Exception: whatever is being started may not take it for a failure."""


def stay(settings: Settings, console: Console, start: Callable[[], None]) -> None:
    """`start`, wait for SIGTERM or SIGINT, at any time from here on, and stop everything in its order.

    Raises:
        CommandError: the process manager has ended by itself, and with it every program.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise _StopAsked

    # Handlers, and no blocked signals: programs would inherit those and never stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    supervisor = Supervisor(settings)
    try:
        start()
        while supervisor.running():
            time.sleep(LOOK_SECONDS)
    except _StopAsked:
        down(settings, console)
    else:
        raise CommandError(f"the process manager has ended; see {supervisor.log}")


def not_ready(settings: Settings) -> list[str]:
    """What of this host doesn't run or doesn't answer, each in a few words; empty when all is well."""
    states = Supervisor(settings).states()
    found = []
    for program in of_this_host(settings, all_programs(settings, declared_products())):
        state = states.get(program.name)
        if state is None or state.state != "RUNNING":
            found.append(f"{program.name} {state.state if state else 'unknown'}")
        elif not is_ready(settings, program):
            found.append(f"{program.name} doesn't answer")
    return found


def migrate(settings: Settings) -> bool:
    """Bring the schemas of the database up to date; whether Dagster's or MLflow's had to be looked at.

    Raises:
        MigrationError: the database doesn't answer, or refuses.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    schema.wait_for_database(settings)
    return schema.migrate(settings)
