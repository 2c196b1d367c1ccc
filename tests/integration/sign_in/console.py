"""The whole control API as people sign in to it, and the way there and back as a browser goes it.

Add here what several tests of signing in need. Keep out what they prove, and providers (`conftest`, `crooked`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from mlops_assets.api.app import create_app
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.serving_thread import served
from tests.servers import free_port

TOKEN = "operators-token-of-a-test"
CLIENT, SECRET = "console", "the secret of the console"
ROLES = "ml-ops=operator ml=editor"


@dataclass(frozen=True)
class Console:
    """The control API at `url`."""

    url: str
    database: Database

    @contextmanager
    def person(self) -> Iterator[httpx.Client]:
        """Somebody's browser without a session: it keeps cookies and goes nowhere by itself."""
        with httpx.Client(base_url=self.url, timeout=20, headers={"Accept": "text/html"}) as client:
            yield client

    def who(self, person: httpx.Client) -> dict[str, Any] | None:
        """Whom the console takes somebody for."""
        answer = person.get("/api/v1/session")
        assert answer.status_code in (200, 401), answer.text
        return answer.json() if answer.status_code == 200 else None

    def audit(self) -> list[dict[str, Any]]:
        """Every entry, the newest first."""
        answer = httpx.get(f"{self.url}/api/v1/audit", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20)
        entries: list[dict[str, Any]] = answer.json()["entries"]
        return entries


@contextmanager
def console(database: Database, home: Path, issuer: str | None, **given: Any) -> Iterator[Console]:
    """The API with a provider, or without one."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    if issuer is not None:
        given = {"oidc_client_id": CLIENT, "oidc_client_secret": SECRET, "oidc_roles": ROLES} | given
    settings = Settings(home=home, oidc_issuer=issuer, public_api_url=url, **given)
    app = create_app(settings, database, token=TOKEN, subjects=[], ledger=Ledger(database))
    with served(app, port):
        yield Console(url, database)


def sent_away(person: httpx.Client, wanted: str = "/rollouts") -> str:
    """Begin to sign in; the provider's address that the browser is sent to."""
    answer = person.get("/sign-in/provider", params={"next": wanted})
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def sent_back(person: httpx.Client, address: str, subject: str) -> str:
    """Sign in at a provider that asks for nothing but a name; our address that it sends the browser back to."""
    answer = person.post(address, data={"sub": subject})
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def asked_for(address: str) -> dict[str, str]:
    """The values in an address's query."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(address).query).items()}
