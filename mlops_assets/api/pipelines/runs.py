"""The run routes: lists, one run, start one, cancel one.

Add a route here. A route parses, calls one function and answers. Keep out what is read (`pipelines.run_records`), how
it is shown (`run_views`), live events (`events`) and how a run is started (`pipelines.launching`). Routes are plain
`def`: databases are asked in a thread.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast
from uuid import UUID, uuid5

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException

from mlops_assets.access import audit
from mlops_assets.access.idempotency import KEPT_HOURS, KEY, Answer, Keyed
from mlops_assets.access.roles import Caller
from mlops_assets.api.audit import act_of
from mlops_assets.api.once import Key, do_once
from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.requested import FIRST_PAGE, Editing, Known, Limit, Tags, wanted_tags
from mlops_assets.api.pipelines.router import new_router
from mlops_assets.api.pipelines.run_schemas import RunDetail, RunOrder, RunPage, RunStatus, RunView, Trigger
from mlops_assets.api.pipelines.run_state import RunReader, RunState, detail_view
from mlops_assets.api.pipelines.run_views import run_view
from mlops_assets.api.problems import answers
from mlops_assets.pipelines import run_records, store
from mlops_assets.pipelines.ids import uuid_of
from mlops_assets.pipelines.parameters import bind
from mlops_assets.pipelines.problem import ProblemError
from mlops_assets.pipelines.run_records import AskedRuns, Run
from mlops_assets.pipelines.stage_runs import faults
from mlops_assets.pipelines.store import ConflictError, UnknownPipelineError
from mlops_assets.pipelines.structure import structure_problems
from mlops_assets.storage.pipeline_tables import Pipeline

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from mlops_assets.pipelines.spec import PipelineSpec

YEARS = range(1970, 9000)
STARTED: dict[int | str, dict[str, Any]] = {201: {"description": "Started, or waiting for its turn", "model": RunView}}
# Runs that were started with an idempotency key have an id that follows from it.
KEYED_RUNS = UUID("7d0a3a44-1f0c-4be5-9f39-0c8c3a5e6f21")


def _within_reach(moment: datetime) -> datetime:
    if moment.year not in YEARS:
        raise ValueError(f"the year must be from {YEARS.start} to {YEARS.stop - 1}")
    return moment


RunId = Annotated[str, Path(description="A run's id")]
Named = Annotated[str | None, Query(max_length=100, description="A pipeline's id, or its name")]
Statuses = Annotated[list[RunStatus], Query(alias="status", max_length=10, description="Any of these")]
Moment = Annotated[AwareDatetime, AfterValidator(_within_reach), Query(description="With its offset from UTC")]
Cursor = Annotated[UUID | None, Query(description="`next_cursor` of the page before")]


def run_routes(parts: Parts) -> APIRouter:
    """Every route of runs but their events and logs."""
    router = new_router("runs", asks_dagster=parts)
    _add_reads(router, parts)
    _add_changes(router, parts)
    return router


def asked_runs(
    statuses: Statuses = [],  # noqa: B006 (never changed)
    trigger: Trigger | None = None,
    tags: Tags = [],  # noqa: B006 (never changed)
    since: Moment | None = None,
    until: Moment | None = None,
    sort: Literal["-created_at", "created_at"] = "-created_at",
) -> AskedRuns:
    """The filters as a request names them; the pipeline comes separately."""
    return AskedRuns(
        statuses=frozenset(statuses),
        trigger=trigger.value if trigger is not None else None,
        tags=wanted_tags(tags),
        since=since,
        until=until,
        ascending=sort == "created_at",
    )


Asked = Annotated[AskedRuns, Depends(asked_runs)]


def known_run(instance: DagsterInstance, run_id: str) -> Run:
    """The run. HTTPException 404 for any id that no run has, whatever it looks like."""
    found = run_records.one(instance, run_id) if uuid_of(run_id) is not None else None
    if found is None:
        raise _unknown(run_id)
    return found


def read_state(parts: Parts, run_id: str) -> tuple[RunReader, RunState]:
    """A reader of the run, and what it has read. HTTPException 404."""
    reader = RunReader(parts, run_id)
    state = reader.read() if uuid_of(run_id) is not None else None
    if state is None:
        raise _unknown(run_id)
    return reader, state


def _unknown(run_id: str) -> HTTPException:
    return HTTPException(404, f"there is no run {run_id[:80]!r}")


def _add_reads(router: APIRouter, parts: Parts) -> None:
    @router.get("/runs", response_model=RunPage, responses=answers(404, 422))
    def list_runs(asked: Asked, pipeline: Named = None, limit: Limit = FIRST_PAGE, cursor: Cursor = None) -> Response:
        """Runs of all pipelines, or of one, page by page."""
        return _page(parts, asked, pipeline, limit, cursor)

    @router.get("/pipelines/{id}/runs", response_model=RunPage, responses=answers(404, 422))
    def list_pipeline_runs(id: Known, asked: Asked, limit: Limit = FIRST_PAGE, cursor: Cursor = None) -> Response:
        """Runs of one pipeline, also of a deleted one by its id."""
        return _page(parts, asked, id, limit, cursor)

    @router.get("/runs/{id}", responses=answers(404))
    def read_run(id: RunId) -> RunDetail:
        """One run with its stages in execution order."""
        _, state = read_state(parts, id)
        return detail_view(state, parts.settings.dagster_url)


def _page(parts: Parts, asked: AskedRuns, pipeline: str | None, limit: int, cursor: UUID | None) -> Response:
    if pipeline is not None:
        with parts.database.session() as session:
            asked = replace(asked, pipeline_id=_pipeline_id(session, pipeline))
    try:
        found = run_records.page(parts.instance(), asked, limit, str(cursor) if cursor is not None else None)
    except LookupError as error:
        raise HTTPException(422, f"cursor: {error}") from error
    why = faults(parts.instance(), found.runs)
    items = [run_view(run, why.get(run.id)) for run in found.runs]
    page = RunPage(items=items, total=found.total, next_cursor=items[-1].id if found.more else None)
    return Response(page.model_dump_json(), media_type="application/json")


def _pipeline_id(session: Session, name_or_id: str) -> UUID:
    """The id of a pipeline; a deleted one is known by its id. UnknownPipelineError."""
    try:
        return store.find(session, name_or_id).id
    except UnknownPipelineError:
        known = uuid_of(name_or_id)
        deleted = store.by_id(session, known) if known is not None else None
        if deleted is None:
            raise
        return deleted.id


def _add_changes(router: APIRouter, parts: Parts) -> None:
    @router.post(
        "/pipelines/{id}/runs",
        status_code=201,
        response_model=RunView,
        responses=STARTED | answers(400, 403, 404, 409, 413, 422),
    )
    def start_run(
        id: Known, request: Request, caller: Editing, order: RunOrder | None = None, key: Key = None
    ) -> Response:
        """Start a run of the version that is deployed. A paused pipeline's runs can be started too."""
        order = order or RunOrder()
        _require_storable(order)

        def work(session: Session) -> Answer:
            pipeline, spec, version = _deployed(session, id)
            bind(spec, order.parameters)
            run = _started(parts, request, caller, key, order, pipeline, spec, version)
            act = act_of(request, caller, "run.start", run.id, pipeline=pipeline.name, version=version)
            audit.add(session, act)
            return Answer(201, run_view(run).model_dump_json(), {"Location": f"/api/v1/runs/{run.id}"})

        return do_once(parts.database, request, caller, key, order, work)

    @router.post("/runs/{id}/cancel", responses=answers(403, 404, 409))
    def cancel_run(id: RunId, request: Request, caller: Editing) -> RunView:
        """End a run and all that it has started. Asked twice, it is the same as once, until the run has ended."""
        from mlops_assets.pipelines import launching

        instance = parts.instance()
        run = known_run(instance, id)
        if not run.finished and not run.cancelling:
            if launching.cancel(instance, run.id):
                act = act_of(request, caller, "run.cancel", run.id, pipeline=run.pipeline)
                audit.record(parts.database, act)
                return run_view(known_run(instance, id))
            run = known_run(instance, id)
        if run.finished:
            raise HTTPException(409, f"the run has ended: it is {run.status}")
        return run_view(run)


