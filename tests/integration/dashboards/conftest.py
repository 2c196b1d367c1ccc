"""The small installation that all dashboards are asked about, once a run of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.dashboards.world import World, running_world


@pytest.fixture(scope="package")
def world(postgres_url: str) -> Iterator[World]:
    """Everything at work."""
    with running_world(postgres_url) as found:
        yield found
