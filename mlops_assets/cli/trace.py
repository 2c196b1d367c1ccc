"""`mlops trace`: where a served answer came from.

Keep out what a trace is (`observability.trace.tracer`) and how it looks (`observability.trace.tree`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from mlops_assets.access import audit
from mlops_assets.access.audit import Act
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.api.trace import READ_VALUES, trace_view
from mlops_assets.cli.options import actor_of
from mlops_assets.observability.trace.facts import AnswerTrace
from mlops_assets.observability.trace.links import links_of
from mlops_assets.observability.trace.tracer import TraceError, Tracer
from mlops_assets.observability.trace.tree import tree_of
from mlops_assets.settings import Settings, load
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage


def trace(
    prediction_id: Annotated[str, typer.Argument(help="The prediction_id of an answer.")],
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: the same as the API's.")] = False,
    values: Annotated[bool, typer.Option("--values", help="With the request's values; the audit notes it.")] = False,
) -> None:
    """Where a served answer came from: release, model, runs, data, code, rollout, drift, feedback."""
    settings = load()
    with _database(settings) as database:
        found = traced(settings, database, prediction_id, values=values)
    if as_json:
        typer.echo(trace_view(found, settings).model_dump_json(indent=1))
        return
    Console().print(tree_of(found, links_of(found, settings)), soft_wrap=True)


def traced(settings: Settings, database: Database, prediction_id: str, *, values: bool) -> AnswerTrace:
    """The trace, without the request's values unless they are asked for. Raises TraceError."""
    found = Tracer(database, Storage(settings.storage), settings.secrets).trace(prediction_id)
    if not values:
        return found.without_values()
    somebody = Caller("cli", actor_of(None), Role.OPERATOR, Kind.CLI)
    audit.record(database, Act(somebody, READ_VALUES, found.answer.id, details={"product": found.answer.product}))
    return found


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    """The installation's database. TraceError if it can't be asked; the driver's own words may hold its address."""
    database = Database.connect(settings.database)
    try:
        yield database
    except DBAPIError as error:
        cause = type(error.orig).__name__
        raise TraceError(f"the database doesn't answer ({cause}); is everything started with `mlops up`?") from None
    finally:
        database.dispose()
