"""Every process that runs declared pipelines, and small pipelines for them.

Add a file here for what only an installation at work can show.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.pipeline_rig import PipelineRig


@pytest.fixture(scope="module")
def rig() -> Iterator[PipelineRig]:
    """One for the tests of a file, which may stop and kill what is in it."""
    # What has died is found and tried again sooner than in an installation.
    hurried = {"poll_interval_seconds": 2, "start_timeout_seconds": 20, "retry_delay_seconds": 2}
    with PipelineRig(dagster=hurried) as running:
        yield running
