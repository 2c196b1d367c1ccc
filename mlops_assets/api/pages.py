"""The operators' pages and the API's documentation. They are files without secrets; what they show needs a sign-in.

Add a page here, with its files in `pages/`. Keep out data: pages read it from the API.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import FileResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from mlops_assets.api.auth import Viewer

PAGES = Path(__file__).resolve().parent / "pages"
# The pages read from their own address which pipeline or run is meant.
PIPELINE_PAGES = {
    "/pipelines": "pipelines.html",
    "/pipelines/new": "pipeline_new.html",
    "/pipelines/{name}": "pipeline_page.html",
    "/runs": "runs.html",
    "/runs/{run_id}": "run_page.html",
    "/artifacts": "artifacts.html",
}


def add_pages(app: FastAPI) -> None:
    """/rollouts, /drift, /scores, /pipelines, /runs, /artifacts, /docs, and the files they are made of."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def root() -> RedirectResponse:
        return RedirectResponse("rollouts")

    @router.get("/rollouts")
    def rollouts() -> FileResponse:
        return FileResponse(PAGES / "rollouts.html")

    @router.get("/drift")
    def drift() -> FileResponse:
        return FileResponse(PAGES / "drift.html")

    @router.get("/scores")
    def scores() -> FileResponse:
        return FileResponse(PAGES / "scores.html")

    for path, page in PIPELINE_PAGES.items():
        router.add_api_route(path, _answering(page), methods=["GET"])

    @router.get("/docs", dependencies=[Viewer])
    def docs() -> FileResponse:
        return FileResponse(PAGES / "docs.html")

    @router.get("/openapi.json", dependencies=[Viewer])
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        return app.openapi_schema

    app.include_router(router)
    app.mount("/static", StaticFiles(directory=PAGES), name="static")
    app.mount("/docs-files", StaticFiles(directory=swagger_files()), name="docs-files")


def _answering(page: str) -> Callable[[], FileResponse]:
    def answer() -> FileResponse:
        return FileResponse(PAGES / page)

    return answer


def swagger_files() -> Path:
    """The folder of BentoML's own copy of Swagger UI, found without importing BentoML."""
    found = find_spec("bentoml")
    if found is None or found.origin is None:
        raise RuntimeError("BentoML isn't installed: its copy of Swagger UI is missing")
    return Path(found.origin).parent / "_internal" / "server" / "static_content"
