"""The client and `mlops pipeline …` against the API, with every process that runs pipelines."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.access import tokens
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.api.pipelines.run_schemas import RunStatus, RunView, StageRunView, StageStatus
from mlops_assets.client import (
    AuthError,
    Client,
    ConflictError,
    DownloadError,
    NotFoundError,
    PreconditionError,
    RunTimeoutError,
    StageLine,
    UnavailableError,
    ValidationError,
)
from mlops_assets.storage.database import Database
from tests.e2e.installation import Installation
from tests.integration.pipeline_rig import PipelineRig
from tests.integration.pipelines.live.one_stage import STAGE, one_stage
from tests.servers import wait_until

YAML = """\
name: two_stage
title: Zwölf Zeilen
parameters:
  rows: {type: integer, default: 3, minimum: 1}
stages:
  - name: prepare
    stage_type: DATA_PREPROCESSING
    source: |
      import pandas as pd
      def run(context):
          rows = context.parameters["rows"]
          context.logger.info("%d rows\\u2028for %s", rows, context.environment)
          return pd.DataFrame({"x": range(rows)})
  - name: train
    stage_type: MODEL_TRAINING
    dependencies: [prepare]
    source: |
      def run(prepare, context):
          context.artifact("figures/sum", {"sum": int(prepare["x"].sum())}, type="METRICS")
          print("trained")
