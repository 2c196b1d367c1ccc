"""The HTTP application of one product and one variant: every route, in one place.

Add a route here. A route parses, calls one function and answers. Keep out BentoML (`service`) and anything
that runs before a route is looked at (`gate`).
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from inference import openapi
from inference.contract import Contract
from inference.drift_report import drift_routes
from inference.drill import Drill
from inference.feedback import Acknowledged, FeedbackTaker
from inference.form import Form, form_of
from inference.functions import ProductFunctions
from inference.gate import FEEDBACK_PATH, Gate
from inference.health import Health
from inference.log_routes import log_routes
from inference.metrics import Metrics
from inference.otlp import Collector
from inference.pages import add_pages
from inference.predict import Predictor
from inference.record import Recorder
from inference.served import Served
from inference.settings import ServingSettings, VocabularyRoute
from inference.spans import Spans

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


def create_app(
    settings: ServingSettings,
    functions: ProductFunctions,
    served: Served,
    metrics: Metrics,
    recorder: Recorder | None = None,
    drill: Drill | None = None,
    collector: Collector | None = None,
) -> ASGIApp:
    """The application behind its gate; everything it reads at run time is in `served` and `drill`.

    With a `collector`, requests that the gateway chose to trace are told to it.
    """
    app = FastAPI(
        title=f"{settings.product} inference",
        version=f"1 ({settings.variant})",
        docs_url=None,
        redoc_url=None,
        strict_content_type=False,
    )
    app.add_exception_handler(Exception, _leave_to_gate)
    app.add_exception_handler(RequestValidationError, _bad_query)
    drill = drill or Drill(None)
    contract = Contract(functions.request, settings.batch_limit, settings.batch_key)
    predictor = Predictor(settings, contract, served, metrics, recorder, drill)
    _add_predictions(app, settings, functions, predictor)
    for vocabulary in settings.vocabularies:
        _add_vocabulary(app, vocabulary, served)
    taker = FeedbackTaker(settings, recorder, metrics)
    _add_feedback(app, taker)
    app.include_router(log_routes(settings, served))
    app.include_router(drift_routes(settings))
    _add_form(app, settings, functions, served)
    _add_state(app, Health(settings, served, recorder.journal if recorder else None, drill), metrics)
    _add_document(app, functions.request, taker.body)
    add_pages(app)
    gate = Gate(_Shortcut(app, f"/api/{settings.route}", predictor), settings, metrics)
    return gate if collector is None else Spans(gate, settings, collector)


async def _leave_to_gate(_: Request, error: Exception) -> Response:
    """Send nothing: FastAPI would answer a fault in plain text before the gate sees it."""
    raise error


async def _bad_query(_: Request, error: Exception) -> Response:
    """Errors of a query have the shape of a body's."""
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    return JSONResponse({"detail": [{key: entry[key] for key in ("loc", "msg", "type")} for entry in found]}, 422)


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


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": openapi.Problem} for status in statuses}


def _add_predictions(
    app: FastAPI, settings: ServingSettings, functions: ProductFunctions, predictor: Predictor
) -> None:
    single, batch = openapi.score_models() if settings.detects else openapi.answer_models(settings.answer)
    what = "Score" if settings.detects else "Estimate"
    problems = _problems(400, 413, 415, 422, 503)
    path = f"/api/{settings.route}"
    app.add_api_route(
        path, predictor.predict, methods=["POST"], response_model=None, summary=f"{what} one record",
        responses={200: {"model": single}, **problems},
        openapi_extra={"requestBody": openapi.record_body(functions.request), "parameters": openapi.CALLER},
    )  # fmt: skip
    app.add_api_route(
        f"{path}/batch", predictor.predict_batch, methods=["POST"], response_model=None,
        summary=f"{what} up to {settings.batch_limit} records",
        responses={200: {"model": batch}, **problems},
        openapi_extra={
            "requestBody": openapi.batch_body(functions.request, settings.batch_limit, settings.batch_key),
            "parameters": openapi.CALLER,
        },
    )  # fmt: skip


def _add_vocabulary(app: FastAPI, vocabulary: VocabularyRoute, served: Served) -> None:
    async def known_values() -> dict[str, list[str]]:
        serving = served.current
        if serving is None:
            raise HTTPException(503, "no model is loaded yet; GET /api/health says why", {"Retry-After": "1"})
        return {vocabulary.key: list(serving.model.manifest.vocabulary.get(vocabulary.column, ()))}

    app.add_api_route(
        f"/api/{vocabulary.route}",
        known_values,
        methods=["GET"],
        summary=f"Known values of {vocabulary.column}",
        responses=_problems(503),
    )


def _add_feedback(app: FastAPI, taker: FeedbackTaker) -> None:
    app.add_api_route(
        FEEDBACK_PATH, taker.take, methods=["POST"], response_model=None, summary="Say how good an estimate was",
        responses={200: {"model": Acknowledged}, **_problems(400, 404, 413, 415, 422, 503)},
        openapi_extra={"requestBody": openapi.record_body(taker.body)},
    )  # fmt: skip


def _add_form(app: FastAPI, settings: ServingSettings, functions: ProductFunctions, served: Served) -> None:
    @app.get("/api/form", summary="What a page must ask for an estimate", response_model_exclude_none=True)
    async def form() -> Form:
        return form_of(settings, functions.request, served)


def _add_state(app: FastAPI, health: Health, metrics: Metrics) -> None:
    @app.get("/api/health", summary="Status of this service, its machine, database, log and model")
    def get_health() -> dict[str, Any]:
        return health.full()

    @app.get(
        "/metrics", summary="Prometheus metrics", response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )  # fmt: skip
    def get_metrics() -> Response:
        return Response(metrics.exposition(), media_type=EXPOSITION)

    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        told = health.ready()
        return JSONResponse(told, 200 if told["ready"] else 503)


def _add_document(app: FastAPI, *bodies: type[BaseModel]) -> None:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            plain = get_openapi(title=app.title, version=app.version, routes=app.routes)
            for body in bodies:
                openapi.add_request_schema(plain, body)
            app.openapi_schema = plain
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
