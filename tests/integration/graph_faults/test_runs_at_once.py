"""Two runs at once, and a promotion in the middle of another: one truth, and each release whole."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mlflow import MlflowClient

from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.registry import Registry
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.training.data.versions import DatasetVersions
from mlops_assets.training.released import read_release
from mlops_assets.training.spec import Product
from tests.integration.conftest import Materialize
from tests.integration.graph_faults.loans_run import registered, run_in_child


def test_two_runs_at_once_make_one_data_version_and_two_whole_releases(
    place: str, database: Database, storage: Storage, mlflow_url: str
) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        done = [job.result(timeout=200) for job in [pool.submit(run_in_child, place) for _ in range(2)]]
    assert all(success for _, success, _ in done), done
    runs = sorted(run_id for run_id, _, _ in done)
    assert [v.version for v in DatasetVersions(database, storage).list("loans")] == [1]

    ledger = Ledger(database)
    history = ledger.history("loans")
    assert [entry.seq for entry in history] == [2, 1]
    # Neither saw the other: what the ledger says of the second is what its gates really had beside them.
    assert history[0].reason == "passed its gates beside no production to compare with"
    state = ledger.state("loans")
    assert sorted([state.production or 0, state.candidate or 0]) == [1, 2]

    made = [(ledger.release("loans", n), n) for n in (1, 2)]
    assert sorted(release.run_id for release, _ in made) == runs
    for release, number in made:
        record = read_release(Path(release.uri or ""))
        assert (record["version"], record["runs"]["dagster"]) == (number, release.run_id)
        for stage in ("features", "model", "metrics", "release"):
            assert sorted(storage.at("references", "loans", stage).names()) == [f"{run}.json" for run in runs]
        model = storage.at("references", "loans", "metrics").read_json(f"{release.run_id}.json")["model"]
        assert model["folder"] == release.run_id
        assert model["features"]["file"] == f"{release.run_id}.parquet"
        assert record["files"]["model.onnx"]["sha256"] == model["onnx_sha256"]
        assert registered(mlflow_url, record["runs"]["mlflow"]) == [(release.manifest or {})["mlflow_version"]]

    client = MlflowClient(mlflow_url)
    for alias, number in (("champion", state.production), ("challenger", state.candidate)):
        wanted = (ledger.release("loans", number or 0).manifest or {})["mlflow_version"]
        assert client.get_model_version_by_alias("loans", alias).version == wanted


def test_an_alias_written_late_is_put_right_by_whoever_wrote_it(
    materialize: Materialize, loans: Product, loans_file: Path, database: Database, mlflow_url: str
) -> None:
    for _ in range(2):
        materialize(loans, loans_file)
    ledger = Ledger(database)
    promoted = False

    class Slow(Registry):
        """Somebody promotes while the aliases are being written."""

        def point(self, name: str, production: str | None, candidate: str | None) -> None:
            nonlocal promoted
            if not promoted:
                promoted = True
                ledger.promote(name, "tester", "meanwhile")
            super().point(name, production, candidate)

    assert ledger.history("loans", 1)[0].reason == "passed its gates beside production 1"
    state = Slow(mlflow_url).align(ledger, "loans")
    assert state.production == 2
    champion = MlflowClient(mlflow_url).get_model_version_by_alias("loans", "champion")
    assert champion.version == (ledger.release("loans", 2).manifest or {})["mlflow_version"]
