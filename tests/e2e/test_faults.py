"""Faults of training on the whole platform: runs at once, a run killed in the middle, new data without a hand.

One installation for all of them, on a file of its own, and in this order: each test starts from what the one
before it left.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from mlflow import MlflowClient

from mlops_assets.api.orchestrator import FINISHED, Orchestrator
from mlops_assets.products.samples.house_prices import generate
from mlops_assets.rollout.ledger import Ledger, State
from mlops_assets.runs.launcher import PROCESS_TAG
from mlops_assets.runs.process import ProcessIdentity
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.training.data.versions import DatasetVersions
from tests.e2e.installation import Installation, installation
from tests.servers import wait_until

JOB = "house_prices_train"
ROWS = 13_320
REQUEST = {"total_sqft": 1200, "location": "nowhere in particular", "bhk": 2, "bath": 2}

TAGS = "query Tags($run: ID!) { runOrError(runId: $run) { ... on Run { tags { key value } } } }"
RUNS = "query Runs($job: String!) { runsOrError(filter: {pipelineName: $job}) { ... on Runs { results { runId } } } }"


class Platform:
    """The installation with the questions that these tests ask it."""

    def __init__(self, made: Installation, source: Path) -> None:
        self.made = made
        self.source = source
        self.orchestrator = Orchestrator.of(made.settings)
        self.database = Database.connect(made.settings.database)
        self.ledger = Ledger(self.database)

    def state(self) -> State:
        return self.ledger.state("house_prices")

    def data_versions(self) -> list[int]:
        return [
            v.version for v in DatasetVersions(self.database, Storage(self.made.settings.storage)).list("house_prices")
        ]

    def serves(self) -> int:
        answer = httpx.post(f"{self.made.service}/api/predict_home_price", json=REQUEST, timeout=10)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["model_version"])

    def finish(self, run_id: str) -> str:
        wait_until(lambda: self.orchestrator.status(run_id) in FINISHED, 240, self.made.logs)
        return self.orchestrator.status(run_id)

    def runs(self) -> list[str]:
        return [r["runId"] for r in self.orchestrator.query(RUNS, {"job": JOB})["runsOrError"]["results"]]

    def process(self, run_id: str) -> ProcessIdentity:
        tags = self.orchestrator.query(TAGS, {"run": run_id})["runOrError"]["tags"]
        return ProcessIdentity.parse(next(t["value"] for t in tags if t["key"] == PROCESS_TAG))

    def tracked(self, run_id: str) -> Any:
        """The MLflow run of a Dagster run."""
        settings = self.made.settings
        with pytest.MonkeyPatch.context() as given:
            given.setenv("MLFLOW_TRACKING_TOKEN", settings.inner_token or "")
            client = MlflowClient(settings.mlflow_server_url)
            experiment = client.get_experiment_by_name("house_prices")
            assert experiment is not None
            (found,) = client.search_runs([experiment.experiment_id], f"tags.dagster_run_id = '{run_id}'")
            return found


def write_listings(path: Path, seed: int) -> None:
    """Put a file of listings in its place at once, as a careful producer does."""
    fresh = path.with_suffix(".new")
    generate(ROWS, seed).to_csv(fresh, index=False)
    fresh.replace(path)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    source = tmp_path_factory.mktemp("data") / "listings.csv"
    write_listings(source, seed=20_18)
    with installation(MLOPS_HOUSE_PRICES_SOURCE=str(source)) as made:
        made.ok("up")
        made_platform = Platform(made, source)
        wait_until(lambda: not made_platform.orchestrator.active_runs(JOB), 120)
        yield made_platform
        made_platform.orchestrator.client.close()
        made_platform.database.dispose()


def test_two_runs_at_once_make_two_releases_of_one_data_version(platform: Platform) -> None:
    before, served = platform.state(), platform.serves()
    runs = [platform.orchestrator.launch(JOB) for _ in range(2)]
    assert [platform.finish(run) for run in runs] == ["SUCCESS", "SUCCESS"], platform.made.logs()
    assert platform.data_versions() == [1]
    assert platform.state().production == before.production
    history = [e for e in platform.ledger.history("house_prices") if e.seq > before.seq and e.event == "candidate"]
    made = [platform.ledger.release("house_prices", entry.candidate or 0) for entry in history]
    assert sorted(release.run_id for release in made) == sorted(runs)
    for release in made:
        model = (release.manifest or {})["runs"]
        assert model["mlflow"] == platform.tracked(release.run_id).info.run_id
    assert platform.serves() == served


def test_a_killed_run_leaves_nothing_and_is_taken_up_again_by_itself(platform: Platform) -> None:
    # The candidate of the test before gets its first users as soon as its service has loaded it.
    wait_until(lambda: platform.state().comparing, 60, platform.made.logs)
    before, served = platform.state(), platform.serves()
    run_id = platform.orchestrator.launch(JOB)
    events = platform.orchestrator.follow(run_id, timeout_seconds=120)
    assert any(event.message.startswith("trial 1/") for event in events)
    known = set(platform.runs())
    victim = platform.process(run_id)
    assert platform.tracked(run_id).info.status == "RUNNING"
    assert victim.send(signal.SIGKILL)

    wait_until(lambda: platform.orchestrator.status(run_id) == "FAILURE", 40, platform.made.logs)
    said = [event.message for event in platform.orchestrator.follow(run_id, timeout_seconds=30)]
    assert any(f"pid {victim.pid}" in message or "SIGKILL" in message for message in said), said
    wait_until(lambda: platform.tracked(run_id).info.status == "FAILED", 60, platform.made.logs)
    wait_until(lambda: not _session(victim.pid), 30, lambda: f"left behind: {_session(victim.pid)}")
    wait_until(lambda: bool(set(platform.runs()) - known), 60, platform.made.logs)
    (retry,) = set(platform.runs()) - known
    assert platform.finish(retry) == "SUCCESS", platform.made.logs()
    after = platform.state()
    assert after.production == before.production
    assert platform.ledger.release("house_prices", after.candidate or 0).run_id == retry
    assert platform.serves() == served


def _session(leader: int) -> list[psutil.Process]:
    """Living processes of the session that a run's process led."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def test_new_data_is_trained_on_without_a_hand(platform: Platform) -> None:
    before, served, known = platform.state(), platform.serves(), set(platform.runs())
    write_listings(platform.source, seed=7)
    wait_until(lambda: bool(set(platform.runs()) - known), 120, platform.made.logs)
    (run_id,) = set(platform.runs()) - known
    assert platform.finish(run_id) == "SUCCESS", platform.made.logs()
    assert platform.data_versions() == [1, 2]
    after = platform.state()
    assert after.production == before.production
    release = platform.ledger.release("house_prices", after.candidate or 0)
    assert (release.run_id, release.dataset_version) == (run_id, 2)
    assert platform.serves() == served, "a candidate waits to be promoted"

    # The same content once more, as another file with another time, is no news.
    copied = platform.source.with_suffix(".copy")
    shutil.copyfile(platform.source, copied)
    copied.replace(platform.source)
    ticked = _looks(platform)
    wait_until(lambda: _looks(platform) >= ticked + 2, 120, platform.made.logs)
    assert set(platform.runs()) == known | {run_id}


def _looks(platform: Platform) -> int:
    """How often the data sensor has looked."""
    found = platform.orchestrator.query(
        """{ sensorOrError(sensorSelector: {repositoryLocationName: "products", repositoryName: "__repository__",
          sensorName: "house_prices_train_on_new_data"}) { ... on Sensor { sensorState { ticks { tickId } } } } }"""
    )
    return len(found["sensorOrError"]["sensorState"]["ticks"])
