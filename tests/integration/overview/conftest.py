"""A platform with nothing on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.settings import Settings
from tests.integration.overview.seen_platform import Seen
from tests.integration.platform_tables import PlatformTables


@pytest.fixture
def seen(empty_tables: PlatformTables, tmp_path: Path) -> Seen:
    return Seen(empty_tables.database, empty_tables.instance, Settings(home=tmp_path))