"""


@pytest.fixture
def client(rig: PipelineRig) -> Iterator[Client]:
    with Client(rig.settings.api_server_url, rig.token) as made:
        yield made


def loaded(client: Client, name: str) -> None:
    wait_until(lambda: client.pipeline(name).loaded, 30, lambda: f"{name} isn't loaded")


def ready(client: Client, spec: dict[str, Any] | str) -> str:
    """A pipeline that can be run; its name."""
    name = client.apply(spec).pipeline.name
    loaded(client, name)
    return name


def test_a_pipeline_goes_from_a_file_to_versions_and_back(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(YAML.replace("two_stage", "mine"))
    assert client.validate(file).order == ["prepare", "train"]
    assert client.apply(file).change == "created"
    assert client.apply(file).change == "unchanged"
    assert client.apply(client.pipeline("mine").spec).change == "unchanged"
    file.write_text(file.read_text().replace("default: 3", "default: 4"))
    changed = client.apply(file)
    assert (changed.change, changed.before, changed.pipeline.version) == ("updated", 1, 2)
    assert client.deploy("mine", 1).deployed_version == 1
    assert [(v.version, v.deployed) for v in client.versions("mine")] == [(2, False), (1, True)]
    assert client.yaml("mine", 1) != client.yaml("mine")
    assert client.apply(client.yaml("mine")).pipeline.deployed_version == 2
    assert client.pipeline("mine").title == "Zwölf Zeilen"
    assert (client.pause("mine").active, client.resume("mine").active) == (False, True)
    found = client.pipeline("mine")
    client.delete(found.id, revision=found.revision)
    with pytest.raises(NotFoundError, match="mine"):
        client.pipeline("mine")


def test_a_refused_pipeline_names_stage_and_field(client: Client) -> None:
    broken = one_stage("broken", "def run(:")
    assert [(p.stage, p.field) for p in client.validate(broken).problems] == [(STAGE, "source")]
    for act in (client.create, client.apply):
        with pytest.raises(ValidationError) as refused:
            act(broken)
        assert [(p.stage, p.field) for p in refused.value.problems] == [(STAGE, "source")]
    with pytest.raises(ValidationError, match="line 2"):
        client.apply("name: a\n: [")
    with pytest.raises(ValidationError):
        client.apply("[]")


def test_of_many_who_create_at_once_one_does_and_of_one_who_repeats_none_twice(
    client: Client, rig: PipelineRig
) -> None:
    def create(key: str | None) -> str:
        with Client(rig.settings.api_server_url, rig.token) as own:
            try:
                return own.create(one_stage("crowded", "def run(): pass"), deploy=False, key=key).id
            except ConflictError:
                return "taken"

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(create, [None] * 8))
    assert len(set(found)) == 2
    assert found.count("taken") == 7
    spec = one_stage("repeated", "def run(): pass")
    first = client.create(spec, deploy=False, key="of-a-test")
    assert client.create(spec, deploy=False, key="of-a-test").id == first.id


def test_many_who_apply_at_once_all_succeed_and_none_is_lost(client: Client, rig: PipelineRig) -> None:
    client.create(one_stage("applied", "def run(): pass"), deploy=False)

    def apply(number: int) -> int:
        with Client(rig.settings.api_server_url, rig.token) as own:
            return own.apply(one_stage("applied", f"def run(): return {number}"), deploy=False).pipeline.version

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(apply, range(3))) == [2, 3, 4]
    present = client.pipeline("applied")
    with pytest.raises(PreconditionError):
        client.update("applied", one_stage("applied", "def run(): return 7"), revision=present.revision - 1)


def test_every_pipeline_is_listed_over_several_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops_assets.client.paging.PAGE", 3)
    names = [f"listed_{number}" for number in range(8)]
    for name in names:
        client.create({**one_stage(name, "def run(): pass"), "tags": {"of": "lists"}}, deploy=False)
    assert [one.name for one in client.pipelines(q="listed", tags=["of=lists"], deployed=False)] == names
    assert [one.name for one in client.pipelines(q="listed", sort="-name")] == names[::-1]
    assert list(client.pipelines(q="listed", deployed=True)) == []


def test_a_run_is_followed_and_what_it_leaves_is_fetched(client: Client, tmp_path: Path) -> None:
    name = ready(client, YAML)
    run = client.run(name, parameters={"rows": "5"}, environment="test", notes="why", tags={"team": "x"})
    events = list(client.follow(run.id))
    lines = [e.data for e in events if isinstance(e.data, StageLine)]
    assert [(one.stage, one.text) for one in lines] == [("prepare", "5 rows\u2028for test"), ("train", "trained")]
    # A stage is told again when something of it changes, as the list of its artifacts.
    completed = [e.data.name for e in events if isinstance(e.data, StageRunView) and e.data.status == "COMPLETED"]
    assert list(dict.fromkeys(completed)) == ["prepare", "train"]
    assert events[-1].kind == "end"
    assert [e.data.status for e in events if isinstance(e.data, RunView)][-1] is RunStatus.COMPLETED
    found = client.get_run(run.id)
    assert (found.environment, found.notes, found.succeeded) == ("test", "why", 2)
    assert int(found.parameters["rows"]) == 5
    assert [one.id for one in client.runs(name, status=["COMPLETED"], tags=["team=x"])] == [run.id]
    assert list(client.runs(name, status=["FAILED"])) == []
    assert [one.text for one in client.log_lines(run.id, "train", follow=True)] == ["trained"]
    figures = next(client.artifacts(run=run.id, type="METRICS"))
    path = client.download(figures.id, tmp_path)
    assert path.parent == tmp_path
    assert sha256(path.read_bytes()).hexdigest() == figures.sha256
    assert b"10" in path.read_bytes()
    assert len(list(client.artifacts(run=run.id, result=True))) == 2
    table = next(client.artifacts(run=run.id, stage="prepare", result=True))
    assert client.preview(table.id).total_rows == 5
    client.download(table.id, tmp_path / "table")
    assert sha256((tmp_path / "table").read_bytes()).hexdigest() == table.sha256
    assert client.statistics().runs.total >= 1
    assert client.health()["database_ms"] >= 0


def test_a_file_that_was_changed_in_the_storage_is_not_taken_for_what_was_kept(
    client: Client, rig: PipelineRig, tmp_path: Path
) -> None:
    name = ready(client, one_stage("left", "def run(context):\n    context.artifact('n', {'n': 1}, type='METRICS')"))
    run = client.wait(client.run(name).id, 60)
    figures = next(client.artifacts(run=run.id, type="METRICS"))
    kept = [one for one in Path(rig.settings.storage).rglob("*") if one.is_file() and run.id in str(one)]
    for one in kept:
        one.write_bytes(one.read_bytes().swapcase().replace(b"1", b"2"))
    with pytest.raises((DownloadError, NotFoundError)):
        client.download(figures.id, tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_refused_order_starts_nothing(client: Client) -> None:
    name = ready(client, YAML)
    before = len(list(client.runs(name)))
    for parameters in ({"rows": "many"}, {"rows": 0}, {"columns": 1}):
        with pytest.raises(ValidationError, match=r"parameters\.(rows|columns)"):
            client.run(name, parameters=parameters)
    with pytest.raises(NotFoundError):
        client.run("nobody")
    client.create(one_stage("stored", "def run(): pass"), deploy=False)
    with pytest.raises(ConflictError, match="stored"):
        client.run("stored")
    key = "of-one-run"
    first = client.run(name, key=key)
    assert client.run(name, key=key).id == first.id
    assert len(list(client.runs(name))) == before + 1
    client.wait(first.id, 60)


def test_a_run_that_is_cancelled_ends_and_can_not_be_cancelled_again(client: Client) -> None:
    slow = "import time\ndef run():\n    print('began', flush=True)\n    time.sleep(120)"
    name = ready(client, one_stage("slow", slow))
    run = client.run(name)
    with pytest.raises(RunTimeoutError):
        client.wait(run.id, 0.5)
    assert next(client.log_lines(run.id, STAGE, follow=True)).text == "began"
    with pytest.raises(ConflictError):
        client.delete(name)
    client.cancel(run.id)
    assert client.wait(run.id, 30).status is RunStatus.CANCELLED
    with pytest.raises(ConflictError):
        client.cancel(run.id)


def test_a_run_is_followed_over_a_killed_api_and_no_line_is_told_twice(client: Client, rig: PipelineRig) -> None:
    ticks = """
        import time
        def run():
            for number in range(20):
                print(number, flush=True)
                time.sleep(0.3)
    """
    name = ready(client, one_stage("ticking", ticks))
    run = client.run(name)
    told: list[str] = []
    killed = threading.Event()
    for event in client.follow(run.id):
        if isinstance(event.data, StageLine):
            told.append(event.data.text)
        if len(told) == 3 and not killed.is_set():
            killed.set()
            rig.restart("api")
    assert told == [str(number) for number in range(20)]
    assert client.get_run(run.id).status is RunStatus.COMPLETED


def test_an_api_that_is_down_is_said_and_an_order_with_a_key_can_be_given_again(
    client: Client, rig: PipelineRig
) -> None:
    name = ready(client, YAML)
    rig.stop("api")
    try:
        with pytest.raises(UnavailableError, match=rig.settings.api_server_url):
            client.run(name, key="over-a-restart")
        done = mlops(rig, "list")
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    finally:
        rig.start("api")
    first = client.run(name, key="over-a-restart")
    assert client.run(name, key="over-a-restart").id == first.id
    assert client.wait(first.id, 60).status is RunStatus.COMPLETED


def test_a_role_may_what_it_may(rig: PipelineRig, client: Client) -> None:
    database = Database.connect(rig.settings.database)
    by = Caller("cli", "kim", Role.OPERATOR, Kind.CLI)
    name = ready(client, YAML)
    with Client(rig.settings.api_server_url, tokens.create(database, by, "reader", Role.VIEWER)) as reader:
        assert reader.pipeline(name).name == name
        with pytest.raises(AuthError, match="editor") as refused:
            reader.run(name)
        assert refused.value.status == 403
    with Client(rig.settings.api_server_url, "x" * 30) as nobody, pytest.raises(AuthError) as refused:
        next(nobody.pipelines())
    assert refused.value.status == 401
    database.dispose()


def mlops(rig: PipelineRig, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`mlops pipeline ARGUMENTS` on the rig's installation."""
    return Installation(rig.home, rig.settings.port_offset).run("pipeline", *arguments, **variables)


