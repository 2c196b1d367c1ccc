"""Runs of declared pipelines from the API to the sandbox and back, with every process that an installation has."""

from __future__ import annotations

import textwrap
from typing import Any

import psutil

from tests.integration.pipeline_rig import PipelineRig, stage
from tests.integration.pipelines.live.one_stage import STAGE, one_stage

PREPARE = "import pandas as pd\ndef run():\n    return pd.DataFrame({'x': [1, 2, 3], 'y': [2, 4, 6]})"
SLOW = "import time\ndef run(context):\n    print('began', flush=True)\n    time.sleep(60)"


def began(rig: PipelineRig, run_id: str) -> None:
    """Wait until the stage has printed something."""
    rig.until(lambda: bool(rig.ask("GET", f"/runs/{run_id}/stages/{STAGE}/logs")["lines"]), 30, f"{STAGE} to begin")


def loaded(rig: PipelineRig, name: str) -> dict[str, Any]:
    """The pipeline, once Dagster shows what is deployed."""
    rig.until(lambda: rig.ask("GET", f"/pipelines/{name}")["loaded"], 20, f"{name} to be loaded")
    detail: dict[str, Any] = rig.ask("GET", f"/pipelines/{name}")
    return detail


def test_the_smallest_pipeline_runs_and_leaves_its_records(rig: PipelineRig) -> None:
    rig.create(
        {
            "name": "two_stage",
            "stages": [
                {
                    "name": "prepare",
                    "stage_type": "DATA_PREPROCESSING",
                    "source": PREPARE,
                },
                {
                    "name": "train",
                    "stage_type": "MODEL_TRAINING",
                    "dependencies": ["prepare"],
                    "source": textwrap.dedent("""
                        from sklearn.linear_model import LinearRegression
                        def run(prepare, context):
                            context.logger.warning("fitting %d rows", len(prepare))
                            model = LinearRegression().fit(prepare[["x"]], prepare["y"])
                            context.artifact("slope", {"slope": float(model.coef_[0])}, type="METRICS")
                            return model
                    """),
                },
            ],
        }
    )
    assert loaded(rig, "two_stage")["deployed_version"] == 1
    run = rig.finish(rig.run("two_stage", notes="a first look"))
    assert (run["status"], run["succeeded"], run["failed"]) == ("COMPLETED", 2, 0)
    assert (run["trigger"], run["notes"], run["version"]) == ("API", "a first look", 1)
    assert [s["name"] for s in run["stages"]] == ["prepare", "train"]
    assert all(s["peak_memory_bytes"] > 1e6 and s["wall_seconds"] > 0 and s["attempt"] == 1 for s in run["stages"])
    log = rig.ask("GET", f"/runs/{run['id']}/stages/train/logs")
    assert [(line["level"], line["text"]) for line in log["lines"]] == [("WARNING", "fitting 3 rows")]
    kept = rig.ask("GET", "/artifacts", params={"run": run["id"]})["items"]
    assert {(a["stage"], a["type"], a["is_result"]) for a in kept} == {
        ("prepare", "DATASET", True),
        ("train", "MODEL", True),
        ("train", "METRICS", False),
    }
    table = next(a for a in kept if a["type"] == "DATASET")
    assert rig.ask("GET", f"/artifacts/{table['id']}/preview")["rows"] == [[1, 2], [2, 4], [3, 6]]


