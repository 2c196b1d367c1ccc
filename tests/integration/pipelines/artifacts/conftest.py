"""A place for artifacts and logs, which the served API of the folder above reads."""

from __future__ import annotations

from uuid import UUID

import pytest

from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from tests.integration.pipelines.artifacts.kept import Kept


@pytest.fixture
def kept(database: Database, home: Settings) -> Kept:
    return Kept(database, home)


@pytest.fixture
def storage(kept: Kept) -> Storage:
    return kept.storage


@pytest.fixture
def pipeline(kept: Kept) -> UUID:
    """The pipeline whose artifacts are kept."""
    return kept.pipeline
