"""The score routes: products at a glance, the months of one, a month with its lowest scores.

Add a route here. A route parses, reads and answers. Keep out queries (`batch.store`, `records`), how things are shown
(`views`) and stored files (`files`). Routes are plain `def`: the database is read in a thread.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from starlette.exceptions import HTTPException

from mlops_assets.api.auth import Viewer
from mlops_assets.api.drift.routes import UNCHANGED, KnownTag, Name, tagged
from mlops_assets.api.problems import answers
from mlops_assets.api.scores import records
from mlops_assets.api.scores.schemas import MonthDetail, Months, Scores
from mlops_assets.api.scores.views import detail_view, month_view, product_view
from mlops_assets.batch import store
from mlops_assets.batch.months import day_of, of_day
from mlops_assets.batch.store import Mode
from mlops_assets.storage.database import Database, ScoredMonth

READ_ANSWERS = answers(401, 404, 422, 503)

Month = Annotated[
    str, Path(pattern=r"^(19|20|21)\d\d-(0[1-9]|1[0-2])$", description="A month, YYYY-MM", examples=["2023-07"])
]
AskedMode = Annotated[
    Mode, Query(description="By the production release, or by a forest that is fitted to all rows and scores all rows")
]


def score_routes(database: Database, dagster_url: str) -> APIRouter:
    """Every route below /api/v1/scores but the records of a month."""
    router = APIRouter(prefix="/api/v1/scores", tags=["scores"], dependencies=[Viewer], responses=answers(429))

    @router.get("", response_model=Scores, responses=answers(401, 503) | UNCHANGED)
    def list_scores(known: KnownTag = None) -> Response:
        """Every product that has scored months, with its newest one."""
        found = records.newest(database)
        return tagged(Scores(products=[product_view(month, count, dagster_url) for month, count in found]), known)

    @router.get("/{product}", response_model=Months, responses=READ_ANSWERS | UNCHANGED)
    def read_months(product: Name, mode: AskedMode = store.PRODUCTION, known: KnownTag = None) -> Response:
        """One product's months, oldest first."""
        require_scored(database, product)
        months = [month_view(month, dagster_url) for month in store.overview(database, product, mode)]
        return tagged(Months(product=product, mode=mode, months=months), known)

    @router.get("/{product}/{month}", response_model=MonthDetail, responses=READ_ANSWERS | UNCHANGED)
    def read_month(product: Name, month: Month, mode: AskedMode = store.PRODUCTION, known: KnownTag = None) -> Response:
        """One month with its lowest scores and their reasons."""
        found = scored_month(database, product, month, mode)
        lowest = store.lowest(database, product, mode, found.month)
        return tagged(detail_view(found, lowest, dagster_url), known)

    return router


def require_scored(database: Database, product: str) -> None:
    """Return if the product has scored months. HTTPException 404, which says which products have, if not."""
    try:
        records.require_scored(database, product)
    except records.UnscoredError as unscored:
        raise HTTPException(404, str(unscored)) from None


def scored_month(database: Database, product: str, month: str, mode: Mode) -> ScoredMonth:
    """One scored month. HTTPException 404, which says which months there are, if there is no such one."""
    require_scored(database, product)
    found = store.one(database, product, day_of(month), mode)
    if found is not None:
        return found
    months = store.overview(database, product, mode)
    if not months:
        raise HTTPException(404, f"{product} has no scored months in {mode}")
    span = f"from {of_day(months[0].month)} to {of_day(months[-1].month)}"
    raise HTTPException(404, f"{product} has no scored month {month} in {mode}; the months are {span}")