def test_stages_get_parameters_config_facts_and_their_own_environment(rig: PipelineRig) -> None:
    source = """
        import os
        def run(context):
            return {
                "parameters": dict(context.parameters), "config": dict(context.config),
                "facts": [context.pipeline, context.attempt, context.trigger, context.environment],
                "environment": {k: v for k, v in os.environ.items() if k not in ("LC_CTYPE",)},
            }
    """
    parameters = {"rows": {"type": "integer", "default": 3, "maximum": 10}, "label": {"type": "string"}}
    spec = one_stage("told", source, environment={"REGION": "north"})
    rig.create(spec | {"parameters": parameters, "config": {"a": 1}})
    run = rig.finish(rig.run("told", parameters={"rows": "7"}, environment="staging", trigger="WEBHOOK"))
    assert run["status"] == "COMPLETED", run
    (result,) = rig.ask("GET", "/artifacts", params={"run": run["id"], "result": True})["items"]
    with rig.client() as client:
        told = client.get(f"/artifacts/{result['id']}/content").json()
    assert told["parameters"] == {"rows": 7, "label": None}
    assert told["config"] == {"a": 1}
    assert told["facts"] == ["told", 1, "WEBHOOK", "staging"]
    assert told["environment"]["REGION"] == "north"
    token = rig.settings.inner_token
    assert token
    assert not [name for name in told["environment"] if name.startswith(("MLOPS", "DAGSTER", "MLFLOW"))]
    assert not [name for name, value in told["environment"].items() if token in value]
    with rig.client() as client:
        refused = client.post("/pipelines/told/runs", json={"parameters": {"rows": 11}})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "parameters.rows"


def test_a_stage_that_fails_says_where_and_those_after_it_are_skipped(rig: PipelineRig) -> None:
    spec = one_stage("failing", "def run():\n    x = {}\n    return x['nothing']")
    spec["stages"].append(
        {"name": "after", "stage_type": "MODEL_TESTING", "dependencies": [STAGE], "source": "def run(work): return 1"}
    )
    rig.create(spec)
    run = rig.finish(rig.run("failing"))
    assert run["status"] == "FAILED"
    assert "nothing" in run["error"]
    assert stage(run, STAGE)["status"] == "FAILED"
    assert (stage(run, STAGE)["error"]["type"], stage(run, STAGE)["error"]["line"]) == ("KeyError", 3)
    assert stage(run, "after")["status"] == "SKIPPED"


def test_a_stage_is_tried_again_as_often_as_it_says(rig: PipelineRig) -> None:
    source = """
        def run(context):
            print("attempt", context.attempt)
            if context.attempt < 3:
                raise ConnectionError("not yet")
            return context.attempt
    """
    rig.create(one_stage("retried", source, retry_count=3, retry_delay=0.2))
    run = rig.finish(rig.run("retried"))
    assert (run["status"], stage(run, STAGE)["attempt"]) == ("COMPLETED", 3)
    logs = f"/runs/{run['id']}/stages/{STAGE}/logs"
    firsts = [rig.ask("GET", logs, params={"attempt": number})["lines"][0]["text"] for number in (1, 2, 3)]
    assert firsts == ["attempt 1", "attempt 2", "attempt 3"]
    rig.create(one_stage("never", "def run():\n    raise ValueError('no')", retry_count=1, retry_delay=0.1))
    run = rig.finish(rig.run("never"))
    assert (run["status"], stage(run, STAGE)["attempt"]) == ("FAILED", 2)


def test_a_stage_and_a_run_that_take_too_long_are_ended(rig: PipelineRig) -> None:
    rig.create(one_stage("slow_stage", SLOW, timeout_seconds=1))
    run = rig.finish(rig.run("slow_stage"))
    assert (run["status"], stage(run, STAGE)["error"]["type"]) == ("FAILED", "TimedOut")
    rig.create(one_stage("slow_run", SLOW) | {"timeout_seconds": 2})
    run = rig.finish(rig.run("slow_run"))
    assert run["status"] == "FAILED"


def test_a_cancelled_run_has_ended_with_all_its_processes(rig: PipelineRig) -> None:
    source = """
        import os, subprocess, sys, time
        def run(context):
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(77)"], start_new_session=True)
            print("began", flush=True)
            time.sleep(77)
    """
    rig.create(one_stage("endless", source))
    run_id = rig.run("endless")
    began(rig, run_id)
    rig.ask("POST", f"/runs/{run_id}/cancel")
    run = rig.finish(run_id, seconds=15)
    assert (run["status"], stage(run, STAGE)["status"]) == ("CANCELLED", "CANCELLED")
    assert not [p for p in psutil.process_iter(["cmdline"]) if "time.sleep(77)" in " ".join(p.info["cmdline"] or [])]
    assert not list(rig.settings.stage_folders.iterdir())
    with rig.client() as client:
        assert client.post(f"/runs/{run_id}/cancel").status_code == 409


