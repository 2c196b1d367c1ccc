"""An installation on empty tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.settings import Settings
from tests.integration.platform_tables import PlatformTables
from tests.integration.retention.old_platform import OldPlatform


@pytest.fixture
def old(empty_tables: PlatformTables, tmp_path: Path) -> OldPlatform:
    """Without a row or file yet."""
    return OldPlatform(empty_tables, Settings(home=tmp_path / "home"))
