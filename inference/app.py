"""The HTTP application of one product and one variant: every route, in one place.

Add a route here. A route parses, calls one function and answers. Keep out BentoML (`service`) and anything
that runs before a route is looked at (`gate`).
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from inference import openapi
from inference.contract import Contract
from inference.functions import ProductFunctions
from inference.gate import Gate
from inference.health import disk_folder, health
from inference.metrics import Metrics
from inference.predict import Predictor
from inference.served import Served
from inference.settings import ServingSettings, VocabularyRoute

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


def create_app(settings: ServingSettings, functions: ProductFunctions, served: Served, metrics: Metrics) -> ASGIApp:
    """The application behind its gate; everything it reads at run time is in `served`."""
    app = FastAPI(
        title=f"{settings.product} inference",
        version=f"1 ({settings.variant})",
        docs_url=None,
        redoc_url=None,
        strict_content_type=False,
    )
    app.add_exception_handler(Exception, _leave_to_gate)
    predictor = Predictor(settings, Contract(functions.request, settings.batch_limit), served, metrics)
    _add_predictions(app, settings, functions, predictor)
    for vocabulary in settings.vocabularies:
        _add_vocabulary(app, vocabulary, served)
    _add_state(app, settings, served, metrics)
    _add_docs(app, functions)
    return Gate(_Shortcut(app, f"/api/{settings.route}", predictor), settings, metrics)


async def _leave_to_gate(_: Request, error: Exception) -> Response:
    """Send nothing: FastAPI would answer a fault in plain text before the gate sees it."""
    raise error


class _Shortcut:
    """Takes the one hot request past the application's routing and dependency layers."""

    def __init__(self, app: ASGIApp, path: str, predictor: Predictor) -> None:
        self._app = app
        self._path = path
        self._predict = predictor.predict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            response = await self._predict(Request(scope, receive))
        except HTTPException as error:
            response = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
        await response(scope, receive, send)


def _add_predictions(
    app: FastAPI, settings: ServingSettings, functions: ProductFunctions, predictor: Predictor
) -> None:
    single, batch = openapi.answer_models(settings.answer)
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": openapi.Problem} for status in (400, 413, 415, 422, 503)
    }
    path = f"/api/{settings.route}"
    app.add_api_route(
        path, predictor.predict, methods=["POST"], response_model=None, summary="Estimate one record",
        responses={200: {"model": single}, **problems},
        openapi_extra={"requestBody": openapi.record_body(functions.request)},
    )  # fmt: skip
    app.add_api_route(
        f"{path}/batch", predictor.predict_batch, methods=["POST"], response_model=None,
        summary=f"Estimate up to {settings.batch_limit} records",
        responses={200: {"model": batch}, **problems},
        openapi_extra={"requestBody": openapi.batch_body(functions.request, settings.batch_limit)},
    )  # fmt: skip


def _add_vocabulary(app: FastAPI, vocabulary: VocabularyRoute, served: Served) -> None:
    async def known_values() -> dict[str, list[str]]:
        model = served.model
        if model is None:
            raise HTTPException(503, "no model is loaded yet; GET /api/health says why", {"Retry-After": "1"})
        return {vocabulary.key: list(model.manifest.vocabulary.get(vocabulary.column, ()))}

    app.add_api_route(
        f"/api/{vocabulary.route}",
        known_values,
        methods=["GET"],
        summary=f"Known values of {vocabulary.column}",
    )


def _add_state(app: FastAPI, settings: ServingSettings, served: Served, metrics: Metrics) -> None:
    folder = disk_folder(settings)

    @app.get("/api/health", summary="Status of this service, its machine, database and model")
    def get_health() -> dict[str, Any]:
        return health(settings, served, folder)

    @app.get("/metrics", summary="Prometheus metrics", response_class=Response)
    def get_metrics() -> Response:
        return Response(metrics.exposition(), media_type=EXPOSITION)

    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        return JSONResponse({"ready": served.model is not None}, 200 if served.model is not None else 503)


def _add_docs(app: FastAPI, functions: ProductFunctions) -> None:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            plain = get_openapi(title=app.title, version=app.version, routes=app.routes)
            app.openapi_schema = openapi.add_request_schema(plain, functions.request)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
    app.mount("/docs-files", StaticFiles(directory=openapi.swagger_files()), name="docs-files")

    @app.get("/", include_in_schema=False)
    async def index() -> RedirectResponse:
        return RedirectResponse("docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url="docs-files/swagger-ui-bundle.js",
            swagger_css_url="docs-files/swagger-ui.css",
            swagger_favicon_url="docs-files/favicon-light-32x32.png",
        )
