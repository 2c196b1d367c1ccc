"""Artifacts in a real object store: kept, handed on, shown, removed."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from s3fs import S3FileSystem

from mlops_assets.pipelines import artifacts
from mlops_assets.pipelines.artifact_content import blocks
from mlops_assets.pipelines.artifacts import as_value
from mlops_assets.pipelines.retention import Expired
from mlops_assets.sandbox import values
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, StorageError
from tests.integration.answers import problem
from tests.integration.pipelines.artifacts.kept import Kept, age, rows, shown
from tests.integration.pipelines.pipelines_app import pipelines_api
from tests.servers import free_port

FRAME = pd.DataFrame({"x": [1, 2, 3], "y": ["a", None, "c"]})


@pytest.fixture
def storage(kept: Kept, s3: dict[str, str]) -> Storage:
    """A folder of its own in the store, to which everything goes."""
    kept.storage = Storage(f"s3://store/{secrets.token_hex(4)}", s3)
    return kept.storage


def test_results_go_through_an_object_store(database: Database, kept: Kept, storage: Storage, tmp_path: Path) -> None:
    big = np.random.default_rng(1).normal(size=600_000)
    run = str(uuid4())
    for given in (FRAME, big):
        kept.result(given, run_id=run)
    (row,) = rows(database)
    assert row.storage == "S3"
    assert str(row.uri).startswith(f"{storage.url}/pipelines/")
    folder = tmp_path / "into"
    folder.mkdir()
    value = as_value(storage, row, folder)
    assert value.path is not None
    assert value.path.parent == folder
    np.testing.assert_array_equal(values.load(value), big)
    assert b"".join(blocks(storage, row)) == value.path.read_bytes()
    assert artifacts.folder_of(storage, kept.pipeline, run, "prepare").names() == (f"{row.id}.npy",)
    artifacts.folder_of(storage, kept.pipeline, run, "prepare").write_bytes(f"{row.id}.npy", bytes(row.size))
    with pytest.raises(StorageError, match="isn't what stage prepare"):
        as_value(storage, row, folder)


def test_an_object_store_that_is_not_there_is_told_of(database: Database, kept: Kept) -> None:
    options = {"endpoint_url": f"http://127.0.0.1:{free_port()}", "key": "k", "secret": "s"}
    kept.storage = Storage("s3://store/none", options)
    with pytest.raises(StorageError, match="s3://store/none"):
        kept.result(FRAME)
    assert rows(database) == []


def test_files_in_an_object_store_are_removed_by_age(database: Database, kept: Kept, storage: Storage) -> None:
    old, young = kept.result(FRAME), kept.result(FRAME)
    lost = artifacts.folder_of(storage, kept.pipeline, str(uuid4()), "prepare")
    lost.write_bytes("lost.parquet", b"1")
    age(database, 31, old.id)
    assert kept.expire() == Expired(artifacts=1, bytes=old.size)
    later = datetime.now(UTC) + timedelta(days=31)
    assert kept.expire(lambda ids: {young.run_id}, now=later) == Expired(strays=1)
    assert not lost.exists("lost.parquet")
    assert artifacts.folder_of(storage, kept.pipeline, young.run_id, "prepare").names() == (f"{young.id}.parquet",)


def test_tables_in_an_object_store_are_shown_and_downloaded(
    database: Database, kept: Kept, storage: Storage, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, text = kept.result(pd.DataFrame({"x": range(3)})), kept.beside("note.txt", "hello")
    for name, value in (("AWS_ENDPOINT_URL", s3["endpoint_url"]), ("AWS_ACCESS_KEY_ID", s3["key"])):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3["secret"])
    # Another test's file system without options would be handed out again, with that test's environment.
    S3FileSystem.clear_instance_cache()
    with pipelines_api(database, kept.settings.home, storage_url=storage.url) as client:
        assert shown(client, made)["rows"] == [[0], [1], [2]]
        assert shown(client, text)["text"] == "hello"
        answer = client.get(f"/artifacts/{made.id}/content")
        assert len(answer.content) == int(answer.headers["content-length"]) == made.size
        storage.at("pipelines", str(made.pipeline_id), made.run_id, "prepare").remove(f"{made.id}.parquet")
        problem(client.get(f"/artifacts/{made.id}/content"), 404)
