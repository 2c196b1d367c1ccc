"""Processes that die while declared pipelines run, and stages that misbehave: nothing is lost, stuck or left behind."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
import sqlalchemy

from mlops_assets.runs.process import ProcessIdentity
from tests.integration.pipeline_rig import PipelineRig, stage
from tests.integration.pipelines.live.one_stage import STAGE, one_stage
from tests.integration.sandboxed import left_behind
from tests.unit.pipelines import made_pipelines

STEPS = 3


@pytest.fixture(scope="module", autouse=True)
def chain(rig: PipelineRig) -> None:
    """A chain of stages, each of which takes most of a second and hands a number on."""
    stages: list[dict[str, Any]] = []
    for number in range(STEPS):
        given = [f"step_{number - 1}"] if number else []
        source = f"import time\ndef run({', '.join(given)}):\n    print('began', flush=True)\n    time.sleep(0.7)\n"
        source += f"    return {number}" + (f" + {given[0]}" if given else "")
        stages.append(made_pipelines.stage(f"step_{number}", given, source=source, retry_count=1))
    rig.create(made_pipelines.pipeline(*stages, name="chain"))


def newest_of_chain(rig: PipelineRig, run_id: str) -> dict[str, Any]:
    """The last of the runs that took a run up."""
    every = rig.ask("GET", "/runs", params={"limit": 500})["items"]
    after = {run["retry_of"]: run["id"] for run in every if run["retry_of"]}
    while run_id in after:
        run_id = after[run_id]
    return rig.read(run_id)


def process_of(rig: PipelineRig, run_id: str) -> ProcessIdentity:
    """The process of a run, from Dagster's own record of it."""
    asked = "SELECT value FROM dagster.run_tags WHERE run_id = :run AND key = 'mlops/run_process'"
    engine = sqlalchemy.create_engine(rig.settings.database, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        return ProcessIdentity.parse(connection.scalar(sqlalchemy.text(asked), {"run": run_id}))


def all_done(rig: PipelineRig, runs: list[str]) -> bool:
    """Whether every run, or the one that took it up, has completed."""
    return all(newest_of_chain(rig, run)["status"] == "COMPLETED" for run in runs)


@pytest.mark.parametrize("name", ["api", "daemon", "pipelines", "runs", "stages"])
def test_runs_complete_while_a_process_of_the_platform_is_killed(rig: PipelineRig, name: str) -> None:
    runs = [rig.run("chain") for _ in range(3)]
    rig.until(lambda: rig.read(runs[0])["status"] == "RUNNING", 30, "the first run to begin")
    rig.restart(name)
    rig.until(lambda: all_done(rig, runs), 60, "the runs to complete")
    assert stage(newest_of_chain(rig, runs[0]), "step_2")["status"] == "COMPLETED"
    assert not list(rig.settings.stage_folders.iterdir())


def test_a_run_whose_process_is_killed_goes_on_after_the_stages_that_were_done(rig: PipelineRig) -> None:
    run_id = rig.run("chain")
    rig.until(lambda: stage(rig.read(run_id), "step_1")["status"] == "RUNNING", 30, "the second stage")
    os.kill(process_of(rig, run_id).pid, signal.SIGKILL)
    rig.until(lambda: rig.read(run_id)["status"] == "FAILED", 60, "the run to be found dead")
    rig.until(lambda: all_done(rig, [run_id]), 90, "the run to be taken up again")
    after = newest_of_chain(rig, run_id)
    assert after["retry_of"] == run_id
    assert [s["status"] for s in after["stages"]] == ["COMPLETED"] * STEPS
    kept = rig.ask("GET", "/artifacts", params={"run": after["id"]})["items"]
    assert {artifact["stage"] for artifact in kept} == {"step_1", "step_2"}
    assert not left_behind(rig.settings.stage_folders)
    assert not list(rig.settings.stage_folders.iterdir()), "the killed attempt's folder stays"


def test_a_run_can_be_cancelled_at_any_moment(rig: PipelineRig) -> None:
    for wait in (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.9, 1.3):
        run_id = rig.run("chain")
        time.sleep(wait)
        rig.ask("POST", f"/runs/{run_id}/cancel")
        run = rig.finish(run_id, seconds=15)
        assert run["status"] == "CANCELLED", (wait, run)
        assert not {s["status"] for s in run["stages"]} & {"RUNNING", "PENDING"}, (wait, run)
    rig.until(lambda: not list(rig.settings.stage_folders.iterdir()), 10, "the folders to be removed")
    assert not left_behind(rig.settings.stage_folders)


# What a stage does, and the error that it ends with, unless that depends on which of its limits is met first.
HOSTILE = {
    "loops": ("while True:\n        pass", "CpuLimit"),
    "eats_memory": ("x = [bytearray(10_000_000) for _ in range(1000)]", "MemoryLimit"),
    "fills_the_disk": ("open('big', 'wb').write(bytes(1000)) ; f = open('big2', 'wb')\n    while True:\n"
                       "        f.write(bytes(1_000_000))", "OutputLimit"),
    "forks": ("import os, time\n    while True:\n        if os.fork() == 0:\n            time.sleep(20)", None),
    "kills_its_parent": ("import os, signal\n    os.kill(os.getppid(), signal.SIGKILL)\n    os.kill(1, 9)", None),
    "unstorable": ("return (i for i in range(3))", "UnstorableError"),
    "ends_at_once": ("import os\n    os._exit(3)", "ProcessEnded"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_stage_fails_alone(rig: PipelineRig, name: str) -> None:
    body, error = HOSTILE[name]
    limits = {"memory_mb": 512, "cpu_seconds": 2, "output_mb": 20}
    rig.create(one_stage(f"hostile_{name}", f"def run():\n    {body}\n", limits=limits, timeout_seconds=30))
    other = rig.run("chain")
    run = rig.finish(rig.run(f"hostile_{name}"))
    assert run["status"] == "FAILED", run
    assert error is None or stage(run, STAGE)["error"]["type"] == error
    assert rig.finish(other)["status"] == "COMPLETED"
    assert not left_behind(rig.settings.stage_folders)


def test_a_stage_that_prints_without_end_keeps_a_bounded_log(rig: PipelineRig) -> None:
    source = """
        def run():
            line = "x" * 1000 + "\\n"
            for _ in range(100):
                print(line * 1000, end="")
            return "done"
    """
    rig.create(one_stage("chatty", source))
    run = rig.finish(rig.run("chatty"))
    assert run["status"] == "COMPLETED", run
    files = list((rig.settings.stage_logs / run["id"]).rglob("*.jsonl"))
    assert 0 < sum(file.stat().st_size for file in files) < 15_000_000


def test_runs_complete_although_the_database_was_killed_meanwhile(rig: PipelineRig) -> None:
    runs = [rig.run("chain") for _ in range(2)]
    rig.until(lambda: rig.read(runs[0])["status"] == "RUNNING", 30, "the first run to begin")
    rig.stop("postgres", signal.SIGKILL)
    with rig.client() as client:
        answer = client.get(f"/runs/{runs[0]}")
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert client.post("/pipelines/chain/runs").status_code == 503
    rig.start("postgres")

    def completed() -> bool:
        # Dagster's daemon ends when it looks after itself while there is no database.
        rig.revive()
        return all_done(rig, runs)

    rig.until(completed, 120, "the runs, or those that took them up, to complete")
    assert rig.finish(rig.run("chain"))["status"] == "COMPLETED"
    rig.until(lambda: not list(rig.settings.stage_folders.iterdir()), 20, "the folders to be removed")
