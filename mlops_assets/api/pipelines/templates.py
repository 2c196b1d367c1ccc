"""The template routes: what there is to start from, and a pipeline made from one of them.

Add a route here. Keep out what a template is and how it is filled in (`pipelines.templates`).
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException

from mlops_assets.api.pipelines.accepting import own_problems
from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.router import new_router
from mlops_assets.api.pipelines.schemas import Rendered, RenderOrder, Templates, TemplateView
from mlops_assets.api.pipelines.views import template_view
from mlops_assets.api.problems import answers
from mlops_assets.pipelines import yaml_file
from mlops_assets.pipelines.problem import ProblemError
from mlops_assets.pipelines.templates import Template, render, template_of, templates


def template_routes(parts: Parts) -> APIRouter:
    """Every route below /api/v1/templates."""
    router = new_router("templates", "/templates")

    @router.get("")
    def list_templates() -> Templates:
        """Every template, by name."""
        return Templates(items=[template_view(template) for template in templates()])

    @router.get("/{name}", responses=answers(404))
    def read_template(name: str) -> TemplateView:
        """One template, with the parameters that it asks for."""
        return template_view(_known(name))

    @router.post("/{name}/render", responses=answers(400, 403, 404, 413, 415, 422))
    def render_template(name: str, order: RenderOrder) -> Rendered:
        """The pipeline that the template makes with these parameters. Nothing is stored."""
        spec = render(_known(name), order.name, order.parameters)
        raw = spec.model_dump(mode="json")
        if found := list(own_problems(raw, parts)):
            raise ProblemError(found)
        return Rendered(spec=raw, yaml=yaml_file.dump(spec))

    return router


def _known(name: str) -> Template:
    try:
        return template_of(name)
    except LookupError as error:
        raise HTTPException(404, str(error)) from None