def test_the_command_line_goes_the_whole_way(rig: PipelineRig, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "lined.yaml"
    file.write_text(YAML.replace("two_stage", "lined"))
    applied = mlops(rig, "apply", str(file))
    assert applied.stdout == "lined: created, version 1, deployed\n", applied.stderr
    loaded(client, "lined")
    done = mlops(rig, "run", "lined", "-p", "rows=7", "--note", "by hand", "--follow", "--logs")
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("✓ prepare", "✓ train", "train │ trained", "COMPLETED", "2 of 2 stages completed"):
        assert part in done.stdout
    run = next(client.runs("lined"))
    assert (int(run.parameters["rows"]), run.trigger, run.notes) == (7, "MANUAL", "by hand")
    assert "rows=7" in mlops(rig, "status", run.id).stdout
    assert "trained" in mlops(rig, "logs", run.id, "train").stdout
    exported = mlops(rig, "export", "lined").stdout
    assert client.apply(exported).change == "unchanged"
    assert mlops(rig, "list", MLOPS_TOKEN="x" * 30).returncode == 1


def test_the_command_line_fails_with_the_run_that_it_follows(rig: PipelineRig, client: Client) -> None:
    name = ready(client, one_stage("failing", "def run():\n    raise ValueError('no\\x1b[2J rows')", retry_count=0))
    done = mlops(rig, "run", name, "--follow")
    assert done.returncode == 1
    assert "ValueError: no" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    stages = client.get_run(next(client.runs(name)).id).stages
    assert stages[0].status is StageStatus.FAILED
