"""An installation with its storage in Google's or Azure's store: sources, a training run, backup, what is kept."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from mlops_assets.backup.make import backup
from mlops_assets.backup.restore import restore
from mlops_assets.retention.measure import held
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.storage.folders import fetch_folder
from mlops_assets.training.data.sources import SourceError, fetch
from mlops_assets.training.data.spec import Source
from mlops_assets.training.data.watch import fingerprint
from mlops_assets.training.spec import Product
from tests.integration.backup.saved_platform import PRODUCT, everything, fill, report
from tests.integration.clouds.emulators import Cloud
from tests.integration.conftest import Materialize
from tests.servers import running_mlflow

ROWS = b"id,text\n" + b"".join(b"%d,x\n" % n for n in range(20_000))


@pytest.fixture
def home(tmp_path: Path, url: str, by_variables: None) -> Settings:
    return Settings(home=tmp_path / "home", storage_url=url)


@pytest.fixture
def mlflow_url(postgres_url: str, tmp_path: Path, url: str, by_variables: None) -> Iterator[str]:
    """A server that keeps what it is given in the cloud."""
    with running_mlflow(postgres_url, tmp_path, f"{url}/mlflow") as address:
        yield address


@pytest.mark.parametrize("packed", [False, True])
def test_a_source_is_fetched_within_its_limits(cloud: Cloud, storage: Storage, tmp_path: Path, packed: bool) -> None:
    storage.write_bytes("raw.csv.gz", gzip.compress(ROWS) if packed else ROWS)
    location = storage.locate("raw.csv.gz")
    assert fetch(Source(location=location), tmp_path, storage_options=cloud.options).path.read_bytes() == ROWS
    with pytest.raises(SourceError, match=r"larger than 0\.1 MB"):
        fetch(Source(location=location, max_megabytes=0.1), tmp_path / "b", storage_options=cloud.options)
    with pytest.raises(SourceError, match="there is no such object"):
        fetch(Source(location=storage.locate("none.csv")), tmp_path / "c", storage_options=cloud.options)
    with pytest.raises(SourceError, match=r"raw\.csv\.gz: .*(Forbidden|authenticate)"):
        fetch(Source(location=location), tmp_path / "d", storage_options=cloud.refused)


def test_a_source_that_is_replaced_while_it_is_read_is_no_file(
    cloud: Cloud, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops_assets.storage.remote._BLOCK", 50_000)
    storage.write_bytes("raw.csv", ROWS)
    fs = storage.root.fs
    read = fs._cat_file

    async def replaced_first(key: str, **how: int) -> bytes:
        if not how["start"]:
            await fs._pipe_file(key, b"9" * len(ROWS))
        return bytes(await read(key, **how))

    monkeypatch.setattr(fs, "_cat_file", replaced_first)
    with pytest.raises(SourceError, match="changed while it was being copied") as caught:
        fetch(Source(location=storage.locate("raw.csv")), tmp_path, storage_options=cloud.options)
    assert caught.value.transient
    assert list(tmp_path.iterdir()) == []


def test_a_change_of_a_source_is_seen_by_its_outside(by_variables: None, url: str) -> None:
    storage = Storage(url)
    storage.write_bytes("raw.csv", b"a")
    seen = fingerprint(storage.locate("raw.csv"))
    assert fingerprint(storage.locate("raw.csv")) == seen
    storage.write_bytes("raw.csv", b"b")
    assert fingerprint(storage.locate("raw.csv")) != seen
    with pytest.raises(SourceError, match=r"none\.csv: can't be looked at"):
        fingerprint(storage.locate("none.csv"))


def test_a_product_is_trained_released_and_tracked_there(
    materialize: Materialize, loans: Product, loans_file: Path, database: Database, mlflow_url: str, url: str,
    home: Settings, tmp_path: Path,
) -> None:  # fmt: skip
    storage = Storage(url)
    storage.at("incoming").write_file("loans.csv", loans_file)
    source = loans.source.model_copy(update={"location": storage.at("incoming").locate("loans.csv")})
    began = datetime.now(UTC)
    assert materialize(loans.model_copy(update={"source": source}), None).success

    release = Ledger(database).release("loans", Ledger(database).state("loans").production or 0)
    assert release.uri is not None
    assert release.uri.startswith(f"{url}/")
    fetch_folder(Storage(release.uri), tmp_path / "fetched", manifest="release.json")
    assert (tmp_path / "fetched" / "model.onnx").stat().st_size > 0

    bento = str((release.manifest or {})["bento"])
    storage.at("loans", "bentos", str(release.version)).read_file("release.bento", tmp_path / "release.bento")
    elsewhere = {"BENTOML_HOME": str(tmp_path / "elsewhere"), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-m", "bentoml", "import", str(tmp_path / "release.bento")]
    done = subprocess.run(command, env=os.environ | elsewhere, capture_output=True, text=True, timeout=120, check=False)
    assert (tmp_path / "elsewhere" / "bentos" / bento.replace(":", "/") / "bento.yaml").is_file(), done.stderr

    client = MlflowClient(mlflow_url)
    run = client.get_model_version_by_alias("loans", "champion").run_id
    assert {a.path for a in client.list_artifacts(run)} >= {"charts", "trials.json"}
    assert "mlflow" in storage.names()
    assert httpx.get(f"{mlflow_url}/get-artifact?run_id={run}&path=trials.json", timeout=20).status_code == 200

    releases = held(home, database, storage)["releases"]
    assert releases.files > 0
    assert releases.oldest is not None
    assert abs(releases.oldest - began) < timedelta(minutes=5)


def test_files_come_along_in_a_backup(home: Settings, url: str, tmp_path: Path) -> None:
    fill(home)
    before = everything(home)
    backup(home, tmp_path / "backup", report())
    other = Settings(home=tmp_path / "other", storage_url=f"{url}/restored")
    restore(other, tmp_path / "backup", report())
    assert everything(other) == before
    assert Storage(f"{url}/restored").at(PRODUCT, "releases", "2").read_bytes("model.onnx") == b"model 2" * 1000