def _require_storable(order: RunOrder) -> None:
    """Return if every text of the order can be kept; of its parameters `bind` sees to it. ProblemError."""
    _, problems = structure_problems(order.model_dump(include={"tags", "environment", "notes"}))
    if problems:
        raise ProblemError(problems)


def _deployed(session: Session, name_or_id: str) -> tuple[Pipeline, PipelineSpec, int]:
    """What a run starts with, held until the transaction ends: nobody deletes a pipeline whose run is being started.

    UnknownPipelineError; ConflictError: nothing is deployed.
    """
    pipeline = store.find(session, name_or_id)
    session.refresh(pipeline, with_for_update={"read": True})
    if pipeline.deleted_at is not None:
        raise UnknownPipelineError(f"there is no pipeline {name_or_id[:80]!r}")
    number = pipeline.deployed_version
    version = store.version_of(session, pipeline.id, number) if number is not None else None
    if version is None:
        raise ConflictError(f"no version of pipeline {pipeline.name!r} is deployed; deploy one first")
    if pipeline.load_error is not None and pipeline.loaded_version != number:
        raise ConflictError(f"pipeline {pipeline.name!r}: {pipeline.load_error}")
    return pipeline, store.spec_of(version), version.version


def _started(
    parts: Parts,
    request: Request,
    caller: Caller,
    key: str | None,
    order: RunOrder,
    pipeline: Pipeline,
    spec: PipelineSpec,
    version: int,
) -> Run:
    """The run, started now; or the one that an earlier request with the key started before its answer was lost."""
    from mlops_assets.pipelines import launching

    instance = parts.instance()
    run_id = None
    if key is not None and KEY.fullmatch(key):
        run_id, run = _keyed_run(instance, Keyed(caller.id, f"{request.method} {request.url.path}", key, b""))
        if run is not None:
            _submit_if_left(instance, run_id)
            return known_run(instance, run_id)
    asked = launching.RunRequest(
        parameters=order.parameters,
        environment=order.environment,
        tags=order.tags,
        notes=order.notes,
        trigger=order.trigger,
        who=caller.name,
    )
    started = launching.launch(instance, parts.settings, pipeline.id, version, spec, asked, run_id)
    return known_run(instance, started)


def _keyed_run(instance: DagsterInstance, keyed: Keyed) -> tuple[str, Run | None]:
    """The id of the key's run, and the run if it has been made. A key may come again once its answer is forgotten."""
    forgotten = datetime.now(UTC) - timedelta(hours=KEPT_HOURS)
    for turn in count():
        run_id = str(uuid5(KEYED_RUNS, f"{keyed.id} {turn}"))
        run = run_records.one(instance, run_id)
        if run is None or run.created_at > forgotten:
            break
    return run_id, run


def _submit_if_left(instance: DagsterInstance, run_id: str) -> None:
    """A run that was made and never submitted, since its process ended in between, would wait for ever."""
    from dagster import DagsterRunStatus

    run = instance.get_run_by_id(run_id)
    if run is not None and run.status is DagsterRunStatus.NOT_STARTED:
        instance.submit_run(run_id, cast("Any", None))
