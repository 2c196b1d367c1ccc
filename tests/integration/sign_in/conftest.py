"""A provider of its own process, with people in it, and a console that they sign in to."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from mlops_assets.storage.database import Database
from tests.integration.sign_in.console import Console, console
from tests.servers import free_port, process

PEOPLE = (
    {"sub": "0001", "email": "ada@example.org", "groups": ["ml-ops", "ml"]},
    {"sub": "0002", "email": "kim@example.org", "groups": ["ml"]},
    {"sub": "0003", "email": "eve@example.org", "groups": ["sales"]},
)


@contextmanager
def running_provider(folder: Path, *options: str, port: int | None = None) -> Iterator[str]:
    """The issuer of a real provider in a process of its own."""
    port = port or free_port()
    # To browsers another site than the console's, which is at 127.0.0.1.
    issuer = f"http://localhost:{port}"
    people = [argument for person in PEOPLE for argument in ("--user-claims", json.dumps(person))]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", *people, *options]

    def answers() -> bool:
        try:
            return httpx.get(f"{issuer}/jwks", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    with process(command, folder / "provider.log", answers):
        yield issuer


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_provider(tmp_path_factory.mktemp("provider")) as found:
        yield found


# Making one takes longer than all that it is asked. What tests find there is in the browsers that they open.
@pytest.fixture(scope="module")
def api(postgres_url: str, tmp_path_factory: pytest.TempPathFactory, issuer: str) -> Iterator[Console]:
    database = Database.connect(postgres_url)
    database.migrate()
    with console(database, tmp_path_factory.mktemp("home"), issuer) as found:
        yield found
    database.dispose()


@pytest.fixture
def own_api(database: Database, tmp_path: Path, issuer: str) -> Iterator[Console]:
    """One that no other test asks."""
    with console(database, tmp_path, issuer) as found:
        yield found
