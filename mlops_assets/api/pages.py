"""The pages of the console and the API's documentation. They hold no secrets; what they show needs a sign-in.

Add a page to `PAGES`, with its template, script and styles in `pages/`. Keep out data: pages read it from the API.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from mlops_assets.api.auth import Viewer

FILES = Path(__file__).resolve().parent / "pages"
# What a browser asks for by itself; templates lie in the same folder and are nobody's business.
SERVED = frozenset({".js", ".css", ".svg"})


@dataclass(frozen=True)
class Page:
    """One page. `<name>.html` is its template and `<name>.js` its script, `styles` come after those of all pages.

    `section` is the path of the page that stands for it in the navigation, its own for one that is there itself;
    `command` is what to use where there is no JavaScript.
    """

    path: str
    name: str
    title: str
    section: str
    command: str
    styles: tuple[str, ...] = ()


# In the navigation's order. A page reads from its own address which pipeline or run is meant.
PAGES = (
    Page("/overview", "overview", "Overview", "/overview", "mlops status", ("overview.css",)),
    Page("/products/{name}", "product_page", "Product", "/overview", "mlops doctor", ("overview.css",)),
    Page("/rollouts", "rollouts", "Rollouts", "/rollouts", "mlops rollout status", ("rollouts.css", "evidence.css")),
    Page("/drift", "drift", "Drift", "/drift", "mlops drift status", ("drift.css",)),
    Page("/scores", "scores", "Scores", "/scores", "mlops scores status", ("scores.css",)),
    Page("/pipelines", "pipelines", "Pipelines", "/pipelines", "mlops pipeline list", ("pipelines.css",)),
    Page("/pipelines/new", "pipeline_new", "New pipeline", "/pipelines", "mlops pipeline apply", ("pipelines.css",)),
    Page("/pipelines/{name}", "pipeline_page", "Pipeline", "/pipelines", "mlops pipeline show", ("pipelines.css",)),
    Page("/runs", "runs", "Runs", "/runs", "mlops pipeline runs", ("pipelines.css",)),
    Page("/runs/{run_id}", "run_page", "Run", "/runs", "mlops pipeline status", ("pipelines.css",)),
    Page("/artifacts", "artifacts", "Artifacts", "/artifacts", "mlops pipeline artifacts", ("pipelines.css",)),
    Page("/health", "health", "Health", "/health", "mlops doctor", ("evidence.css", "health.css")),
    Page("/resources", "resources", "Resources", "/resources", "mlops usage", ("resources.css",)),
    Page("/trace", "trace", "Trace", "/trace", "mlops trace", ("trace.css",)),
    Page("/trace/{prediction_id}", "trace", "Trace", "/trace", "mlops trace", ("trace.css",)),
)


# What else the door shows, beside the pages: each asks for a sign-in too.
BEHIND_THE_DOOR = (("dagster/", "Dagster"), ("mlflow/", "MLflow"))


@dataclass(frozen=True)
class ProviderLink:
    """The OpenID Connect provider as people are shown it, and where signing in with it begins."""

    host: str
    href: str


class PageFiles(StaticFiles):
    """Scripts, styles and pictures of the pages; anything else there isn't found."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return super().lookup_path(path) if Path(path).suffix in SERVED else ("", None)


def add_pages(app: FastAPI, provider: ProviderLink | None = None) -> None:
    """Every page of `PAGES`, /docs, and the files they are made of."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def root() -> RedirectResponse:
        return RedirectResponse("overview")

    for path, html in rendered(provider).items():
        router.add_api_route(path, _answering(html), methods=["GET"])

    @router.get("/docs", dependencies=[Viewer])
    def docs() -> FileResponse:
        return FileResponse(FILES / "docs.html")

    @router.get("/openapi.json", dependencies=[Viewer])
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        return app.openapi_schema

    app.include_router(router)
    app.mount("/static", PageFiles(directory=FILES), name="static")
    app.mount("/docs-files", StaticFiles(directory=swagger_files()), name="docs-files")


def rendered(provider: ProviderLink | None = None) -> dict[str, str]:
    """Each page's HTML by its path. Addresses in it are relative, so that a proxy may mount the console anywhere."""
    return {
        page.path: html_of(page.name, page=page, root="../" * (page.path.count("/") - 1), provider=provider)
        for page in PAGES
    }


def html_of(name: str, **values: Any) -> str:
    """The HTML of one template, with the values that it names."""
    navigation = [page for page in PAGES if page.path == page.section]
    return _templates().get_template(f"{name}.html").render(navigation=navigation, behind=BEHIND_THE_DOOR, **values)


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(FILES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _answering(html: str) -> Callable[[], HTMLResponse]:
    def answer() -> HTMLResponse:
        return HTMLResponse(html)

    return answer


def swagger_files() -> Path:
    """The folder of BentoML's own copy of Swagger UI, found without importing BentoML."""
    found = find_spec("bentoml")
    if found is None or found.origin is None:
        raise RuntimeError("BentoML isn't installed: its copy of Swagger UI is missing")
    return Path(found.origin).parent / "_internal" / "server" / "static_content"
