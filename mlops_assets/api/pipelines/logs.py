"""The route of a stage's log: in pages that can be read on while the stage runs, its end, or all of it as text.

Keep out where logs are and how a page is found (`pipelines.stage_logs`), and live events, which are the run's.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.router import new_router
from mlops_assets.api.pipelines.run_schemas import LogLineView, StageLog
from mlops_assets.api.pipelines.runs import known_run
from mlops_assets.api.problems import answers
from mlops_assets.pipelines import store
from mlops_assets.pipelines.ids import NAME
from mlops_assets.pipelines.problem import Problem, ProblemError
from mlops_assets.pipelines.run_records import Run
from mlops_assets.pipelines.stage_logs import NumberedLine
from mlops_assets.storage.files import StorageError

LONGEST_PAGE = 5000
_TEXT: dict[int | str, Any] = {200: {"model": StageLog, "content": {"text/plain": {"schema": {"type": "string"}}}}}
Name = Annotated[str, Path(max_length=300)]

log = logging.getLogger(__name__)


def log_routes(parts: Parts) -> APIRouter:
    """The logs of a run's stages."""
    router = new_router("runs", asks_dagster=parts)

    @router.get("/runs/{run_id}/stages/{name}/logs", response_model=StageLog, responses=answers(404, 422) | _TEXT)
    def read_log(
        request: Request,
        run_id: Name,
        name: Name,
        attempt: Annotated[int | None, Query(ge=1, le=1000)] = None,
        after: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
        limit: Annotated[int, Query(ge=1, le=LONGEST_PAGE)] = 1000,
        tail: Annotated[int | None, Query(ge=1, le=LONGEST_PAGE, description="The last lines; not with after")] = None,
    ) -> Response:
        """Lines of an attempt, of the newest unless asked; with `Accept: text/plain` all from there on, as text.

        Of a `tail` the first lines may be missing where lines are long; its last is the log's.
        """
        if tail is not None and after is not None:
            raise ProblemError([Problem(None, "tail", "give tail or after, not both")])
        run = known_run(parts.instance(), run_id)
        try:
            number = _attempt(parts, run, name, attempt)
            if tail is not None:
                after, limit = parts.logs.before_last(run.id, name, number, tail), tail
            after = after or 0
            if _wants_text(request):
                return StreamingResponse(parts.logs.text(run.id, name, number, after), media_type="text/plain")
            lines, ended = parts.logs.read(run.id, name, number, after, limit, over=lambda: run.finished)
        except StorageError as error:
            log.warning("the log of stage %.60r of run %s: %s", name, run.id, error)
            raise HTTPException(503, "the log can't be read now; try again", {"Retry-After": "5"}) from error
        found = StageLog(stage=name, attempt=number, lines=[_line(line) for line in lines], ended=ended)
        return Response(found.model_dump_json(), media_type="application/json")

    return router


def _attempt(parts: Parts, run: Run, stage: str, asked: int | None) -> int:
    """The attempt that is asked for, 0 before the first. HTTPException 404: no such stage or attempt. StorageError."""
    attempts = parts.logs.attempts(run.id, stage) if NAME.fullmatch(stage) else []
    if not attempts and stage not in _stages(parts, run):
        raise HTTPException(404, f"run {run.id} has no stage {stage[:60]!r}")
    newest = max(attempts, default=0)
    # The next one may be waited for.
    if asked is not None and asked > newest + 1:
        raise HTTPException(404, f"stage {stage} of run {run.id} has {newest} attempts, not {asked}")
    return asked or newest


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
