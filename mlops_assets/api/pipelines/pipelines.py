"""The pipeline routes that read: lists, one pipeline, its versions, its YAML; and whether a pipeline would be taken.

Add a route that changes nothing here, another one to `changes`. A route parses, calls one function and answers. Keep
out what is stored (`pipelines.store`) and how it is shown (`views`). Routes are plain `def`: reading the database and
judging a pipeline happen in a thread, never on the event loop.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy.orm import Session

from mlops_assets.api.pipelines.accepting import accepted
from mlops_assets.api.pipelines.bodies import JSON, YAML, Body, described, json_or_yaml
from mlops_assets.api.pipelines.changes import add_changes
from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.requested import FIRST_PAGE, Known, Limit, Offset, Tags, wanted_tags
from mlops_assets.api.pipelines.router import new_router
from mlops_assets.api.pipelines.schemas import PipelineDetail, PipelinePage, Validation, Versions
from mlops_assets.api.pipelines.views import detail_view, pipeline_view, problem_view, version_view
from mlops_assets.api.preconditions import etag
from mlops_assets.api.problems import answers
from mlops_assets.pipelines import store, yaml_file
from mlops_assets.pipelines.problem import ProblemError
from mlops_assets.pipelines.store import Asked, UnknownPipelineError
from mlops_assets.pipelines.store_queries import Sort
from mlops_assets.pipelines.validate import order_of
from mlops_assets.storage.pipeline_tables import Pipeline, PipelineVersion

Number = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="The newest version without it")]
Part = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="In the name or the title")]


def pipeline_routes(parts: Parts) -> APIRouter:
    """Every route of pipelines themselves below /api/v1/pipelines."""
    router = new_router("pipelines", "/pipelines")
    _add_reads(router, parts)
    add_changes(router, parts)
    return router


def asked_pipelines(
    limit: Limit = FIRST_PAGE,
    offset: Offset = 0,
    sort: Sort = "name",
    q: Part = None,
    active: bool | None = None,
    deployed: bool | None = None,
    tags: Tags = [],  # noqa: B006 (never changed)
) -> Asked:
    """The page that a request names."""
    return Asked(limit, offset, sort, q, active, deployed, wanted_tags(tags))


def _add_reads(router: APIRouter, parts: Parts) -> None:
    database = parts.database

    @router.get("", responses=answers(422))
    def list_pipelines(asked: Annotated[Asked, Depends(asked_pipelines)]) -> PipelinePage:
        """Pipelines, page by page."""
        with database.session() as session:
            found, total = store.listed(session, asked)
        views = [pipeline_view(pipeline, head) for pipeline, head in found]
        return PipelinePage(items=views, total=total, limit=asked.limit, offset=asked.offset)

    @router.post("/validate", responses=answers(403, 413, 415), openapi_extra=described(JSON, YAML[0]))
    def validate(body: Annotated[Body, Depends(json_or_yaml)]) -> Validation:
        """Whether a pipeline would be taken, with everything that is wrong with it. Nothing is stored."""
        try:
            spec = accepted(body.raw(), parts)
        except ProblemError as error:
            return Validation(valid=False, problems=[problem_view(one) for one in error.problems], order=[])
        return Validation(valid=True, problems=[], order=[stage.name for stage in order_of(spec)])

    @router.get("/{id}", responses=answers(404, 422))
    def read_pipeline(id: Known, response: Response, version: Number = None) -> PipelineDetail:
        """One pipeline with the spec of its newest version, or of the one that is asked for."""
        with database.session() as session:
            pipeline = store.find(session, id)
            shown, head = _version(session, pipeline, version), store.head_of(session, pipeline)
        response.headers["ETag"] = etag(pipeline.revision)
        return detail_view(pipeline, head, shown)

    @router.get("/{id}/versions", responses=answers(404))
    def read_versions(id: Known) -> Versions:
        """Every version of a pipeline, newest first."""
        with database.session() as session:
            pipeline = store.find(session, id)
            found = store.versions(session, pipeline.id)
        return Versions(items=[version_view(version, pipeline) for version in found])

    @router.get(
        "/{id}/yaml",
        response_class=Response,
        responses=answers(404, 422) | {200: {"description": "A YAML file", "content": {YAML[0]: {}}}},
    )
    def read_yaml(id: Known, version: Number = None) -> Response:
        """One version as YAML, to be kept and imported."""
        with database.session() as session:
            pipeline = store.find(session, id)
            shown = _version(session, pipeline, version)
        # The name is checked letter by letter before it is stored.
        headers = {"Content-Disposition": f'attachment; filename="{pipeline.name}.yaml"'}
        return Response(yaml_file.dump(store.spec_of(shown)), media_type=YAML[0], headers=headers)


def _version(session: Session, pipeline: Pipeline, version: int | None) -> PipelineVersion:
    found = store.version_of(session, pipeline.id, version or pipeline.version)
    if found is None:
        raise UnknownPipelineError(f"pipeline {pipeline.name!r} has no version {version}")
    return found
