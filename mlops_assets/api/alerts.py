"""POST /api/v1/alerts: where Alertmanager hands over what fires and what is over, to be told like everything else.

The token is good for this route alone, so that a file which Alertmanager reads operates nothing. Keep out the words
of a notice (`notifications.from_alerts`) and who is told.
"""

from __future__ import annotations

import hmac
import logging
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from mlops_assets.access.rate_limit import RateLimit
from mlops_assets.api.problems import answers
from mlops_assets.notifications import outbox
from mlops_assets.notifications.from_alerts import Post, notices
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database

TOKEN_FILE = "alerts_token"  # noqa: S105 (a file's name)
SHORTEST_TOKEN = 16
# Its posts are counted as those of an issued token would be.
CALLER = "alertmanager"
REFUSED = "send the token of Alertmanager, which `mlops up --monitoring` generates"

_bearer = HTTPBearer(
    auto_error=False, scheme_name="Alertmanager", description="The token in the file secrets/alerts_token"
)
log = logging.getLogger(__name__)


class Noted(BaseModel):
    """How many of the alerts were news; the others were posted before."""

    new: int


def alert_routes(settings: Settings, database: Database) -> APIRouter:
    """The one route, for whoever holds the token of this installation's Alertmanager."""
    router = APIRouter(prefix="/api/v1", tags=["alerts"])
    path = settings.secrets / TOKEN_FILE

    def alertmanager(
        request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> None:
        # Read anew each time: monitoring may begin, and the token be replaced, while this process lives.
        token = _token(path)
        if token is None or given is None or not hmac.compare_digest(_bytes(given.credentials), token):
            raise HTTPException(401, REFUSED, {"WWW-Authenticate": "Bearer"})
        limit: RateLimit = request.app.state.rate_limit
        if (wait := limit.wait_seconds(CALLER)) > 0:
            seconds = math.ceil(wait)
            detail = f"Alertmanager asks too often; try again in {seconds} s"
            raise HTTPException(429, detail, {"Retry-After": str(seconds)})

    @router.post("/alerts", dependencies=[Depends(alertmanager)], responses=answers(401, 413, 422, 429, 503))
    def take_alerts(post: Post) -> Noted:
        """Note alerts, so that people are told of them; the same ones again change nothing."""
        new = outbox.note(database, notices(post.alerts, datetime.now(UTC)))
        if new:
            log.info("%d alerts noted", new)
        return Noted(new=new)

    return router


def _token(path: Path) -> bytes | None:
    """What is asked for; None while there is no monitoring, or a file that would let anybody in."""
    try:
        token = path.read_bytes().strip()
    except OSError:
        return None
    return token if len(token) >= SHORTEST_TOKEN else None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