def test_a_run_finishes_on_the_version_that_it_started_with(rig: PipelineRig) -> None:
    source = """
        import time
        def run(context):
            print("began", flush=True)
            time.sleep(3)
            return "old"
    """
    spec = one_stage("edited", source)
    spec["stages"].append(
        {"name": "after", "stage_type": "CLEANUP", "dependencies": [STAGE], "source": "def run(work): return 'old'"}
    )
    rig.create(spec)
    run_id = rig.run("edited")
    began(rig, run_id)
    spec["stages"][0]["source"] = "def run(): return 'new'"
    spec["stages"][1]["source"] = "def run(work): raise ValueError('the new one')"
    answer = rig.ask("PUT", "/pipelines/edited", json=spec, headers={"If-Match": "*"})
    assert answer["deployed_version"] == 2
    old = rig.finish(run_id)
    assert (old["status"], old["version"]) == ("COMPLETED", 1)
    new = rig.finish(rig.run("edited"))
    assert (new["status"], new["version"]) == ("FAILED", 2)


def test_never_more_runs_than_the_limit_and_all_finish_in_their_order(rig: PipelineRig) -> None:
    rig.create(one_stage("queued", "import time\ndef run():\n    time.sleep(0.5)"))
    runs = [rig.run("queued") for _ in range(20)]
    most = 0
    while True:
        states = [rig.read(run)["status"] for run in runs]
        most = max(most, states.count("RUNNING"))
        if set(states) == {"COMPLETED"}:
            break
        assert not {"FAILED", "CANCELLED"} & set(states), [rig.read(run)["error"] for run in runs]
    assert most <= rig.settings.max_concurrent_pipeline_runs
    started = [rig.read(run)["started_at"] for run in runs]
    # Runs that are taken together may begin in either order; nobody is overtaken by more than a batch.
    ranks = sorted(range(20), key=lambda i: started[i])
    assert all(abs(rank - place) < 5 for place, rank in enumerate(ranks))


def test_a_stage_sees_nothing_of_the_platform(rig: PipelineRig) -> None:
    source = f"""
        import os, socket
        def run(context):
            seen = []
            for path in ({str(rig.settings.secrets)!r}, {str(rig.home)!r}, "/etc/shadow"):
                try:
                    seen.append(sorted(os.listdir(path)) if os.path.isdir(path) else open(path).read())
                except OSError:
                    pass
            for port in ({rig.settings.ports.api_server}, {rig.settings.ports.pipelines}):
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=2)
                    seen.append(port)
                except OSError:
                    pass
            return [seen, os.getuid()]
    """
    rig.create(one_stage("curious", source))
    run = rig.finish(rig.run("curious"))
    assert run["status"] == "COMPLETED", run
    (result,) = rig.ask("GET", "/artifacts", params={"run": run["id"]})["items"]
    with rig.client() as client:
        seen, user = client.get(f"/artifacts/{result['id']}/content").json()
    assert seen == []
    assert user != 0


def test_a_paused_pipeline_has_its_schedule_off_and_runs_by_hand(rig: PipelineRig) -> None:
    rig.create(one_stage("daily", "def run(): return 1") | {"schedule": "0 3 * * *"})
    assert loaded(rig, "daily")["next_run_at"] is not None
    paused = rig.ask("POST", "/pipelines/daily/pause")
    assert (paused["active"], paused["next_run_at"]) == (False, None)
    loaded(rig, "daily")
    assert rig.finish(rig.run("daily"))["status"] == "COMPLETED"
    assert rig.ask("POST", "/pipelines/daily/resume")["active"]


def test_a_deleted_pipeline_frees_its_name_and_keeps_its_runs(rig: PipelineRig) -> None:
    rig.create(one_stage("passing", "def run(): return 1"))
    run_id = rig.run("passing")
    rig.finish(run_id)
    rig.ask("DELETE", "/pipelines/passing")
    assert rig.read(run_id)["pipeline"] == "passing"
    assert rig.create(one_stage("passing", "def run(): return 2"))["version"] == 1
