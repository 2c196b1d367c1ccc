"""The usage routes: what products, stages and jobs used and cost, what got slower or bigger, and one run's attempts.

Add a route here. A route parses, reads and answers. Keep out queries (`observability.usage.queries`, `usage.compared`)
and how things are shown (`views`). Routes are plain `def`: the database is read in a thread.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.exceptions import HTTPException

from mlops_assets.api.auth import Viewer
from mlops_assets.api.pipelines.requested import FIRST_PAGE, Limit, Offset
from mlops_assets.api.pipelines.runs import Moment
from mlops_assets.api.problems import answers
from mlops_assets.api.usage.schemas import RunUsage, UsageChanges, UsagePage
from mlops_assets.api.usage.views import changes_view, page_view, run_view
from mlops_assets.observability.usage import compared, queries
from mlops_assets.observability.usage.compared import Comparison
from mlops_assets.observability.usage.figures import By
from mlops_assets.observability.usage.queries import Period, PeriodError
from mlops_assets.observability.usage.sums import used
from mlops_assets.pipelines.ids import uuid_of
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database

KEPT_SECONDS = 300.0

AskedRun = Annotated[str, Path(max_length=100, description="A run's id")]


class NewestChanges:
    """The comparison of the last two weeks, kept for a while: with many stages it takes half a second to make."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._made: Comparison | None = None
        self._made_at = 0.0

    def get(self) -> Comparison:
        """As of now, or of some minutes ago. Whoever asks while it is being made waits. Raises SQLAlchemyError."""
        with self._lock:
            if self._made is None or time.monotonic() - self._made_at > KEPT_SECONDS:
                self._made = compared.compare(self._database, datetime.now(UTC))
                self._made_at = time.monotonic()
            return self._made


def usage_routes(settings: Settings, database: Database) -> APIRouter:
    """Every route below /api/v1/usage, and a run's own."""
    router = APIRouter(prefix="/api/v1", tags=["usage"], dependencies=[Viewer], responses=answers(401, 429, 503))
    prices = queries.prices_of(settings)
    newest = NewestChanges(database)

    @router.get("/usage", responses=answers(422))
    def read_usage(
        since: Moment | None = None,
        until: Moment | None = None,
        by: Annotated[By, Query(description="What to add up by")] = "product",
        limit: Limit = FIRST_PAGE,
        offset: Offset = 0,
    ) -> UsagePage:
        """What the attempts that began in a period used, added up; without `since`, of seven days."""
        period = asked_period(since, until)
        found = used(database, period, by, prices, limit=limit, offset=offset)
        return page_view(period, by, prices, found, offset)

    @router.get("/usage/changes", responses=answers(422))
    def read_changes(
        until: Annotated[Moment | None, Query(description="The end of the week to look at; without it, now")] = None,
    ) -> UsageChanges:
        """What got slower or bigger, or the other way round, in the last seven days, beside the seven before.

        Without `until`, the answer may be five minutes old.
        """
        return changes_view(newest.get() if until is None else compared.compare(database, until))

    @router.get("/runs/{run_id}/usage", responses=answers(404))
    def read_run_usage(run_id: AskedRun) -> RunUsage:
        """What each attempt of a run's stages used and cost, of products and of declared pipelines."""
        known = uuid_of(run_id)
        attempts = queries.of_run(database, str(known)) if known is not None else None
        if attempts is None:
            raise HTTPException(404, f"there is no run {run_id[:80]!r}")
        return run_view(str(known), attempts, prices, settings.dagster_url)

    return router


def asked_period(since: datetime | None, until: datetime | None) -> Period:
    """The period that a request names. HTTPException 422, which says what is wrong with it."""
    try:
        return Period.of(since, until)
    except PeriodError as error:
        raise HTTPException(422, str(error)) from error
