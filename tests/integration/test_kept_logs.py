"""What runs print is in the object store too: copied at a run's end or later, brought from there, and removed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from s3fs import S3FileSystem

from mlops_assets.pipelines.stage_logs import StageLogs
from mlops_assets.retention import run_logs
from mlops_assets.retention.round import Round, Swept
from mlops_assets.runs import kept_logs
from mlops_assets.runs.compute_logs import DirectComputeLogManager
from mlops_assets.runs.kept_logs import PRINTED, STAGES, KeptLogs
from mlops_assets.sandbox.log_lines import LogLine
from mlops_assets.settings import Settings
from mlops_assets.storage.files import Storage
from mlops_assets.storage.folders import last_written
from tests.integration.platform_tables import PlatformTables
from tests.integration.run_platform import Options, Platform, wait_for
from tests.servers import free_port

CAPTURED = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
  ... on LogsCapturedEvent { fileKey } } } } }"""
LOGS = "query($k: [String!]!) { capturedLogs(logKey: $k) { stdout stderr } }"


@pytest.fixture
def url() -> str:
    """A root of its own in the store."""
    return f"s3://store/{uuid4()}"


@pytest.fixture(scope="module")
def variables(s3: dict[str, str]) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": s3["endpoint_url"],
        "AWS_ACCESS_KEY_ID": s3["key"],
        "AWS_SECRET_ACCESS_KEY": s3["secret"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.fixture
def host(tmp_path: Path, url: str, variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A host of an installation whose files are in the store."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings(home=tmp_path / "home", storage_url=url)


def of(settings: Settings, name: str) -> KeptLogs:
    return next(logs for logs in kept_logs.kept_logs(settings) if logs.name == name)


def another(host: Settings, tmp_path: Path) -> Settings:
    """A host of the same installation that has nothing yet."""
    return Settings(home=tmp_path / "another", storage_url=host.storage_url)


def printed(host: Settings, run: str, text: str = "hello\n") -> list[str]:
    """A run that printed so much; its log key."""
    folder = host.run_logs / run / "compute_logs"
    folder.mkdir(parents=True)
    for suffix, content in (("out", text), ("err", ""), ("complete", "")):
        (folder / f"x.{suffix}").write_text(content)
    return [run, "compute_logs", "x"]


def manager(host: Settings) -> DirectComputeLogManager:
    return DirectComputeLogManager(str(host.run_logs), host.storage)


@pytest.fixture(scope="module")
def platform(variables: Mapping[str, str]) -> Iterator[Platform]:
    options = Options(storage_url="s3://store/of-runs", environment=variables, daemon=False)
    with Platform(options) as running:
        yield running


def test_dagster_shows_what_a_run_printed_after_its_host_has_lost_it(
    platform: Platform, variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run = platform.launch("speaking")
    assert platform.finish(run) == "SUCCESS"
    (key,) = [event["fileKey"] for event in platform.query(CAPTURED, id=run)["logsForRun"]["events"] if event]
    folder = platform.folder / "home" / "logs" / "runs" / run
    wait_for((folder / kept_logs.MARK).exists, 30, "the copy")
    shutil.rmtree(folder)
    said = platform.query(LOGS, k=[run, "compute_logs", key])["capturedLogs"]
    assert "said by a child process" in said["stdout"]
    assert "said to stderr" in said["stderr"]


def test_stages_logs_are_read_on_a_host_that_has_not_written_them(host: Settings, tmp_path: Path) -> None:
    run = str(uuid4())
    for attempt in (1, 2):
        with StageLogs(host.stage_logs).writer(run, "train", attempt) as write:
            write([LogLine(1_700_000_000.0, "INFO", f"attempt {attempt}, line {line}") for line in range(3)])
    kept_logs.keep_at_end(run, host)
    assert of(host, STAGES).kept(run)
    there = another(host, tmp_path)
    logs = StageLogs(there.stage_logs, of(there, STAGES))
    assert logs.attempts(run, "train") == [1, 2]
    lines, ended = logs.read(run, "train", 2)
    assert ([line.text for line in lines], ended) == ([f"attempt 2, line {line}" for line in range(3)], True)
    assert (there.stage_logs / run).stat().st_mode & 0o077 == 0
    assert logs.attempts(str(uuid4()), "train") == []


def test_a_store_that_hangs_holds_up_no_page(host: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, answers = str(uuid4()), threading.Event()
    key = printed(host, run)
    kept_logs.keep_at_end(run, host)
    there, fetch = manager(another(host, tmp_path)), kept_logs.fetch_files

    def hanging(storage: Storage, into: Path) -> None:
        assert answers.wait(60)
        fetch(storage, into)

    monkeypatch.setattr(kept_logs, "fetch_files", hanging)
    monkeypatch.setattr(kept_logs, "WAIT_SECONDS", 0.1)
    assert there.get_log_data(key).stdout is None
    answers.set()
    wait_for(lambda: there.is_capture_complete(key), 30, "what the store said at last")
    assert there.get_log_data(key).stdout == b"hello\n"


def test_a_store_that_is_away_costs_a_run_nothing_and_a_round_makes_up_for_it(
    empty_tables: PlatformTables, host: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset
    def made() -> None: ...

    run = dg.materialize([made], instance=empty_tables.instance).run_id
    key = printed(host, run)
    with monkeypatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        S3FileSystem.clear_instance_cache()
        kept_logs.keep_at_end(run, host, seconds=3)
    S3FileSystem.clear_instance_cache()
    assert not of(host, PRINTED).kept(run)
    work = Round.begun(
        host, empty_tables.database, Storage(host.storage), empty_tables.instance, apply=True, seconds=60
    )
    assert run_logs.copies(work) == Swept()
    assert of(host, PRINTED).kept(run)
    there = manager(another(host, tmp_path))
    assert there.is_capture_complete(key)
    assert there.get_log_data(key).stdout == b"hello\n"


def test_copies_go_with_age_and_with_their_run(empty_tables: PlatformTables, host: Settings, tmp_path: Path) -> None:
    # Dagster knows neither: what counts is when they were written.
    runs = [str(uuid4()) for _ in range(2)]
    for run in runs:
        printed(host, run)
        kept_logs.keep_at_end(run, host)
    storage = Storage(host.storage)

    def swept(days: int, *, apply: bool = True) -> Swept:
        work = Round.begun(host, empty_tables.database, storage, empty_tables.instance, apply=apply, seconds=60)
        return run_logs.copies(Round(**vars(work) | {"now": work.now + timedelta(days=days)}))

    manager(host).delete_logs(prefix=[runs[0]])
    left = [storage.at(kept_logs.FOLDER, run) for run in runs]
    assert [last_written(copy) is None for copy in left] == [True, False]
    assert swept(80) == Swept()
    assert swept(100, apply=False) == swept(100) == Swept(removed=1)
    assert last_written(storage) is None
