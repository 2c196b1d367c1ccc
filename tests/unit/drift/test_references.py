"""References: what was stored comes back, or a clear error says what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from mlops_assets.drift import references
from mlops_assets.drift.references import DamagedReferenceError, MissingReferenceError
from mlops_assets.drift.sample import Sample
from mlops_assets.storage.files import Storage, StorageError
from tests.unit.drift.made_verdict import sample

TOWNS = ["Pune", None, "ß|\n</script>"] * 100


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))


@pytest.fixture
def folder(storage: Storage) -> Path:
    references.store(storage, "homes", 3, sample(town=TOWNS))
    return Path(storage.url) / "homes" / "references" / "3"


def test_what_was_stored_comes_back(storage: Storage) -> None:
    given = sample(town=TOWNS, garden=[None] * 300)
    given = Sample(given.rows.astype({"garden": "float64"}), given.scored, 13_000)
    where = references.store(storage, "homes", 3, given)
    found = references.load(storage, "homes", 3)
    assert where == f"{storage.url}/homes/references/3"
    assert_frame_equal(found.rows, given.rows)
    assert_frame_equal(found.scored, given.scored)
    assert found.rows["town"].tolist() == TOWNS
    assert found.logged_rows == 13_000


def test_a_product_without_scores_and_one_without_a_row(storage: Storage) -> None:
    for version, given in enumerate((Sample(sample().rows, pd.DataFrame(), 300), sample(0))):
        references.store(storage, "homes", version, given)
        found = references.load(storage, "homes", version)
        assert len(found.rows) == len(given.rows)
        assert list(found.scored.columns) == list(given.scored.columns)


def test_a_try_that_was_killed_is_completed_and_a_done_one_repeated(storage: Storage, folder: Path) -> None:
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(kept) == {"reference.json", "rows.parquet", "scored.parquet"}
    references.store(storage, "homes", 3, sample(town=TOWNS))
    for name in ("reference.json", "scored.parquet"):
        (folder / name).unlink()
    with pytest.raises(MissingReferenceError):
        references.load(storage, "homes", 3)
    references.store(storage, "homes", 3, sample(town=TOWNS))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept


def test_another_reference_under_the_same_number_is_refused(storage: Storage, folder: Path) -> None:
    before = (folder / "rows.parquet").read_bytes()
    with pytest.raises(StorageError, match="already published with other content"):
        references.store(storage, "homes", 3, sample(seed=1))
    assert (folder / "rows.parquet").read_bytes() == before


def test_a_release_without_one_says_what_to_do(storage: Storage) -> None:
    with pytest.raises(MissingReferenceError, match=r"release 4 of homes has no reference: .*; train again"):
        references.load(storage, "homes", 4)


@pytest.mark.parametrize("name", ["rows.parquet", "scored.parquet"])
def test_a_changed_or_lost_file_is_named(storage: Storage, folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedReferenceError, match=f"{name} is not the file that was stored"):
        references.load(storage, "homes", 3)
    (folder / name).unlink()
    with pytest.raises(DamagedReferenceError, match=f"{name} is gone"):
        references.load(storage, "homes", 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "format"),
        (json.dumps({"format": 2}), "format is not 1"),
        (json.dumps({"format": 1, "sha256": {}}), "logged_rows"),
        (json.dumps({"format": 1, "sha256": [], "logged_rows": 1}), "sha256"),
        (json.dumps({"format": 1, "sha256": {}, "logged_rows": 1}), "rows.parquet is not the file"),
        (json.dumps({"format": 1, "sha256": {"rows.parquet": 1}, "logged_rows": 1}), "rows.parquet is not the file"),
    ],
)
def test_a_damaged_manifest_is_named(storage: Storage, folder: Path, text: str, said: str) -> None:
    (folder / "reference.json").write_text(text)
    with pytest.raises(DamagedReferenceError, match=said):
        references.load(storage, "homes", 3)
