"""The web pages that come with the service: the buyers' page at / if it is there, the API's documentation.

Add here how a page is served. Keep out its content (`frontend`). Nothing that a page shows may come from
elsewhere: the browser is told so, and refuses it.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from inference.openapi import swagger_files

FRONTEND = Path(__file__).resolve().parent / "frontend"
INDEX = "index.html"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add_pages(app: FastAPI, frontend: Path = FRONTEND) -> None:
    """Serve `frontend` at / and /static, or lead / to the documentation when it has no index.html."""
    if (frontend / INDEX).is_file():
        app.mount("/static", _Static(directory=frontend), name="static")

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        page = frontend / INDEX
        return FileResponse(page, headers=HEADERS) if page.is_file() else RedirectResponse("docs")

    app.mount("/docs-files", StaticFiles(directory=swagger_files()), name="docs-files")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url="docs-files/swagger-ui-bundle.js",
            swagger_css_url="docs-files/swagger-ui.css",
            swagger_favicon_url="docs-files/favicon-light-32x32.png",
        )


class _Static(StaticFiles):
    """The page's files, under the same policy as the page."""

    def file_response(self, *arguments: object, **options: object) -> Response:
        response = super().file_response(*arguments, **options)  # type: ignore[arg-type]
        response.headers.update(HEADERS)
        return response
