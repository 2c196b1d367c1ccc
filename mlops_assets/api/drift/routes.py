"""The drift routes: products at a glance, the heat map of one, a day's whole verdict.

Add a route here. A route parses, reads and answers. Keep out queries (`records`), how things are shown (`views`,
`outlook`) and the stored reports (`reports`). Routes are plain `def`: the database is read in a thread, never on the
event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from mlops_assets.api.auth import Viewer
from mlops_assets.api.drift import records
from mlops_assets.api.drift.outlook import upcoming
from mlops_assets.api.drift.schemas import DriftDetail, Drifts, ProductDrift, VerdictView
from mlops_assets.api.drift.views import block_views, column_views, day_view, glance_of, span, verdict_view
from mlops_assets.api.problems import answers
from mlops_assets.drift import retraining, store
from mlops_assets.drift.daily import Watched
from mlops_assets.drift.store import Stored
from mlops_assets.rollout.ledger import Ledger

STRIP_DAYS = 14
MOST_DAYS = 180
READ_ANSWERS = answers(401, 404, 422, 503)
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Nothing changed since"}}

Name = Annotated[str, Path(max_length=100, description="A product's name")]
Day = Annotated[date, Path(description="A UTC day, YYYY-MM-DD")]
KnownTag = Annotated[str | None, Header(alias="If-None-Match", max_length=200)]


def drift_routes(products: Mapping[str, Watched], ledger: Ledger, dagster_url: str) -> APIRouter:
    """Every route below /api/v1/drift."""
    router = APIRouter(prefix="/api/v1/drift", tags=["drift"], dependencies=[Viewer], responses=answers(429))

    @router.get("", response_model=Drifts, responses=answers(401, 503) | UNCHANGED)
    def list_drift(known: KnownTag = None) -> Response:
        """Every served product: its newest days, the block in force, and what follows."""
        return tagged(Drifts(products=[overview(ledger, product) for product in products.values()]), known)

    @router.get("/{product}", response_model=DriftDetail, responses=READ_ANSWERS | UNCHANGED)
    def read_drift(
        product: Name,
        days: Annotated[int, Query(ge=1, le=MOST_DAYS)] = 30,
        until: Annotated[date | None, Query(description="The last day to show; without it, the newest")] = None,
        known: KnownTag = None,
    ) -> Response:
        """One product's columns day by day, its blocks, and what follows."""
        return tagged(detail(ledger, watched_product(products, product), days, until), known)

    @router.get("/{product}/{day}", response_model=VerdictView, responses=READ_ANSWERS | UNCHANGED)
    def read_day(product: Name, day: Day, known: KnownTag = None) -> Response:
        """One day: every column with both sides, and why it is judged as it is."""
        watched = watched_product(products, product)
        found = stored_day(ledger, product, day)
        return tagged(verdict_view(found, watched.title, watched.policy, dagster_url), known)

    return router


def watched_product(products: Mapping[str, Watched], name: str) -> Watched:
    """A product that is shown. HTTPException 404 if there is no such one."""
    found = products.get(name)
    if found is None:
        raise HTTPException(404, f"no served product {name!r}; there are: {', '.join(products) or 'none'}")
    return found


def stored_day(ledger: Ledger, product: str, day: date) -> Stored:
    """A stored day. HTTPException 404, which says which days there are, if it wasn't compared."""
    found = store.one(ledger.database, product, day)
    if found is not None:
        return found
    newest = records.newest(ledger.database, product, 1)
    if not newest:
        raise HTTPException(404, f"no day of {product} was compared yet")
    oldest = records.oldest_day(ledger.database, product)
    raise HTTPException(404, f"{product} has no verdict of {day}; the days are from {oldest} to {newest[0].day}")


def tagged(view: BaseModel, known: str | None) -> Response:
    """The view with a tag made from all of it; 304 without a body if the caller has it already."""
    body = view.model_dump_json().encode()
    tag = {"ETag": f'"{blake2b(body, digest_size=12).hexdigest()}"'}
    if known == tag["ETag"]:
        return Response(status_code=304, headers=tag)
    return Response(body, media_type="application/json", headers=tag)


def overview(ledger: Ledger, watched: Watched) -> ProductDrift:
    """A product as the list shows it."""
    database, policy, state = ledger.database, watched.policy, ledger.state(watched.name)
    days = [day_view(glance) for glance in reversed(records.newest(database, watched.name, STRIP_DAYS))]
    judged = store.judged(database, watched.name, max(policy.block_of, policy.retrain_days))
    labels = watched.learns_from_labels
    training = retraining.due(database, watched.name, policy, None, datetime.now(UTC), labels) if judged else None
    return ProductDrift(
        product=watched.name,
        title=watched.title,
        newest=days[-1] if days else None,
        days=days,
        block=state.drift_block,
        upcoming=upcoming(state, judged, policy, training),
    )


def detail(ledger: Ledger, watched: Watched, days: int, until: date | None) -> DriftDetail:
    """A product as its own page shows it."""
    database = ledger.database
    shown = overview(ledger, watched).model_dump()
    more = {"blocks": block_views(records.blocks(database, watched.name)), "policy": watched.policy}
    oldest = records.oldest_day(database, watched.name)
    if shown["newest"] is None or oldest is None:
        none = dict.fromkeys(("first", "last", "earlier", "later"))
        return DriftDetail(**shown | more | none | {"columns": []})
    yesterday = datetime.now(UTC).date() - timedelta(1)
    asked = span(days, until, oldest, shown["newest"]["day"], yesterday)
    stored = store.days(database, watched.name, asked.first, asked.last)
    found = {"days": [day_view(glance_of(one)) for one in stored], "columns": column_views(stored)}
    limits = {name: getattr(asked, name) for name in ("first", "last", "earlier", "later")}
    return DriftDetail(**shown | more | limits | found)
