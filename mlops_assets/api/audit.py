"""GET /api/v1/audit: who did what, for operators; and how a route notes an act.

Add a filter here when people ask for it. Keep out what is stored (`access.audit`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict

from mlops_assets.access import audit
from mlops_assets.access.audit import Act, Filters, Outcome
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.api.auth import Operator
from mlops_assets.api.problems import answers
from mlops_assets.storage.database import Database

FIRST_PAGE = 50
LONGEST_PAGE = 500
LARGEST_ID = 2**63 - 1

Exact = Annotated[str | None, Query(max_length=300, pattern=r"^[^\x00]*$")]
Moment = Annotated[AwareDatetime | None, Query(description="With its offset from UTC")]


class AuditView(BaseModel):
    """One act. `who` is the name that the caller had then, `caller` its id."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    who: str
    caller: str
    role: Role
    kind: Kind
    action: str
    object: str
    outcome: Outcome
    request_id: str | None
    details: dict[str, Any]


class AuditPage(BaseModel):
    """Acts, newest first; give `next_before` as `before` to read on. None: there are no older ones."""

    entries: list[AuditView]
    next_before: int | None


def act_of(
    request: Request, caller: Caller, action: str, what: str, outcome: Outcome = Outcome.DONE, **details: Any
) -> Act:
    """An act of this request, for `access.audit.add` or `record`."""
    return Act(caller, action, what, outcome, request.state.request_id, details)


def asked_filters(
    who: Exact = None,
    action: Exact = None,
    on: Annotated[str | None, Query(alias="object", max_length=300, pattern=r"^[^\x00]*$")] = None,
    outcome: Outcome | None = None,
    since: Moment = None,
    until: Moment = None,
) -> Filters:
    """The filters as a request names them; each has to fit exactly."""
    return Filters(who, action, on, outcome, since, until)


def audit_routes(database: Database) -> APIRouter:
    """The one route below /api/v1/audit."""
    router = APIRouter(prefix="/api/v1/audit", tags=["audit"], dependencies=[Operator])

    @router.get("", responses=answers(401, 403, 422, 429, 503))
    def read_audit(
        filters: Annotated[Filters, Depends(asked_filters)],
        limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = FIRST_PAGE,
        before: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Only older ones")] = None,
    ) -> AuditPage:
        """Acts, newest first, page by page."""
        found = [AuditView.model_validate(entry) for entry in audit.page(database, filters, limit + 1, before)]
        shown = found[:limit]
        return AuditPage(entries=shown, next_before=shown[-1].id if len(found) > limit else None)

    return router
