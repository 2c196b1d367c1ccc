"""The route of a stage's log: in pages that can be read on while the stage runs, or all of it as text.

Keep out where logs are and how a page is found (`pipelines.stage_logs`), and live events, which are the run's.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from mlops_assets.api.auth import Viewer
from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.run_schemas import LogLineView, StageLog
from mlops_assets.api.pipelines.run_state import AskingRoute
from mlops_assets.api.problems import answers
from mlops_assets.pipelines import artifact_records, run_records, store
from mlops_assets.pipelines.run_records import Run
from mlops_assets.pipelines.stage_logs import NumberedLine
from mlops_assets.storage.files import StorageError

_TEXT: dict[int | str, Any] = {200: {"model": StageLog, "content": {"text/plain": {"schema": {"type": "string"}}}}}
Name = Annotated[str, Path(max_length=300)]

_STAGE = re.compile(r"[a-z][a-z0-9_]{0,62}")

log = logging.getLogger(__name__)


def log_routes(parts: Parts) -> APIRouter:
    """The logs of a run's stages."""
    router = APIRouter(tags=["runs"], dependencies=[Viewer], responses=answers(429), route_class=AskingRoute)

    @router.get(
        "/api/v1/runs/{run_id}/stages/{name}/logs",
        response_model=StageLog,
        responses=answers(401, 404, 422, 503) | _TEXT,
    )
    def read_log(
        request: Request,
        run_id: Name,
        name: Name,
        attempt: Annotated[int | None, Query(ge=1, le=1000)] = None,
        after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
        limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    ) -> Response:
        """Lines of an attempt, of the newest unless asked; with `Accept: text/plain` all of it as text."""
        run = _run(parts, run_id)
        if not _STAGE.fullmatch(name):
            raise HTTPException(404, f"run {run.id} has no stage {name[:60]!r}")
        try:
            attempts = parts.logs.attempts(run.id, name)
            if not attempts and name not in _stages(parts, run):
                raise HTTPException(404, f"run {run.id} has no stage {name[:60]!r}")
            newest = max(attempts, default=0)
            number = attempt or newest
            # The next one may be waited for.
            if number > newest + 1:
                raise HTTPException(404, f"stage {name} of run {run.id} has {newest} attempts, not {number}")
            if _wants_text(request):
                return StreamingResponse(parts.logs.text(run.id, name, number), media_type="text/plain")
            lines, ended = parts.logs.read(run.id, name, number, after, limit, over=lambda: run.finished)
        except StorageError as error:
            log.warning("the log of stage %.60r of run %s: %s", name, run.id, error)
            raise HTTPException(503, "the log can't be read now; try again", {"Retry-After": "5"}) from error
        found = StageLog(stage=name, attempt=number, lines=[_line(line) for line in lines], ended=ended)
        return Response(found.model_dump_json(), media_type="application/json")

    return router


def _run(parts: Parts, run_id: str) -> Run:
    found = run_records.one(parts.instance(), run_id) if artifact_records.uuid_of(run_id) else None
    if found is None:
        raise HTTPException(404, f"there is no run {run_id[:60]!r}")
    return found


def _stages(parts: Parts, run: Run) -> set[str]:
    if run.pipeline_id is None:
        return set()
    with parts.database.session() as session:
        version = store.version_of(session, run.pipeline_id, run.version)
        return set() if version is None else {stage["name"] for stage in version.spec["stages"]}


def _wants_text(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "text/plain" in accepted and "application/json" not in accepted


def _line(line: NumberedLine) -> LogLineView:
    return LogLineView(number=line.number, at=datetime.fromtimestamp(line.at, UTC), level=line.level, text=line.text)
