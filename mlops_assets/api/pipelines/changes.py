"""The pipeline routes that change something: create, import, a new version, deploy, pause, resume, delete.

Add a route here when it changes a pipeline. Every change and its entry in the audit are one transaction, with the
pipeline's row locked, so that no answer tells of a state that another request has overtaken. Keep out what a change
means (`pipelines.store`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.orm import Session

from mlops_assets.access import audit
from mlops_assets.access.idempotency import Answer
from mlops_assets.access.roles import Caller
from mlops_assets.api.audit import act_of
from mlops_assets.api.once import Key, do_once
from mlops_assets.api.pipelines.accepting import accepted, own_problems
from mlops_assets.api.pipelines.bodies import FORM, JSON, YAML, Body, described, json_or_yaml, yaml_or_form
from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.requested import Editing, Known
from mlops_assets.api.pipelines.schemas import DeployOrder, PipelineDetail
from mlops_assets.api.pipelines.views import detail_view
from mlops_assets.api.preconditions import IfMatch, etag, require_match
from mlops_assets.api.problems import answers
from mlops_assets.pipelines import store
from mlops_assets.pipelines.problem import ProblemError
from mlops_assets.pipelines.spec import PipelineSpec, canonical
from mlops_assets.pipelines.store import ConflictError
from mlops_assets.storage.pipeline_tables import Pipeline

Deploy = Annotated[bool, Query(description="Whether runs start with this version from now on")]
Act = Callable[[Session, Pipeline], None]

CREATED: dict[int | str, dict[str, Any]] = {201: {"description": "Created", "model": PipelineDetail}}


def add_changes(router: APIRouter, parts: Parts) -> None:
    """Add the routes to those below /api/v1/pipelines."""
    _add_creation(router, parts)
    _add_versions(router, parts)
    _add_state(router, parts)


def _add_creation(router: APIRouter, parts: Parts) -> None:
    said = CREATED | answers(400, 403, 409, 413, 415, 422)

    def created(request: Request, caller: Caller, body: Body, deploy: bool, key: str | None) -> Response:
        spec = accepted(body.raw(), parts)

        def work(session: Session) -> Answer:
            pipeline = store.create(session, spec, caller.name, deploy=deploy)
            audit.add(session, _act(request, caller, "create", pipeline))
            headers = {"Location": f"/api/v1/pipelines/{pipeline.id}", "ETag": etag(pipeline.revision)}
            return Answer(201, _detail(session, pipeline).model_dump_json(), headers)

        return do_once(parts.database, request, caller, key, _one_spelling(spec, deploy), work)

    @router.post(
        "", status_code=201, response_model=PipelineDetail, responses=said, openapi_extra=described(JSON, YAML[0])
    )
    def create_pipeline(
        request: Request,
        caller: Editing,
        body: Annotated[Body, Depends(json_or_yaml)],
        deploy: Deploy = True,
        key: Key = None,
    ) -> Response:
        """A new pipeline, from JSON or YAML."""
        return created(request, caller, body, deploy, key)

    @router.post(
        "/import",
        status_code=201,
        response_model=PipelineDetail,
        responses=said,
        openapi_extra=described(YAML[0], FORM),
    )
    def import_pipeline(
        request: Request,
        caller: Editing,
        body: Annotated[Body, Depends(yaml_or_form)],
        deploy: Deploy = True,
        key: Key = None,
    ) -> Response:
        """A new pipeline, from a YAML file."""
        return created(request, caller, body, deploy, key)


def _add_versions(router: APIRouter, parts: Parts) -> None:
    @router.put(
        "/{id}",
        responses=answers(403, 404, 409, 412, 413, 415, 422, 428),
        openapi_extra=described(JSON, YAML[0]),
    )
    def put_pipeline(
        id: Known,
        request: Request,
        response: Response,
        caller: Editing,
        body: Annotated[Body, Depends(json_or_yaml)],
        deploy: Deploy = True,
        if_match: IfMatch = None,
    ) -> PipelineDetail:
        """A new version of a pipeline; the same spec as before makes none."""
        spec = accepted(body.raw(), parts)

        def act(session: Session, pipeline: Pipeline) -> None:
            require_match(if_match, pipeline.revision)
            store.add_version(session, pipeline, spec, caller.name, deploy=deploy)

        return _changed(parts, request, response, caller, id, "update", act)

    @router.post("/{id}/deploy", responses=answers(400, 403, 404, 409, 413, 415, 422))
    def deploy_pipeline(
        id: Known, request: Request, response: Response, caller: Editing, order: DeployOrder | None = None
    ) -> PipelineDetail:
        """Let runs start with this version from now on, the newest without one."""

        def act(session: Session, pipeline: Pipeline) -> None:
            store.deploy(session, pipeline, order.version if order is not None else None)
            _require_allowed(session, pipeline, parts)

        return _changed(parts, request, response, caller, id, "deploy", act)


def _add_state(router: APIRouter, parts: Parts) -> None:
    said = answers(403, 404)

    @router.post("/{id}/pause", responses=said)
    def pause_pipeline(id: Known, request: Request, response: Response, caller: Editing) -> PipelineDetail:
        """Stop the schedule. Runs that are started by hand still start."""

        def act(session: Session, pipeline: Pipeline) -> None:
            store.set_active(session, pipeline, False)

        return _changed(parts, request, response, caller, id, "pause", act)

    @router.post("/{id}/resume", responses=said)
    def resume_pipeline(id: Known, request: Request, response: Response, caller: Editing) -> PipelineDetail:
        """Let the schedule go on."""

        def act(session: Session, pipeline: Pipeline) -> None:
            store.set_active(session, pipeline, True)

        return _changed(parts, request, response, caller, id, "resume", act)

    @router.delete("/{id}", status_code=204, responses=answers(403, 404, 409, 412, 422, 428))
    def delete_pipeline(id: Known, request: Request, caller: Editing, if_match: IfMatch = None) -> Response:
        """Take a pipeline away, once no run of it is active. Its versions, runs and artifacts stay readable."""
        from mlops_assets.pipelines.run_records import active_runs

        instance = parts.instance()
        with parts.database.session() as session, session.begin():
            pipeline = store.find(session, id, lock=True)
            if if_match is not None:
                require_match(if_match, pipeline.revision)
            if running := active_runs(instance, pipeline.id):
                raise ConflictError(f"{running} of its runs are active; cancel them or let them end")
            audit.add(session, _act(request, caller, "delete", pipeline))
            store.delete(session, pipeline)
        return Response(status_code=204)


def _changed(
    parts: Parts, request: Request, response: Response, caller: Caller, name_or_id: str, verb: str, act: Act
) -> PipelineDetail:
    """The pipeline after `act`, which is noted in the audit if it changed anything."""
    with parts.database.session() as session, session.begin():
        pipeline = store.find(session, name_or_id, lock=True)
        before = pipeline.revision
        act(session, pipeline)
        if pipeline.revision != before:
            audit.add(session, _act(request, caller, verb, pipeline))
        detail = _detail(session, pipeline)
    response.headers["ETag"] = etag(detail.revision)
    return detail


def _detail(session: Session, pipeline: Pipeline) -> PipelineDetail:
    newest = store.version_of(session, pipeline.id, pipeline.version)
    assert newest is not None  # versions are never removed
    return detail_view(pipeline, store.head_of(session, pipeline), newest)


def _act(request: Request, caller: Caller, verb: str, pipeline: Pipeline) -> audit.Act:
    return act_of(
        request,
        caller,
        f"pipeline.{verb}",
        pipeline.name,
        id=str(pipeline.id),
        version=pipeline.version,
        deployed_version=pipeline.deployed_version,
    )


def _one_spelling(spec: PipelineSpec, deploy: bool) -> bytes:
    """The same order in the same bytes, whether it came as JSON or YAML."""
    return f"{deploy} {canonical(spec)}".encode()


def _require_allowed(session: Session, pipeline: Pipeline, parts: Parts) -> None:
    """Return if the installation still takes what is deployed now: it may have been stored under other settings."""
    deployed = store.version_of(session, pipeline.id, pipeline.deployed_version or pipeline.version)
    if deployed is not None and (found := list(own_problems(deployed.spec, parts))):
        raise ProblemError(found)
