"""What stages of declared pipelines use, in the sandbox: counted once, whether they were forked or started anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.pipeline_rig import PipelineRig
from tests.integration.pipelines.live.one_stage import STAGE, one_stage

MB = 1_000_000
WORK = """
    import time
    def run(context):
        held = bytearray(100_000_000)
        with open("rows", "wb") as file:
            file.write(held[:6_000_000])
        with open("rows", "rb") as file:
            file.read()
        end = time.process_time() + 2.0
        while time.process_time() < end:
            pass
        return 1
"""


@pytest.fixture(scope="module")
def rig() -> Iterator[PipelineRig]:
    """Every process that runs declared pipelines."""
    with PipelineRig() as running:
        yield running


def used(rig: PipelineRig, run_id: str) -> dict[str, Any]:
    """The one attempt of a run that has completed."""
    assert rig.finish(run_id)["status"] == "COMPLETED"
    (attempt,) = rig.ask("GET", f"/runs/{run_id}/usage")["attempts"]
    found: dict[str, Any] = attempt
    return found


def assert_worked(attempt: dict[str, Any]) -> None:
    """The stage's own figures, and a little of the run's process."""
    assert (attempt["kind"], attempt["product"], attempt["stage"]) == ("pipeline", "working", STAGE)
    assert (attempt["outcome"], attempt["attempt"]) == ("SUCCESS", 1)
    # Twice would be 4 s and 12 MB.
    assert 2.0 <= attempt["cpu_seconds"] < 4.0
    assert 6 * MB <= attempt["written_bytes"] < 12 * MB
    assert attempt["read_bytes"] >= 6 * MB
    assert attempt["peak_memory_bytes"] > 100 * MB
    assert attempt["cost"] > 0


def test_a_stage_counts_once_however_it_was_started(rig: PipelineRig) -> None:
    rig.create(one_stage("working", WORK))
    warm = used(rig, rig.run("working"))
    assert_worked(warm)
    rig.stop("stages")
    cold = used(rig, rig.run("working"))
    assert_worked(cold)
    # What is a child of the run's process and what isn't hold the same work.
    assert cold["peak_memory_bytes"] < warm["peak_memory_bytes"] + 100 * MB
    whole = rig.ask("GET", "/usage", params={"by": "stage"})
    (item,) = [item for item in whole["items"] if item["product"] == "working"]
    assert (item["runs"], item["attempts"], item["failed"]) == (2, 2, 0)
    assert item["cpu_seconds"] == pytest.approx(warm["cpu_seconds"] + cold["cpu_seconds"])


def test_a_stage_that_fails_used_something_too(rig: PipelineRig) -> None:
    rig.create(one_stage("failing", "def run(context):\n    held = bytearray(90_000_000)\n    raise ValueError('no')"))
    run = rig.finish(rig.run("failing"))
    assert run["status"] == "FAILED"
    (attempt,) = rig.ask("GET", f"/runs/{run['id']}/usage")["attempts"]
    assert attempt["outcome"] == "FAILURE"
    assert attempt["peak_memory_bytes"] > 90 * MB
