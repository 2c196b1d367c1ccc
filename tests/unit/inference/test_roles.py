"""A database that doesn't answer costs its time limit and no more, and no password is told."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from inference.roles import PostgresRoles, RolesError


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_silent_server_is_given_up(silent_port: int) -> None:
    url = f"postgresql+psycopg2://someone:hidden@127.0.0.1:{silent_port}/db"
    roles = PostgresRoles(url, "homes", "production", limit_seconds=0.2)
    for _ in range(2):
        with pytest.raises(RolesError, match="in time") as caught:
            roles.current()
        assert "hidden" not in str(caught.value)
    roles.close()


def test_closed_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    began = time.monotonic()
    roles = PostgresRoles(f"postgresql://u:hidden@127.0.0.1:{port}/db", "homes", "candidate", limit_seconds=30)
    with pytest.raises(RolesError) as caught:
        roles.current()
    assert "hidden" not in str(caught.value)
    assert time.monotonic() - began < 30
    roles.close()
    roles.close()
