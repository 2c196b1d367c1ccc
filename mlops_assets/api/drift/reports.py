"""The stored full reports, and what keeps their scripts from doing anything but draw.

A report is a page that another library made, scripts included. It is read from the storage root alone and sent with a
policy of its own: no origin, no cookie, no connection to anywhere, which every stored page gets, that of scores too
(`scores.files`). Add here another kind of report. Keep out how one is made (`drift.report`) and when it is removed
(`drift.daily`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_assets.api.auth import Viewer
from mlops_assets.api.drift.routes import Day, Name, stored_day, watched_product
from mlops_assets.api.drift.views import no_report
from mlops_assets.api.problems import answers
from mlops_assets.drift.daily import Watched
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.files import MissingFileError, Storage, StorageError, safe_name

POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; connect-src 'none'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_PATH = re.compile(r"/(drift/[^/]+/[^/]+|scores/[^/]+)/report")
_POLICY_HEADER = b"content-security-policy"

log = logging.getLogger(__name__)


class OutsideStorageError(StorageError):
    """A stored address doesn't lie below the storage root."""


def report_routes(products: Mapping[str, Watched], ledger: Ledger, storage: Storage) -> APIRouter:
    """The stored reports, and the addresses of a product and a day on the drift page."""
    router = APIRouter(tags=["drift"])

    @router.get("/drift/{product}", include_in_schema=False)
    def page_of_product(product: Name) -> Response:
        return RedirectResponse(f"../drift#{quote(product, safe='')}")

    @router.get("/drift/{product}/{day}", include_in_schema=False)
    def page_of_day(product: Name, day: Day) -> Response:
        return RedirectResponse(f"../../drift#{quote(product, safe='')}/{day}")

    @router.get(
        "/drift/{product}/{day}/report",
        dependencies=[Viewer],
        response_class=Response,
        responses=answers(401, 404, 422, 429, 503) | {200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
    )
    def read_report(product: Name, day: Day) -> Response:
        """The full report of one day, as it was stored."""
        policy = watched_product(products, product).policy
        stored = stored_day(ledger, product, day)
        if stored.report_uri is None:
            raise HTTPException(404, no_report(stored, policy))
        try:
            return Response(read_below(storage, stored.report_uri), media_type="text/html")
        except (MissingFileError, OutsideStorageError) as error:
            log.warning("report of %s on %s: %s", product, day, error)
            raise HTTPException(404, f"the full report of {day} isn't in the storage; its figures are kept") from error
        except StorageError as error:
            log.warning("report of %s on %s: %s", product, day, error)
            raise HTTPException(503, "the storage doesn't answer; try again", {"Retry-After": "5"}) from error

    return router


def read_below(storage: Storage, uri: str) -> bytes:
    """The file at a path or URL below the storage root. Raises OutsideStorageError, MissingFileError, StorageError."""
    root = str(storage.folder or storage.url.rstrip("/"))
    names = uri.removeprefix(root + "/").split("/")
    if not uri.startswith(root + "/"):
        raise OutsideStorageError(f"{uri}: not below {root}")
    try:
        for name in names:
            safe_name(name)
    except StorageError as error:
        raise OutsideStorageError(f"{uri}: {error}") from error
    if storage.folder is not None and not Path(uri).resolve().is_relative_to(storage.folder.resolve()):
        raise OutsideStorageError(f"{uri}: a link that leads out of {root}")
    return storage.at(*names[:-1]).read_bytes(names[-1])


class ReportPolicy:
    """Gives stored reports their own content policy in place of the pages'; nothing else is touched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _PATH.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def confined(message: Message) -> None:
            if message["type"] == "http.response.start":
                others = [header for header in message["headers"] if header[0].lower() != _POLICY_HEADER]
                message["headers"] = [*others, (_POLICY_HEADER, POLICY.encode())]
            await send(message)

        await self._app(scope, receive, confined)
