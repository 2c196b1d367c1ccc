"""Data versions on a real PostgreSQL and disk: numbering, races, kills, damage, new cleaning code."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_assets.products.cleaned import Cleaned
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, StorageError
from mlops_assets.training.data.cleaned_file import CleanedFile, clean_pieces
from mlops_assets.training.data.sources import Fetched
from mlops_assets.training.data.versions import DatasetError, DatasetVersions


@pytest.fixture
def versions(database: Database, tmp_path: Path) -> DatasetVersions:
    return DatasetVersions(database, Storage(str(tmp_path / "root")))


def arrived(folder: Path, text: str, sample: bool = False) -> Fetched:
    folder.mkdir(parents=True, exist_ok=True)
    data = f"price\n{text}\n".encode()
    path = folder / f"{hashlib.sha256(data).hexdigest()}.csv"
    path.write_bytes(data)
    return Fetched(path, hashlib.sha256(data).hexdigest(), len(data), "/data/prices.csv", "prices", sample)


def cleaned(folder: Path, text: str) -> CleanedFile:
    import pandas as pd

    def clean(raw: pd.DataFrame) -> Cleaned:
        return Cleaned(raw, dropped={"duplicate": 2}, handled={"size_in_rk": 1})

    folder.mkdir(parents=True, exist_ok=True)
    return clean_pieces(clean, [pd.DataFrame({"price": [float(text)], "society": [None]})], folder)


def register(versions: DatasetVersions, folder: Path, text: str, cleaning: str = "aaa", product: str = "houses"):
    record, new = versions.register(product, arrived(folder, text), cleaned(folder, text), cleaning=cleaning)
    return record.version, new


def test_new_content_is_the_next_version_and_old_content_the_old_one(versions: DatasetVersions, tmp_path: Path) -> None:
    assert versions.latest("houses") is None
    assert register(versions, tmp_path, "1") == (1, True)
    assert register(versions, tmp_path, "2") == (2, True)
    assert register(versions, tmp_path, "1") == (1, False)
    assert register(versions, tmp_path, "1", product="cars") == (1, True)
    assert [r.version for r in versions.list("houses")] == [1, 2]
    assert versions.latest("houses").version == 2


def test_an_old_version_comes_back_with_its_account(versions: DatasetVersions, tmp_path: Path) -> None:
    import pandas as pd

    for text in "123":
        register(versions, tmp_path, text)
    old = versions.load("houses", 1)
    pd.testing.assert_frame_equal(old.rows, cleaned(tmp_path, "1").head)
    assert old.manifest["dropped"] == {"duplicate": 2}
    assert old.manifest["handled"] == {"size_in_rk": 1}
    assert old.manifest["columns"] == {"price": "float64", "society": "object"}
    assert (old.record.sha256, old.record.rows) == (arrived(tmp_path, "1").sha256, 1)
    with versions.raw_file("houses", 1) as path:
        assert path.read_bytes() == b"price\n1\n"
    assert not path.exists()


def test_an_unknown_version_names_those_there_are(versions: DatasetVersions, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no data version V7; there is none"):
        versions.load("houses", 7)
    register(versions, tmp_path, "1")
    with pytest.raises(DatasetError, match="no data version V0; there is V1"):
        versions.load("houses", 0)


def test_the_sample_flag_is_kept(versions: DatasetVersions, tmp_path: Path) -> None:
    versions.register("houses", arrived(tmp_path, "1", sample=True), cleaned(tmp_path, "1"), cleaning="aaa")
    assert versions.latest("houses").sample
    assert versions.load("houses", 1).manifest["sample"] is True


def test_eight_runs_at_once_with_the_same_content_get_one_version(versions: DatasetVersions, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: register(versions, tmp_path / str(n), "1"), range(8)))
    assert [version for version, _ in results] == [1] * 8
    assert sum(new for _, new in results) == 1
    assert versions.load("houses", 1).rows["price"].tolist() == [1.0]


def test_eight_runs_at_once_with_different_content_get_eight_versions(
    versions: DatasetVersions, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: register(versions, tmp_path / str(n), str(n)), range(8)))
    assert sorted(version for version, _ in results) == list(range(1, 9))
    assert all(new for _, new in results)
    for number, (version, _) in enumerate(results):
        assert versions.load("houses", version).rows["price"].tolist() == [float(number)]


@pytest.mark.parametrize("last", ["raw.csv.gz", "rows.parquet", "dataset.json", None])
def test_a_kill_at_any_point_leaves_no_version_and_the_next_run_makes_it(
    versions: DatasetVersions, postgres_url: str, tmp_path: Path, last: str | None
) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from mlops_assets.storage import files
from mlops_assets.training.data import versions
from tests.integration.test_datasets import Database, arrived, cleaned
url, root, last = sys.argv[1:]
replace = os.replace
def replace_and_die(source, target):
    replace(source, target)
    if Path(target).name == last:
        os.kill(os.getpid(), signal.SIGKILL)
files.os.replace = replace_and_die
if not last:
    versions.DatasetVersions._number = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
kept = versions.DatasetVersions(Database.connect(url), files.Storage(root))
kept.register("houses", arrived(Path(root + "-in"), "1"), cleaned(Path(root + "-in"), "1"), cleaning="aaa")
"""
    root = str(tmp_path / "root")
    killed = subprocess.run(
        [sys.executable, "-c", script, postgres_url, root, last or ""],
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert versions.list("houses") == ()
    assert register(versions, tmp_path, "2") == (1, True)
    assert register(versions, tmp_path, "1") == (2, True)
    assert versions.load("houses", 2).rows["price"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.parquet", b"PAR1 other", "its hash differs"),
        ("dataset.json", b'{"sha256": "0", "product": "houses"}', "belongs to other data"),
    ],
)
def test_damage_is_noticed_and_registering_again_repairs_rows(
    versions: DatasetVersions, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    register(versions, tmp_path, "1")
    next((tmp_path / "root").rglob(name)).write_bytes(content)
    with pytest.raises(DatasetError, match=told):
        versions.load("houses", 1)
    assert register(versions, tmp_path, "1") == (1, False)
    assert versions.load("houses", 1).rows["price"].tolist() == [1.0]


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_raw_file_is_noticed(versions: DatasetVersions, tmp_path: Path, damage: str) -> None:
    import gzip

    register(versions, tmp_path, "1")
    raw = next((tmp_path / "root").rglob("raw.csv.gz"))
    raw.write_bytes(raw.read_bytes()[:-6] if damage == "cut" else gzip.compress(b"price\n2\n"))
    told = "can't be unpacked" if damage == "cut" else "isn't what was registered"
    with pytest.raises(DatasetError, match=told), versions.raw_file("houses", 1):
        pass


def test_a_raw_file_that_changed_after_fetching_is_refused(versions: DatasetVersions, tmp_path: Path) -> None:
    fetched = arrived(tmp_path, "1")
    fetched.path.write_bytes(b"price\n9\n")
    with pytest.raises(DatasetError, match="changed after it was fetched"):
        versions.register("houses", fetched, cleaned(tmp_path, "1"), cleaning="aaa")
    assert versions.list("houses") == ()


def test_new_cleaning_code_reads_an_old_version_anew_and_makes_no_new_one(
    versions: DatasetVersions, tmp_path: Path
) -> None:
    register(versions, tmp_path, "1", cleaning="aaa")
    calls = []

    def clean(path: Path, folder: Path) -> CleanedFile:
        calls.append(path.read_bytes())
        return cleaned(folder, "10")

    for _ in range(2):
        assert versions.load("houses", 1, cleaning="bbb", clean=clean).rows["price"].tolist() == [10.0]
    assert calls == [b"price\n1\n"]
    assert versions.load("houses", 1).rows["price"].tolist() == [1.0]
    assert register(versions, tmp_path, "1", cleaning="ccc") == (1, False)
    with pytest.raises(DatasetError, match="no rows cleaned by ddd"):
        versions.load("houses", 1, cleaning="ddd")


def test_rows_of_the_first_cleaning_are_never_made_by_other_code(versions: DatasetVersions, tmp_path: Path) -> None:
    register(versions, tmp_path, "1", cleaning="aaa")
    for file in (tmp_path / "root").rglob("aaa/*"):
        file.unlink()
    with pytest.raises(DatasetError, match="no rows cleaned by aaa"):
        versions.load("houses", 1, clean=lambda path, folder: cleaned(folder, "10"))


def test_a_product_name_can_not_leave_the_root(versions: DatasetVersions, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="file name"):
        register(versions, tmp_path, "1", product="../cars")
    assert not (tmp_path / "cars").exists()
    assert versions.list("../cars") == ()
