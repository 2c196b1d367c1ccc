"""Tables in pieces: one file with all rows, and samples that are the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.storage.files import StorageError
from mlops_assets.training.data import parquet_pieces
from mlops_assets.training.data.parquet_pieces import ParquetPieces, read_column, read_pieces, read_sample


def written(folder: Path, *pieces: pd.DataFrame) -> Path:
    kept = ParquetPieces(folder, "rows.parquet")
    for piece in pieces:
        kept.add(piece)
    assert kept.rows == sum(map(len, pieces))
    return kept.file()


def numbers(first: int, end: int) -> pd.DataFrame:
    return pd.DataFrame({"number": np.arange(first, end), "word": [f"w{n % 7}" for n in range(first, end)]})


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(parquet_pieces, "READ_ROWS", 100)
    return written(tmp_path, numbers(0, 400), numbers(400, 950), numbers(950, 1000))


def test_pieces_become_one_file_in_their_order(file: Path) -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(file), numbers(0, 1000))
    assert [p.name for p in file.parent.iterdir()] == ["rows.parquet"]


def test_a_column_that_is_empty_or_whole_in_a_piece_is_what_it_is_in_the_others(tmp_path: Path) -> None:
    times = pd.to_datetime(["2024-01-01", "2024-02-01"])
    first = pd.DataFrame({"word": [None, None], "rooms": [1, 2], "at": times})
    second = pd.DataFrame({"word": ["a", None], "rooms": [1.5, np.nan], "at": times})
    found = pd.read_parquet(written(tmp_path, first, second))
    assert found["word"].tolist() == [None, None, "a", None]
    assert found["rooms"].tolist()[:3] == [1.0, 2.0, 1.5]
    assert found["at"].tolist() == [*times, *times]


def test_one_piece_is_the_file_that_pandas_writes(tmp_path: Path) -> None:
    numbers(0, 50).to_parquet(tmp_path / "plain.parquet", index=False)
    assert written(tmp_path, numbers(0, 50)).read_bytes() == (tmp_path / "plain.parquet").read_bytes()


def test_a_file_is_read_in_pieces_or_whole(file: Path) -> None:
    assert [len(piece) for piece in read_pieces(file, None)] == [1000]
    assert [len(piece) for piece in read_pieces(file, 1000)] == [1000]
    found = list(read_pieces(file, 300))
    assert max(map(len, found)) <= 300
    pd.testing.assert_frame_equal(pd.concat(found, ignore_index=True), numbers(0, 1000))
    assert pd.concat(read_column(file, "word")).tolist() == numbers(0, 1000)["word"].tolist()


def test_a_sample_has_each_row_once_in_order_and_any_as_likely(file: Path) -> None:
    chosen = read_sample(file, 300, seed=1)["number"].to_numpy()
    assert len(chosen) == 300
    assert (np.diff(chosen) > 0).all()
    assert read_sample(file, 300, seed=1)["number"].tolist() == chosen.tolist()
    counts = np.zeros(1000)
    for seed in range(200):
        counts[read_sample(file, 300, seed)["number"].to_numpy()] += 1
    # Binomial(200, 0.3): five standard deviations about its mean.
    assert counts.min() > 60 - 33
    assert counts.max() < 60 + 33
    assert len(read_sample(file, 5000, seed=1)) == 1000


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.parquet"):
        read_sample(tmp_path / "none.parquet", 5, 1)
