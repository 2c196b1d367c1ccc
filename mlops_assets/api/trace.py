"""GET /api/v1/predictions/{prediction_id}/trace: where a served answer came from.

Add another view of one answer here. Keep out what a trace is (`observability.trace.tracer`). Whoever may sign in sees
the lineage; what a person told the product is for operators who ask for it, and each time they do is in the audit.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from mlops_assets.access import audit
from mlops_assets.access.audit import Outcome
from mlops_assets.access.roles import Caller, Role
from mlops_assets.api.audit import act_of
from mlops_assets.api.auth import Viewer
from mlops_assets.api.problems import answers
from mlops_assets.observability.trace.facts import (
    Answer,
    AnswerTrace,
    DataFacts,
    DriftOfDay,
    FeedbackGiven,
    ReleaseFacts,
    Standing,
)
from mlops_assets.observability.trace.links import TraceLinks, links_of
from mlops_assets.observability.trace.tracer import BadIdError, TraceError, Tracer
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database

READ_VALUES = "prediction.read_values"

Identifier = Annotated[str, Path(max_length=100, description="The `prediction_id` of an answer")]
Values = Annotated[bool, Query(description="With the values of the request; for operators, and noted in the audit")]


class TraceView(BaseModel):
    """A trace and where it leads. Without `values`, what the request said is left out: `features`, `user_hash`, the
    texts of `output` and of feedback. `missing` says of what isn't known why.
    """

    model_config = ConfigDict(from_attributes=True)

    answer: Answer
    release: ReleaseFacts | None
    data: DataFacts | None
    standing: Standing | None
    drift: DriftOfDay | None
    feedback: tuple[FeedbackGiven, ...]
    missing: tuple[str, ...]
    values: bool
    links: TraceLinks


def trace_view(trace: AnswerTrace, settings: Settings) -> TraceView:
    """A trace as the API and `mlops trace --json` show it."""
    given = {field.name: getattr(trace, field.name) for field in fields(trace)}
    return TraceView(**given, links=links_of(trace, settings))


def trace_routes(tracer: Tracer, database: Database, settings: Settings) -> APIRouter:
    """The one route below /api/v1/predictions."""
    router = APIRouter(prefix="/api/v1/predictions", tags=["predictions"], responses=answers(429))

    @router.get("/{prediction_id}/trace", responses=answers(401, 403, 404, 422, 503))
    def read_trace(
        request: Request, prediction_id: Identifier, caller: Annotated[Caller, Viewer], values: Values = False
    ) -> TraceView:
        """Variant, release, model, runs, data, code, rollout, drift of the day and feedback of one answer."""
        if values and not caller.role.allows(Role.OPERATOR):
            audit.record(database, act_of(request, caller, READ_VALUES, prediction_id, Outcome.REFUSED))
            raise HTTPException(403, f"the values of a request are for operators; {caller.name!r} is {caller.role}")
        try:
            trace = tracer.trace(prediction_id)
        except BadIdError as error:
            raise HTTPException(422, str(error)) from None
        except TraceError as error:
            raise HTTPException(404, str(error)) from None
        if not values:
            return trace_view(trace.without_values(), settings)
        act = act_of(request, caller, READ_VALUES, trace.answer.id, product=trace.answer.product)
        audit.record(database, act)
        return trace_view(trace, settings)

    return router
